"""What an attack on the first version found: each test is named for what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import traceback
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_magic import history, replay, run, secrets
from llm_magic.client import Client
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import CassetteError, ConfigError, ReplayMissError
from llm_magic.shelf import Shelf
from llm_magic.storage import Store
from llm_magic.testing import FakeServer

OPENAI, CLAUDE = "openai/gpt-5-mini", "anthropic/claude-sonnet-4-6"


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    opened = Client(".", model=OPENAI)
    yield opened
    opened.close()


def test_an_interrupt_in_a_transaction_leaves_the_store_usable(run_python: Any) -> None:
    store = Store(Path("store"))

    def interrupted(text: str | None) -> str:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            store.update("key", interrupted)

    store.set("key", "mine")
    done = run_python(
        "from pathlib import Path\nfrom llm_magic.storage import Store\n"
        "store = Store(Path('store'))\nstore.set('other', 'theirs')\nprint(store.get('key'))\n"
    )
    assert done.stdout == "mine\n", done.stderr
    assert store.get("other") == "theirs"


@pytest.mark.parametrize(
    "change",
    [
        "import os; os.environ['LLM_MAGIC_MODE'] = 'CAPTURE'; import llm_magic",
        "import os, llm_magic; os.environ['LLM_MAGIC_MODE'] = 'CAPTURE'",
        "import os, llm_magic; del os.environ['LLM_MAGIC_MODE']; llm_magic.complete",
    ],
)
def test_replay_from_outside_is_not_loosened_by_setting_the_variable(
    server: FakeServer, run_python: Any, change: str
) -> None:
    done = run_python(
        f"{change}\ntry:\n    llm_magic.Client('.').complete('Why?', model={OPENAI!r})\n"
        "except llm_magic.ReplayMissError:\n    print('miss')\n",
        env={**os.environ, "LLM_MAGIC_MODE": "REPLAY"},
    )

    assert done.stdout == "miss\n", done.stderr
    assert server.count == 0


def test_a_paid_answer_is_not_lost_where_warnings_are_errors(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(client.shelf.store, "_cache", None)
    monkeypatch.setattr(client.shelf.store, "read_only", True)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        completion = client.complete("Why?")

    assert completion.text == "You said: Why?"
    assert client.history.rows()[0]["status"] == "ok"
    assert "was not recorded" in capsys.readouterr().err


def test_a_capture_that_a_fallback_answered_replays_the_fallback(
    client: Client, server: FakeServer
) -> None:
    server.reply("old, from the first model")
    client.complete("Why?", fallbacks=[CLAUDE])
    server.fail(500)
    server.reply("new, from the second")
    live = client.complete("Why?", mode="CAPTURE", fallbacks=[CLAUDE])

    replayed = client.complete("Why?", mode="REPLAY", fallbacks=[CLAUDE])

    assert live.text == replayed.text == "new, from the second"
    assert client.shelf.save("analysis").total == 0
    client.shelf.adopt("analysis")
    assert client.shelf.save("analysis").total == 1


@pytest.mark.parametrize("mode", ["FALLBACK", "CAPTURE"])
def test_a_stream_closed_early_never_replaces_a_whole_answer(
    client: Client, server: FakeServer, mode: str
) -> None:
    client.complete("Why?", cache_seed=1)
    with client.stream("Why?", cache_seed=1, mode="CAPTURE") as stream:
        next(stream)
    with client.stream("Why?", cache_seed=2, mode=mode) as stream:
        next(stream)
        next(stream)

    assert client.complete("Why?", cache_seed=1, mode="REPLAY").text == "You said: Why?"
    with client.stream("Why?", cache_seed=2, mode="REPLAY") as replayed:
        text = "".join(chunk.text for chunk in replayed)
    assert text == "You"
    assert "closed early" in replayed.completion.notes[0]


def everything_written() -> bytes:
    return b"".join(path.read_bytes() for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name", ["SOME_API_KEY", "HF_TOKEN", "GITHUB_TOKEN", "AWS_SESSION_TOKEN", "APP_SECRET"]
)
def test_a_key_that_is_set_late_reaches_no_file(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    client.complete("Why?")
    secret = "late-secret-0123456789"
    monkeypatch.setenv(name, f"{secret}\n")

    with run("cell"):
        replay.current_run().cell["line"] = f"os.environ[{name!r}] = {secret!r}"  # type: ignore[union-attr]
        first = client.complete(f"Is {secret} a key?", mode="CAPTURE")
    again = client.complete(f"Is {secret} a key?")
    with pytest.raises(ReplayMissError) as caught:
        client.complete(f"What is {secret}?", mode="REPLAY")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")

    assert again.source == "replay"
    assert again.key == first.key
    assert secret not in str(caught.value)
    assert secret.encode() not in everything_written()


def test_a_passed_key_is_in_no_variable_that_a_traceback_shows(
    client: Client, server: FakeServer
) -> None:
    server.fail(401)
    key = "-".join(["passed", "key", "0123456789"])

    with pytest.raises(PermissionError) as caught:
        client.complete("Why?", api_key=key)

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "/llm_magic/" in frame.filename]
    assert len(ours) > 2
    assert not any(key in text for frame in ours for text in (frame.locals or {}).values())


def test_a_store_deleted_under_a_running_client_loses_nothing_that_comes_after(
    client: Client, server: FakeServer
) -> None:
    client.complete("before")
    shutil.rmtree(".llm_magic")

    with pytest.warns(RuntimeWarning, match="was deleted or replaced"):
        client.complete("after")

    other = Client(".", model=OPENAI)
    assert other.complete("after", mode="REPLAY").text == "You said: after"
    history.close()
    assert other.history.totals().live == 1
    other.close()


def test_a_full_ledger_does_not_keep_an_answer_from_being_replayed(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete("Why?")
    client.history._connection.execute("PRAGMA query_only = 1")

    with pytest.warns(RuntimeWarning, match="the ledger lacks 1 replay"), run("cell"):
        replayed = client.complete("Why?", mode="REPLAY")
    with pytest.warns(RuntimeWarning, match="the miss is not in"), pytest.raises(ReplayMissError):
        client.complete("What?", mode="REPLAY")

    assert replayed.text == "You said: Why?"


def test_a_stand_in_answer_brings_the_results_of_its_functions(
    client: Client, server: FakeServer
) -> None:
    def clock() -> str:
        """Tell the time."""
        ticks.append(1)
        return "noon"

    ticks: list[int] = []
    server.reply(tool_calls=[{"name": "clock", "arguments": {}}])
    server.reply("It is noon.")
    options: dict[str, Any] = {"tools": [clock], "max_tool_rounds": 1}
    client.complete("Time?", **options)

    with run("cell"):
        texts = [client.complete("Time?", mode="REPLAY", **options).text for _ in range(2)]

    assert texts == ["It is noon."] * 2
    assert ticks == [1]


def test_ctrl_c_while_a_paid_answer_is_stored_comes_after_it(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = client.shelf.put

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        put(*arguments)

    monkeypatch.setattr(client.shelf, "put", interrupted)

    with pytest.raises(KeyboardInterrupt):
        client.complete("Why?")

    monkeypatch.undo()
    assert client.complete("Why?", mode="REPLAY").text == "You said: Why?"
    assert [row["status"] for row in client.history.rows()] == ["ok", "ok"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_call_completed_after_a_crash_costs_what_the_provider_said(
    client: Client, server: FakeServer
) -> None:
    server.reply("Because.", usage={"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.9})
    live = client.complete("Why?")
    client.history._connection.execute(
        "UPDATE calls SET status = 'pending', cost = NULL, pid = 999999999"
    )
    history.close()

    (row,) = client.history.rows()

    assert live.cost == Decimal("0.9")
    assert (row["status"], row["cost"], row["cost_source"]) == ("ok", "0.9", "provider")


def test_a_replay_of_an_unknown_price_is_counted_as_unknown(
    client: Client, server: FakeServer
) -> None:
    client.complete("Why?", model="openai/my-own-model")
    client.complete("Why?", model="openai/my-own-model")

    totals = client.history.totals()

    assert (totals.saved, totals.saved_unknown, totals.unknown) == (Decimal(0), 1, 1)


def test_a_cassette_that_is_a_pipe_is_refused_and_not_waited_for() -> None:
    os.mkfifo("analysis.cassette.jsonl")
    shelf = Shelf(Workspace(Path.cwd(), "analysis"))

    with pytest.raises(CassetteError, match="is no file"):
        shelf.find("0" * 64, 0, "analysis")

    shelf.close()


def test_a_folder_that_is_not_there_is_one_clear_error() -> None:
    settings = Settings(environ={"LLM_MAGIC_NOTEBOOK": "/no/such/folder/x.ipynb"})

    with pytest.raises(ConfigError, match="there is no folder /no/such/folder"):
        Shelf(settings.workspace)


def test_a_path_in_a_variable_named_like_a_key_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "certificate.pem"
    path.touch()
    monkeypatch.setenv("SSL_KEY", str(path))

    secrets.refresh()

    assert secrets.redact(f"see {path}") == f"see {path}"


def test_a_headless_run_is_told_when_two_cassettes_answer_differently(
    server: FakeServer, recwarn: pytest.WarningsRecorder
) -> None:
    for name, answers in {"a": ["A1"], "b": ["B1", "B2"]}.items():
        writer = Client(".", model=OPENAI)
        writer.settings.notebook_hint = f"{name}.ipynb"
        server.clear()
        with run(name):
            for answer in answers:
                server.reply(answer)
                writer.complete("Why?", mode="CAPTURE")
        writer.shelf.save(name)
        writer.close()
    shutil.rmtree(".llm_magic")
    reader = Client(".", model=OPENAI, mode="REPLAY")

    with run("cell"), pytest.warns(RuntimeWarning, match="answer the same request differently"):
        reader.complete("Why?")

    reader.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prices", "abc"),
        ("prices", {"input_mtok": "NaN"}),
        ("prices", {"input_mtok": "-1"}),
        ("prices", {"input_mtok": ["1", [1000, "sNaN"]]}),
        ("response", {"choices": [1]}),
        ("response", {"choices": [{"message": None}]}),
        ("response", {"choices": None}),
    ],
)
def test_a_cassette_line_with_odd_prices_or_answers_is_refused(
    client: Client, server: FakeServer, field: str, value: Any
) -> None:
    client.complete("Why?")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    client.close()
    shutil.rmtree(".llm_magic")
    path = Path("analysis.cassette.jsonl")
    header, line = path.read_text().splitlines()
    fields = {**json.loads(line), field: value}
    path.write_text(f"{header}\n{json.dumps(fields)}\n")

    with pytest.raises(CassetteError, match=r"analysis.cassette.jsonl:2: .*"):
        client.complete("Why?", mode="REPLAY")


def test_a_cost_that_nobody_pays_is_not_believed(client: Client, server: FakeServer) -> None:
    server.reply("x", usage={"prompt_tokens": 1, "completion_tokens": 1, "cost": "1e40000000"})

    completion = client.complete("Why?")

    assert completion.cost_source == "list"
    assert client.history.totals().spent < 1


def test_ctrl_c_is_not_lost_when_the_answer_does_not_fit_its_schema(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = client.shelf.put

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        put(*arguments)

    monkeypatch.setattr(client.shelf, "put", interrupted)
    server.reply("no JSON at all")

    with pytest.raises(KeyboardInterrupt):
        client.complete("Why?", schema="name, age int")

    assert [row["status"] for row in client.history.rows()] == ["ok"]
