"""The ledger of one folder: rows are written before a call and completed after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic import pricing, spend
from llm_magic.config import Workspace
from llm_magic.exceptions import DamagedStoreError
from llm_magic.history import watchers
from llm_magic.history.columns import assignments, insertion, stored, usage_columns
from llm_magic.history.ids import alive, new_call_id, process_started, scopes, session
from llm_magic.history.migrations import RESERVED_OF_CALLS, SPEND_OF_CALLS
from llm_magic.history.reading import Reading
from llm_magic.history.rewriting import Rewriting, note_rewrite
from llm_magic.recordings import Recording, Recordings
from llm_magic.spend import Cap, Counter
from llm_magic.storage import Store
from llm_magic.types import Completion

__all__ = ["History"]


class History(Reading, Rewriting):
    """The ledger of one folder.

    Parameters
    ----------
    workspace : Workspace
        Its folder. Where nothing can be written, the ledger is kept in memory.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        try:
            self._recover()
        except DamagedStoreError:
            # It was set aside, and there is a new one.
            self._recover()

    def begin(
        self, *, reserved: Decimal | None = None, caps: Sequence[Cap] = (), **fields: Any
    ) -> str:
        """Write the row of a live call before it is sent; returns its id.

        Parameters
        ----------
        reserved : decimal.Decimal, optional
            USD to set aside for it, the most that it can cost.
        caps : sequence of Cap, optional
            Caps that must admit it; looked at and counted in the transaction of the row.
        **fields
            Columns.

        Raises
        ------
        OverCapError
            When a cap does not admit it; there is no row then.
        """
        fields = {
            **fields,
            "reserved": reserved,
            "status": "pending",
            "source": "live",
            "pid": os.getpid(),
            "process_started": process_started(os.getpid()),
        }
        if reserved is None:
            return self.record(**fields)
        fields.setdefault("session", session())
        with self._transaction() as database:
            counted = scopes(fields["session"], fields["started"])
            spend.reserve(database, counted, reserved, caps)
            call = self._insert(fields)
        watchers.tell()
        return call

    def finish(self, call: str, **fields: Any) -> None:
        """Complete the row of a live call, once, and count what it cost.

        A row that another process took for forgotten (``unknown``) is completed too: processes in
        other containers cannot see each other.
        """
        values = dict.fromkeys(fields) | stored(fields)
        changes = assignments(values)
        with self._transaction() as database:
            before = database.execute(
                "SELECT status, session, started, reserved FROM calls"
                " WHERE id = ? AND status IN ('pending', 'unknown')",
                (call,),
            ).fetchone()
            if before is None:
                return
            database.execute(f"UPDATE calls SET {changes} WHERE id = ?", (*values.values(), call))
            status, session, started, reserved = before
            spend.settle(
                database,
                scopes(session, started and datetime.fromisoformat(started)),
                None if reserved is None else Decimal(reserved),
                fields.get("cost"),
                again=status == "unknown",
            )
            if status == "unknown":
                note_rewrite(database, "completed", 1, spent=fields.get("cost") or Decimal(0))
        watchers.tell()

    def counters(self, scopes: Iterable[str]) -> dict[str, Counter]:
        """What is settled and set aside under these scopes, in USD."""
        with self._database() as database:
            return spend.read(database, scopes)

    def record(self, **fields: Any) -> str:
        """Write a whole row; returns its id. Columns that are not given are NULL."""
        call = self._insert(fields)
        watchers.tell()
        return call

    def record_soon(self, fields: Mapping[str, Any]) -> str:
        """As :meth:`record`, for what costs nothing: written together with others, in a moment.

        All that this process asks its ledger or does with it comes after it; other processes see
        it at the end of the cell, or after a fifth of a second.
        """
        row = _row(fields)
        self._write_soon(*insertion("INSERT OR IGNORE", row))
        watchers.tell()
        return str(row["id"])

    def _insert(self, fields: Mapping[str, Any]) -> str:
        row = {name: value for name, value in _row(fields).items() if value is not None}
        with self._database() as database:
            database.execute(*insertion("INSERT", row))
        return str(row["id"])

    def adopt(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take over rows of another ledger that this one does not have, and what they cost.

        Parameters
        ----------
        rows : iterable of dict
            Values by column; each has an ``id`` of its own.
        """
        for row in rows:
            self.record(**row)
        with self._database() as database:
            # A counter may know of more than the rows that could be read.
            known = "ON CONFLICT DO UPDATE SET settled = max(settled, excluded.settled)"
            for statement in SPEND_OF_CALLS:
                database.execute(f"{statement} {known}")
            # Whoever ends these calls takes away what is set aside for them.
            known = "ON CONFLICT DO UPDATE SET reserved = max(reserved, excluded.reserved)"
            for statement in RESERVED_OF_CALLS:
                database.execute(f"{statement} {known}")

    def _recover(self) -> None:
        """Settle the rows of processes that are gone."""
        with self._database() as database:
            pending = database.execute(
                "SELECT id, pid, process_started, key, ordinal FROM calls WHERE status = 'pending'"
            ).fetchall()
        dead = [row for row in pending if not alive(row[1], row[2])]
        if not dead:
            return
        store = Store(self._working / "recordings")
        try:
            for call, _, _, key, ordinal in dead:
                recording = Recordings(store).find_call(key, ordinal, call) if key else None
                self.finish(call, **_outcome(recording))
        finally:
            store.close()


def _row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns, with an id and whose session it is where they say nothing of it."""
    row = dict(fields)
    if "id" not in row:
        row["id"] = new_call_id()
    if "session" not in row:
        row["session"] = session()
    return row


def _outcome(recording: Recording | None) -> dict[str, Any]:
    if recording is None:
        return {
            "status": "unknown",
            "error_message": "the process ended before the answer was in the ledger",
        }
    completion = Completion(recording.response, tokens=recording.usage)
    usage = recording.usage
    cost, source = pricing.charged(recording.response.get("usage"), usage, recording.prices)
    return {
        "status": "closed" if recording.closed else "ok",
        "latency_ms": recording.latency_ms,
        "cost": cost,
        "cost_source": source,
        "notes": ["completed from the recording: the process had ended"],
        **usage_columns(completion),
    }
