"""The calls of this session as JupyterLab is told them: the newest at first, then what is new.

A row of the ledger changes once, when its call ends. What became of a call, and why an answer was
missing, is told when it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from llm_magic import client, config, history, replay
from llm_magic.exceptions import LLMMagicError, ReplayMissError
from llm_magic.notebook.display import visible
from llm_magic.notebook.lab import Call, Calls, Outcome

__all__ = ["CallLog"]

# Rows that a page gets at once.
_MOST = 200
_LONGEST_TEXT = 200


class CallLog:
    """Which calls the pages know already; used by one thread at a time."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._pending: list[str] = []
        self._explanations: dict[str, str] = {}
        self._unexplained: dict[str, ReplayMissError] = {}

    def newest(self) -> Calls:
        """The newest calls, for a page that knows none."""
        self._last, self._pending = None, []
        return Calls(type="calls", reset=True, calls=self._read())

    def news(self) -> Calls | None:
        """Calls that are new or have ended since; None when there are none."""
        ended = [call for call in map(_row, self._pending) if call and call["status"] != "pending"]
        for row in ended:
            self._pending.remove(row["id"])
        calls = [*map(self._call, ended), *self._read()]
        return Calls(type="calls", reset=False, calls=calls) if calls else None

    def _read(self) -> list[Call]:
        rows = history.default().rows(_MOST, after=self._last, session=history.session())
        if rows:
            self._last = rows[-1]["id"]
        self._pending += [row["id"] for row in rows if row["status"] == "pending"]
        return [self._call(row) for row in rows]

    def unexplained(self) -> tuple[str, ReplayMissError] | None:
        """A miss that was told without its explanation, by the id of its row."""
        return next(iter(self._unexplained.items()), None)

    def explained(self, row_id: str, text: str) -> Calls:
        """The call again, now with its explanation."""
        del self._unexplained[row_id]
        self._explanations[row_id] = visible(text)
        row = _row(row_id)
        return Calls(type="calls", reset=False, calls=[self._call(row)] if row else [])

    def _call(self, row: Mapping[str, Any]) -> Call:
        outcome = _outcome(row)
        if outcome == "miss" and row["id"] not in self._explanations:
            error = _error_of(row)
            if error is not None and config.default().get("history_text"):
                self._unexplained[row["id"]] = error
        return Call(
            id=row["id"],
            started=row["started"],
            outcome=outcome,
            model=visible(f"{row['provider']}/{row['model']}"),
            cost=row["cost"],
            saved=row["saved"],
            latency_ms=row["latency_ms"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cell_id=row["cell_id"],
            cell_line=_short(row["cell_line"]),
            prompt=_short(row["prompt"]),
            error=_short(row["error_message"]),
            explanation=self._explanations.get(row["id"]),
            key=row["key"],
            ordinal=row["ordinal"] or 0,
        )


def explain(error: ReplayMissError) -> str:
    """What the doctor says about a miss; where recordings cannot be read, what the miss says."""
    from llm_magic import doctor  # nobody waits for it until something is missing

    try:
        shelf = client.default().shelf
    except LLMMagicError:
        return str(error)
    return doctor.diagnose(error, shelf=shelf).to_text()


def _row(row_id: str) -> dict[str, Any] | None:
    """The row as it is now; None when it was deleted."""
    rows = history.default().rows(1, until=row_id)
    return rows[0] if rows and rows[0]["id"] == row_id else None


def _outcome(row: Mapping[str, Any]) -> Outcome:
    status, source = row["status"], row["source"]
    if source == "replay" and status in ("ok", "closed"):
        return "replay"
    if status == "ok":
        return "live"
    return status if status in get_args(Outcome) else "unknown"


def _error_of(row: Mapping[str, Any]) -> ReplayMissError | None:
    place = row["key"], row["ordinal"]
    return next((one for one in replay.newest_misses() if (one.key, one.ordinal) == place), None)


def _short(text: str | None) -> str | None:
    """The beginning of a text in one line, without known keys and what drives a terminal."""
    if text is None:
        return None
    # Redacted before it is cut: of a key that is cut in two the first half would stay.
    line = " ".join(visible(text).split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
