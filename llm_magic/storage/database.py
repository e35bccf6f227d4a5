"""SQLite as we use it: WAL, so that readers never wait and a killed process loses nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from llm_magic.exceptions import DamagedStoreError
from llm_magic.storage.folders import refuse_links

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
    """
    if path is None:
        target, uri = ":memory:", False
    elif read_only:
        target, uri = read_only_uri(path), True
    else:
        refuse_links(path)
        target, uri = str(path), False
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(
        target, uri=uri, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        if not read_only:
            # NORMAL survives a killed process; only a power cut can take the last rows, and a
            # sync at every row costs seven times as much.
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DamagedStoreError(f"{path} cannot be read as a database: {error}") from None
    return connection


def read_only_uri(path: Path) -> str:
    """The SQLite address that reads a database without writing beside it.

    ``immutable`` skips the write-ahead log, so it is for databases that have none; with one, plain
    ``mode=ro`` sees the newest rows.
    """
    log = path.with_name(path.name + "-wal")
    flags = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    return f"{path.resolve().as_uri()}?{flags}"
