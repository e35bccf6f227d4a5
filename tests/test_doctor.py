"""What a miss is told to have been: the nearest recording, and what differs."""

from __future__ import annotations

import json
import pickle
import time
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_magic import config, doctor, secrets
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.doctor import Diagnosis, Difference, diagnose
from llm_magic.exceptions import ReplayMissError
from llm_magic.recordings import Recording, key_of
from llm_magic.replay import begin_run, end_run
from llm_magic.shelf import Shelf
from llm_magic.types import AttrDict, Request

SECRET = "a-secret-value-0123456789"


@pytest.fixture
def client() -> Client:
    return Client(model="echo/echo")


def missed(client: Client, prompt: Any, **options: Any) -> ReplayMissError:
    with pytest.raises(ReplayMissError) as caught:
        client.complete(prompt, mode="REPLAY", **options)
    return caught.value


def found(client: Client, prompt: Any, **options: Any) -> Diagnosis:
    return diagnose(missed(client, prompt, **options))


def test_an_edited_prompt_is_shown_word_by_word(client: Client) -> None:
    client.complete("Write a long poem about the sea")
    client.complete("List the primes below thirty")

    diagnosis = found(client, "Write a short poem about the sea")

    assert "Write a [-long-]{+short+} poem" in diagnosis.to_text()
    assert diagnosis.nearest is not None
    assert diagnosis.nearest.recorded == datetime.now(UTC).date()
    assert diagnosis.differences == ()
    assert (diagnosis.searched, diagnosis.complete) == (2, True)


def test_every_other_difference_is_listed(client: Client) -> None:
    client.complete("Why?", temperature=0.2, seed=1, top_p=1)

    diagnosis = found(client, "Why?", model="echo/other", temperature=0.7, top_p=1.0, stop=["x"])

    assert diagnosis.messages == ()
    assert diagnosis.differences == (
        Difference("model", "echo/other", "echo/echo"),
        Difference("seed", "without it", "1"),
        Difference("stop", '["x"]', "without it"),
        Difference("temperature", "0.7", "0.2"),
    )


@pytest.mark.parametrize(
    ("recorded", "asked", "names"),
    [
        ({"seed": 1}, {"seed": True}, ["seed"]),
        ({"seed": 1}, {"seed": 1, "timeout": 3, "cache_seed": 4}, ["cache_seed"]),
        ({}, {"temperature": 1}, ["temperature"]),
    ],
)
def test_what_is_not_in_the_key_makes_no_difference(
    client: Client, recorded: dict[str, Any], asked: dict[str, Any], names: list[str]
) -> None:
    client.complete("Why?", **recorded)

    diagnosis = found(client, "Why?", **asked)

    assert [difference.name for difference in diagnosis.differences] == names


def test_a_system_message_is_compared_apart(client: Client) -> None:
    client.complete("Why?", system="Be brief.")

    text = found(client, "Why?", system="Be very brief.").to_text()

    assert "system:" in text
    assert "{+very" in text
    assert "messages:" not in text


def test_another_answer_to_the_same_request_is_named(client: Client) -> None:
    client.complete("Why?")

    diagnosis = found(client, "Why?", sample=3)

    assert diagnosis.differences == (Difference("ordinal", "3", "0"),)
    assert diagnosis.messages == diagnosis.system == ()


def test_a_stream_closed_early_is_not_a_whole_answer(client: Client) -> None:
    with client.stream("Tell me a story of many words") as stream:
        next(iter(stream))

    diagnosis = found(client, "Tell me a story of many words")

    assert [difference.name for difference in diagnosis.differences] == ["answer"]


def test_the_cell_that_recorded_it_is_told(client: Client) -> None:
    run = begin_run("c1", cell={"id": "c1", "line": "%%complete --out poem"})
    client.complete("Write a long poem")
    end_run(run, ok=True)

    elsewhere = found(client, "Write a short poem")
    run = begin_run("c1", cell={"id": "c1", "line": "%%complete --out song"})
    here = found(client, "Sing a song, quite another one")
    end_run(run, ok=True)

    assert "by the cell %%complete --out poem" in elsewhere.to_text()
    assert "by this cell" in here.to_text()
    assert "%llm mode FALLBACK, run this cell, %llm cassette save" in here.to_text()


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("%%complete --mode REPLAY", "run this cell once with --mode FALLBACK, "),
        ("%%complete -m x --mode=REPLAY --raw", "run this cell once with --mode FALLBACK, "),
        ("%%complete --model x", "%llm mode FALLBACK, run this cell, "),
        ("ask('--mode')", "%llm mode FALLBACK, run this cell, "),
    ],
)
def test_the_remedy_loosens_the_mode_where_it_was_set(
    client: Client, line: str, remedy: str
) -> None:
    client.complete("Write a long poem")
    run = begin_run("c1", cell={"id": "c1", "line": line})

    diagnosis = found(client, "Write a short poem")
    end_run(run, ok=True)

    assert diagnosis.remedy == f"{remedy}%llm cassette save"


def test_nothing_like_it_is_said_to_be_so(client: Client) -> None:
    client.complete("List the primes below thirty")

    diagnosis = found(client, "Tell me of Kepler")

    assert diagnosis.nearest is None
    assert "none of 1 recordings is like it" in diagnosis.to_text()


def test_without_recordings_the_message_stands(client: Client) -> None:
    error = missed(client, "Why?")

    assert diagnose(error) == Diagnosis(str(error))
    assert diagnose(error).to_text() == str(error)


