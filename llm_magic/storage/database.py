"""SQLite as we use it: WAL, so that readers never wait and a killed process loses nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from llm_magic.exceptions import DamagedStoreError, StoreError
from llm_magic.storage.folders import refuse_planted, writable

__all__ = ["connect"]

# Two kernels may write the ledger at the same moment; a writer holds it for microseconds.
_PATIENCE_SECONDS = 30.0


def connect(path: Path | None, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any thread (the caller holds a lock).

    Parameters
    ----------
    path : pathlib.Path or None
        The database file; None for one in memory.
    read_only : bool
        Open what is there without writing anything, also in a read-only folder.

    Raises
    ------
    DamagedStoreError
        When the file is not a database.
    StoreError
        When it cannot be opened for another reason.
    """
    if path is None:
        target, uri = ":memory:", False
    elif read_only:
        target, uri = read_only_uri(path), True
    else:
        refuse_planted(path)
        target, uri = str(path), False
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        elif path.is_file() and not _has_header(path):
            # Not opened at all: SQLite would throw away a log beside it.
            raise DamagedStoreError(f"{path} is not a database")
    try:
        connection = sqlite3.connect(
            target,
            uri=uri,
            timeout=_PATIENCE_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from None
    try:
        if not read_only:
            # NORMAL survives a killed process; only a power cut can take the last rows, and a
            # sync at every row costs seven times as much.
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        kind = DamagedStoreError if is_damage(error) else StoreError
        raise kind(f"{path} cannot be read as a database: {error}") from None
    return connection


def _has_header(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken; one that is locked, full or out of reach is not."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def read_only_uri(path: Path) -> str:
    """The SQLite address that reads a database without writing beside it.

    ``immutable`` takes no locks and skips the write-ahead log, so it is for a read-only folder,
    where plain ``mode=ro`` cannot make its index of that log; elsewhere somebody may be writing.
    """
    log = path.with_name(path.name + "-wal")
    live = writable(path.parent) or (log.exists() and log.stat().st_size)
    flags = "mode=ro" if live else "mode=ro&immutable=1"
    return f"{path.resolve().as_uri()}?{flags}"
