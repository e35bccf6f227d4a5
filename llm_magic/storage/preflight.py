"""What a store must look like before it is opened.

diskcache trusts its database: a planted row can name a file to read or delete, or hold a pickle
that runs when it is read (CVE-2025-69872), and its settings table can move the store. So the file
is inspected with plain SQLite first, and refused for anything that :class:`Store` never writes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llm_magic.exceptions import DamagedStoreError, StoreError, UnsafeStoreError
from llm_magic.storage.database import is_damage, read_only_uri
from llm_magic.storage.folders import refuse_links, refuse_planted

__all__ = ["LARGEST_VALUE", "inspect"]

# Larger than any answer; SQLite itself stops at 1 GB.
LARGEST_VALUE = 256 * 1024 * 1024

_OBJECTS = {
    "Cache",
    "Cache_key_raw",
    "Cache_expire_time",
    "Settings",
    "Settings_count_delete",
    "Settings_count_insert",
    "Settings_size_delete",
    "Settings_size_insert",
    "Settings_size_update",
    "sqlite_autoindex_Settings_1",
    "sqlite_stat1",
}

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

_STRANGE_ROWS = f"""
    SELECT count(*) FROM Cache
    WHERE raw IS NOT 1 OR mode IS NOT 1 OR filename IS NOT NULL OR expire_time IS NOT NULL
       OR tag IS NOT NULL OR typeof(key) <> 'text' OR typeof(value) <> 'text'
       OR length(CAST(value AS BLOB)) > {LARGEST_VALUE}
"""


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
    refuse_links(folder)
    refuse_planted(path)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is not a folder")
    if not path.exists():
        return
    if path.stat().st_size == 0:
        # SQLite would take it for a new database; ours appear whole.
        raise DamagedStoreError(f"{path} is empty")
    try:
        connection = sqlite3.connect(read_only_uri(path), uri=True, timeout=10)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from None
    try:
        _inspect(connection, path)
    except sqlite3.DatabaseError as error:
        kind = DamagedStoreError if is_damage(error) else StoreError
        raise kind(f"{path} cannot be read as a store: {error}") from None
    finally:
        connection.close()


def _inspect(connection: sqlite3.Connection, path: Path) -> None:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if strange := sorted(names - _OBJECTS):
        raise UnsafeStoreError(f"{path} holds {strange[0]!r}, which no store of llm-magic has")
    if "Settings" in names:
        keys = {key for (key,) in connection.execute("SELECT key FROM Settings")}
        if strange := sorted(map(str, keys - _SETTINGS)):
            raise UnsafeStoreError(f"{path} holds the setting {strange[0]!r}, which is not ours")
    if "Cache" in names:
        (count,) = connection.execute(_STRANGE_ROWS).fetchone()
        if count:
            raise UnsafeStoreError(
                f"{path} holds {count} rows that llm-magic never writes (a pickle, a file name or"
                " an odd type); it is not opened. Move it away, and replay from the cassette"
            )
