"""A project that somebody else packed: whatever lies in its ``.llm_magic``, it stays harmless.

Every attack is tried at every door: opened for writing, opened in a folder that cannot be written,
looked at by ``check``, and mended by ``repair``. None may run code, never end, or touch what lies
outside the folder.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from watching import opened_in, unwatched

from llm_magic import care, rescue
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import CassetteError, StoreError, UnsafeStoreError
from llm_magic.history import History
from llm_magic.recordings import Recording
from llm_magic.shelf import Shelf
from llm_magic.storage.preflight import LARGEST_VALUE

HERE = Path(__file__).parent
Attack = Callable[[Path, Path], object]

# Columns of the real table, for views and tables that pretend to be it.
COLUMNS = "rowid, key, raw, store_time, expire_time, access_time, access_count, tag, size, mode,"
COLUMNS += " filename, value"
ANSWER = "WHERE key LIKE 'answer:%'"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def sql(path: Path, *statements: str, values: tuple[Any, ...] = ()) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement, values if "?" in statement else ())


def planted(*statements: str) -> Attack:
    """Statements of SQL, run in the store by somebody else."""
    return lambda working, outside: sql(working / "recordings/cache.db", *statements)


def pickle_value(working: Path, outside: Path) -> None:
    statement = "UPDATE Cache SET mode = 4, value = ?"
    bomb = pickle.dumps(Bomb(outside / "code-has-run"))
    sql(working / "recordings/cache.db", statement, values=(bomb,))


def pickle_key(working: Path, outside: Path) -> None:
    bomb = pickle.dumps(Bomb(outside / "code-has-run"))
    sql(
        working / "recordings/cache.db",
        f"UPDATE Cache SET raw = 0, key = ? {ANSWER}",
        values=(bomb,),
    )


def file_name(mode: int, *, relative: bool = False) -> Attack:
    def plant(working: Path, outside: Path) -> None:
        name = "../../../outside/precious" if relative else str(outside / "precious")
        sql(
            working / "recordings/cache.db",
            f"UPDATE Cache SET mode = {mode}, value = NULL, filename = ?",
            values=(name,),
        )

    return plant


def moved_store(working: Path, outside: Path) -> None:
    statement = "INSERT INTO Settings VALUES ('_directory', ?)"
    sql(working / "recordings/cache.db", statement, values=(str(outside),))


def rebuilt(table: str) -> Attack:
    """The table of answers, made anew in another way."""
    return planted("DROP TABLE Cache", table)


def schema_text(name: str, text: str) -> Attack:
    return planted(
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = {text} WHERE name = '{name}'",
    )


def link_to_outside(name: str) -> Attack:
    """A file or folder of ours is elsewhere, and a link in its place."""

    def plant(working: Path, outside: Path) -> None:
        place = working / name if name else working
        if place.exists():
            place.rename(outside / "moved")
        place.symlink_to(outside / "moved")

    return plant


def hard_link(name: str) -> Attack:
    def plant(working: Path, outside: Path) -> None:
        if not (working / name).exists():
            (working / name).write_bytes(b"")
        (outside / "moved").hardlink_to(working / name)

    return plant


def fifo(name: str) -> Attack:
    """A pipe: whoever opens it waits for ever."""

    def plant(working: Path, outside: Path) -> None:
        place = working / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        os.mkfifo(place)

    return plant


def folder_in_place(name: str) -> Attack:
    def plant(working: Path, outside: Path) -> None:
        (working / name).unlink(missing_ok=True)
        (working / name).mkdir()

    return plant


def holes(name: str, content: bytes = b"") -> Attack:
    """A terabyte that takes no space on disk."""

    def plant(working: Path, outside: Path) -> None:
        with (working / name).open("wb") as file:
            file.write(content)
            file.truncate(2**40)

    return plant


def journal(name: str) -> Attack:
    """A rollback journal that names a second one, which SQLite then deletes."""

    # https://www.sqlite.org/fileformat2.html#the_rollback_journal
    def plant(working: Path, outside: Path) -> None:
        database, victim = working / name, str(outside / "precious").encode()
        mark = bytes.fromhex("d9d505f920a163d7")
        content = database.read_bytes()
        (size,) = struct.unpack(">H", content[16:18])
        header = mark + struct.pack(">5I", 0, 0, len(content) // size, 512, size)
        ending = struct.pack(">I", 2**30 // size + 1) + victim
        ending += struct.pack(">2I", len(victim), sum(victim)) + mark
        log = database.with_name(f"{database.name}-journal")
        log.write_bytes(header.ljust(512, b"\0") + ending)

    return plant


# What we never write: it is not opened, and left as it is.
REFUSED: dict[str, Attack] = {
    "pickle in a value": pickle_value,
    "pickle in a key": pickle_key,
    "absolute file name": file_name(3),
    "relative file name": file_name(2, relative=True),
    "file name in a text row": file_name(1),
    "mode that lies": planted("UPDATE Cache SET mode = 2"),
    "raw that lies": planted("UPDATE Cache SET raw = 'yes'"),
    "moved store": moved_store,
    "setting with a method's name": planted("INSERT INTO Settings VALUES ('get', 'x')"),
    "setting that is a pragma": planted("INSERT INTO Settings VALUES ('sqlite_query_only', 1)"),
    "oversized row": planted(
        f"UPDATE Cache SET value = CAST(zeroblob({LARGEST_VALUE + 1}) AS TEXT) {ANSWER}"
    ),
    "number for a key": planted(f"UPDATE Cache SET key = 1.5 {ANSWER}"),
    "bytes for a key": planted(f"UPDATE Cache SET key = x'00' {ANSWER}"),
    "bytes for a value": planted("UPDATE Cache SET value = x'00'"),
    "number for a value": planted("UPDATE Cache SET value = 1"),
    "no raw": planted("UPDATE Cache SET raw = NULL"),
    "nothing for a value": planted("UPDATE Cache SET value = NULL"),
    "a day to go": planted("UPDATE Cache SET expire_time = 1"),
    "a tag": planted("UPDATE Cache SET tag = 'a'"),
    "extra table": planted("CREATE TABLE extra (a)"),
    "extra view": planted("CREATE VIEW extra AS SELECT 1"),
    "extra trigger": planted(
        "CREATE TRIGGER extra AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"
    ),
    "trigger under our name": planted(
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN"
        " UPDATE Cache SET mode = 4; END",
    ),
    "view that never ends": rebuilt(f"CREATE VIEW Cache AS {ENDLESS}"),
    "view for the settings": planted(
        "DROP TABLE Settings", f"CREATE VIEW Settings AS SELECT x AS key FROM ({ENDLESS})"
    ),
    "table without row numbers": rebuilt(
        "CREATE TABLE Cache (key TEXT PRIMARY KEY, raw, value) WITHOUT ROWID"
    ),
    "computed column": rebuilt(
        "CREATE TABLE Cache (key, raw, mode, value AS (zeroblob(1000000000)))"
    ),
    "column with a default": rebuilt("CREATE TABLE Cache (key, raw, value DEFAULT (abs(1)))"),
    "condition on a table": rebuilt("CREATE TABLE Cache (key, raw, value CHECK (abs(value) > 1))"),
    "index on an expression": planted("CREATE INDEX extra ON Cache (abs(size))"),
    "full-text table": planted("CREATE VIRTUAL TABLE extra USING fts4(a)"),
    "huge text in the schema": planted(f"CREATE VIEW extra AS SELECT '{'x' * 20_000_000}'"),
    "statement that lies": schema_text("Cache_key_raw", "sql || ' WHERE abs(raw) = 1'"),
    "link for the folder": link_to_outside("recordings"),
    "link for the database": link_to_outside("recordings/cache.db"),
    "link for its log": link_to_outside("recordings/cache.db-wal"),
    "link for its journal": link_to_outside("recordings/cache.db-journal"),
    "hard link": hard_link("recordings/cache.db"),
    "hard link for its log": hard_link("recordings/cache.db-wal"),
    "pipe for the folder": fifo("recordings"),
    "pipe for the database": fifo("recordings/cache.db"),
    "pipe for its log": fifo("recordings/cache.db-wal"),
    "pipe for its journal": fifo("recordings/cache.db-journal"),
    "folder for the database": folder_in_place("recordings/cache.db"),
    "folder for its log": folder_in_place("recordings/cache.db-wal"),
    "journal that deletes": journal("recordings/cache.db"),
}

# What is no store at all: set aside, never deleted.
SET_ASIDE: dict[str, Attack] = {
    "garbage": lambda working, outside: (working / "recordings/cache.db").write_bytes(b"x" * 5000),
    "nothing": lambda working, outside: (working / "recordings/cache.db").write_bytes(b""),
    "a terabyte of holes": holes("recordings/cache.db"),
    "a name for a database": holes("recordings/cache.db", b"SQLite format 3\0"),
    "statement that is none": schema_text("Cache", "'CREATE TABLE Cache (('"),
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook's folder with a store of one answer, a ledger of one call, and a cassette."""
    folder = tmp_path_factory.mktemp("clean") / "work"
    folder.mkdir()
    with closing(Shelf(Workspace(folder))) as shelf:
        shelf.put(recording(), "analysis")
        shelf.save("analysis")
    with closing(History(Workspace(folder))) as ledger:
        ledger.record(id="one", status="ok", source="live", cost="0.01", prompt="precious")
    return folder


