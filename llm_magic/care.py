"""Whether the files of a folder are whole: store, cassettes, ledger, and what was set aside.

:func:`check` only reads, and opens nothing as its owner would: what it looks at may be broken, or
come from somebody else. :mod:`llm_magic.rescue` mends what it finds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from llm_magic import history, packed
from llm_magic.cassette import ENDING, NOTEBOOK, Cassette, Place, unfinished
from llm_magic.config import Workspace
from llm_magic.exceptions import (
    CassetteError,
    DamagedStoreError,
    LLMMagicError,
    StoreError,
    UnsafeStoreError,
)
from llm_magic.formats import count, counted, table
from llm_magic.recordings import Recording, Variant, parse_row
from llm_magic.secrets import redact
from llm_magic.shelf import parse_sync
from llm_magic.storage import connect, refuse_folder, writable
from llm_magic.storage.database import telling
from llm_magic.storage.preflight import OUR_ROWS, inspect
from llm_magic.storage.salvage import integrity, readable_rows
from llm_magic.verify import leaks
from llm_magic.worddiff import visible

__all__ = ["HEADER", "RESCUED", "Finding", "Progress", "Report", "check"]

HEADER = ["", "file", "what"]
# A damaged store with this file in it was looked through by a repair.
RESCUED = "rescued.txt"

# So many of one kind are named, the others counted.
_NAMED = 3

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report.

    Attributes
    ----------
    level : str
        ``ok``, ``note`` (good to know) or ``problem`` (something to do).
    file : str
        Name of the file, relative to the folder where it is in it.
    text : str
        What there is to say, in words; it holds no key, and nothing that cannot be seen.
    """

    level: Level
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What :func:`check` found.

    Attributes
    ----------
    findings : list of Finding
        A line for each thing, in the order store, cassettes, ledger, set aside.
    """

    findings: list[Finding]

    @property
    def problems(self) -> list[Finding]:
        """The lines that ask for something to be done."""
        return [finding for finding in self.findings if finding.level == "problem"]

    def rows(self) -> list[tuple[str, str, str]]:
        """The lines under ``HEADER``."""
        return [(one.level, one.file, one.text) for one in self.findings]

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        found = self.problems
        return counted(len(found), "problem") if found else "everything is in order"

    def __str__(self) -> str:
        return f"{table(HEADER, self.rows())}\n{self.verdict}"


class Progress:
    """Says now and then how far a long work is.

    Parameters
    ----------
    tell : callable
        Gets a line of text, at most twice a second, and never in the first half of one.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self._tell = tell
        self._last = time.monotonic()

    def __call__(self, doing: str, done: int) -> None:
        """Note that so many are done."""
        moment = time.monotonic()
        if self._tell is not None and moment - self._last > 0.5:
            self._last = moment
            self._tell(f"{doing}: {count(done)}")


def check(workspace: Workspace, progress: Progress | None = None) -> Report:
    """Look through the files of a folder; nothing is changed.

    Parameters
    ----------
    workspace : Workspace
        The folder.
    progress : Progress, optional
        Is told how far the work is.

    Returns
    -------
    Report
        What is whole, what is not, and what to do about it.
    """
    tick = progress or Progress()
    return Report(
        [
            Finding(level, visible(redact(file)), _shown(text, workspace.folder))
            for level, file, text in _found(workspace, tick)
        ]
    )


def _shown(text: str, folder: Path) -> str:
    line = " ".join(text.replace(f"{folder}{os.sep}", "").split())
    return visible(leaks.hidden(line))


# Level, file and text, before they are made fit to be seen.
_Found = Iterator[tuple[Level, str, str]]


def _found(workspace: Workspace, tick: Progress) -> _Found:
    working = workspace.working
    try:
        refuse_folder(working)
    except StoreError as error:
        yield "problem", working.name, str(error)
    else:
        if working.parent != workspace.folder:
            yield "note", str(working), "the working files of this folder are there"
        if not writable(working):
            yield (
                "note",
                working.name,
                "it cannot be written: nothing new is recorded",
            )
        yield from store(working, tick)
    yield from _cassettes(workspace.folder, tick)
    if not working.is_symlink():
        yield from ledger(working)
        yield from _aside(working)


# The store