def test_a_cassette_is_enough(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(Path("analysis.ipynb").resolve()))
    monkeypatch.setattr(config, "_default", None)
    here = Client(model="echo/echo")
    here.complete("Write a long poem")
    here.shelf.save("analysis")
    here.close()
    for path in Path(".llm_magic/recordings").iterdir():
        path.unlink()

    error = missed(Client(model="echo/echo"), "Write a short poem")
    near = diagnose(error)

    assert error.notebook == "analysis"
    assert near.nearest is not None
    assert near.searched == 1


def test_in_ci_the_remedy_is_a_shell_command(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete("Write a long poem")
    error = missed(client, "Write a short poem")
    error.notebook = "my notes"
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")
    monkeypatch.setattr(config, "_default", None)

    assert diagnose(error).remedy == (
        "llm-magic run 'my notes.ipynb' --mode FALLBACK"
        " && llm-magic cassette export 'my notes.ipynb'"
    )


@pytest.mark.parametrize("damage", ["garbage", "conflict", "line", "gone"])
def test_damaged_recordings_leave_the_plain_message(client: Client, damage: str) -> None:
    client.complete("Write a long poem")
    client.shelf.adopt("a")
    client.shelf.save("a")
    error = missed(client, "Write a short poem")
    client.close()
    cassette = Path("a.cassette.jsonl")
    if damage == "garbage":
        Path(".llm_magic/recordings/cache.db").write_bytes(b"garbage" * 1000)
        cassette.unlink()
    elif damage == "conflict":
        cassette.write_text("<<<<<<< ours\n" + cassette.read_text())
    elif damage == "line":
        cassette.write_text(cassette.read_text().replace('"request":{', '"request":[{'))
    else:
        error.folder = Path("nowhere").resolve() / "\0"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnosis = diagnose(error)

    assert diagnosis.message == str(error)
    assert diagnosis.to_text().startswith(str(error))


def test_known_keys_are_redacted_everywhere(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete(f"Write a long poem about {SECRET} and the sea", user=SECRET)
    secrets.register("DEMO_API_KEY", SECRET)

    error = missed(
        client, f"Write a short poem about {SECRET}", user="x" + SECRET, metadata={"a": SECRET}
    )
    diagnosis = diagnose(error)

    told = [repr(error.__dict__), str(error), diagnosis.to_text(), diagnosis._repr_html_()]
    assert diagnosis.nearest is not None
    assert SECRET not in "".join(told)
    assert "{{secret:DEMO_API_KEY}}" in diagnosis.to_text()
    assert error.request.parameters.keys() == {"user"}


def test_html_holds_no_script_and_text_no_control_characters(client: Client) -> None:
    hostile = "<script>alert(1)</script> \x1b[2J <img src=x onerror=alert(1)>"
    client.complete(f"Write a long poem {hostile}", stop=["<script>"])

    diagnosis = found(client, f"Write a short poem {hostile} \x1b[1A", stop=["<b>", "\x1b"])

    assert "<script" not in diagnosis._repr_html_()
    assert "<img" not in diagnosis._repr_html_()
    assert "var(--jp-" in diagnosis._repr_html_()
    assert "\x1b" not in diagnosis.to_text() + diagnosis._repr_html_()
    assert repr(diagnosis) == diagnosis.to_text()


def test_files_in_a_prompt_are_told_by_their_digest(client: Client) -> None:
    client.complete("Read this", files=[b"%PDF-1.4 one"])

    error = missed(client, "Read this", files=[b"%PDF-1.4 two"])

    assert "sha256:" in diagnose(error).to_text()
    assert "base64" not in repr(error.request)


def test_an_error_goes_to_another_process(client: Client) -> None:
    client.complete("Write a long poem")

    copy = pickle.loads(pickle.dumps(missed(client, "Write a short poem")))

    assert "{+short+}" in diagnose(copy).to_text()


def test_an_error_of_somebody_else_is_told_as_it_is() -> None:
    assert diagnose(ReplayMissError("no results")).to_text() == "no results"


def test_ten_thousand_recordings_take_less_than_a_second() -> None:
    shelf = Shelf(Workspace(Path.cwd(), "a"))
    reply = {"index": 0, "message": {"role": "assistant", "content": "word " * 200}}
    response = AttrDict.from_json(json.dumps({"choices": [reply]}))
    with shelf.store.transaction():
        for number in range(10_000):
            text = f"Question {number}: " + " ".join(f"w{number * 7 + at}" for at in range(150))
            request = Request("echo", "echo", [{"role": "user", "content": text}])
            one = Recording(
                key_of(request), 0, request.to_dict(), response, "c", datetime.now(UTC), 1.0
            )
            shelf.put(one, "a")
    asked = Request("echo", "echo", [{"role": "user", "content": text + " please"}])
    error = ReplayMissError("no", key=key_of(asked), request=asked, folder=Path.cwd(), notebook="a")

    began = time.perf_counter()
    diagnosis = diagnose(error, shelf=shelf)
    took = time.perf_counter() - began

    shelf.close()
    assert took < 1
    assert diagnosis.searched > 1000
    if diagnosis.complete:
        assert "{+" in diagnosis.to_text()
        assert "please" in diagnosis.to_text()


def test_a_traceback_says_why_below_the_message_and_keeps_the_users_notes(client: Client) -> None:
    client.complete("Write a long poem")
    error = missed(client, "Write a short poem")
    error.add_note("while I tried")

    told = "".join(traceback.format_exception(error))

    assert "Write a [-long-]{+short+} poem" in told
    assert told.endswith('  to mend it: ask once with mode="FALLBACK"\nwhile I tried\n')


def test_a_miss_that_nobody_prints_is_not_looked_into(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(doctor, "diagnose", lambda error: looked.append(error) or diagnose(error))
    error = missed(client, "Write a short poem")
    assert (str(error).count("\n"), looked) == (0, [])

    for _ in range(2):
        traceback.format_exception(error)

    assert looked == [error]