def recording(text: str = "Because.") -> Recording:
    from llm_magic.recordings import key_of, now
    from llm_magic.types import AttrDict, Request

    request = Request("echo", "echo", [{"role": "user", "content": "Why?"}])
    response = AttrDict({"choices": [{"message": {"role": "assistant", "content": text}}]})
    return Recording(key_of(request), 0, request.to_dict(), response, "one", now(), 1.0)


class Project:
    """A copy of the clean folder, attacked, and a folder beside it that is none of our business."""

    def __init__(self, clean: Path, place: Path, attack: Attack) -> None:
        self.folder = place / "project"
        self.outside = place / "outside"
        shutil.copytree(clean, self.folder)
        self.outside.mkdir()
        (self.outside / "precious").write_text("precious")
        self.working = self.folder / ".llm_magic"
        attack(self.working, self.outside)
        self.workspace = Workspace(self.folder)
        self.before = snapshot(self.outside)
        self.opened = opened_in(self.outside)

    def assert_harmless(self) -> None:
        assert self.opened == []
        with unwatched():
            assert snapshot(self.outside) == self.before
        assert not (self.outside / "code-has-run").exists()


def snapshot(folder: Path) -> dict[str, Any]:
    """Every file below, with what is in it; of large ones, how large they are."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        small = stat.S_ISREG(status.st_mode) and status.st_size < 10**8
        content = path.read_bytes() if small else status.st_size
        found[str(path.relative_to(folder))] = (stat.S_IFMT(status.st_mode), content)
    return found


def test_what_is_opened_outside_is_seen(tmp_path: Path) -> None:
    for name in ("note", "database", "database-wal", "folder"):
        place = tmp_path / "outside" / name
        place.parent.mkdir(exist_ok=True)
        place.mkdir() if name == "folder" else place.write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "outside/note")
    (tmp_path / "second name").hardlink_to(tmp_path / "outside/note")
    (tmp_path / "ours-wal").symlink_to(tmp_path / "outside/database-wal")
    (tmp_path / "ours").touch()
    opened = opened_in(tmp_path / "outside")

    (tmp_path / "ours").read_bytes()
    assert opened == []
    with unwatched():
        (tmp_path / "outside/note").read_bytes()
    assert opened == []
    doors: list[Callable[[], object]] = [
        (tmp_path / "outside/note").read_bytes,
        (tmp_path / "link").read_bytes,
        (tmp_path / "second name").read_bytes,
        lambda: os.listdir(tmp_path / "outside/folder"),
        lambda: sqlite3.connect(tmp_path / "outside/database").close(),
        lambda: sqlite3.connect(f"file:{tmp_path}/ours?mode=ro", uri=True).close(),
    ]
    for number, door in enumerate(doors):
        opened.clear()
        door()
        assert opened, number


@pytest.fixture
def project(clean: Path, tmp_path: Path) -> Callable[[Attack], Project]:
    return lambda attack: Project(clean, tmp_path, attack)


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
def test_what_we_never_write_is_refused_and_left_alone(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)
    with unwatched():
        before = snapshot(there.folder)

    with pytest.raises(UnsafeStoreError) as refusal:
        Shelf(there.workspace)

    assert "precious" not in str(refusal.value)
    # Reading may leave SQLite's empty log beside the database.
    with unwatched():
        assert snapshot(there.folder).items() >= before.items()
    there.assert_harmless()


@pytest.mark.parametrize("attack", SET_ASIDE.values(), ids=SET_ASIDE)
def test_what_is_no_store_is_set_aside(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)
    size = (there.working / "recordings/cache.db").stat().st_size

    with pytest.warns(RuntimeWarning, match="moved to recordings.damaged-"):
        shelf = Shelf(there.workspace)

    shelf.close()
    (aside,) = there.working.glob("recordings.damaged-*")
    assert (aside / "cache.db").stat().st_size == size
    there.assert_harmless()


def changed(**fields: Any) -> Attack:
    """Every answer in the store says something else; only who knows its words sees that."""

    def plant(working: Path, outside: Path) -> None:
        users = '[["analysis",null]]'
        line = json.dumps(json.loads(recording().to_line()) | fields)
        sql(
            working / "recordings/cache.db",
            f"UPDATE Cache SET value = ? {ANSWER}",
            values=(f"{users}\n{line}",),
        )

    return plant


def answering(*, prices: Any = None, **fields: Any) -> Attack:
    response = {"choices": [{"message": {"content": "Because."}}], **fields}
    return changed(response=response, prices=prices or {})


STRANGE: dict[str, Attack] = {
    "row that is no row": planted(f"UPDATE Cache SET value = 'garbage' {ANSWER}"),
    "row of another kind": planted(f"UPDATE Cache SET value = '5' || char(10) || '5' {ANSWER}"),
    "line that is no recording": planted(
        f"UPDATE Cache SET value = '[[\"analysis\",null]]' || char(10) || '5' {ANSWER}"
    ),
    "answer to another request": changed(key="0" * 64),
    "answer of another number": changed(ordinal=1),
    "choice that is none": answering(choices=[5]),
    "message that is none": answering(choices=[{"message": 5}]),
    "prices that are none": changed(prices=5),
    "price that is none": answering(
        prices={"input_mtok": "much"}, usage={"prompt_tokens": 1, "completion_tokens": 1}
    ),
    "date that is none": changed(created="yesterday"),
    "what is known of a cassette": planted(
        "UPDATE Cache SET value = 'garbage' WHERE key LIKE 'cassette:%'"
    ),
    "stamp that is none": planted(
        """UPDATE Cache SET value = '{"stamp": 5}' WHERE key LIKE 'cassette:%'"""
    ),
}


@pytest.mark.parametrize("attack", STRANGE.values(), ids=STRANGE)
def test_a_text_that_we_never_wrote_is_a_typed_error_and_is_mended(
    project: Callable[[Attack], Project], monkeypatch: pytest.MonkeyPatch, attack: Attack
) -> None:
    there = project(attack)
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(there.folder / "analysis.ipynb"))

    with closing(Client(there.folder, mode="REPLAY")) as client, pytest.raises(StoreError):
        client.complete("Why?", model="echo/echo")

    rescue.repair(there.workspace)
    with closing(Client(there.folder, mode="REPLAY")) as client:
        assert client.complete("Why?", model="echo/echo").text == "Because."
    there.assert_harmless()


# What a server may send is replayed as it was sent, however odd.
@pytest.mark.parametrize(
    "fields",
    [
        {"usage": "much"},
        {"usage": {"prompt_tokens": "many"}},
        {"model": 5},
        {"choices": [{"message": {"content": "Because.", "tool_calls": 5}}]},
        {"choices": [{"message": {"content": "Because."}, "finish_reason": 5}]},
    ],
)
def test_an_odd_answer_replays_as_it_came(
    project: Callable[[Attack], Project], fields: dict[str, Any]
) -> None:
    there = project(answering(**fields))

    with closing(Client(there.folder, mode="REPLAY")) as client:
        assert client.complete("Why?", model="echo/echo").text == "Because."
        assert client.history.totals().replayed == 1


OPEN = """
import json, sys, warnings
from pathlib import Path
from llm_magic import care
from llm_magic.config import Workspace
from llm_magic.exceptions import StoreError
from llm_magic.shelf import Shelf
from watching import opened_in