def store(working: Path, tick: Progress) -> _Found:
    """What there is to say of the store; a problem means that it needs a repair."""
    folder = working / "recordings"
    path = folder / "cache.db"
    name = folder.name
    try:
        inspect(folder)
        if not path.exists():
            yield "ok", name, "there is no store yet"
            return
        with closing(connect(path, read_only=True)) as connection:
            broken = integrity(connection, path)
    except StoreError as error:
        yield "problem", name, str(error)
        return
    if broken:
        yield "problem", name, f"the database is broken: {'; '.join(broken)}"
        return
    good, bad = 0, []
    for at, (key, value) in enumerate(readable_rows(path, "Cache", ("key", "value"), OUR_ROWS)):
        tick("rows of the store", at)
        try:
            good += sum(bool(variant.line) for _, variant in answers(key, value))
        except LLMMagicError as error:
            bad.append(f"{key[:60]}: {error}")
    if bad:
        yield "problem", name, f"{counted(len(bad), 'row')} cannot be used: {_some(bad)}"
    else:
        size = path.stat().st_size / 1e6
        yield "ok", name, f"{counted(good, 'recording')}, {size:,.1f} MB"


def answers(name: str, text: str) -> list[tuple[Place, Variant]]:
    """The answers in a row of the store, each checked; none for a row of another kind.

    Raises
    ------
    StoreError, CassetteError
        For a row that is not one of ours.
    """
    kind = name.partition(":")[0].partition("/")[0]
    if kind == "cassette":
        parse_sync(text)
    if kind in ("cassette", "index"):
        return []
    try:
        prefix, key, ordinal = name.split(":")
        place = (key, int(ordinal))
    except ValueError:
        raise StoreError("a name that llm-magic never writes") from None
    if prefix != "answer":
        raise StoreError("a name that llm-magic never writes")
    found = []
    for variant in parse_row(text):
        if variant.line:
            check_line(variant.line, place)
        if not all(type(user) is str for user in variant.users):
            raise StoreError("it says of whom it is in a way of its own")
        found.append((place, variant))
    if not found:
        raise StoreError("it holds no answer")
    return found


def check_line(line: str, place: Place) -> None:
    """Raise unless the line is a recording of ours, for this place.

    Raises
    ------
    CassetteError
        Says why not.
    """
    try:
        recording = Recording.from_line(line)
        recording.check()
    except CassetteError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CassetteError(f"it is not a recording: {type(error).__name__}: {error}") from None
    if (recording.key, recording.ordinal) != place:
        raise CassetteError("it holds the answer to another request")


def _some(texts: list[str]) -> str:
    more = len(texts) - _NAMED
    return "; ".join(texts[:_NAMED]) + (f"; and {count(more)} more" if more > 0 else "")


# Cassettes


def sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names of notebooks, and the files that carry a cassette of theirs."""
    for path in sorted(folder.glob(f"*{ENDING}")):
        yield path.name.removesuffix(ENDING), path
    for path in sorted(folder.glob(f"*{NOTEBOOK}")):
        if path.is_file() and packed.is_packed(path):
            yield path.stem, path


def _cassettes(folder: Path, tick: Progress) -> _Found:
    for path in unfinished(folder):
        yield "note", path.name, "left by a save that was killed; the next one removes it"
    for _, path in sources(folder):
        try:
            cassette = Cassette(path)
            edited, leaked = _look_through(cassette, tick)
        except CassetteError as error:
            yield "problem", path.name, str(error)
            continue
        if edited:
            text = f"{counted(len(edited), 'recording')} cannot be replayed: {_some(edited)}"
            yield "problem", path.name, text
        if leaked:
            yield "problem", path.name, f"{_some(leaked)}. %llm forget KEY removes a recording"
        if not (edited or leaked):
            yield "ok", path.name, counted(len(cassette), "recording")


def _look_through(cassette: Cassette, tick: Progress) -> tuple[list[str], list[str]]:
    edited, leaked = [], []
    for at, (place, line) in enumerate(cassette.lines().items()):
        tick(f"recordings of {cassette.path.name}", at)
        try:
            check_line(line, place)
        except CassetteError as error:
            _, _, number = cassette.spans.of(place[0])[place[1]]
            edited.append(f"line {number}: {error}")
        leaked += [f"{place[0][:12]}… holds {what}" for what in leaks.found(line)]
    return edited, leaked


# The ledger


def ledger(working: Path) -> _Found:
    """What there is to say of the ledger; a problem means that it needs a repair."""
    path = working / "history.db"
    try:
        if not path.exists():
            yield "ok", path.name, "there is no ledger yet"
            return
        with closing(connect(path, read_only=True)) as connection:
            history.refuse_strange(connection, path)
            if broken := integrity(connection, path):
                yield "problem", path.name, f"the database is broken: {'; '.join(broken)}"
                return
            columns = history.columns_of(connection)
        refuse_newer(path)
        yield from _ledger_rows(path, columns)
    except StoreError as error:
        yield "problem", path.name, str(error)


def refuse_newer(path: Path) -> None:
    """Raise for a ledger that only a later version can read, or that is out of reach now.

    Raises
    ------
    StoreError
        Says what to do.
    """
    try:
        with closing(connect(path, read_only=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (DamagedStoreError, UnsafeStoreError):
        return
    if version > history.SCHEMA:
        raise StoreError(f"{path} was written by a newer llm-magic; pip install -U llm-magic")


def _ledger_rows(path: Path, columns: list[str]) -> _Found:
    if not columns:
        yield "ok", path.name, "there is no call in it yet"
        return
    total, strange, pending = 0, 0, 0
    for values in readable_rows(path, "calls", columns):
        row = dict(zip(columns, values, strict=True))
        total += 1
        strange += cleaned(row) != row
        if row["status"] == "pending":
            pending += not history.alive(row["pid"], row["process_started"])
    if strange:
        yield "problem", path.name, f"{counted(strange, 'row')} with values that are not ours"
    else:
        yield "ok", path.name, counted(total, "call")
    if pending:
        told = f"{counted(pending, 'call')} of processes that ended are not settled yet"
        yield "note", path.name, f"{told}; the next call in this folder does it"


_KINDS: Mapping[str, tuple[type, ...]] = {
    "Int64": (int,),
    "boolean": (int,),
    "Float64": (float, int),
}


def cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a ledger without the values that none of ours has."""
    return {name: value if _fits(name, value) else None for name, value in row.items()}


