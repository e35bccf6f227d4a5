"""Repair: what is damaged is moved aside, never deleted; what can be read of it is brought over.

A row counts as read when it is a recording that answers the request it holds. What a cassette has
is left to the cassette, so a rescued store holds what would otherwise be nowhere. Another kernel
may work in the folder meanwhile: the old file is locked while it is replaced, and the next write
there notices the new one.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from llm_magic import care
from llm_magic.care import RESCUED, Progress
from llm_magic.cassette import Cassette, Place
from llm_magic.config import Workspace
from llm_magic.exceptions import (
    CassetteError,
    DamagedStoreError,
    LLMMagicError,
    StoreError,
    UnsafeStoreError,
)
from llm_magic.formats import count, counted
from llm_magic.history import History
from llm_magic.recordings import Users, Variant, dump_line, format_row, parse_row
from llm_magic.storage import (
    Store,
    connect,
    prepare_working_folder,
    refuse_folder,
    refuse_planted,
    set_aside,
    writable,
)
from llm_magic.storage.layout import has_our_table
from llm_magic.storage.preflight import OUR_ROWS, inspect
from llm_magic.storage.salvage import held, readable_rows

__all__ = ["repair"]

# Rows written at once; each may be large.
_BATCH = 50

_NAME = re.compile(r"answer:[0-9a-f]{64}:[0-9]{8,12}")


def repair(workspace: Workspace, progress: Progress | None = None) -> list[str]:
    """Mend the store and the ledger of a folder; the cassettes are left to you and git.

    Parameters
    ----------
    workspace : Workspace
        The folder.
    progress : Progress, optional
        Is told how far the work is.

    Returns
    -------
    list of str
        What was done, a line each; empty when there was nothing to do.

    Raises
    ------
    StoreError
        When nothing may be written there, or another process is writing all the time.
    """
    tick = progress or Progress()
    working = workspace.working
    refuse_folder(working)
    if not working.exists():
        return []
    if not writable(working):
        raise StoreError(f"{working} cannot be written, so nothing can be repaired there")
    prepare_working_folder(working)
    cassettes = _Cassettes(workspace.folder)
    return [
        *_repair_store(working, cassettes, tick),
        *_look_through_aside(working, cassettes, tick),
        *_repair_ledger(workspace),
    ]


class _Cassettes:
    """Which answers the cassettes of a folder have, of those that can be read."""

    def __init__(self, folder: Path) -> None:
        self._read: dict[str, list[Cassette]] = {}
        for name, path in care.sources(folder):
            # What is wrong with it is what check tells; here it cannot be relied upon.
            with contextlib.suppress(CassetteError):
                self._read.setdefault(name, []).append(Cassette(path))

    def has(self, place: Place) -> bool:
        """Whether any of them has it."""
        return any(place in one for found in self._read.values() for one in found)

    def decides(self, notebook: str) -> bool:
        """Whether what was saved for this notebook is what its cassette says now."""
        return notebook in self._read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)


@dataclass
class _Rescue:
    """How many answers of a damaged store were brought over, and how many were not.

    ``names`` are those that its index has and that were not found yet; None when that is broken.
    """

    rescued: int = 0
    in_cassette: int = 0
    lost: int = 0
    names: set[str] | None = None

    def found(self, name: str) -> None:
        if self.names is not None:
            self.names.discard(name)

    def missed(self, name: str, cassettes: _Cassettes) -> None:
        _, key, ordinal = name.split(":")
        if cassettes.has((key, int(ordinal))):
            self.in_cassette += 1
        else:
            self.lost += 1

    def __str__(self) -> str:
        lost = f"{count(self.lost)} lost"
        if self.names is None:
            lost = "it does not tell any more how many are lost"
        saved = f"{count(self.in_cassette)} in a cassette, " if self.in_cassette else ""
        return f"{counted(self.rescued, 'recording')} rescued, {saved}{lost}"


# The store


def _repair_store(working: Path, cassettes: _Cassettes, tick: Progress) -> list[str]:
    folder = working / "recordings"
    if not any(level == "problem" for level, _, _ in care.store(working, tick)):
        return []
    _refuse_to_move(folder)
    with (
        _nobody_writing(folder / "cache.db"),
        tempfile.TemporaryDirectory(dir=working, prefix=".recordings.") as place,
    ):
        fresh = Path(place) / "new"
        with closing(Store(fresh)) as store:
            _begin_generations(store, cassettes)
            rescue = _bring_over(folder, store, cassettes, tick)
        aside = _moved(folder)
        try:
            fresh.rename(folder)
        except OSError:
            # Another process has begun a store of its own since.
            with closing(Store(folder)) as store:
                _bring_over(fresh, store, cassettes, tick)
    _mark(aside, rescue)
    return [f"{folder.name} was moved to {aside.name}: {rescue}"]


def _look_through_aside(working: Path, cassettes: _Cassettes, tick: Progress) -> list[str]:
    told = []
    for aside in care.damaged(working, "recordings"):
        if not care.waits(aside):
            continue
        with closing(Store(working / "recordings")) as store:
            rescue = _bring_over(aside, store, cassettes, tick)
        _mark(aside, rescue)
        told.append(f"{aside.name}, which was set aside earlier: {rescue}")
    return told


def _refuse_to_move(folder: Path) -> None:
    """Raise for a store that is only out of reach: locked, on a full disk, without permission."""
    try:
        inspect(folder)
    except (DamagedStoreError, UnsafeStoreError):
        return
    except StoreError:
        if folder.is_dir():
            raise


@contextlib.contextmanager
def _nobody_writing(path: Path) -> Iterator[None]:
    with held(path) if _is_inside(path) else contextlib.nullcontext():
        yield


def _is_inside(path: Path) -> bool:
    """Whether a database can be touched without leaving its folder."""
    try:
        refuse_folder(path.parent)
        refuse_planted(path)
    except (StoreError, OSError):
        return False
    return path.exists()


def _moved(path: Path) -> Path:
    try:
        return set_aside(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be moved: {error}. Close the other kernels of this folder first"
        ) from None


def _mark(aside: Path, rescue: _Rescue) -> None:
    # What was a link is one still, and leads elsewhere.
    if aside.is_dir() and not aside.is_symlink():
        with open(aside / RESCUED, "x", encoding="utf-8") as file:
            file.write(f"llm-magic cassette repair: {rescue}\n")


def _begin_generations(store: Store, cassettes: _Cassettes) -> None:
    # Above every generation that a kernel still has in mind: what it takes for saved must not
    # be taken for it here.
    sync = dump_line({"digest": "", "generation": int(time.time()), "stamp": None})
    for notebook in cassettes:
        store.set(f"cassette:{notebook}", sync)


def _bring_over(folder: Path, store: Store, cassettes: _Cassettes, tick: Progress) -> _Rescue:
    """Copy what can be read of a store into another one, which keeps what it has."""
    rescue = _Rescue()
    path = folder / "cache.db"
    if not _is_inside(path):
        return rescue
    try:
        with closing(connect(path, read_only=True)) as connection:
            if not has_our_table(connection):
                return rescue
            rescue.names = _indexed(connection)
    except StoreError:
        # Nothing that can be opened: nothing that can be read of it.
        return rescue
    rows = readable_rows(path, "Cache", ("key", "value"), OUR_ROWS)
    _copy(rows, store, cassettes, rescue, tick)
    for name in rescue.names or ():
        rescue.missed(name, cassettes)
    return rescue


def _indexed(connection: sqlite3.Connection) -> set[str] | None:
    """Names of the answers by the index, which may be whole where the table is not."""
    query = (
        "SELECT key FROM Cache INDEXED BY Cache_key_raw"
        " WHERE typeof(key) = 'text' AND key BETWEEN 'answer:' AND 'answer;'"
    )
    try:
        return {name for (name,) in connection.execute(query) if _NAME.fullmatch(name)}
    except sqlite3.DatabaseError:
        return None


def _copy(
    rows: Iterator[tuple[str, str]],
    store: Store,
    cassettes: _Cassettes,
    rescue: _Rescue,
    tick: Progress,
) -> None:
    answers = ((name, text) for name, text in rows if _NAME.fullmatch(name))
    done = 0
    while batch := list(islice(answers, _BATCH)):
        with store.transaction():
            for name, text in batch:
                variants = _kept(name, text, cassettes, rescue)
                store.update(name, functools.partial(_merged, variants))
        done += len(batch)
        tick("rows brought over", done)


def _kept(name: str, text: str, cassettes: _Cassettes, rescue: _Rescue) -> list[Variant]:
    """The answers of a row that are worth keeping, each as unsaved by those who use it."""
    kept = []
    try:
        variants = parse_row(text)
    except StoreError:
        return []
    for variant in variants:
        try:
            care.answers(name, format_row([variant]) or "")
        except LLMMagicError:
            continue
        users: Users = {
            user: None
            for user, generation in variant.users.items()
            if generation is None or not cassettes.decides(user)
        }
        kept.append(Variant(users, variant.line))
        rescue.found(name)
        if variant.line:
            rescue.rescued += bool(users)
            rescue.in_cassette += not users
    return kept


def _merged(variants: list[Variant], old: str | None) -> str | None:
    there = parse_row(old) if old is not None else []
    taken = {user for variant in there for user in variant.users}
    new = [
        Variant({user: at for user, at in variant.users.items() if user not in taken}, variant.line)
        for variant in variants
    ]
    return format_row([*there, *new])


# The ledger


def _repair_ledger(workspace: Workspace) -> list[str]:
    path = workspace.working / "history.db"
    told, moved = [], None
    if any(level == "problem" for level, _, _ in care.ledger(workspace.working)):
        care.refuse_newer(path)
        with held(path) if _is_inside(path) else contextlib.nullcontext():
            moved = _moved(path)
        told.append(f"{path.name} was moved to {moved.name}")
    for aside in care.damaged(workspace.working, "history"):
        missing = care.missing_calls(aside, path)
        if missing:
            with closing(History(workspace)) as ledger:
                ledger.adopt(missing)
        if missing or aside == moved:
            lost = care.lost_calls(aside)
            told.append(
                f"{aside.name}: {counted(len(missing), 'call')} brought over,"
                f" {'nobody knows how many' if lost is None else count(lost)} lost"
            )
    return told