warnings.simplefilter("ignore")
told = {}
for folder in json.loads(sys.stdin.read()):
    workspace = Workspace(Path(folder))
    outside = opened_in(workspace.folder.parent / "outside")
    try:
        shelf = Shelf(workspace)
        assert shelf.store.read_only
        opened = f"opened, {len(list(shelf.store.items()))} rows"
        shelf.close()
    except StoreError as error:
        opened = type(error).__name__
    told[folder] = [opened, len(care.check(workspace).problems), outside]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def read_only(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a process says of each attack in a folder that it cannot write."""
    projects = {
        name: Project(clean, tmp_path_factory.mktemp("read-only"), attack)
        for name, attack in {**REFUSED, **SET_ASIDE}.items()
    }
    for there in projects.values():
        for path in [there.folder, *there.folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
    folders = [str(there.folder) for there in projects.values()]
    done = subprocess.run(
        [*without_rights(), sys.executable, "-c", OPEN],
        input=json.dumps(folders),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    yield {name: (there, *said[str(there.folder)]) for name, there in projects.items()}
    for there in projects.values():
        for path in [there.folder, *there.folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)


def without_rights() -> list[str]:
    """The command before a command for which file modes hold, also where root runs it."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root needs setpriv to give up its rights")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]


@pytest.mark.parametrize("name", [*REFUSED, *SET_ASIDE])
def test_in_a_read_only_folder_it_is_not_read_either(read_only: dict[str, Any], name: str) -> None:
    there, opened, problems, outside = read_only[name]

    assert outside == []
    assert opened == ("UnsafeStoreError" if name in REFUSED else "opened, 0 rows")
    assert problems == 1
    there.assert_harmless()


