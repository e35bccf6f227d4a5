"""Rows of replays are written a moment later, many in one transaction; who sees them when."""

from __future__ import annotations

import functools
import json
import operator
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from llm_magic import history
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import DiskFullError
from llm_magic.history import History, database, later
from llm_magic.history.columns import insertion
from llm_magic.recordings import now
from llm_magic.replay import begin_run, end_run, run
from llm_magic.testing import FakeServer

DATABASE = Path(".llm_magic/history.db")
REPLAY: dict[str, Any] = {"source": "replay", "status": "ok", "saved": "0.5"}


@pytest.fixture
def ledger() -> Iterator[History]:
    with closing(History(Workspace(Path.cwd()))) as opened:
        yield opened


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    client = Client(".", model="openai/gpt-4o-mini", timeout=20)
    client.complete("Why?")
    yield client
    client.close()


@pytest.fixture
def nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread writes what waits."""
    monkeypatch.setattr(later, "soon", lambda waiting: None)


def in_file() -> int:
    """How many rows another process sees."""
    with closing(sqlite3.connect(DATABASE)) as other:
        return int(other.execute("SELECT count(*) FROM calls").fetchone()[0])


READS: dict[str, Callable[[History], Any]] = {
    "totals": lambda ledger: ledger.totals().replayed,
    "totals of a filter": lambda ledger: ledger.totals(since="1h").replayed,
    "rows": lambda ledger: len(ledger.rows()),
    "to_pandas": lambda ledger: len(ledger.to_pandas()),
    "grouped": lambda ledger: ledger.grouped("tag")["a"].replayed,
    "costs": lambda ledger: len(ledger.costs()),
    "to_csv": lambda ledger: ledger.to_csv("calls.csv"),
    "to_jsonl": lambda ledger: ledger.to_jsonl("calls.jsonl"),
    "delete": lambda ledger: ledger.delete(before="2100-01-01").replayed,
}


@pytest.mark.usefixtures("nobody_comes")
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_this_process_sees_a_replay_at_once(
    read: Callable[[History], Any], ledger: History
) -> None:
    ledger.record_soon({**REPLAY, "tag": "a", "started": now()})

    assert read(ledger) == 1


@pytest.mark.usefixtures("nobody_comes")
def test_a_replay_changes_the_version_and_is_told_at_once(ledger: History) -> None:
    told: list[int] = []
    stop = history.on_change(lambda: told.append(1))
    before = ledger.version()

    ledger.record_soon(REPLAY)
    stop()

    assert told == [1]
    assert ledger.version() != before


@pytest.mark.usefixtures("nobody_comes")
def test_a_running_sum_goes_on_with_what_waited(ledger: History) -> None:
    ledger.record_soon(REPLAY)
    first = ledger.totals()
    ledger.record_soon(REPLAY)

    second = ledger.totals()

    assert (first.replayed, second.replayed) == (1, 2)


@pytest.mark.usefixtures("nobody_comes")
def test_rows_stand_in_the_order_of_their_calls(ledger: History) -> None:
    ledger.record_soon({**REPLAY, "model": "1"})
    ledger.record_soon({**REPLAY, "model": "2"})
    call = ledger.begin(model="3", started=now())
    ledger.record_soon({**REPLAY, "model": "4"})
    ledger.finish(call, status="ok")
    ledger.record(model="5")

    assert [row["model"] for row in ledger.rows()] == list("12345")


@pytest.mark.usefixtures("nobody_comes")
def test_rows_that_waited_are_written_in_one_transaction(ledger: History) -> None:
    statements: list[str] = []
    for _ in range(20):
        ledger.record_soon(REPLAY)
    ledger._connection.set_trace_callback(statements.append)

    ledger.flush()

    assert statements[0].startswith("BEGIN")
    assert statements[-1] == "COMMIT"
    assert len(statements) == 22
    assert in_file() == 20


@pytest.mark.usefixtures("nobody_comes")
def test_so_many_rows_wait_at_most(ledger: History) -> None:
    for _ in range(database._MOST_WAITING + 1):
        ledger.record_soon(REPLAY)

    assert in_file() == database._MOST_WAITING


@pytest.mark.usefixtures("nobody_comes")
def test_other_processes_see_replays_at_the_end_of_the_cell(client: Client) -> None:
    with run("cell"):
        with run("inner"):
            client.complete("Why?")
        during = in_file()

    assert (during, in_file()) == (1, 2)


@pytest.mark.usefixtures("nobody_comes")
def test_other_processes_see_the_replays_of_a_cell_that_failed(client: Client) -> None:
    cell = begin_run("cell")
    client.complete("Why?")

    end_run(cell, ok=False)

    assert in_file() == 2


def test_other_processes_see_a_replay_a_moment_later(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    flush = ledger.flush
    monkeypatch.setattr(ledger, "flush", lambda: (flush(), written.set()))

    ledger.record_soon(REPLAY)

    assert written.wait(20)
    assert in_file() == 1


def test_all_ledgers_are_written_on_demand(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "_writer", later._Writer())
    ledger.record_soon(REPLAY)

    later.flush()

    assert in_file() == 1


def test_one_thread_writes_for_all_ledgers_and_moments(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "_writer", later._Writer())
    monkeypatch.setattr(later, "DELAY", 0)
    started: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: (started.append(thread), start(thread))
    )
    written = threading.Semaphore(0)
    Path("other").mkdir()
    with closing(History(Workspace(Path("other").resolve()))) as other:
        for each in (ledger, other):
            flush = each.flush
            monkeypatch.setattr(each, "flush", lambda flush=flush: (flush(), written.release()))
        for each in (ledger, other, ledger):
            each.record_soon(REPLAY)
            assert written.acquire(timeout=20)

    assert [thread.daemon for thread in started] == [True]


def test_nothing_that_threads_record_is_lost(ledger: History) -> None:
    def work() -> None:
        for _ in range(200):
            ledger.record_soon(REPLAY)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        ledger.flush()
    for thread in threads:
        thread.join()

    assert ledger.totals().replayed == 1200


@pytest.mark.usefixtures("nobody_comes")
def test_a_ledger_that_is_closed_has_written_what_waited(ledger: History) -> None:
    ledger.record_soon(REPLAY)

    ledger.close()

    assert in_file() == 1


@pytest.mark.usefixtures("nobody_comes")
def test_rows_that_waited_go_into_the_ledger_that_is_there_now(ledger: History) -> None:
    ledger.record_soon(REPLAY)
    for path in DATABASE.parent.glob("history.db*"):
        path.unlink()

    ledger.flush()

    assert in_file() == 1


# What goes wrong


@pytest.mark.usefixtures("nobody_comes")
def test_a_row_that_cannot_be_written_is_told_and_the_rest_works(ledger: History) -> None:
    for _ in range(2):
        ledger.record_soon(REPLAY)
    ledger._connection.execute("PRAGMA query_only = 1")

    with pytest.warns(RuntimeWarning, match="the ledger lacks 2 replays: .*history.db .*readonly"):
        totals = ledger.totals()

    ledger._connection.execute("PRAGMA query_only = 0")
    ledger.record_soon(REPLAY)
    assert (totals.replayed, ledger.totals().replayed) == (0, 1)


@pytest.mark.usefixtures("nobody_comes")
def test_replays_that_cannot_be_written_do_not_take_a_live_row_with_them(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(connection: sqlite3.Connection) -> Iterator[None]:
        raise DiskFullError("the disk is full")
        yield

    ledger.record_soon(REPLAY)
    with monkeypatch.context() as patch:
        patch.setattr(database, "_committed", full)
        with pytest.warns(RuntimeWarning, match="the ledger lacks 1 replay: the disk is full"):
            call = ledger.begin(model="live", started=now())
    ledger.finish(call, status="ok")

    assert [row["model"] for row in ledger.rows()] == ["live"]


@pytest.mark.usefixtures("nobody_comes")
def test_where_warnings_are_errors_it_is_told_and_not_raised(
    ledger: History, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.record_soon(REPLAY)
    ledger._connection.execute("PRAGMA query_only = 1")

    ledger.flush()

    assert "llm-magic: the ledger lacks 1 replay" in capsys.readouterr().err


@pytest.mark.usefixtures("nobody_comes")
def test_a_row_that_nobody_can_store_does_not_take_the_others_with_it(ledger: History) -> None:
    for ordinal in (1, 10**30, 3):
        ledger.record_soon({**REPLAY, "ordinal": ordinal})

    with pytest.warns(RuntimeWarning, match="the ledger lacks 1 replay: Python int too large"):
        rows = ledger.rows()

    assert [row["ordinal"] for row in rows] == [1, 3]


@pytest.mark.usefixtures("nobody_comes")
def test_an_error_of_any_kind_is_told_once_and_blocks_nothing(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def broken(connection: sqlite3.Connection) -> Iterator[None]:
        raise RuntimeError("nobody thought of this")
        yield

    ledger.record_soon(REPLAY)
    with monkeypatch.context() as patch:
        patch.setattr(database, "_committed", broken)
        with pytest.warns(RuntimeWarning, match="lacks 1 replay: nobody thought of this"):
            ledger.flush()

    assert ledger.totals().replayed == 0


@pytest.mark.parametrize(
    ("path", "planted"),
    [
        (("model",), 10**30),
        (("choices", 0, "finish_reason"), 10**30),
        (("choices", 0, "finish_reason"), [0.5]),
        (("choices", 0, "message", "tool_calls"), 5),
        (("usage",), "none"),
    ],
)
def test_a_planted_recording_keeps_no_live_call_from_its_row(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, path: tuple[Any, ...], planted: Any
) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "planted.ipynb")
    client = Client(".", model="openai/gpt-4o-mini")
    client.complete("Why?")
    client.shelf.save("planted")
    client.close()
    cassette = Path("planted.cassette.jsonl")
    header, line = cassette.read_text().splitlines()
    recording = json.loads(line)
    place = functools.reduce(operator.getitem, path[:-1], recording["response"])
    place[path[-1]] = planted
    cassette.write_text(f"{header}\n{json.dumps(recording)}\n")
    shutil.rmtree(".llm_magic/recordings")

    live = client.stream("Why not?")
    next(iter(live))
    replayed = client.complete("Why?")
    list(live)

    assert (replayed.source, live.completion.source) == ("replay", "live")
    assert [row["source"] for row in client.history.rows()] == ["live", "live", "replay"]
    client.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.usefixtures("nobody_comes")
def test_an_interrupt_while_rows_are_written_loses_and_doubles_none(
    ledger: History, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    committed = database._committed

    @contextmanager
    def interrupted(connection: sqlite3.Connection) -> Iterator[None]:
        with committed(connection):
            yield
            if when == "before":
                raise KeyboardInterrupt
        raise KeyboardInterrupt

    ledger.record_soon({**REPLAY, "model": "1"})
    ledger.record_soon({**REPLAY, "model": "2"})
    with monkeypatch.context() as patch:
        patch.setattr(database, "_committed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.flush()

    assert [row["model"] for row in ledger.rows()] == ["1", "2"]


@pytest.mark.parametrize("step", ["asking", "starting", "waking"])
def test_a_row_whose_writer_was_interrupted_is_written_with_the_next_one(
    ledger: History, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    writer = later._Writer()
    written = threading.Event()
    flush = ledger.flush
    monkeypatch.setattr(later, "_writer", writer)
    monkeypatch.setattr(ledger, "flush", lambda: (flush(), written.set()))
    interrupted = {
        "asking": (later, "soon"),
        "starting": (threading.Thread, "start"),
        "waking": (writer._condition, "notify"),
    }

    with monkeypatch.context() as patch:
        patch.setattr(*interrupted[step], interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.record_soon(REPLAY)
    ledger.record_soon(REPLAY)

    assert written.wait(20)
    assert in_file() == 2


def test_a_ledger_that_fails_does_not_keep_the_others_from_being_written(
    ledger: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def flush(self) -> None:
            raise RuntimeError("another ledger")

    writer = later._Writer()
    monkeypatch.setattr(later, "_writer", writer)
    # Whatever order a set has, one of them comes before the ledger.
    for waiting in (Failing(), ledger, Failing()):
        writer._asked.add(waiting)
    ledger._waiting.append(insertion("INSERT", REPLAY))

    with pytest.raises(RuntimeError, match="another ledger"):
        later.flush()

    assert in_file() == 1


@pytest.mark.usefixtures("nobody_comes")
def test_a_stream_that_is_dropped_while_rows_are_written_ends_its_row(ledger: History) -> None:
    """Python ends it at any moment, on the thread that is at work."""
    call = ledger.begin(model="live", started=now())

    with ledger._transaction():
        ledger.record_soon(REPLAY)
        ledger.finish(call, status="interrupted")

    assert [row["status"] for row in ledger.rows()] == ["interrupted", "ok"]


# The end of a process, and children

BEGIN = """
import atexit, multiprocessing, os, sys
from pathlib import Path
from llm_magic.config import Workspace
def replay(model):
    ledger.record_soon({"source": "replay", "status": "ok", "model": model})
