"""Killed processes and read-only folders: what was answered is kept, what was spent is known.

Real processes and real files; nothing waits for a clock.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from llm_magic import care
from llm_magic.cassette import Cassette
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.history import History, Totals, day_scope, session
from llm_magic.shelf import Shelf
from llm_magic.testing import FakeServer

PRICED = "openai/gpt-4o-mini"
PATH = Path("analysis.cassette.jsonl")


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def killed(process: subprocess.Popen[str], after_lines: int = 0) -> list[str]:
    """Kill it without warning once it has printed so many lines; all that it printed."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after_lines)]
    assert all(lines), process.communicate()[1]
    process.kill()
    # communicate() would lose the lines that readline() has read ahead.
    rest = process.stdout.read()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    # The last line may be cut short: that answer was not acknowledged.
    return [line for line in ("".join(lines) + rest).split("\n")[:-1] if line]


def ended_by_itself(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors


@contextmanager
def ledger() -> Iterator[History]:
    opened = History(Workspace(Path.cwd()))
    yield opened
    opened.close()


@contextmanager
def shelf(folder: str = ".") -> Iterator[Shelf]:
    opened = Shelf(Workspace(Path(folder).resolve()))
    yield opened
    opened.close()


# Killed

BURST = """
import itertools, sys, threading
from llm_magic.client import Client

client = Client(".", model="echo/echo", mode="CAPTURE")
printing = threading.Lock()

def work(name):
    for turn in itertools.count():
        answer = client.complete(f"{sys.argv[2:]} {name} {turn}?")
        with printing:
            print(answer.key, flush=True)

for name in range(int(sys.argv[1])):
    threading.Thread(target=work, args=(name,)).start()
"""


@pytest.mark.parametrize(
    ("threads", "after"), [(1, 1), (1, 60), (1, 150), (4, 100), (4, 200), (8, 300)]
)
def test_no_acknowledged_answer_is_lost(threads: int, after: int) -> None:
    acknowledged = killed(start(BURST, str(threads)), after)

    with shelf() as opened:
        missing = [key for key in acknowledged if opened.find(key, 0, None) is None]
    with ledger() as rows:
        by_key = {row["key"]: row for row in rows.rows()}
        totals = rows.totals()

    assert len(acknowledged) >= after
    assert missing == []
    assert {by_key[key]["status"] for key in acknowledged} == {"ok"}
    assert len(by_key) - len(acknowledged) <= threads
    assert totals.calls == totals.live == len(by_key)


def test_a_killed_process_leaves_no_pending_row_and_each_answer_once() -> None:
    for _ in range(3):
        killed(start(BURST, "4"), 40)

    with ledger() as rows:
        statuses = {row["status"] for row in rows.rows()}
        first = rows.totals()
    with ledger() as again:
        assert again.totals() == first

    assert statuses <= {"ok", "unknown"}


def test_killed_at_twenty_random_moments_no_acknowledged_answer_is_lost() -> None:
    moments = random.Random(4)
    acknowledged: list[str] = []

    for turn in range(20):
        process = start(BURST, str(moments.randint(1, 8)), str(turn))
        acknowledged += killed(process, moments.randint(1, 120))

    with shelf() as opened:
        missing = [key for key in acknowledged if opened.find(key, 0, None) is None]
    with ledger() as rows:
        statuses = {row["key"]: row["status"] for row in rows.rows()}
    assert missing == []
    assert {statuses[key] for key in acknowledged} == {"ok"}
    assert set(statuses.values()) <= {"ok", "unknown"}
    assert care.check(Workspace(Path.cwd())).problems == []


CROWD = """
import sys, threading
from llm_magic.client import Client

client = Client(".", model="echo/echo", mode="CAPTURE")
keys = []
print(flush=True)
sys.stdin.readline()

def work(thread):
    for turn in range(313):
        keys.append(client.complete(f"{sys.argv[1]} {thread} {turn}?").key)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
client.close()
print("\\n".join(keys))
"""


def test_four_processes_with_eight_threads_record_ten_thousand_answers() -> None:
    processes = [start(CROWD, str(number)) for number in range(4)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()

    # They have all come so far: now they go at once.
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in processes]

    assert [errors for _, errors in ended] == [""] * 4
    keys = {key for printed, _ in ended for key in printed.split()}
    assert len(keys) == 4 * 8 * 313
    with shelf() as opened:
        assert {key for key, _, _ in opened.recordings.all()} == keys
    with ledger() as rows:
        totals = rows.totals()
    assert (totals.calls, totals.live, totals.failed) == (len(keys), len(keys), 0)
    assert care.check(Workspace(Path.cwd())).problems == []


SAVING = """
import itertools
from llm_magic.client import Client

client = Client(".", model="echo/echo")
for turn in itertools.count():
    client.complete(f"{turn}?")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    print(turn, flush=True)
"""


@pytest.mark.parametrize("after", [1, 15, 40])
def test_a_cassette_is_whole_whenever_the_process_is_killed(after: int) -> None:
    acknowledged = killed(start(SAVING), after)

    cassette = Cassette(PATH)

    assert len(cassette) >= len(acknowledged)
    assert all(cassette.line(*place) for place in cassette)
    with shelf() as opened:
        assert opened.save("analysis").total >= len(cassette)
        status = opened.status("analysis")
    assert status.unsaved == 0
    assert status.in_cassette + status.unnamed <= len(acknowledged) + 1


def test_a_call_that_was_killed_on_its_way_is_unknown(server: FakeServer) -> None:
    server.hang()
    process = start(f"import llm_magic; llm_magic.complete('Why?', model={PRICED!r})")
    server.wait_for(1)

    with ledger() as rows:
        assert [row["status"] for row in rows.rows()] == ["pending"]
    killed(process)

    with ledger() as rows:
        (row,) = rows.rows()
        assert rows.totals() == Totals(calls=1, live=1, failed=1, unknown=1)
    assert (row["status"], row["cost"]) == ("unknown", None)
    assert "the process ended" in row["error_message"]


KILLED_AT = """
import os, signal
from llm_magic import history, shelf
import llm_magic

def die(*arguments, **columns):
    os.kill(os.getpid(), signal.SIGKILL)

{where} = die
llm_magic.complete("Why?", model={model!r})
"""


def test_an_answer_that_was_stored_completes_the_ledger_once(server: FakeServer) -> None:
    server.reply("Because.", usage=(1000, 500))
    ended_by_itself(start(KILLED_AT.format(where="history.History.finish", model=PRICED)))

    with ledger() as one, ledger() as two:
        (row,) = one.rows()
        assert (row["status"], row["cost"], row["output_tokens"]) == ("ok", "0.00045", 500)
        assert "completed from the recording" in row["notes"]
        assert one.totals() == two.totals()
        assert two.totals().spent == Decimal("0.00045")

    client = Client(".", model=PRICED)
    assert client.complete("Why?").source == "replay"
    assert client.history.totals().spent == client.history.totals().saved == Decimal("0.00045")
    client.close()
    assert server.count == 1


def test_an_answer_that_was_not_stored_is_unknown(server: FakeServer) -> None:
    ended_by_itself(start(KILLED_AT.format(where="shelf.Shelf.put", model=PRICED)))

    with ledger() as rows:
        assert rows.totals() == Totals(calls=1, live=1, failed=1, unknown=1)
    with shelf() as opened:
        assert list(opened.recordings.all()) == []


@pytest.mark.parametrize(
    ("moment", "cost"),
    [
        # After the answer came, and before it was anywhere: nobody knows what it cost.
        ("shelf.Shelf.put", None),
        # After it was recorded, and before its row was completed: what it cost is known.
        ("history.History.finish", "0.00045"),
    ],
)
def test_what_a_killed_process_had_set_aside_is_counted_once(
    moment: str, cost: str | None, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply("Because.", usage=(1000, 500))
    monkeypatch.setenv("LLM_MAGIC_BUDGET_PER_DAY", "1")
    monkeypatch.setenv("LLM_MAGIC_SESSION", "of-the-dead")
    ended_by_itself(start(KILLED_AT.format(where=moment, model=PRICED)))

    for _ in range(3):
        with ledger() as one, ledger() as two:
            (row,) = one.rows()
            held = one.counters(["session:of-the-dead"])["session:of-the-dead"]
            assert one.totals() == two.totals()
        assert held.reserved == 0
        assert row["cost"] == cost
        assert held.settled == Decimal(cost or row["reserved"])


def test_a_cloned_cassette_adds_nothing_to_what_is_spent(server: FakeServer) -> None:
    """Neither opening it nor replaying it, in a folder that never made a live call."""
    Path("there").mkdir()
    colleague = Client("there", model=PRICED)
    server.reply("Because.", usage=(1000, 500))
    colleague.complete("Why?")
    colleague.shelf.adopt("analysis")
    colleague.shelf.save("analysis")
    colleague.close()
    shutil.copy("there/analysis.cassette.jsonl", PATH)

    client = Client(".", model=PRICED)
    assert client.complete("Why?", mode="REPLAY").source == "replay"

    totals = client.history.totals()
    scopes = f"session:{session()}", day_scope(datetime.now(UTC))
    assert (totals.spent, totals.saved, totals.live) == (0, Decimal("0.00045"), 0)
    assert {held.settled for held in client.history.counters(scopes).values()} == {Decimal(0)}
    client.close()


def test_what_came_with_a_cassette_is_never_spent(server: FakeServer) -> None:
    """A colleague's answer to the request that was killed here is not what this process paid."""
    Path("there").mkdir()
    colleague = Client("there", model=PRICED)
    colleague.complete("Why?")
    colleague.shelf.adopt("analysis")
    colleague.shelf.save("analysis")
    colleague.close()
    ended_by_itself(start(KILLED_AT.format(where="shelf.Shelf.put", model=PRICED)))
    shutil.copy("there/analysis.cassette.jsonl", PATH)
    with shelf() as opened:
        assert opened.load("analysis") == 1

    with ledger() as rows:
        assert rows.totals().spent == 0
        assert rows.totals().unknown == 1


def test_a_row_of_a_living_process_is_left_alone(server: FakeServer) -> None:
    server.hang()
    process = start(
        "import sys, llm_magic\n"
        "from llm_magic import history\n"
        "call = history.default().begin(model='a')\n"
        "print(flush=True); sys.stdin.readline()\n"
        "history.default().finish(call, status='ok', cost=1)\n"
    )
    assert process.stdout is not None
    process.stdout.readline()

    with ledger() as rows:
        assert rows.rows()[0]["status"] == "pending"
        process.communicate("\n", timeout=30)
        assert rows.rows()[0]["status"] == "ok"


# Read-only


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be written, not even by root (see ``run_without_rights``)."""
    places = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in places}
    for path in reversed(places):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield
    for path in places:
        path.chmod(modes[path])


def run_without_rights(code: str) -> str:
    """Run Python where file modes hold for root too; what it printed."""
    command = [sys.executable, "-W", "error", "-c", CANNOT_WRITE + code]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root needs setpriv to give up its rights")
        rights = "-dac_override,-dac_read_search,-fowner"
        command = ["setpriv", f"--bounding-set={rights}", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CANNOT_WRITE = """
try:
    open("probe", "w")
except OSError:
    pass
else:
    raise SystemExit("the folder can be written after all")
"""

REPLAY = """
import llm_magic
answer = llm_magic.complete("Why?", model="openai/gpt-4o-mini", mode="REPLAY")
totals = llm_magic.history.totals(session=llm_magic.history.session())
print(answer.text, answer.source, totals.calls, totals.replayed)
"""


def record(server: FakeServer) -> None:
    """Leave a store and a cassette in this folder."""
    server.reply("Because.")
    client = Client(".", model=PRICED)
    client.complete("Why?")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    client.close()
    from llm_magic import history

    history.close()


def contents() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


@pytest.mark.parametrize(
    "left", ["store and cassette", "cassette", "store", "store and empty folder"]
)
def test_a_read_only_folder_replays_and_nothing_is_written(left: str, server: FakeServer) -> None:
    record(server)
    if left == "cassette":
        shutil.rmtree(".llm_magic")
    if left in ("store", "store and empty folder"):
        PATH.unlink()
    if left == "store and empty folder":
        (Path(".llm_magic") / "history.db").unlink()
    before = contents()

    with read_only(Path.cwd()):
        printed = run_without_rights(REPLAY)

    assert printed == "Because. replay 1 1"
    assert contents() == before


def test_a_read_only_store_that_was_in_use_replays(server: FakeServer) -> None:
    """Its newest rows are in the log that SQLite leaves when a process is killed."""
    server.reply("Because.")
    code = f"import llm_magic; llm_magic.complete('Why?', model={PRICED!r}); print(flush=True);"
    killed(start(code + "import sys; sys.stdin.readline()"), 1)
    assert Path(".llm_magic/recordings/cache.db-wal").stat().st_size
    before = contents()

    with read_only(Path.cwd()):
        printed = run_without_rights(REPLAY)

    assert printed == "Because. replay 1 1"
    assert contents() == before


def test_a_miss_in_a_read_only_folder_is_a_miss(server: FakeServer) -> None:
    record(server)

    with read_only(Path.cwd()):
        printed = run_without_rights(
            "import llm_magic\n"
            "try:\n"
            f"    llm_magic.complete('What?', model={PRICED!r}, mode='REPLAY')\n"
            "except llm_magic.ReplayMissError as miss:\n"
            "    print(llm_magic.history.totals().failed)\n"
        )

    assert printed == "1"


@pytest.mark.parametrize("mode", ["FALLBACK", "CAPTURE"])
def test_a_new_answer_in_a_read_only_folder_is_given_with_a_warning(
    mode: str, server: FakeServer
) -> None:
    record(server)
    before = contents()

    with read_only(Path.cwd()):
        printed = run_without_rights(
            "import llm_magic, warnings\n"
            "with warnings.catch_warnings(record=True) as told, llm_magic.run('cell'):\n"
            "    warnings.simplefilter('always')\n"
            f"    text = llm_magic.complete('What?', model='echo/echo', mode={mode!r}).text\n"
            f"    why = llm_magic.complete('Why?', model={PRICED!r}, mode={mode!r})\n"
            "print(text[-5:], why.text, len(told), 'read-only' in str(told[0].message))\n"
        )

    again = "Because. 1" if mode == "FALLBACK" else "You said: Why? 2"
    assert printed == f"What? {again} True"
    assert contents() == before


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_damaged_store_in_a_read_only_folder_leaves_the_cassette(
    content: bytes, server: FakeServer
) -> None:
    record(server)
    Path(".llm_magic/recordings/cache.db").write_bytes(content)
    before = contents()

    with read_only(Path.cwd()):
        printed = run_without_rights(
            "import warnings; warnings.filterwarnings('ignore', '.*read from the cassette')"
            + REPLAY
        )

    assert printed == "Because. replay 1 1"
    assert contents() == before


# Damaged and unsafe


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_after_damage_answers_come_from_the_cassette(content: bytes, server: FakeServer) -> None:
    record(server)
    Path(".llm_magic/recordings/cache.db").write_bytes(content)

    client = Client(".", model=PRICED, mode="REPLAY")
    with pytest.warns(RuntimeWarning, match=r"moved to recordings\.damaged-"):
        answer = client.complete("Why?")

    assert answer.text == "Because."
    (aside,) = Path(".llm_magic").glob("recordings.damaged-*")
    assert (aside / "cache.db").read_bytes() == content
    client.close()


def test_a_store_deleted_under_a_running_client_is_made_again(server: FakeServer) -> None:
    record(server)
    shutil.rmtree(".llm_magic")
    client = Client(".", model=PRICED)

    assert client.complete("Why?").source == "replay"

    client.close()
    assert server.count == 1