@pytest.mark.parametrize(
    "attack", [*REFUSED.values(), *SET_ASIDE.values()], ids=[*REFUSED, *SET_ASIDE]
)
def test_check_tells_of_it_and_repair_moves_it_away(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)

    assert len(care.check(there.workspace).problems) == 1
    there.assert_harmless()
    told = rescue.repair(there.workspace)

    assert "was moved to recordings.damaged-" in told[0]
    there.assert_harmless()
    with closing(Shelf(there.workspace)) as shelf:
        assert shelf.find(recording().key, 0, "analysis") is not None
    assert care.check(there.workspace).problems == []


# The ledger


def in_ledger(*statements: str) -> Attack:
    return lambda working, outside: sql(working / "history.db", *statements)


LEDGERS: dict[str, Attack] = {
    "trigger": in_ledger("CREATE TRIGGER extra AFTER INSERT ON calls BEGIN DELETE FROM calls; END"),
    "trigger in place of writing": in_ledger(
        "ALTER TABLE calls RENAME TO other",
        "CREATE VIEW calls AS SELECT * FROM other",
        "CREATE TRIGGER extra INSTEAD OF INSERT ON calls BEGIN SELECT 1; END",
    ),
    "view that never ends": in_ledger("DROP TABLE calls", f"CREATE VIEW calls AS {ENDLESS}"),
    "extra view": in_ledger(f"CREATE VIEW extra AS {ENDLESS}"),
    "other columns": in_ledger("ALTER TABLE calls ADD COLUMN extra"),
    "table without row numbers": in_ledger(
        "DROP TABLE calls", "CREATE TABLE calls (id TEXT PRIMARY KEY) WITHOUT ROWID"
    ),
    "huge text in the schema": in_ledger(f"CREATE VIEW extra AS SELECT '{'x' * 20_000_000}'"),
    "link": link_to_outside("history.db"),
    "link for its log": link_to_outside("history.db-wal"),
    "hard link": hard_link("history.db"),
    "pipe": fifo("history.db"),
    "pipe for its log": fifo("history.db-wal"),
    "pipe for its journal": fifo("history.db-journal"),
    "journal of holes": holes("history.db-journal", b"x" * 600),
    "folder": folder_in_place("history.db"),
    "journal that deletes": journal("history.db"),
}


