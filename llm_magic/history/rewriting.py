"""Changing rows that have ended: on request only, and never without a line that says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic import spend
from llm_magic.history import repricing, watchers
from llm_magic.history.columns import TEXTS, assignments, stored
from llm_magic.history.database import LedgerFile
from llm_magic.history.filters import moment, stored_moment, where
from llm_magic.history.ids import scopes
from llm_magic.history.repricing import Change, Repricing
from llm_magic.history.sums import GROUPED, SUMMED, Sums, Totals
from llm_magic.recordings import decimal_text, now

__all__ = ["Rewriting", "note_rewrite"]

_NOTHING = Decimal(0)


class Rewriting(LedgerFile):
    """What can be done to calls of the past in the ledger of one folder."""

    def reprice(self, **filters: Any) -> Repricing:
        """Give the calls that match today's prices; answers and recordings stay as they are.

        Today's price list and your own prices, each at the time of the call, replace those of the
        row, and what was counted under budgets follows. A row whose cost does not follow from its
        tokens alone keeps what it has: see :mod:`llm_magic.history.repricing`.

        Parameters
        ----------
        **filters
            As in :meth:`totals`.

        Returns
        -------
        Repricing
            What changed; printed, a table.
        """
        condition, values = where(filters)
        query = f"SELECT {', '.join(repricing.READ)} FROM calls {condition}"
        with self._database() as database:
            found = database.execute(query, values).fetchall()
        rows = (dict(zip(repricing.READ, row, strict=True)) for row in found)
        # Looking up prices takes its time; other kernels can write meanwhile.
        wanted = repricing.changes(rows)
        with self._transaction() as database:
            changed = [change for change in wanted if _reprice(database, change)]
            if changed:
                live = [change for change in changed if change.row["source"] == "live"]
                spent = sum((one.amount - (one.before or 0) for one in live), _NOTHING)
                note_rewrite(database, "repriced", len(changed), spent=spent)
        watchers.tell()
        return Repricing.of(changed)

    def delete(self, *, before: Any) -> Totals:
        """Delete the rows of calls before a time; returns their sums.

        They leave every sum: ``totals().since`` then says from when calls are counted. What is
        counted under budgets stays, and so do recordings.

        Parameters
        ----------
        before : datetime.datetime, datetime.date, datetime.timedelta or str
            As the filter ``since``.
        """
        end = moment(before)
        with self._transaction() as database:
            database.execute("PRAGMA secure_delete = ON")
            old = "WHERE started < ? AND status IS NOT 'pending'"
            values = (stored_moment(end),)
            lines = database.execute(f"SELECT {SUMMED} FROM calls {old} {GROUPED}", values)
            gone = Sums().add(lines).totals()
            if gone.calls:
                database.execute(f"DELETE FROM calls {old}", values)
                note_rewrite(
                    database,
                    "deleted",
                    gone.calls,
                    before=stored_moment(end),
                    spent=gone.spent,
                    saved=gone.saved,
                    unknown=gone.unknown,
                )
            database.execute("PRAGMA secure_delete = OFF")
        watchers.tell()
        return gone

    def rename(self, old: str, new: str) -> int:
        """Let the calls of a notebook be those of the name it has now; returns how many.

        What they cost, saved, and counted under budgets stays. Calls that another notebook of the
        new name made before are summed with them from now on.
        """
        with self._transaction() as database:
            change = "UPDATE calls SET notebook = ? WHERE notebook = ?"
            count = database.execute(change, (new, old)).rowcount
            if count:
                note_rewrite(database, "renamed", count)
        watchers.tell()
        return count

    def vacuum(self) -> int:
        """Give the space of what was deleted back to the disk; returns how many bytes it was."""
        with self._database() as database:
            before = self._size(database)
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return before - self._size(database)

    def _size(self, database: sqlite3.Connection) -> int:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def forget(self, calls: Collection[str]) -> int:
        """Empty the texts of these calls' rows; their costs and tokens stay. Returns how many."""
        empty = ", ".join(f"{name} = NULL" for name in TEXTS)
        with self._database() as database:
            database.execute("PRAGMA secure_delete = ON")
            count = sum(
                database.execute(f"UPDATE calls SET {empty} WHERE id = ?", (call,)).rowcount
                for call in calls
            )
            # Rows that grew left their old text in free space, and the log has pages of before.
            with suppress(sqlite3.OperationalError):
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA secure_delete = OFF")
        return count


def _reprice(database: sqlite3.Connection, change: Change) -> bool:
    """Write a change, unless somebody else changed the amount since."""
    row = change.row
    changed = change.columns()
    columns = dict.fromkeys(changed) | stored(changed)
    amount = "saved" if row["source"] == "replay" else "cost"
    written = database.execute(
        f"UPDATE calls SET {assignments(columns)} WHERE id = ? AND {amount} IS ?",
        (*columns.values(), row["id"], row[amount]),
    )
    if not written.rowcount:
        return False
    if row["source"] == "live":
        counted = change.before
        if counted is None and row["reserved"] is not None:
            counted = Decimal(row["reserved"])
        held = scopes(row["session"], datetime.fromisoformat(row["started"]))
        spend.settle(database, held, counted, change.amount, again=True)
    return True


def note_rewrite(
    database: sqlite3.Connection,
    kind: str,
    calls: int,
    *,
    before: str | None = None,
    spent: Decimal = _NOTHING,
    saved: Decimal = _NOTHING,
    unknown: int = 0,
) -> None:
    """Keep in mind that rows which had ended were changed, and by how much."""
    money = decimal_text(spent), decimal_text(saved)
    database.execute(
        "INSERT INTO rewrites (moment, kind, calls, before, spent, saved, unknown)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (stored_moment(now()), kind, calls, before, *money, unknown),
    )
