"""SQLite as we use it: WAL, so that readers never wait and a killed process loses nothing."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_magic.exceptions import DamagedStoreError, DiskFullError, StoreError
from llm_magic.storage.folders import refuse_planted, writable

__all__ = ["connect"]

# Two kernels may write the ledger at the same moment; a writer holds it for microseconds.
_PATIENCE_SECONDS = 30.0

# https://www.sqlite.org/security.html: nothing in a file may call a function.
_NO_FUNCTIONS = "PRAGMA trusted_schema = OFF"
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


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
    UnsafeStoreError
        When the file leads out of its folder.
    DamagedStoreError
        When it is not a database.
    DiskFullError
        When there is no space to open it.
    StoreError
        When it cannot be opened for another reason.
    """
    if path is not None:
        refuse_planted(path)
        if read_only:
            return open_read_only(path)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        elif not _has_header(path):
            # Not opened at all: SQLite would throw away a log beside it.
            raise DamagedStoreError(f"{path} is not a database")
    with telling(path):
        connection = sqlite3.connect(
            str(path or ":memory:"),
            timeout=_PATIENCE_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with telling(path):
            connection.execute(_NO_FUNCTIONS)
            # NORMAL survives a killed process; only a power cut can take the last rows, and a
            # sync at every row costs seven times as much.
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except StoreError:
        connection.close()
        raise
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, usable from any thread (the caller holds a lock).

    Raises
    ------
    StoreError
        As :func:`connect`.
    """
    try:
        return _open_uri(path, read_only_uri(path))
    except DiskFullError:
        # No space for the index of the log. Where the log is empty, nobody needs one.
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        return _open_uri(path, read_only_uri(path, immutable=True))


def _open_uri(path: Path, uri: str) -> sqlite3.Connection:
    with telling(path):
        connection = sqlite3.connect(
            uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False
        )
    try:
        with telling(path):
            connection.execute(_NO_FUNCTIONS)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except StoreError:
        connection.close()
        raise
    return connection


@contextmanager
def telling(path: Path | None, act: str = "cannot be read as a database") -> Iterator[None]:
    """Raise what SQLite says of a file as one of our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise our_error(path, act, error) from None


def our_error(path: Path | str | None, act: str, error: Exception) -> StoreError:
    """The error to raise for one of SQLite's or of the system's."""
    kind = StoreError
    if is_full(error):
        kind = DiskFullError
    elif isinstance(error, sqlite3.Error) and _code(error) & 0xFF in _DAMAGE:
        # The file itself is broken; one that is locked or out of reach is not.
        kind = DamagedStoreError
    return kind(f"{path} {act}: {error}")


def _has_header(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def is_full(error: Exception) -> bool:
    """Whether there is no space left for a change, or for the index of the log."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (
        _code(error) & 0xFF == sqlite3.SQLITE_FULL or _code(error) == sqlite3.SQLITE_IOERR_SHMSIZE
    )


def is_forbidden(error: Exception) -> bool:
    """Whether nothing may be written there."""
    if isinstance(error, OSError):
        return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    return _code(error) & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def is_locked(error: Exception) -> bool:
    """Whether somebody else is at it."""
    return _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def read_only_uri(path: Path, *, immutable: bool | None = None) -> str:
    """The SQLite address that reads a database without writing beside it.

    ``immutable`` takes no locks and skips the write-ahead log, so it is for a read-only folder,
    where plain ``mode=ro`` cannot make its index of that log; elsewhere somebody may be writing.
    """
    if immutable is None:
        log = path.with_name(path.name + "-wal")
        immutable = not (writable(path.parent) or (log.exists() and log.stat().st_size))
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