@pytest.mark.parametrize("attack", LEDGERS.values(), ids=LEDGERS)
def test_a_planted_ledger_is_refused_told_and_moved_away(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)

    if attack is not LEDGERS["journal of holes"]:
        with pytest.raises(UnsafeStoreError) as refusal:
            History(there.workspace)
        assert "precious" not in str(refusal.value)
        assert len(care.check(there.workspace).problems) == 1
        there.assert_harmless()
        told = rescue.repair(there.workspace)
        assert "was moved to history.damaged-" in told[0]

    there.assert_harmless()
    with closing(History(there.workspace)) as ledger:
        assert ledger.totals().calls <= 1
    assert care.check(there.workspace).problems == []


STRANGE_VALUES = {
    "cost": "'abc'",
    "saved": "'NaN'",
    "started": "'yesterday'",
    "input_tokens": "'many'",
    "prompt": "x'ff00'",
    "id": "x'00'",
}


@pytest.mark.parametrize("column", STRANGE_VALUES)
def test_a_value_that_is_not_ours_is_told_and_left_out(
    project: Callable[[Attack], Project], column: str
) -> None:
    there = project(in_ledger(f"UPDATE calls SET {column} = {STRANGE_VALUES[column]}"))

    (problem,) = care.check(there.workspace).problems
    rescue.repair(there.workspace)

    assert "1 row with values that are not ours" in problem.text
    with closing(History(there.workspace)) as ledger:
        ledger.totals()
        ledger.to_pandas()
        assert [row[column] for row in ledger.rows()] == ([] if column == "id" else [None])


