"""The tables of the ledger in all their versions, and the way from each to the next."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from llm_magic import spend
from llm_magic.exceptions import StoreError, UnsafeStoreError
from llm_magic.history.columns import COLUMNS, column

__all__ = [
    "RESERVED_OF_CALLS",
    "SCHEMA",
    "SPEND_OF_CALLS",
    "columns_of",
    "migrate",
    "refuse_strange",
]

SCHEMA = 3
# Those that a version brought; the others were there from the first.
_ADDED = {2: ("reserved", "usage_source", "service_tier", "tool_calls", "tag")}


def _create_calls() -> str:
    later = {name for names in _ADDED.values() for name in names}
    return (
        f"CREATE TABLE calls ({', '.join(column(name) for name in COLUMNS if name not in later)})"
    )


# What ended calls count for under a cap: their cost, or what was set aside where nobody knows it.
_COUNTED = "coalesce(cost, CASE WHEN status <> 'pending' THEN reserved END)"
_SCOPES = ("'session:' || session", "'day:' || date(started, 'localtime')")
SPEND_OF_CALLS = tuple(
    f"""INSERT INTO spend
    SELECT {scope} AS scope, CAST(round(1e12 * sum(CAST({_COUNTED} AS REAL))) AS INTEGER), 0
    FROM calls WHERE source = 'live' AND {_COUNTED} IS NOT NULL
    GROUP BY scope HAVING scope IS NOT NULL"""
    for scope in _SCOPES
)
# What is set aside for calls under way.
RESERVED_OF_CALLS = tuple(
    f"""INSERT INTO spend
    SELECT {scope} AS scope, 0, CAST(round(1e12 * sum(CAST(reserved AS REAL))) AS INTEGER)
    FROM calls WHERE status = 'pending' AND reserved IS NOT NULL
    GROUP BY scope HAVING scope IS NOT NULL"""
    for scope in _SCOPES
)

# What happened to rows that had ended: which kind of change, to how many calls, and what it did to
# the sums. Of deleted ones, before which time they were.
_CREATE_REWRITES = (
    "CREATE TABLE rewrites (number INTEGER PRIMARY KEY, moment TEXT NOT NULL, kind TEXT NOT NULL,"
    " calls INTEGER NOT NULL, before TEXT, spent TEXT, saved TEXT, unknown INTEGER)"
)

# Statements that lead from each version to the next one.
_MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    0: (
        _create_calls(),
        "CREATE INDEX calls_by_session ON calls (session)",
        "CREATE INDEX calls_pending ON calls (pid) WHERE status = 'pending'",
    ),
    1: (
        *(f"ALTER TABLE calls ADD COLUMN {column(name)}" for name in _ADDED[2]),
        spend.CREATE,
        *SPEND_OF_CALLS,
    ),
    # Sums are kept in memory, so that nobody looks rows up by session often enough to pay for an
    # index at each call.
    2: (_CREATE_REWRITES, "DROP INDEX calls_by_session"),
}


def migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    """Bring a ledger up to this version, in one transaction.

    Raises
    ------
    StoreError
        For one that a later version wrote.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        raise StoreError(f"{path} was written by a newer llm-magic; pip install -U llm-magic")
    if version == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another kernel may have migrated while this one waited for the lock.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for step in range(version, SCHEMA):
            for statement in _MIGRATIONS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def refuse_strange(connection: sqlite3.Connection, path: Path | None) -> None:
    """Raise for a table, view or trigger that no version of the ledger has.

    A ledger may come with somebody's project, and a trigger in it would work in our name.

    Raises
    ------
    UnsafeStoreError
        Naming the first of them, and what to do.
    """
    rows = connection.execute("SELECT name, coalesce(sql, name) FROM sqlite_master").fetchall()
    if found := sorted(str(name) for name, statement in rows if statement not in _statements()):
        raise UnsafeStoreError(
            f"{path} holds {found[0]!r}, which is not as llm-magic makes it; it is not used."
            " llm-magic cassette repair moves it away and copies its rows"
        )


def columns_of(connection: sqlite3.Connection) -> list[str]:
    """The columns of a ledger that may come from anywhere; none when it has no table of ours."""
    query = "SELECT sql FROM sqlite_master WHERE name = 'calls' COLLATE NOCASE"
    found = [statement for (statement,) in connection.execute(query)]
    if len(found) != 1 or found[0] not in _statements():
        return []
    names = {row[1] for row in connection.execute("PRAGMA table_info(calls)")}
    return [name for name in COLUMNS if name in names]


@functools.cache
def _statements() -> frozenset[str]:
    """What stands in a ledger's schema, in all its versions."""
    found = set()
    with closing(sqlite3.connect(":memory:")) as empty:
        for step in range(SCHEMA):
            for statement in _MIGRATIONS[step]:
                empty.execute(statement)
            rows = empty.execute("SELECT coalesce(sql, name) FROM sqlite_master")
            found |= {statement for (statement,) in rows}
    return frozenset(found)
