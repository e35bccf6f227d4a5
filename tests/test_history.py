"""The ledger: every call is a row, and spent, saved and unknown are never mixed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_magic import history
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import DamagedStoreError, ProviderError, ReplayMissError, StoreError
from llm_magic.history import COLUMNS, SCHEMA, History, Totals
from llm_magic.recordings import now
from llm_magic.replay import run
from llm_magic.testing import FakeServer
from llm_magic.types import AttrDict

DATABASE = Path(".llm_magic/history.db")
PRICED = "openai/gpt-4o-mini"
UNPRICED = "openai/gpt-unheard-of"


@pytest.fixture
def open_ledger() -> Iterator[Callable[[], History]]:
    ledgers = []

    def make() -> History:
        ledgers.append(History(Workspace(Path.cwd())))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], History]) -> History:
    return open_ledger()


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    client = Client(".", model=PRICED, timeout=20)
    yield client
    client.close()


def row(client: Client) -> dict[str, Any]:
    """The newest row."""
    return client.history.rows(limit=1)[0]


# A row for every call


def test_a_live_call(client: Client, server: FakeServer) -> None:
    server.reply("Because.", usage=(1000, 500), model="gpt-4o-mini-2024-07-18")

    with run("cell"):
        answer = client.complete("Why?")

    written = row(client)
    expected = {
        "status": "ok",
        "source": "live",
        "mode": "FALLBACK",
        "api": "chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "run": "cell",
        "key": answer.key,
        "ordinal": 0,
        "stream": 0,
        "input_tokens": 1000,
        "uncached_input_tokens": 1000,
        "cache_read_tokens": 0,
        "output_tokens": 500,
        "reasoning_tokens": 0,
        "cost": "0.00045",
        "saved": None,
        "cost_source": "list",
        "finish_reason": "stop",
        "error": None,
        "prompt": "Why?",
        "answer": "Because.",
        "pid": os.getpid(),
        "session": history.session(),
    }
    assert {name: written[name] for name in expected} == expected
    assert answer.cost == Decimal("0.00045")
    assert written["latency_ms"] > 0
    assert written["prices"].startswith('{"')
    assert written["price_table"].startswith("genai-prices")


def test_a_replay_is_saved_and_not_spent(client: Client, server: FakeServer) -> None:
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")

    client.complete("Why?", mode="REPLAY")

    written = row(client)
    assert (written["status"], written["source"]) == ("ok", "replay")
    assert (written["cost"], written["saved"], written["cost_source"]) == ("0", "0.00045", "replay")
    assert written["output_tokens"] == 500
    assert client.history.totals() == Totals(
        spent=Decimal("0.00045"),
        saved=Decimal("0.00045"),
        calls=2,
        live=1,
        replayed=1,
        input_tokens=1000,
        output_tokens=500,
    )


def test_a_miss_is_a_row_that_costs_nothing(client: Client) -> None:
    with pytest.raises(ReplayMissError):
        client.complete("Why?", mode="REPLAY")

    written = row(client)
    assert (written["status"], written["source"]) == ("miss", "replay")
    assert (written["cost"], written["error"]) == (None, "ReplayMissError")
    assert client.history.totals() == Totals(calls=1, failed=1)


def test_a_refused_call_costs_nothing(client: Client, server: FakeServer) -> None:
    server.fail(401)

    with pytest.raises(ProviderError):
        client.complete("Why?")

    written = row(client)
    assert (written["status"], written["error"]) == ("error", "AuthenticationError")
    assert (written["cost"], written["cost_source"]) == ("0", "unbilled")
    assert client.history.totals() == Totals(calls=1, live=1, failed=1)


def test_a_call_that_timed_out_costs_nobody_knows_what(client: Client, server: FakeServer) -> None:
    server.hang()

    with pytest.raises(TimeoutError):
        client.complete("Why?", timeout=0.2)

    written = row(client)
    assert (written["status"], written["error"]) == ("error", "RequestTimeoutError")
    assert (written["cost"], written["cost_source"]) == (None, "unknown")
    assert client.history.totals() == Totals(calls=1, live=1, failed=1, unknown=1)


@pytest.mark.parametrize("how", ["cut", "unfinished"])
def test_an_incomplete_stream_keeps_its_text_in_the_ledger(
    how: str, client: Client, server: FakeServer
) -> None:
    getattr(server, how)("Because it is")

    with pytest.raises(ProviderError):
        list(client.stream("Why?"))

    written = row(client)
    assert (written["status"], written["cost"], written["cost_source"]) == (
        "incomplete",
        None,
        "unknown",
    )
    assert written["answer"].startswith("Because")
    assert client.history.totals().unknown == 1


def test_an_interrupted_stream_costs_nobody_knows_what(client: Client, server: FakeServer) -> None:
    server.reply("Because it is")

    def interrupt() -> None:
        with client.stream("Why?") as stream:
            next(chunk for chunk in stream if chunk.text)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()

    written = row(client)
    assert (written["status"], written["cost"], written["error"]) == (
        "interrupted",
        None,
        "KeyboardInterrupt",
    )
    assert written["answer"] == "Because"
    assert written["first_token_ms"] is not None


def test_a_cancelled_task_costs_nobody_knows_what(client: Client, server: FakeServer) -> None:
    gate = threading.Event()
    server.reply("Because.", gate=gate)

    async def cancel() -> None:
        task = asyncio.create_task(client.acomplete("Why?"))
        await asyncio.to_thread(server.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert (row(client)["status"], row(client)["cost_source"]) == ("interrupted", "unknown")
    gate.set()


def test_a_stream_closed_early_is_no_failure(client: Client, server: FakeServer) -> None:
    server.reply("Because it is")
    with client.stream("Why?") as stream:
        next(chunk for chunk in stream if chunk.text)

    assert (row(client)["status"], row(client)["stream"]) == ("closed", 1)
    assert client.history.totals().failed == 0


def test_a_call_that_was_never_sent_costs_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(ValueError, match="key"):
        client.complete("Why?")

    assert (row(client)["status"], row(client)["cost"]) == ("error", "0")


def test_an_unknown_price_is_counted_and_never_zero(client: Client, server: FakeServer) -> None:
    answer = client.complete("Why?", model=UNPRICED)
    client.complete("Why?", model="echo/echo")

    assert answer.cost is None
    assert [each["cost"] for each in client.history.rows()] == [None, "0"]
    assert client.history.totals().unknown == 1
    frame = client.history.to_pandas()
    assert frame["cost"].isna().tolist() == [True, False]


def test_without_usage_the_cost_is_unknown(client: Client, server: FakeServer) -> None:
    server.reply("Because.", usage=None)

    assert client.complete("Why?").cost is None
    assert client.history.totals().unknown == 1


def test_texts_can_be_left_out(client: Client, server: FakeServer) -> None:
    client.settings.set("history_text", False)
    client.complete("Is this secret?")
    client.complete("Is this secret?")
    server.cut("Very secret indeed")
    with pytest.raises(ProviderError):
        list(client.stream("Is this secret too?"))

    rows = client.history.rows()
    assert [(each["prompt"], each["answer"]) for each in rows] == [(None, None)] * 3
    assert b"secret" not in Path(".llm_magic/history.db-wal").read_bytes()


def test_no_key_is_in_the_ledger(client: Client, server: FakeServer) -> None:
    key = os.environ["OPENAI_API_KEY"]
    server.fail(401, message=f"Incorrect API key provided: {key}")

    with pytest.raises(ProviderError) as refusal:
        client.complete(f"My key is {key}")

    assert key not in str(refusal.value)
    assert row(client)["prompt"] == "My key is {{secret:OPENAI_API_KEY}}"
    for path in DATABASE.parent.glob("history.db*"):
        assert key.encode() not in path.read_bytes()


# Sums

MONEY = st.none() | st.decimals(0, 10**6, places=9)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(costs=st.lists(st.tuples(st.sampled_from(["live", "replay"]), MONEY), max_size=20))
def test_sums_are_exact(ledger: History, costs: list[tuple[str, Decimal | None]]) -> None:
    name = history.new_call_id()
    for source, amount in costs:
        field = "cost" if source == "live" else "saved"
        ledger.record(source=source, status="ok", run=name, **{field: amount})

    totals = ledger.totals(run=name)

    live = [amount for source, amount in costs if source == "live"]
    assert totals.spent == sum((amount for amount in live if amount is not None), Decimal(0))
    assert totals.unknown == live.count(None)
    assert totals.saved == sum(
        (amount or Decimal(0) for source, amount in costs if source == "replay"), Decimal(0)
    )
    assert (totals.calls, totals.live) == (len(costs), len(live))


def test_a_thousand_tenths_are_a_hundred(ledger: History) -> None:
    for _ in range(1000):
        ledger.record(source="live", status="ok", cost=Decimal("0.1"))

    assert ledger.totals().spent == 100


def test_a_pending_call_is_neither_unknown_nor_failed(ledger: History) -> None:
    ledger.begin(model="a")

    assert ledger.totals() == Totals(calls=1, live=1)


@pytest.mark.parametrize(
    "name", ["session", "notebook", "model", "provider", "status", "source", "run"]
)
def test_a_filter_picks_rows(name: str, ledger: History) -> None:
    fields = {"source": "live", "status": "ok"}
    ledger.record(**{**fields, name: "this"})
    ledger.record(**{**fields, name: "that"})

    assert ledger.totals(**{name: "this"}).calls == 1
    assert [each[name] for each in ledger.rows(**{name: "this"})] == ["this"]
    assert ledger.to_pandas(**{name: "this"})[name].tolist() == ["this"]
    assert ledger.totals(**{name: "'; DROP TABLE calls; --"}).calls == 0


@pytest.mark.parametrize("read", ["totals", "rows", "to_pandas"])
def test_an_unknown_filter_is_a_type_error(read: str, ledger: History) -> None:
    with pytest.raises(TypeError, match="no filter 'modle'; did you mean model"):
        getattr(ledger, read)(modle="a")


def test_the_newest_rows_are_asked_for_and_come_oldest_first(ledger: History) -> None:
    for number in range(5):
        ledger.record(model=str(number))

    assert [each["model"] for each in ledger.rows(limit=2)] == ["3", "4"]
    assert ledger.rows(limit=0) == []
    second = ledger.rows()[1]["id"]
    assert [each["model"] for each in ledger.rows(after=second)] == ["2", "3", "4"]
    assert [each["model"] for each in ledger.rows(after=second, model="3")] == ["3"]


@pytest.mark.parametrize(
    "prices",
    [
        {"input_mtok": "0.25", "source": "user"},
        {"input_mtok": ["0.25", [200_000, "0.5"]], "output_mtok": "2"},
        {"input_mtok": 1},
        {"input_mtok": True},
        {"input_mtok": 1.0},
        {"ü": '"\\'},
    ],
    ids=repr,
)
def test_prices_stand_in_a_row_as_json(prices: dict[str, Any], ledger: History) -> None:
    ledger.record(prices=prices)
    ledger.record(prices=AttrDict(prices))

    assert [row["prices"] for row in ledger.rows()] == [json.dumps(prices)] * 2


def test_a_column_without_a_value_is_null(ledger: History) -> None:
    ledger.record(model=None, prices={}, notes=[], tag="a")
    ledger.record_soon({"model": None, "prices": {}, "notes": [], "tag": "b"})

    for row in ledger.rows():
        assert {row[name] for name in ("model", "prices", "notes", "answer")} == {None}


def test_an_unknown_column_is_a_mistake_of_ours(ledger: History) -> None:
    with pytest.raises(TypeError, match="no column modle"):
        ledger.record(modle="a")


# DataFrames


def dtypes(frame: pandas.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_dtypes_are_those_of_the_table_for_an_empty_ledger(ledger: History) -> None:
    frame = ledger.to_pandas()

    assert len(frame) == 0
    assert dtypes(frame) == dict(COLUMNS)
    assert list(frame.columns) == list(COLUMNS)


def test_dtypes_are_those_of_the_table_for_any_ledger(client: Client, server: FakeServer) -> None:
    client.complete("Why?")
    assert dtypes(client.history.to_pandas()) == dict(COLUMNS)

    client.complete("Why?", model=UNPRICED)
    server.fail(500)
    with pytest.raises(ProviderError):
        client.complete("What?")
    client.history.begin(started=None)

    frame = client.history.to_pandas()
    assert dtypes(frame) == dict(COLUMNS)
    assert dtypes(client.history.to_pandas(status="nothing")) == dict(COLUMNS)


def test_a_frame_can_be_summed_and_filtered(client: Client, server: FakeServer) -> None:
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")
    client.complete("Why?")

    frame = client.history.to_pandas()

    assert frame["cost"].sum() == pytest.approx(0.00045)
    assert frame["saved"].isna().tolist() == [True, False]
    assert frame["stream"].tolist() == [False, False]
    age = pandas.Timestamp.now(tz="UTC") - frame["started"].max()
    assert pandas.Timedelta(-1, "s") < age < pandas.Timedelta(1, "min")


def test_half_a_surrogate_pair_does_not_stop_the_ledger(ledger: History) -> None:
    ledger.record(answer="cut \ud83d", prompt="whole 😀")

    (written,) = ledger.rows()
    assert (written["answer"], written["prompt"]) == ("cut ?", "whole 😀")


# The file


def test_rows_are_seen_by_other_processes_at_once(open_ledger: Callable[[], History]) -> None:
    one, two = open_ledger(), open_ledger()

    call = one.begin(model="a")
    assert two.rows()[0]["status"] == "pending"
    two.finish(call, status="ok", cost=Decimal(1))
    one.finish(call, status="error", cost=None)

    assert one.totals().spent == 1
    assert one.rows()[0]["status"] == "ok"


def test_processes_write_at_once_from_the_first_row(ledger: History) -> None:
    ledger.close()
    for path in DATABASE.parent.glob("history.db*"):
        path.unlink()
    code = (
        "import sys; from pathlib import Path; from llm_magic.history import History\n"
        "from llm_magic.config import Workspace\n"
        "print(flush=True); sys.stdin.readline()\n"
        "ledger = History(Workspace(Path.cwd()))\n"
        "for turn in range(50):\n"
        "    ledger.finish(ledger.begin(model=sys.argv[1]), status='ok', cost=1)\n"
        "ledger.close()\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()

    errors = [process.communicate("\n", timeout=60)[1] for process in running]

    assert errors == [""] * 4
    again = History(Workspace(Path.cwd()))
    assert again.totals() == Totals(spent=Decimal(200), calls=200, live=200)
    again.close()


def test_a_row_that_is_taken_over_gets_no_session_of_ours(ledger: History) -> None:
    ledger.adopt([{"id": "1", "session": None, "model": "a"}])

    (row,) = ledger.rows()

    assert (row["id"], row["session"], row["model"]) == ("1", None, "a")


def test_threads_share_a_ledger(ledger: History) -> None:
    threads = [
        threading.Thread(target=lambda: [ledger.record(model="a") for _ in range(50)])
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.totals().calls == 300
    assert len({each["id"] for each in ledger.rows()}) == 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_writes_too(run_python: Any) -> None:
    done = run_python(
        "import os, warnings; from pathlib import Path; from llm_magic.history import History\n"
        "from llm_magic.config import Workspace\n"
        "ledger = History(Workspace(Path.cwd()))\n"
        "ledger.record(model='parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ledger.record(model='child'); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "ledger.record(model='parent')\n"
        "print([row['model'] for row in ledger.rows()])\n"
    )

    assert done.stdout == "['parent', 'child', 'parent']\n", done.stderr


def close_and_run(ledger: History, *statements: str) -> None:
    ledger.close()
    connection = sqlite3.connect(DATABASE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_newer_ledger_is_left_alone(ledger: History, open_ledger: Callable[[], History]) -> None:
    close_and_run(ledger, f"PRAGMA user_version = {SCHEMA + 1}")
    before = DATABASE.read_bytes()

    with pytest.raises(StoreError, match="newer llm-magic; pip install -U"):
        open_ledger()

    assert DATABASE.read_bytes() == before


@pytest.mark.parametrize(
    "statements",
    [
        ["PRAGMA user_version = 0"],
        ["DROP TABLE calls"],
        ["DROP TABLE calls", "CREATE TABLE calls (a)"],
        ["DROP TABLE calls", "CREATE VIEW calls AS SELECT 1"],
    ],
)
def test_a_ledger_of_another_shape_is_a_typed_error(
    statements: list[str], ledger: History, open_ledger: Callable[[], History]
) -> None:
    close_and_run(ledger, *statements)

    with pytest.raises(StoreError):
        open_ledger().record(model="a")


def test_the_schema_is_what_this_version_writes(ledger: History) -> None:
    ledger.close()
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    names = [name for _, name, *_ in connection.execute("PRAGMA table_info(calls)")]
    connection.close()

    assert names == list(COLUMNS)


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"<<<<<<< HEAD\n" * 100])
def test_a_damaged_ledger_is_set_aside_with_its_log(
    content: bytes, ledger: History, open_ledger: Callable[[], History]
) -> None:
    ledger.close()
    DATABASE.write_bytes(content)
    DATABASE.with_name("history.db-wal").write_bytes(b"the newest rows")

    with pytest.warns(RuntimeWarning, match=r"moved to history\.damaged-") as warned:
        again = open_ledger()

    aside = next(path for path in DATABASE.parent.glob("history.damaged-*.db"))
    assert aside.name in str(warned[0].message)
    assert aside.read_bytes() == content
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"the newest rows"
    again.record(model="a")
    assert again.totals().calls == 1


def test_a_ledger_that_breaks_while_it_is_open_fails_one_call_and_not_the_next(
    ledger: History, open_ledger: Callable[[], History]
) -> None:
    ledger.record(model="a")
    ledger.close()
    again = open_ledger()
    with DATABASE.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (DATABASE.stat().st_size - 4096))

    with (
        pytest.warns(RuntimeWarning, match=r"moved to history\.damaged-.*cassette repair"),
        pytest.raises(DamagedStoreError, match="malformed"),
    ):
        again.record(model="b")
    again.record(model="c")

    assert again.totals().calls == 1


def test_a_ledger_that_is_locked_is_not_set_aside(
    ledger: History, open_ledger: Callable[[], History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_magic.storage.database._PATIENCE_SECONDS", 0)
    ledger.record(model="a")
    close_and_run(ledger, "PRAGMA journal_mode = delete")
    holder = sqlite3.connect(DATABASE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreError, match="locked"):
        open_ledger()

    holder.close()
    assert os.listdir(DATABASE.parent).count("history.db") == 1
    assert open_ledger().totals().calls == 1


def test_ids_sort_by_time() -> None:
    ids = [history.new_call_id() for _ in range(100)]

    assert len(set(ids)) == 100
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


def test_the_package_reads_the_ledger_of_the_folder(server: FakeServer) -> None:
    import llm_magic

    llm_magic.complete("Why?", model="echo/echo")

    assert llm_magic.history.totals().calls == 1
    assert len(llm_magic.history.to_pandas()) == 1


OF_VERSION_1 = (
    "id session started status source mode api provider model response_model endpoint notebook"
    " cell_id cell_line run key ordinal call attempt stream latency_ms first_token_ms"
    " input_tokens uncached_input_tokens cache_read_tokens cache_write_tokens"
    " cache_write_1h_tokens input_audio_tokens output_tokens reasoning_tokens"
    " output_audio_tokens cost saved cost_source prices price_table finish_reason error"
    " error_message notes prompt answer pid process_started"
)


def test_the_columns_of_each_version_are_fixed() -> None:
    """A ledger in the field has these; another column is a new version and a migration to it."""
    assert history.SCHEMA == 3
    assert " ".join(history.COLUMNS) == (
        f"{OF_VERSION_1} reserved usage_source service_tier tool_calls tag"
    )


def old_ledger(version: int) -> None:
    """Made by the statements of that version: numbers are whole or real, all else is text."""
    kinds = dict.fromkeys(OF_VERSION_1.split(), "TEXT") | {"id": "TEXT PRIMARY KEY"}
    whole = [name for name in kinds if name.endswith("_tokens") or name in _WHOLE]
    kinds |= dict.fromkeys(whole, "INTEGER")
    kinds |= dict.fromkeys(("latency_ms", "first_token_ms", "process_started"), "REAL")
    DATABASE.parent.mkdir()
    old = sqlite3.connect(DATABASE)
    old.execute(f"CREATE TABLE calls ({', '.join(map(' '.join, kinds.items()))})")
    old.execute("CREATE INDEX calls_by_session ON calls (session)")
    old.execute("CREATE INDEX calls_pending ON calls (pid) WHERE status = 'pending'")
    if version > 1:
        for column in OF_VERSION_2:
            old.execute(f"ALTER TABLE calls ADD COLUMN {column}")
        old.execute(
            "CREATE TABLE spend (scope TEXT PRIMARY KEY, settled INTEGER NOT NULL,"
            " reserved INTEGER NOT NULL) WITHOUT ROWID"
        )
        for scope in ("session:s", f"day:{NOON.astimezone().date()}"):
            old.execute("INSERT INTO spend VALUES (?, 250000123000, 0)", (scope,))
    for number, cost in enumerate(["0.25", "0.000000123", None]):
        old.execute(
            "INSERT INTO calls (id, session, started, status, source, cost) VALUES (?,?,?,?,?,?)",
            (f"id{number}", "s", "2026-11-20T12:00:00.000+00:00", "ok", "live", cost),
        )
    old.execute(f"PRAGMA user_version = {version}")
    old.commit()
    old.close()


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OF_VERSION_2 = (
    *("reserved TEXT", "usage_source TEXT", "service_tier TEXT", "tool_calls INTEGER"),
    "tag TEXT",
)
_WHOLE = ("ordinal", "attempt", "stream", "pid")


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_an_older_ledger_is_brought_up_with_its_rows_and_what_they_spent(
    version: int, open_ledger: Callable[[], History]
) -> None:
    old_ledger(version)

    ledger = open_ledger()

    assert [row["id"] for row in ledger.rows()] == ["id0", "id1", "id2"]
    counted = ledger.counters(["session:s", history.day_scope(NOON)])
    assert {counter.settled for counter in counted.values()} == {Decimal("0.250000123")}
    ledger.record(started=now(), status="ok", source="live", tag="new")
    assert list(ledger.to_pandas()["tag"].dropna()) == ["new"]
    assert ledger.delete(before=NOON.replace(hour=13)).calls == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_that_was_forked_while_a_thread_wrote_can_write(
    open_ledger: Callable[[], History], run_python: Callable[..., Any]
) -> None:
    code = """
import os, threading
from llm_magic import history
ledger = history.default()
inside, go = threading.Event(), threading.Event()

def write():
    with ledger._database():
        inside.set()
        go.wait()

thread = threading.Thread(target=write)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    ledger.record(status="ok", source="live")
    os._exit(7)
go.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_python(code, env={**os.environ, "PYTHONWARNINGS": "ignore"})

    assert done.stdout == "7\n", done.stderr
    assert open_ledger().totals().calls == 1
