"""The tables of a store, word for word: what is in the file, and nothing else, is ours.

diskcache makes the same ones, with ``"count"`` for a text in its triggers. SQLite can be built
without double-quoted texts (conda-forge and Homebrew did), and then nothing could be stored. So we
make them first, in standard SQL, and diskcache finds them there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

__all__ = ["has_our_table", "make", "mend", "strange"]

_TABLES = (
    "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
    "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL,"
    " expire_time REAL, access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB,"
    " size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0, filename TEXT, value BLOB)",
    "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
    "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
)


def _triggers(quote: str) -> Iterator[str]:
    changes = {
        "count_insert": "INSERT|value + 1|count",
        "count_delete": "DELETE|value - 1|count",
        "size_insert": "INSERT|value + NEW.size|size",
        "size_update": "UPDATE|value + NEW.size - OLD.size|size",
        "size_delete": "DELETE|value - OLD.size|size",
    }
    for name, change in changes.items():
        event, value, key = change.split("|")
        yield (
            f"CREATE TRIGGER Settings_{name} AFTER {event} ON Cache FOR EACH ROW BEGIN"
            f" UPDATE Settings SET value = {value} WHERE key = {quote}{key}{quote}; END"
        )


_OURS = (*_TABLES, *_triggers("'"))
_DISKCACHES = frozenset(_triggers('"'))
# What SQLite makes by itself: for a UNIQUE (it has no statement), and for ANALYZE.
_SQLITES = frozenset({"sqlite_autoindex_Settings_1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"})
_KNOWN = frozenset({*_OURS, *_DISKCACHES, *_SQLITES})


def make(path: Path) -> None:
    """Make the file of an empty store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Before the first table: it cannot be changed later.
        connection.execute("PRAGMA auto_vacuum = 1")
        for statement in _OURS:
            connection.execute(statement)


def strange(connection: sqlite3.Connection) -> list[str]:
    """Names of what the file holds and no store of llm-magic does."""
    rows = connection.execute("SELECT name, coalesce(sql, name) FROM sqlite_master")
    return sorted(str(name) for name, statement in rows if statement not in _KNOWN)


def has_our_table(connection: sqlite3.Connection) -> bool:
    """Whether the answers can be read: what is called Cache is our table, and no endless view."""
    query = "SELECT sql FROM sqlite_master WHERE name = 'Cache' COLLATE NOCASE"
    return [statement for (statement,) in connection.execute(query)] == [_TABLES[1]]


def mend(connection: sqlite3.Connection) -> None:
    """Write the triggers that an earlier version left to diskcache in standard SQL."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
    if not _DISKCACHES.intersection(statement for (statement,) in connection.execute(query)):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _triggers("'"):
            connection.execute(f"DROP TRIGGER IF EXISTS {statement.split()[2]}")
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