def _fits(name: str, value: Any) -> bool:
    if value is None:
        return name != "id"
    if name not in (*history.MONEY, "started"):
        return isinstance(value, _KINDS.get(history.COLUMNS[name], (str,)))
    try:
        if name == "started":
            return datetime.fromisoformat(value).tzinfo is not None
        return isinstance(value, str) and Decimal(value).is_finite()
    except (ValueError, TypeError, InvalidOperation):
        return False


# Set aside


def damaged(working: Path, stem: str) -> list[Path]:
    """What was set aside of the store or of the ledger, oldest first."""
    found = working.glob(f"{stem}.damaged-*")
    return sorted(path for path in found if not path.name.endswith(("-wal", "-shm", "-journal")))


def not_brought_over(working: Path) -> list[Path]:
    """What was set aside and may hold what a repair has yet to bring over."""
    stores = [path for path in damaged(working, "recordings") if waits(path)]
    ledger = working / "history.db"
    return stores + [path for path in damaged(working, "history") if missing_calls(path, ledger)]


def waits(store: Path) -> bool:
    """Whether a store that was set aside was not looked through yet."""
    return store.is_dir() and not store.is_symlink() and not os.path.lexists(store / RESCUED)


def _aside(working: Path) -> _Found:
    for path in damaged(working, "recordings"):
        if path.is_symlink() or not path.is_dir():
            yield "note", path.name, "no folder of llm-magic; it is not read, remove it"
        elif not waits(path):
            yield "note", path.name, "it was looked through; delete it when you do not need it"
        else:
            yield "problem", path.name, f"a damaged store that was set aside; {_REPAIR}"
    for path in damaged(working, "history"):
        missing = len(missing_calls(path, working / "history.db"))
        if missing:
            told = f"{counted(missing, 'call')} of it {'is' if missing == 1 else 'are'} missing"
            yield "problem", path.name, f"a ledger that was set aside; {told}; {_REPAIR}"
        else:
            yield "note", path.name, f"all that can be read of it is in the ledger; {_loss(path)}"


def _loss(aside: Path) -> str:
    """What is gone with a ledger that was set aside, and so what to do with its file."""
    lost = lost_calls(aside)
    if lost == 0:
        return "delete it freely"
    told = "nobody knows how many calls" if lost is None else counted(lost, "call")
    return f"{told} could not be read and {'is' if lost == 1 else 'are'} missing in all sums"


_REPAIR = "llm-magic cassette repair brings over what can be read of it"


def missing_calls(aside: Path, path: Path) -> list[dict[str, Any]]:
    """Rows of a ledger that was set aside, and not in the one there is."""
    found, known = _calls(aside), {row["id"] for row in _calls(path)}
    return [row for row in found if row["id"] is not None and row["id"] not in known]


def lost_calls(path: Path) -> int | None:
    """How many rows its index has and cannot be read; None when that is broken, too."""
    try:
        with closing(connect(path, read_only=True)) as connection, telling(path):
            if not history.columns_of(connection):
                return None
            (total,) = connection.execute("SELECT count(id) FROM calls").fetchone()
    except StoreError:
        return None
    return int(total) - len(_calls(path))


def _calls(path: Path) -> list[dict[str, Any]]:
    try:
        with closing(connect(path, read_only=True)) as connection:
            columns = history.columns_of(connection)
        rows = readable_rows(path, "calls", columns) if columns else iter(())
        return [cleaned(dict(zip(columns, row, strict=True))) for row in rows]
    except StoreError:
        # Nothing can be read of it; where it is the ledger itself, that was told.
        return []
