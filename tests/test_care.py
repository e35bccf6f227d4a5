"""Check tells what is broken; repair moves it aside and saves what can be read."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_magic import care, cli, rescue
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import StoreError
from llm_magic.history import History
from llm_magic.shelf import Shelf

FOLDER = Path()
WORKING = Path(".llm_magic")
STORE = WORKING / "recordings/cache.db"
LEDGER = WORKING / "history.db"
CASSETTE = Path("analysis.cassette.jsonl")
ANSWERS = 60


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 answers, of which a cassette has 20, and their calls in the ledger."""
    folder = tmp_path_factory.mktemp("recorded") / "work"
    folder.mkdir()
    client = Client(folder, model="echo/echo")
    keys = [client.complete(f"question {at} " * 100).key for at in range(ANSWERS)]
    client.shelf.adopt("analysis", [(key, 0) for key in keys[:20]])
    client.shelf.save("analysis")
    client.close()
    client.history.close()
    return folder


@pytest.fixture(autouse=True)
def _a_copy(recorded: Path) -> None:
    shutil.copytree(recorded, Path.cwd(), dirs_exist_ok=True)


def here() -> Workspace:
    return Workspace(Path.cwd())


def problems() -> list[str]:
    return [f"{one.file}: {one.text}" for one in care.check(here()).problems]


def overwrite(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * length)


def test_a_folder_in_order_has_no_problem_and_nothing_is_changed() -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}

    report = care.check(here())

    assert report.problems == []
    assert report.verdict == "everything is in order"
    assert [(one.file, one.text.split(",")[0]) for one in report.findings] == [
        ("recordings", "60 recordings"),
        ("analysis.cassette.jsonl", "20 recordings"),
        ("history.db", "60 calls"),
    ]
    assert {path: path.read_bytes() for path in before} == before
    assert rescue.repair(here()) == []


def test_an_empty_folder_is_in_order() -> None:
    shutil.rmtree(WORKING)
    CASSETTE.unlink()

    assert rescue.repair(here()) == []
    assert problems() == []
    assert not WORKING.exists()


# The store


def test_what_can_be_read_of_a_damaged_store_is_brought_over() -> None:
    overwrite(STORE, 80_000, 30_000)
    damaged = STORE.read_bytes()

    (found,) = problems()
    (told,) = rescue.repair(here())

    assert "malformed" in found
    rescued, saved, lost = [int(word) for word in told.replace(",", "").split() if word.isdecimal()]
    assert (rescued + saved + lost, 0 < lost < 10, saved) == (ANSWERS, True, 20)
    (aside,) = WORKING.glob("recordings.damaged-*")
    assert aside.name in told
    assert (aside / "cache.db").read_bytes() == damaged
    with closing(Shelf(here())) as shelf:
        assert len(list(shelf.recordings.all())) == rescued
        assert len(shelf.unsaved("")) == rescued
    assert problems() == []
    assert rescue.repair(here()) == []


def test_what_the_cassette_has_is_replayed_from_there() -> None:
    overwrite(STORE, 4096, STORE.stat().st_size - 4096)

    rescue.repair(here())

    client = Client(".", model="echo/echo", mode="REPLAY")
    assert client.complete("question 0 " * 100).source == "replay"
    client.close()


def test_a_store_that_was_set_aside_earlier_is_looked_through_once() -> None:
    overwrite(STORE, 80_000, 30_000)
    client = Client(".", model="echo/echo")
    with pytest.warns(RuntimeWarning, match="llm cassette repair brings over"):
        client.complete("new?")
    client.close()

    (found,) = problems()
    (told,) = rescue.repair(here())

    assert "set aside" in found
    assert "set aside earlier: " in told
    with closing(Shelf(here())) as shelf:
        assert len(list(shelf.recordings.all())) > 30
    assert problems() == []
    assert rescue.repair(here()) == []


def test_an_answer_made_since_is_not_replaced_by_an_older_one() -> None:
    shutil.copytree(STORE.parent, WORKING / "recordings.damaged-1")
    client = Client(".", model="echo/echo", mode="CAPTURE")
    key = client.complete("question 50 " * 100).key
    newer = client.shelf.recordings.variants(key, 0)

    rescue.repair(here())

    assert client.shelf.recordings.variants(key, 0) == newer
    client.close()


