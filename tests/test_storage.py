"""The hardened store: any text, forever; and nothing that somebody else planted is trusted."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diskcache
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import DamagedStoreError, StoreError, UnsafeStoreError
from llm_magic.storage import Store, connect, prepare_working_folder, writable
from llm_magic.storage.store import _SETTINGS, TextDisk

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store that holds one value, closed."""
    path = tmp_path / "store"
    store = Store(path)
    store.set("key", "value")
    store.close()
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that is there once planted code has run."""
    return tmp_path / "code-has-run"


class Bomb:
    """Unpickled, it makes the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def plant(folder: Path, *statements: str, values: tuple[Any, ...] = ()) -> None:
    connection = sqlite3.connect(folder / "cache.db")
    for statement in statements:
        connection.execute(statement, values if "?" in statement else ())
    connection.commit()
    connection.close()


# Text in, text out

_shared: dict[str, Store] = {}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = Store(tmp_path_factory.mktemp("store") / "store")
    yield store
    store.close()


@given(key=TEXT, value=TEXT)
def test_any_text_comes_back(shared: Store, key: str, value: str) -> None:
    shared.set(key, value)

    assert shared.get(key) == value
    assert (key, value) in shared.items(key)


@pytest.mark.parametrize("value", ["", "\0", "a\0b", "\U0010ffff", "x" * 20_000_000])
def test_odd_and_huge_texts_survive_reopening(tmp_path: Path, value: str) -> None:
    store = Store(tmp_path / "store")
    store.set("key", value)
    store.close()

    store = Store(tmp_path / "store")

    assert store.get("key") == value
    store.close()


def test_half_a_surrogate_pair_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.set("key", "before")

    with pytest.raises(StoreError):
        store.set("key", "\ud83d")
    with pytest.raises(StoreError):
        store.update("key", lambda old: old + "\ud83d")
    with pytest.raises(StoreError):
        store.get("\ud83d")

    assert store.get("key") == "before"
    store.set("key", "after")
    assert store.get("key") == "after"
    store.close()


@pytest.mark.parametrize("value", [b"bytes", 1, None, ["a"]])
def test_what_is_not_text_is_a_mistake_of_ours(tmp_path: Path, value: Any) -> None:
    store = Store(tmp_path / "store")

    with pytest.raises(TypeError, match="text"):
        store.set("key", value)
    with pytest.raises(TypeError, match="text"):
        store.set(value, "value")

    assert list(store.items()) == []
    store.close()


def test_an_answer_beyond_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_magic.storage.store.LARGEST_VALUE", 10)
    store = Store(tmp_path / "store")

    with pytest.raises(StoreError, match="11 characters is too large"):
        store.set("key", "x" * 11)

    store.close()


def test_items_are_those_with_the_prefix_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for key in ("b:2", "a:1", "b:10", "b", "c:1"):
        store.set(key, key)

    assert [key for key, _ in store.items("b:")] == ["b:10", "b:2"]
    assert [key for key, _ in store.items()] == ["a:1", "b", "b:10", "b:2", "c:1"]
    store.close()