# The folder, what was set aside, and cassettes


FOLDERS: dict[str, Attack] = {
    "link": link_to_outside(""),
    "link for the rule of git": link_to_outside(".gitignore"),
}


@pytest.mark.parametrize("attack", FOLDERS.values(), ids=FOLDERS)
def test_a_working_folder_that_leads_elsewhere_is_refused_by_all(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)

    for door in (Shelf, History, rescue.repair):
        with pytest.raises(UnsafeStoreError, match="symbolic link"):
            door(there.workspace)
    report = care.check(there.workspace)

    assert len(report.problems) == 1
    there.assert_harmless()


def test_a_pipe_in_place_of_the_working_folder_is_an_error(
    project: Callable[[Attack], Project],
) -> None:
    there = project(fifo(""))

    for door in (Shelf, History, rescue.repair):
        with pytest.raises(StoreError, match="not a folder"):
            door(there.workspace)
    care.check(there.workspace)


def linked_aside(working: Path, outside: Path) -> None:
    (working / "recordings").rename(outside / "store")
    (working / "recordings.damaged-1").symlink_to(outside / "store")
    (working / "history.db").rename(outside / "history.db")
    (working / "history.damaged-1.db").symlink_to(outside / "history.db")


def marked_elsewhere(working: Path, outside: Path) -> None:
    (working / "recordings").rename(working / "recordings.damaged-1")
    (working / "recordings.damaged-1/rescued.txt").symlink_to(outside / "new")


