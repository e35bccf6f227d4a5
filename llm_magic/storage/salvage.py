"""What can still be read of a broken database, and nobody writing to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from llm_magic.exceptions import StoreError
from llm_magic.storage.database import is_locked, open_read_only, telling

__all__ = ["held", "integrity", "readable_rows"]

# After so many rows in succession that cannot be read, one looks further ahead each time.
_PATIENCE = 1000
_LAST_ROW = 2**62


def readable_rows(
    path: Path, table: str, columns: Sequence[str], where: str = "TRUE"
) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, in the order of their numbers; nothing is written.

    A page that is broken hides its own rows and no others. The table must be one whose statement
    was compared with ours: what a stranger wrote could be a view.

    Raises
    ------
    StoreError
        When nothing at all can be read.
    """
    query = f"SELECT rowid, {', '.join(columns)} FROM {table} NOT INDEXED WHERE rowid > ?"
    with closing(open_read_only(path)) as connection:
        last, failures = 0, 0
        while last < _LAST_ROW:
            try:
                rows = connection.execute(f"{query} AND ({where}) ORDER BY rowid", (last,))
                for number, *values in rows:
                    last, failures = number, 0
                    yield tuple(values)
                return
            except sqlite3.DatabaseError as error:
                if is_locked(error):
                    raise StoreError(f"{path} cannot be read: {error}") from None
                failures += 1
                last += max(1, 2 ** (failures - _PATIENCE))


def integrity(connection: sqlite3.Connection, path: Path) -> list[str]:
    """What SQLite finds broken in a database, at most five lines; empty when it is whole."""
    with telling(path):
        found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(5)")]
    return [] if found == ["ok"] else found


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Let nobody write to a database, as far as it can still be locked.

    On Windows nothing is locked: there a file that is open cannot be moved, so nobody has it.

    Raises
    ------
    StoreError
        When somebody else is writing all the time.
    """
    if os.name == "nt" or not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_locked(error):
                raise StoreError(f"{path} is being written by another process") from None
            # Too broken to be locked, and so to be written.
        yield
