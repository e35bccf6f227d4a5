"""Full disks, deleted folders, network drives, odd builds of SQLite: the work goes on.

Where it takes rights that a test may not have (a file system of its own), the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llm_magic import care, config, mounts
from llm_magic.client import Client
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import StoreError
from llm_magic.shelf import Shelf
from llm_magic.storage import Store
from llm_magic.storage.preflight import LARGEST_VALUE
from llm_magic.storage.store import _SETTINGS

# A full disk

SMALL_DISK = """
import contextlib, json, os, sys, warnings
from llm_magic import care, history
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import DiskFullError
from pathlib import Path

os.chdir(sys.argv[1])
told = []

def note(value, warned=()):
    told.append([value, [str(warning.message) for warning in warned]])

def fill():
    with contextlib.suppress(OSError), open("ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))

def opened():
    return Client(".", model="echo/echo")

@contextlib.contextmanager
def warned():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
"""


def on_a_small_disk(code: str, tmp_path: Path) -> list[Any]:
    """Run Python in a folder on a disk of one megabyte; what it noted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -W error -c "$3" "$1"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "x", disk], check=False).returncode:
        pytest.skip("it takes a mount namespace of its own")
    done = subprocess.run(
        [
            *unshare,
            "sh",
            "-c",
            command,
            "sh",
            str(disk),
            sys.executable,
            SMALL_DISK + code + "\nprint(json.dumps(told))",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_paid_answer_reaches_its_caller_on_a_full_disk_and_the_work_goes_on(
    tmp_path: Path,
) -> None:
    """The disk is full when the answer comes, and has space again for the next."""
    first, refused, replayed, afterwards, report = on_a_small_disk(
        """
client = opened()
client.complete("before?")
with warned() as caught, client.stream("Why?") as stream:
    next(stream)
    fill()
    text = "".join(chunk.text for chunk in stream)
note(stream.completion.text[-4:], caught)
try:
    client.complete("x" * 9000)
except DiskFullError as error:
    note(str(error))
with warned() as caught:
    source = client.complete("before?", mode="REPLAY").source
    client.history.flush()
    note(source, caught)
os.unlink("ballast")
with warned() as caught:
    note([client.complete("Why?").source, client.complete("Why?").source], caught)
client.close()
history.close()
note([one.text for one in care.check(Workspace(Path.cwd())).problems])
""",
        tmp_path,
    )

    assert first[0] == "Why?"
    (warning,) = first[1]
    assert "the answer was not recorded" in warning
    assert "full" in warning
    assert refused[0].startswith("nothing was sent: the ledger")
    assert replayed[0] == "replay"
    assert "the ledger lacks 1 replay" in replayed[1][0]
    assert afterwards == [["live", "replay"], []]
    assert report == [[], []]


def test_a_kernel_that_starts_on_a_full_disk_replays_and_records_once_there_is_space(
    tmp_path: Path,
) -> None:
    replayed, live, recorded, report = on_a_small_disk(
        """
client = opened()
client.complete("before?")
client.close()
history.close()
fill()
client = opened()
with warned() as caught:
    source = client.complete("before?", mode="REPLAY").source
    client.history.flush()
    note(source, caught)
with warned() as caught:
    note(client.complete("Why?").source, caught)
os.unlink("ballast")
with warned() as caught:
    note([client.complete("Why?").source, client.complete("Why?").source], caught)
client.close()
history.close()
note([one.text for one in care.check(Workspace(Path.cwd())).problems])
""",
        tmp_path,
    )

    assert replayed[0] == "replay"
    assert "counted in memory only" in replayed[1][0]
    assert live[0] == "live"
    assert "the answer was not recorded" in live[1][0]
    assert recorded == [["live", "replay"], []]
    assert report == [[], []]


def test_a_cassette_that_was_pulled_replays_on_a_full_disk(tmp_path: Path) -> None:
    """A look-up notes what it found; where there is no space, it is found all the same."""
    pulled, again = on_a_small_disk(
        """
client = opened()
client.complete("before?")
client.shelf.adopt("analysis")
client.shelf.save("analysis")
client.close()
other = opened()
other.complete("something else?")
fill()
path = Path("analysis.cassette.jsonl")
path.touch()
with warned():
    note(other.complete("before?", mode="REPLAY").source)
os.unlink("ballast")
note(other.complete("before?", mode="REPLAY").source)
""",
        tmp_path,
    )

    assert (pulled[0], again[0]) == ("replay", "replay")


def test_a_cassette_replays_where_there_is_no_space_for_a_working_folder(tmp_path: Path) -> None:
    ((source, _),) = on_a_small_disk(
        """
import shutil
client = opened()
client.complete("before?")
client.shelf.adopt("analysis")
client.shelf.save("analysis")
client.close()
history.close()
shutil.rmtree(".llm_magic")
fill()
with warned():
    note(opened().complete("before?", mode="REPLAY").source)
""",
        tmp_path,
    )

    assert source == "replay"


# A folder that goes away


def test_a_working_folder_deleted_under_a_kernel_is_made_again() -> None:
    client = Client(".", model="echo/echo")
    client.complete("before?")
    shutil.rmtree(".llm_magic")

    with pytest.warns(RuntimeWarning, match="deleted or replaced; a new store was begun"):
        client.complete("Why?")

    assert client.complete("Why?", mode="REPLAY").source == "replay"
    assert client.history.totals().calls == 2
    assert "*" in Path(".llm_magic/.gitignore").read_text()
    client.close()


def test_a_notebooks_folder_that_was_deleted_is_not_brought_back(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    client = Client(folder, model="echo/echo")
    client.complete("before?")
    shutil.rmtree(folder)
    warnings.filterwarnings("ignore", ".*deleted or replaced")

    for _ in range(2):
        with pytest.raises(StoreError, match="No such file"):
            client.complete("Why?", mode="CAPTURE")
    assert not folder.exists()
    folder.mkdir()

    assert client.complete("Why?").source == "live"
    assert client.complete("Why?", mode="REPLAY").source == "replay"
    client.close()


def test_a_paid_answer_reaches_its_caller_when_the_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    client = Client(folder, model="echo/echo")
    stream = client.stream("Why?")
    next(stream)
    shutil.rmtree(folder)
    with pytest.warns(RuntimeWarning, match="not recorded|not completed") as warned:
        text = "".join(chunk.text for chunk in stream)

    assert text.endswith("Why?")
    assert "No such file" in str(warned[0].message)
    client.close()


def test_the_working_folder_of_another_user_is_a_clear_error() -> None:
    """In a folder that several people share, each needs a place of his own for working files."""
    Path(".llm_magic").mkdir(mode=0o000)
    command = [sys.executable, "-c", "import llm_magic; llm_magic.complete('?', model='echo/echo')"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root needs setpriv to give up its rights")
        rights = "-dac_override,-dac_read_search,-fowner"
        command = ["setpriv", f"--bounding-set={rights}", *command]

    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    allowed = subprocess.run(
        command, env={**os.environ, "LLM_MAGIC_WORKING": str(Path("mine").resolve())}, check=False
    )

    assert "belongs to somebody else; LLM_MAGIC_WORKING=FOLDER" in refused.stderr
    assert allowed.returncode == 0


# A network file system


MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:28 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:29 / /home/ann/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:30 / /mnt/c rw - 9p drvfs rw
33 22 0:31 / /mnt/bucket rw - fuse.s3fs s3fs rw
34 22 0:32 / /mnt/encrypted rw - fuse.gocryptfs secret rw
35 22 0:33 / /mnt/share rw master:2 - cifs //nas/share rw
36 22 0:34 / /mnt/share rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/work", None),
        ("/home", "nfs4"),
        ("/home/ann/notebooks", "nfs4"),
        ("/homes", None),
        ("/home/ann/local disk/notebooks", None),
        ("/mnt/c/Users", "9p"),
        ("/mnt/bucket/a", "fuse.s3fs"),
        ("/mnt/encrypted/a", None),
        ("/mnt/share", None),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="mountinfo is Linux's")
def test_a_network_file_system_is_known_by_its_type(
    folder: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "mountinfo")

    assert mounts.network_type(Path(folder)) == kind


@pytest.fixture
def on_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, as if it were on another machine."""
    if sys.platform != "linux":
        pytest.skip("mountinfo is Linux's")
    (tmp_path / "mountinfo").write_text(f"30 22 0:28 / {Path.cwd()} rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(mounts, "_MOUNTINFO", tmp_path / "mountinfo")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    config._elsewhere.cache_clear()
    return Path.cwd()


def test_on_a_network_drive_the_working_files_move_and_the_cassette_stays(on_network: Path) -> None:
    client = Client(".", model="echo/echo")
    client.complete("Why?")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    client.close()
    working = Workspace(on_network).working

    assert [path.name for path in on_network.iterdir()] == ["analysis.cassette.jsonl"]
    assert working.parent == mounts.cache_folder()
    assert working.is_relative_to(Path.home() / ".cache" / "llm-magic")
    assert {path.name for path in working.iterdir()} >= {"recordings", "history.db"}
    note = care.check(Workspace(on_network)).findings[0]
    assert (note.level, note.file) == ("note", str(working))


def test_each_folder_has_one_place_in_the_cache_and_no_other_has_it(on_network: Path) -> None:
    (on_network / "a").mkdir()

    assert Workspace(on_network).working == Workspace(on_network).working
    assert Workspace(on_network).working != Workspace(on_network / "a").working


def test_two_machines_share_no_working_files(
    on_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = mounts.cache_folder()
    monkeypatch.setattr(mounts.platform, "node", lambda: "another/machine")

    assert mounts.cache_folder() != here
    assert mounts.cache_folder().parent == here.parent


def test_another_place_for_the_working_files_can_be_told(on_network: Path, tmp_path: Path) -> None:
    settings = Settings(on_network, environ={"LLM_MAGIC_WORKING": str(tmp_path / "fast")})

    assert settings.workspace.working.parent == tmp_path / "fast"
    with closing(Shelf(settings.workspace)) as shelf:
        shelf.store.set("key", "value")
    assert settings.workspace.working.is_dir()


# An odd build of SQLite


STRICT = """
import sqlite3, sys

def strict(*arguments, **options):
    connection = connect(*arguments, **options)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DML, False)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DDL, False)
    else:
        # The first thing in the object, after its count of references and its type.
        database = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
        for option in (1013, 1014):
            assert library.sqlite3_db_config(database, option, 0, None) == 0
    return connection

if sys.version_info < (3, 12):
    import _sqlite3, ctypes
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_db_config.argtypes = [
        ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
    ]
connect, sqlite3.connect = sqlite3.connect, strict
try:
    sqlite3.connect(":memory:").execute('SELECT "text"')
except sqlite3.OperationalError:
    pass
else:
    raise SystemExit("double-quoted texts still pass")
"""


def made_by_diskcache(folder: Path) -> None:
    """A store as our first version left it: made by diskcache, with its double quotes."""
    import diskcache

    diskcache.Cache(str(folder), **_SETTINGS).close()


@pytest.mark.parametrize("made", [None, made_by_diskcache], ids=["new", "old"])
def test_a_store_works_without_double_quoted_texts(
    made: Callable[[Path], None] | None, run_python: Any
) -> None:
    """Some builds of SQLite (conda-forge's, Homebrew's) take them for names of columns."""
    if made is not None:
        made(Path("store"))

    done = run_python(
        STRICT + "from pathlib import Path\n"
        "from llm_magic.storage import Store\n"
        "store = Store(Path('store'))\n"
        "store.set('key', 'value'); store.set('key', 'new'); store.set('other', 'value')\n"
        "store.delete('other')\n"
        "print(store.get('key'))\n"
        "store.close()\n"
        "store = Store(Path('store')); print(store.get('key'))\n"
    )

    assert done.stdout == "new\nnew\n", done.stderr
    store = Store(Path("store"))
    assert store.get("key") == "new"
    store.close()


# Large


def test_nothing_of_ours_ends_at_two_gigabytes() -> None:
    """The measured check is in CONTRIBUTING; these are the numbers that it depends on."""
    import sqlite3

    with closing(sqlite3.connect(":memory:")) as connection:
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = connection.execute("PRAGMA max_page_count").fetchone()[0]

    assert page_size * pages > 2**40
    assert _SETTINGS["size_limit"] > 2**40
    assert _SETTINGS["disk_min_file_size"] > LARGEST_VALUE