def test_an_answer_that_was_edited_by_hand_is_told_and_lost() -> None:
    with closing(sqlite3.connect(STORE, isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = replace(value, 'question 50 ', 'who 50 ')")

    (found,) = problems()
    (told,) = rescue.repair(here())

    assert "1 row cannot be used" in found
    assert "does not answer the request it holds" in found
    assert "39 recordings rescued, 20 in a cassette, 1 lost" in told


def test_a_kernel_that_works_meanwhile_goes_on_in_the_new_store() -> None:
    client = Client(".", model="echo/echo")
    client.complete("before?")
    with closing(sqlite3.connect(STORE, isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = 'x' WHERE rowid = 50")

    rescue.repair(here())
    with pytest.warns(RuntimeWarning, match="deleted or replaced"):
        client.complete("after?")

    assert client.complete("before?", mode="REPLAY").source == "replay"
    assert client.complete("after?", mode="REPLAY").source == "replay"
    client.close()
    with closing(Shelf(here())) as shelf:
        assert len(list(shelf.recordings.all())) == ANSWERS - 20 + 1
    assert problems() == []


WRITER = """
import sys, warnings
from llm_magic.client import Client

warnings.filterwarnings("ignore", ".*deleted or replaced.*")
client = Client(".", model="echo/echo")
for turn in range(int(sys.argv[1])):
    client.complete(f"while it is repaired {turn}")
    print(turn, flush=True)
"""


def test_no_answer_of_another_process_is_lost_in_a_repair() -> None:
    with closing(sqlite3.connect(STORE, isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = 'x' WHERE rowid = 50")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, "200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()

    rescue.repair(here())

    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    client = Client(".", model="echo/echo", mode="REPLAY")
    for turn in range(200):
        assert client.complete(f"while it is repaired {turn}").source == "replay"
    client.close()
    assert problems() == []


def test_a_store_that_is_locked_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *words, **options: connect(*words, **{**options, "timeout": 0})
    )
    with closing(sqlite3.connect(STORE, isolation_level=None)) as holder:
        holder.execute("UPDATE Cache SET value = 'x' WHERE rowid = 50")
        holder.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="being written by another process"):
            rescue.repair(here())

    assert not list(WORKING.glob("*.damaged-*"))


# The ledger


def test_what_can_be_read_of_a_damaged_ledger_is_brought_over() -> None:
    overwrite(LEDGER, 60_000, 9000)

    (found,) = problems()
    moved, told = rescue.repair(here())

    assert "malformed" in found
    assert "was moved to history.damaged-" in moved
    kept, lost = [int(word) for word in told.replace(",", "").split() if word.isdecimal()]
    assert (kept + lost, lost > 0) == (ANSWERS, True)
    with closing(History(here())) as ledger:
        assert ledger.totals().calls == kept
    assert problems() == []
    assert rescue.repair(here()) == []


def page_of(name: str) -> int:
    """Where the root page of a table or an index begins."""
    with closing(sqlite3.connect(LEDGER)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (number,) = connection.execute(query, (name,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((number - 1) * size)


@pytest.mark.parametrize("name", ["calls", "calls_pending", "sqlite_autoindex_calls_1"])
@pytest.mark.filterwarnings("ignore:.*history.db cannot be used.*malformed:RuntimeWarning")
def test_a_ledger_that_is_broken_inside_does_not_keep_recordings_from_replaying(name: str) -> None:
    overwrite(LEDGER, page_of(name), 4096)

    with closing(Client(FOLDER, model="echo/echo", mode="REPLAY")) as client:
        answers = [client.complete(f"question {at} " * 100) for at in range(3)]
        calls = client.history.totals().replayed

    assert [answer.source for answer in answers] == ["replay"] * 3
    assert calls >= 3


def test_calls_that_cannot_be_read_any_more_are_told_and_their_file_is_worth_keeping() -> None:
    overwrite(LEDGER, page_of("calls"), 4096)

    moved, told = rescue.repair(here())

    assert "was moved to history.damaged-" in moved
    assert told.endswith(f": 0 calls brought over, {ANSWERS} lost")
    report = care.check(here())
    assert report.problems == []
    text = report.findings[-1].text
    assert f"{ANSWERS} calls could not be read and are missing in all sums" in text
    assert "delete" not in text


def test_what_the_calls_of_a_damaged_ledger_cost_counts_for_budgets() -> None:
    with closing(sqlite3.connect(LEDGER, isolation_level=None)) as connection:
        connection.execute("UPDATE calls SET cost = '0.5', session = 's' WHERE rowid <= 10")
    overwrite(LEDGER, LEDGER.stat().st_size - 3000, 3000)

    rescue.repair(here())

    with closing(sqlite3.connect(LEDGER)) as connection:
        query = "SELECT settled FROM spend WHERE scope = 'session:s'"
        assert connection.execute(query).fetchone() == (5 * 10**12,)


def test_a_ledger_of_a_newer_version_is_left_alone() -> None:
    with closing(sqlite3.connect(LEDGER, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")

    (found,) = problems()

    assert "newer llm-magic" in found
    with pytest.raises(StoreError, match="newer llm-magic"):
        rescue.repair(here())
    assert not list(WORKING.glob("*.damaged-*"))


def test_calls_of_a_process_that_ended_are_a_note() -> None:
    with closing(sqlite3.connect(LEDGER, isolation_level=None)) as connection:
        connection.execute("UPDATE calls SET status = 'pending', pid = NULL WHERE rowid < 3")

    report = care.check(here())

    assert report.problems == []
    assert "2 calls of processes that ended are not settled yet" in report.findings[-1].text


# Cassettes


def edited(old: str, new: str) -> Callable[[], object]:
    return lambda: CASSETTE.write_text(CASSETTE.read_text().replace(old, new))


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "a conflict": (edited("\n", "\n<<<<<<< HEAD\n"), "a conflict of git"),
    "an edit": (edited("question 7 ", "question 700 "), "1 recording cannot be replayed"),
    "no cassette": (lambda: CASSETTE.write_text("[]\n"), "not"),
    "a key": (
        edited("question 7 question", "sk-" + "proj-0123456789abcdefghijkl question"),
        "looks like a key of OpenAI",
    ),
    "two answers": (
        lambda: CASSETTE.write_text(
            CASSETTE.read_text()
            + CASSETTE.read_text().splitlines()[1].replace("echo**", "you**")
            + "\n"
        ),
        "two answers to one request",
    ),
}


@pytest.mark.parametrize(("plant", "words"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_with_a_cassette_is_told_and_left_to_its_owner(
    plant: Callable[[], object], words: str
) -> None:
    plant()
    text = CASSETTE.read_text()

    found = problems()

    assert any(words in one for one in found), found
    assert "sk-proj" not in str(found)
    assert rescue.repair(here()) == []
    assert CASSETTE.read_text() == text


# Where it is asked


def test_the_command_line_tells_by_its_exit_code(capsys: Any) -> None:
    assert cli.main(["cassette", "check"]) == 0
    overwrite(STORE, 80_000, 30_000)

    assert cli.main(["cassette", "check", "analysis.ipynb"]) == 1
    assert cli.main(["cassette", "repair", "."]) == 0
    assert cli.main(["cassette", "repair", "."]) == 0
    with pytest.raises(SystemExit) as usage:
        cli.main(["cassette", "check", "--all"])

    assert usage.value.code == 2
    assert cli.main(["cassette", "check", "nowhere"]) == 1
    printed = capsys.readouterr()
    assert "there was nothing to repair" in printed.out
    assert "there is no folder nowhere" in printed.err


def test_progress_is_told_of_long_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("llm_magic.care.time.monotonic", lambda: clock[0])
    told: list[str] = []
    progress = care.Progress(told.append)
    for moment in (0.1, 0.4, 0.6, 0.7, 1.2):
        clock[0] = moment

        progress("rows", int(moment * 10_000))

    assert told == ["rows: 6,000", "rows: 12,000"]