def endless_aside(working: Path, outside: Path) -> None:
    LEDGERS["view that never ends"](working, outside)
    (working / "history.db").rename(working / "history.damaged-1.db")
    REFUSED["view that never ends"](working, outside)
    (working / "recordings").rename(working / "recordings.damaged-1")


def pipes_aside(working: Path, outside: Path) -> None:
    os.mkfifo(working / "recordings.damaged-1")
    (working / "recordings.damaged-2").mkdir()
    os.mkfifo(working / "recordings.damaged-2/cache.db")
    os.mkfifo(working / "history.damaged-1.db")


ASIDE = {
    "links": linked_aside,
    "a mark elsewhere": marked_elsewhere,
    "views that never end": endless_aside,
    "pipes": pipes_aside,
}


@pytest.mark.parametrize("attack", ASIDE.values(), ids=ASIDE)
def test_what_was_set_aside_by_somebody_else_is_not_followed(
    project: Callable[[Attack], Project], attack: Attack
) -> None:
    there = project(attack)

    care.check(there.workspace)
    rescue.repair(there.workspace)

    there.assert_harmless()
    assert care.check(there.workspace).problems == []
    assert rescue.repair(there.workspace) == []


def replaced(line: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")


CASSETTES: dict[str, Callable[[Path], object]] = {
    "deeply nested": replaced('{"a":' + "[" * 100_000),
    "key of another": replaced(
        recording().to_line().replace("Why?", "Who pays?").replace("Because", "You")
    ),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "file of somebody": lambda path: (path.unlink(), path.symlink_to("../outside/precious")),
    "terabyte": lambda path: os.truncate(path, 2**40),
    "answer that is none": replaced(
        recording().to_line().replace('"choices":[{', '"choices":[7,{')
    ),
}


@pytest.mark.parametrize("attack", CASSETTES.values(), ids=CASSETTES)
def test_a_planted_cassette_is_a_clear_error(
    project: Callable[[Attack], Project], attack: Callable[[Path], object]
) -> None:
    there = project(lambda working, outside: attack(working.parent / "analysis.cassette.jsonl"))
    shutil.rmtree(there.working)

    with closing(Shelf(there.workspace)) as shelf, pytest.raises(CassetteError) as refusal:
        shelf.find(recording().key, 0, "analysis")

    assert "precious" not in str(refusal.value)
    (problem,) = care.check(there.workspace).problems
    assert problem.file == "analysis.cassette.jsonl"
    # A cassette may be a link to where its user keeps it; nothing of another file is told.
    there.opened.clear()
    there.assert_harmless()


ANSWERS = {
    "deeply nested": '[["analysis",null]]\n{"a":' + "[" * 100_000,
    "no JSON": "no JSON\nno JSON",
    "no answer": '[["analysis",null]]\n{}',
    "users that are none": '[[["analysis"],null]]\n' + recording().to_line(),
    "the answer to another": '[["analysis",null]]\n'
    + recording().to_line().replace("Why?", "Who?"),
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_a_planted_answer_is_told_and_not_rescued(
    project: Callable[[Attack], Project], text: str
) -> None:
    there = project(
        lambda working, outside: sql(
            working / "recordings/cache.db", f"UPDATE Cache SET value = ? {ANSWER}", values=(text,)
        )
    )

    (problem,) = care.check(there.workspace).problems
    (told,) = rescue.repair(there.workspace)

    assert "1 row cannot be used" in problem.text
    assert "0 recordings rescued, 1 in a cassette, 0 lost" in told
    assert care.check(there.workspace).problems == []
    with closing(Shelf(there.workspace)) as shelf:
        found = shelf.find(recording().key, 0, "analysis")
    assert found is not None
    assert found.to_line() == recording().to_line() or found.response == recording().response