"""
OPEN = """
from llm_magic.history import History
ledger = History(Workspace(Path.cwd()))
replay("parent")
"""


def models() -> list[str]:
    with closing(History(Workspace(Path.cwd()))) as ledger:
        return [row["model"] for row in ledger.rows()]


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_what_waits_is_written_when_the_process_ends(run_python: Any, end: str) -> None:
    run_python(BEGIN + OPEN + end)

    assert models() == ["parent"]


def test_what_nobody_was_asked_to_write_is_written_when_the_process_ends(run_python: Any) -> None:
    interrupted = "from llm_magic.history import later\nlater.soon = lambda waiting: 1 / 0\n"

    done = run_python(BEGIN + interrupted + OPEN)

    assert "ZeroDivisionError" in done.stderr
    assert models() == ["parent"]


def test_a_replay_at_the_very_end_of_a_process_is_written(run_python: Any) -> None:
    late = "atexit.register(lambda: replay('late'))"

    done = run_python(BEGIN + late + OPEN)

    assert models() == ["parent", "late"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_parents_rows_to_it_and_loses_none_of_its_own(
    run_python: Any,
) -> None:
    fork = """
if (child := os.fork()) == 0:
    replay("child")
    os._exit(0)
os.waitpid(child, 0)
replay("parent again")
"""

    done = run_python(BEGIN + OPEN + fork)

    assert sorted(models()) == ["child", "parent", "parent again"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_while_rows_are_written_does_not_wait(run_python: Any) -> None:
    fork = """
import threading
from llm_magic.history import later
with ledger._lock, later._writer._condition:
    child = os.fork()
    if child == 0:
        replay("child")
        os._exit(0)
os.waitpid(child, 0)
"""

    done = run_python(BEGIN + OPEN + fork)

    assert sorted(models()) == ["child", "parent"], done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_worker_of_multiprocessing_loses_no_row(run_python: Any, method: str) -> None:
    Path("work.py").write_text(BEGIN + OPEN.replace('"parent"', '"worker"') + "def work(): pass\n")
    code = f"""
import multiprocessing
def main():
    context = multiprocessing.get_context("{method}")
    import importlib
    worker = context.Process(target=importlib.import_module, args=("work",))
    worker.start()
    worker.join()
if __name__ == "__main__":
    main()
"""

    done = run_python(code)

    assert models() == ["worker"], done.stderr