def test_update_replaces_and_forgets(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    store.update("key", lambda old: f"{old}+")
    store.update("key", lambda old: f"{old}+")
    assert store.get("key") == "None++"
    store.update("key", lambda old: None)

    assert store.get("key") is None
    store.delete("key")
    store.close()


def test_updates_of_threads_are_not_lost(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            pool.submit(store.update, "key", lambda old: (old or "") + "x")

    assert len(store.get("key") or "") == 200
    store.close()


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.set("key", "before")

    def set_and_fail() -> None:
        with store.transaction():
            store.set("key", "after")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        set_and_fail()

    assert store.get("key") == "before"
    store.close()


# Nothing is evicted


def test_two_thousand_values_stay(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in range(2000):
        store.set(f"{number:04}", "x" * 2000)
    store.close()

    store = Store(tmp_path / "store")

    assert len(list(store.items())) == 2000
    store.close()


def test_settings_that_somebody_else_left_are_rewritten(folder: Path) -> None:
    with diskcache.Cache(str(folder), size_limit=1000, cull_limit=100, statistics=1) as other:
        other.reset("sqlite_synchronous", 0)
        other.reset("eviction_policy", "least-recently-used")

    store = Store(folder)
    for number in range(50):
        store.set(str(number), "x" * 1000)
    settings = dict(store._cache._sql("SELECT key, value FROM Settings").fetchall())
    store.close()

    assert settings | _SETTINGS == settings
    assert {name for name in settings if name.startswith("sqlite_")} <= _SETTINGS.keys()
    store = Store(folder)
    assert len(list(store.items())) == 51
    store.close()


def test_a_read_is_not_a_write(folder: Path) -> None:
    store = Store(folder)
    before = store._cache._sql("SELECT total_changes()").fetchone()

    store.get("key")
    list(store.items())

    assert store._cache._sql("SELECT total_changes()").fetchone() == before
    store.close()


# The folder


def test_the_working_folder_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    prepare_working_folder(tmp_path / ".llm_magic")

    assert stat.S_IMODE((tmp_path / ".llm_magic").stat().st_mode) == 0o700
    assert "*" in (tmp_path / ".llm_magic" / ".gitignore").read_text().splitlines()


def test_the_store_is_private_and_one_file_when_closed(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["cache.db"]
    assert os.listdir(folder.parent).count("store") == 1
    assert not [name for name in os.listdir(folder.parent) if name.startswith(".store")]


def test_a_gitignore_of_the_users_own_stays(tmp_path: Path) -> None:
    (tmp_path / ".llm_magic").mkdir()
    (tmp_path / ".llm_magic" / ".gitignore").write_text("!keep\n")

    prepare_working_folder(tmp_path / ".llm_magic")

    assert (tmp_path / ".llm_magic" / ".gitignore").read_text() == "!keep\n"


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")

    with pytest.raises(StoreError):
        Store(tmp_path / "store")


def test_many_processes_make_one_store(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, warnings; warnings.simplefilter('error')\n"
        "from llm_magic.storage import Store\n"
        "print(flush=True); sys.stdin.readline()\n"
        "for turn in range(5):\n"
        "    store = Store(pathlib.Path('store'))\n"
        "    store.set(f'{sys.argv[1]}-{turn}', 'x' * 5000)\n"
        "    store.close()\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(number)],
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

    # They have all come so far: now they go at once.
    errors = [process.communicate("\n", timeout=60)[1] for process in running]

    assert errors == [""] * 4
    store = Store(Path("store"))
    assert len(list(store.items())) == 20
    store.close()


# Links


@pytest.mark.parametrize(
    "name", ["", "cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal"]
)
def test_a_link_in_a_store_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    original = folder / name
    if original.exists():
        original.rename(target)
    original.symlink_to(target)

    with pytest.raises(UnsafeStoreError, match="symbolic link"):
        Store(folder)

    assert original.is_symlink()


@pytest.mark.parametrize("name", [".llm_magic", ".llm_magic/.gitignore"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_working_folder_that_leads_elsewhere_is_refused(
    tmp_path: Path, name: str, there: bool
) -> None:
    target = tmp_path / "elsewhere"
    if there:
        target.mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(target)

    with pytest.raises(UnsafeStoreError, match="symbolic link"):
        prepare_working_folder(tmp_path / ".llm_magic")

    assert target.exists() is there
    assert not there or os.listdir(target) == []


# Planted rows; what is planted before a store is opened is in test_attacks


def planted_pickle_value(folder: Path, marker: Path) -> None:
    plant(
        folder,
        "UPDATE Cache SET mode = 4, value = ?",
        values=(pickle.dumps(Bomb(marker)),),
    )


def planted_pickle_key(folder: Path, marker: Path) -> None:
    plant(folder, "UPDATE Cache SET raw = 0, key = ?", values=(pickle.dumps(Bomb(marker)),))


def planted_file_name(folder: Path, marker: Path) -> None:
    marker.with_name("precious").write_text("precious")
    plant(
        folder,
        "UPDATE Cache SET mode = 3, value = NULL, filename = ?",
        values=(str(marker.with_name("precious")),),
    )


@pytest.mark.parametrize("attack", [planted_pickle_value, planted_pickle_key])
def test_the_bomb_is_real(folder: Path, marker: Path, attack: Callable[[Path, Path], None]) -> None:
    attack(folder, marker)

    with diskcache.Cache(str(folder)) as plain:
        for key in plain:
            plain.get(key)

    assert marker.exists()


@pytest.mark.parametrize("attack", [planted_pickle_value, planted_file_name])
def test_a_row_planted_after_opening_does_no_harm(
    folder: Path, marker: Path, attack: Callable[[Path, Path], None]
) -> None:
    store = Store(folder)
    attack(folder, marker)

    with pytest.raises(UnsafeStoreError):
        store.get("key")
    with pytest.raises(UnsafeStoreError):
        list(store.items())
    if attack is planted_file_name:
        with pytest.raises(UnsafeStoreError, match="nothing was removed"):
            store.set("key", "new")

    store.close()
    assert not marker.exists()
    assert attack is planted_pickle_value or marker.with_name("precious").exists()


def test_a_trigger_under_one_of_our_names_runs_no_code(folder: Path, marker: Path) -> None:
    bomb = pickle.dumps(Bomb(marker)).hex()
    # Before, it is refused; see test_attacks.
    store = Store(folder)
    plant(
        folder,
        "DROP TRIGGER Settings_count_insert",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN"
        f" UPDATE Cache SET mode = 4, value = x'{bomb}'; END",
    )
    store.set("new", "text")

    with pytest.raises(UnsafeStoreError):
        store.get("new")

    store.close()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["cache.db", "history.db"])
def test_a_journal_that_names_a_file_to_delete_is_refused(folder: Path, name: str) -> None:
    """SQLite deletes the second journal that a planted one names, wherever that is."""
    victim = folder.parent / "precious"
    victim.write_text("precious")
    (folder / "cache.db").rename(folder / name)
    plant_journal(folder / name, victim)

    with pytest.raises(UnsafeStoreError, match="names a file to delete"):
        Store(folder) if name == "cache.db" else connect(folder / name)

    assert victim.exists()


def test_the_journal_would_really_delete(folder: Path) -> None:
    victim = folder.parent / "precious"
    victim.write_text("precious")
    plant_journal(folder / "cache.db", victim)

    plant(folder, "SELECT * FROM Cache")

    assert not victim.exists()


def plant_journal(database: Path, victim: Path) -> None:
    # https://www.sqlite.org/fileformat2.html#the_rollback_journal
    mark = bytes.fromhex("d9d505f920a163d7")
    content = database.read_bytes()
    (page_size,) = struct.unpack(">H", content[16:18])
    header = mark + struct.pack(">5I", 0, 0, len(content) // page_size, 512, page_size)
    name = str(victim).encode()
    ending = struct.pack(">I", 2**30 // page_size + 1) + name
    ending += struct.pack(">2I", len(name), sum(name)) + mark
    database.with_name(f"{database.name}-journal").write_bytes(header.ljust(512, b"\0") + ending)


def test_the_disk_of_the_store_never_touches_files(tmp_path: Path) -> None:
    disk = TextDisk(str(tmp_path))
    precious = tmp_path / "precious"
    precious.write_text("")

    for attempt in (
        lambda: disk.remove(str(precious)),
        lambda: disk.filename(),
        lambda: disk.fetch(1, str(precious), None, False),
        lambda: disk.fetch(1, None, "text", True),
        lambda: disk.fetch(4, None, pickle.dumps(1), False),
        lambda: disk.get(pickle.dumps(1), False),
    ):
        with pytest.raises(UnsafeStoreError):
            attempt()

    assert precious.exists()


# Damage


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def conflict(path: Path) -> None:
    path.write_bytes(b"<<<<<<< HEAD\nversion https://git-lfs.github.com/spec/v1\n")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


DAMAGES = [garbage, emptied, conflict, cut_short, overwritten]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_set_aside_and_never_deleted(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder / "cache.db")
    content = (folder / "cache.db").read_bytes()

    with pytest.warns(RuntimeWarning, match=r"moved to store\.damaged-") as warned:
        store = Store(folder)

    (aside,) = folder.parent.glob("store.damaged-*")
    assert aside.name in str(warned[0].message)
    assert (aside / "cache.db").read_bytes() == content
    store.set("key", "new")
    assert store.get("key") == "new"
    store.close()


def test_a_log_without_its_database_is_set_aside_with_it(folder: Path) -> None:
    emptied(folder / "cache.db")
    (folder / "cache.db-wal").write_bytes(b"the newest rows")

    with pytest.warns(RuntimeWarning, match="is empty"):
        Store(folder).close()

    (aside,) = folder.parent.glob("store.damaged-*")
    assert (aside / "cache.db-wal").read_bytes() == b"the newest rows"


def test_a_store_that_is_locked_is_not_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_magic.storage.preflight.sqlite3.connect", impatient)
    plant(folder, "PRAGMA journal_mode = delete")
    holder = sqlite3.connect(folder / "cache.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreError, match="locked") as refusal:
        Store(folder)

    holder.close()
    assert not isinstance(refusal.value, DamagedStoreError)
    store = Store(folder)
    assert store.get("key") == "value"
    store.close()


_connect = sqlite3.connect


def impatient(*arguments: Any, **options: Any) -> sqlite3.Connection:
    return _connect(*arguments, **{**options, "timeout": 0})


# Connections of the ledger


@pytest.mark.parametrize("damage", [garbage, conflict, cut_short])
def test_a_file_that_is_no_database_is_told(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "cache.db")

    with pytest.raises(DamagedStoreError, match=r"cache\.db"):
        connect(folder / "cache.db")


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_a_connection_follows_no_link(tmp_path: Path, ending: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / f"history.db{ending}").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeStoreError, match="symbolic link"):
        connect(tmp_path / "history.db")

    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_folder_in_place_of_the_file_is_an_error_but_no_damage(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()

    with pytest.raises(StoreError) as refusal:
        connect(tmp_path / "history.db")

    assert not isinstance(refusal.value, DamagedStoreError)


def test_the_ledgers_file_is_private(tmp_path: Path) -> None:
    connect(tmp_path / "history.db").close()

    assert stat.S_IMODE((tmp_path / "history.db").stat().st_mode) == 0o600


def test_a_read_only_connection_sees_the_newest_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = connect(path)
    writer.execute("CREATE TABLE t (a)")
    writer.execute("INSERT INTO t VALUES (1)")

    reader = connect(path, read_only=True)

    assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM t")
    reader.close()
    writer.close()


def test_writable_asks_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    assert writable(tmp_path / "a" / "b" / "c")
