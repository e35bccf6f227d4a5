"""What a store must look like before it is opened.

diskcache trusts its database: a planted row can name a file to read or delete, or hold a pickle
that runs when it is read (CVE-2025-69872), and its settings table can move the store. So the file
is inspected with plain SQLite first, and refused for anything that :class:`Store` never writes.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from llm_magic.exceptions import DamagedStoreError, UnsafeStoreError
from llm_magic.storage.database import open_read_only, telling
from llm_magic.storage.folders import database_files, refuse_folder, refuse_planted
from llm_magic.storage.layout import strange

__all__ = ["LARGEST_VALUE", "OUR_ROWS", "inspect"]

# Larger than any answer; SQLite itself stops at 1 GB.
LARGEST_VALUE = 256 * 1024 * 1024

_SETTINGS = {
    "count",
    "cull_limit",
    "disk_min_file_size",
    "disk_pickle_protocol",
    "eviction_policy",
    "hits",
    "misses",
    "size",
    "size_limit",
    "sqlite_auto_vacuum",
    "sqlite_cache_size",
    "sqlite_journal_mode",
    "sqlite_mmap_size",
    "sqlite_synchronous",
    "statistics",
    "tag_index",
}

# NULL is never TRUE: a row without one of these is not ours.
_OUR_KINDS = """
    (raw IS 1 AND mode IS 1 AND filename IS NULL AND expire_time IS NULL AND tag IS NULL
     AND typeof(key) = 'text' AND typeof(value) = 'text')
"""
# The older way reads every value; length() of a text stops at its first NUL.
_LENGTH = (
    "octet_length(value)"
    if sqlite3.sqlite_version_info >= (3, 43)
    else "length(CAST(value AS BLOB))"
)
OUR_ROWS = f"({_OUR_KINDS} AND {_LENGTH} <= {LARGEST_VALUE})"

_ADVICE = "llm-magic cassette repair moves it away; recordings are read from the cassette then"


def inspect(folder: Path) -> None:
    """Raise unless the store in the folder is one that :class:`Store` could have written.

    Raises
    ------
    UnsafeStoreError
        For a table, setting or row that we never write, or a symbolic link.
    DamagedStoreError
        For a file that is not a database.
    StoreError
        For one that cannot be read now.
    """
    path = folder / "cache.db"
    refuse_folder(folder)
    refuse_planted(path)
    if not path.exists():
        return
    if path.stat().st_size == 0:
        # SQLite would take it for a new database; ours appear whole.
        raise DamagedStoreError(f"{path} is empty")
    with closing(open_read_only(path)) as connection, telling(path, "cannot be read as a store"):
        _inspect(connection, path)


def _inspect(connection: sqlite3.Connection, path: Path) -> None:
    # First of all: a view in a table's place may never end.
    if found := strange(connection):
        raise UnsafeStoreError(
            f"{path} holds {found[0]!r}, which is not as llm-magic makes it; it is not opened."
            f" {_ADVICE}"
        )
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "Settings" in names:
        keys = {key for (key,) in connection.execute("SELECT key FROM Settings")}
        if unknown := sorted(map(str, keys - _SETTINGS)):
            raise UnsafeStoreError(
                f"{path} holds the setting {unknown[0]!r}, which is not ours. {_ADVICE}"
            )
    # No value is larger than the file: most stores are looked through without reading any.
    size = sum(part.stat().st_size for part in database_files(path) if part.exists())
    ours = _OUR_KINDS if size <= LARGEST_VALUE else OUR_ROWS
    if "Cache" in names and (count := _count_strange(connection, ours)):
        raise UnsafeStoreError(
            f"{path} holds {count} rows that llm-magic never writes (a pickle, a file name or an"
            f" odd type); it is not opened. {_ADVICE}"
        )


def _count_strange(connection: sqlite3.Connection, ours: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM Cache WHERE NOT ({ours})").fetchone()
    return int(count)
