"""What hopenai's document promises and hopenai does not do: seed-behaviour.md §6, seed 000.

The second half are its weaknesses of §1.7 that we claim to have left behind.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llm_magic.cassette import Cassette
from llm_magic.compat import hopenai
from llm_magic.compat.hopenai import get_completion
from llm_magic.testing import FakeServer

CASSETTE = Path("cache.get_completion.cassette.jsonl")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    hopenai._close()


# The document's promises


def test_a_replay_miss_is_a_key_error_without_key_or_network() -> None:
    with pytest.raises(KeyError, match=r"no recording for openai/gpt-4o .*'hi'") as caught:
        get_completion("hi", cache_mode="REPLAY")

    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("mode", ["REPLY", "", "ON"])
def test_an_unknown_mode_is_a_value_error_that_lists_the_modes(
    server: FakeServer, mode: str
) -> None:
    with pytest.raises(ValueError, match="modes: REPLAY, FALLBACK, CAPTURE, DISABLED"):
        get_completion("hi", cache_mode=mode)

    assert server.count == 0
    assert list(Path().iterdir()) == []


def test_capture_forces_a_new_call_and_overwrites_the_entry(server: FakeServer) -> None:
    for text in ("first", "second"):
        server.reply(text)

    texts = [get_completion("hi", cache_mode="CAPTURE") for _ in range(2)]

    assert (texts, server.count) == (["first", "second"], 2)
    assert get_completion("hi", cache_mode="REPLAY") == "second"


def test_openrouter_models_go_to_openrouter_with_its_key(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer() as openrouter:
        monkeypatch.setenv("OPENROUTER_BASE_URL", openrouter.openai_url)
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-test-0123456789abcdef")
        openrouter.reply("Hello.", usage={"cost": 0.25})
        hopenai.start_logging_costs()

        text = get_completion("hi", model="openrouter/mistralai/mistral-7b")

        assert (text, openrouter.count, server.count) == ("Hello.", 1, 0)
        assert openrouter.last.body["model"] == "mistralai/mistral-7b"
        assert openrouter.last.headers["authorization"] == "Bearer sk-or-test-0123456789abcdef"
    assert hopenai.get_current_cost() == 0.25
    hopenai.end_logging_costs()


def test_report_progress_shows_progress_and_returns_the_text(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    text = get_completion("hi", report_progress=True, cache_mode="CAPTURE", print_cost=True)

    printed = capsys.readouterr()
    assert text == "You said: hi"
    assert "Generating completion: 3 tokens" in printed.err
    assert printed.out.startswith("cost=$0.0")
    assert get_completion("hi", report_progress=True, cache_mode="REPLAY") == text


@pytest.mark.parametrize("mode", ["CAPTURE", "FALLBACK", "DISABLED"])
def test_create_kwargs_take_lists_and_dicts(server: FakeServer, mode: str) -> None:
    given: dict[str, Any] = {"stop": ["a"], "response_format": {"type": "json_object"}}

    get_completion("hi", cache_mode=mode, **given)

    assert {name: server.last.body[name] for name in given} == given


# Weaknesses that we claim to have left behind


def test_weakness_1_disabled_calls_each_time(server: FakeServer) -> None:
    for _ in range(3):
        get_completion("hi")

    assert server.count == 3


def test_weakness_2_lists_and_dicts_are_part_of_the_request(server: FakeServer) -> None:
    get_completion("hi", cache_mode="CAPTURE", stop=["a"])

    with pytest.raises(KeyError):
        get_completion("hi", cache_mode="REPLAY", stop=["b"])


@pytest.mark.parametrize("other", ["hi c", "Hi  C", " Hi C", "Hi C\n", "Hi\nC"])
def test_weakness_3_case_and_white_space_make_another_request(
    server: FakeServer, other: str
) -> None:
    get_completion("Hi C", cache_mode="CAPTURE")

    with pytest.raises(KeyError):
        get_completion(other, cache_mode="REPLAY")


@pytest.mark.parametrize("name", ["cache.get_completion.json", CASSETTE.name])
def test_weakness_4_a_corrupt_file_is_an_error_and_stays_as_it_is(
    server: FakeServer, name: str
) -> None:
    Path(name).write_text('{"version": "1.0", "entries": {"a')

    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        get_completion("hi", cache_mode="FALLBACK")

    assert (server.count, Path(name).read_text()) == (0, '{"version": "1.0", "entries": {"a')


CAPTURE_TEN = """
from llm_magic.compat.hopenai import get_completion
for number in range(10):
    get_completion(f"{WORKER} {number}", cache_mode="FALLBACK")
"""


def test_weakness_5_processes_lose_no_answer(
    server: FakeServer, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    programs = [CAPTURE_TEN.replace("{WORKER}", str(worker)) for worker in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run_python, programs))

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 4
    assert len(Cassette(CASSETTE)) == 40
    texts = {
        get_completion(f"{worker} {number}", cache_mode="REPLAY")
        for worker in range(4)
        for number in range(10)
    }
    assert (len(texts), server.count) == (40, 40)


def test_weakness_6_a_hit_writes_neither_cassette_nor_cache_file(server: FakeServer) -> None:
    messages = [{"role": "user", "content": "old"}]
    request = {"model": "gpt-4o", "messages": messages, "temperature": 0.1}
    choice = {"index": 0, "message": {"content": "Old."}, "finish_reason": "stop"}
    entries = {"a": {"request": request, "response": {"choices": [choice]}}}
    old = Path("cache.get_completion.json")
    old.write_text(json.dumps({"version": "1.0", "metadata": {}, "entries": entries}))
    get_completion("new", cache_mode="CAPTURE")
    before = [(path.stat().st_mtime_ns, path.stat().st_ino) for path in (old, CASSETTE)]

    for mode in ("FALLBACK", "REPLAY"):
        for question in ("old", "new"):
            get_completion(question, cache_mode=mode)

    assert [(path.stat().st_mtime_ns, path.stat().st_ino) for path in (old, CASSETTE)] == before


def test_weakness_7_every_vendors_models_have_their_own_server(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer() as deepseek:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", deepseek.openai_url)
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek-0123456789abcdef")

        get_completion("hi", model="deepseek/deepseek-chat")

        assert (deepseek.count, server.count) == (1, 0)
