"""Sums that go on from where they stood, so that a meter never counts a long ledger again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_magic.history.sums import GROUPED, SUMMED, Sums

__all__ = ["Running", "snapshot"]


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """See one state of the ledger in several queries, whoever writes meanwhile."""
    if database.in_transaction:
        yield
        return
    database.execute("BEGIN")
    try:
        yield
    finally:
        if database.in_transaction:
            database.execute("COMMIT")


class Running:
    """The sums of the rows that pass a condition, which each row passes for good or never.

    A row that has ended does not change, so it is counted once. What changes such rows after all
    (repricing, deleting) leaves a line in ``rewrites``, and VACUUM, which may move them, changes
    the schema's version; then all is counted again.
    """

    def __init__(self, condition: str, values: tuple[str, ...]) -> None:
        self._condition = f"{condition} AND" if condition else "WHERE"
        self._values = values
        self._state: tuple[object, ...] | None = None
        self._sums = Sums()
        self._place = 0
        self._pending: list[int] = []

    def read(self, database: sqlite3.Connection) -> Sums:
        """The sums now."""
        with snapshot(database):
            state = _state(database)
            if state != self._state:
                self._sums, self._place, self._pending = Sums(), 0, []
            # What is interrupted in between is counted again.
            self._state = None
            self._count_new(database)
            under_way = self._look_at_pending(database)
            self._state = state
        return Sums(self._sums).add(under_way)

    def _count_new(self, database: sqlite3.Connection) -> None:
        (newest,) = database.execute("SELECT coalesce(max(rowid), 0) FROM calls").fetchone()
        if newest <= self._place:
            return
        values = (*self._values, self._place)
        self._sums.add(
            database.execute(
                f"SELECT {SUMMED} FROM calls {self._condition}"
                f" rowid > ? AND status IS NOT 'pending' {GROUPED}",
                values,
            )
        )
        # The plus keeps SQLite to the index of what is pending.
        pending = database.execute(
            f"SELECT rowid FROM calls {self._condition} +rowid > ? AND status = 'pending'", values
        )
        self._pending += [place for (place,) in pending]
        self._place = newest

    def _look_at_pending(self, database: sqlite3.Connection) -> list[tuple[Any, ...]]:
        """Count those that have ended since; returns the lines of those that have not."""
        under_way, still = [], []
        for place in self._pending:
            query = f"SELECT {SUMMED} FROM calls WHERE rowid = ?"
            line = database.execute(query, (place,)).fetchone()
            if line[1] == "pending":
                under_way.append(line)
                still.append(place)
            else:
                self._sums.add([line])
        self._pending = still
        return under_way


def _state(database: sqlite3.Connection) -> tuple[Any, ...]:
    (version,) = database.execute("PRAGMA schema_version").fetchone()
    return (version, *database.execute("SELECT max(number) FROM rewrites").fetchone())
