"""What the ledger's sums can be told apart by, each with its place in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llm_magic.exceptions import ParameterError, did_you_mean
from llm_magic.history.sums import Sums, Totals

__all__ = ["GROUPS", "grouped", "place_of"]

GROUPS: Mapping[str, str] = {
    "model": "provider || '/' || model",
    "provider": "provider",
    "cell": "coalesce(cell_line, cell_id)",
    "notebook": "notebook",
    "tag": "tag",
    "day": "date(started, 'localtime')",
    "hour": "strftime('%Y-%m-%d %H:00', started, 'localtime')",
    "session": "session",
}
# Those whose groups have an order of their own; the others begin with what cost the most.
_IN_TIME = ("day", "hour", "session")


def place_of(by: str) -> str:
    """What a group is told by, in SQL.

    Raises
    ------
    ParameterError
        For a word that is none.
    """
    if by not in GROUPS:
        raise ParameterError(f"costs by {by!r}: {did_you_mean(str(by), GROUPS)}")
    return GROUPS[by]


def grouped(by: str, lines: list[tuple[Any, ...]]) -> dict[str | None, Totals]:
    """Sums by group, from lines that begin with the group; None is what belongs to none."""
    sums: dict[str | None, Sums] = {}
    for group, *line in lines:
        sums.setdefault(group, Sums()).add([line])
    found = {group: sum_.totals() for group, sum_ in sums.items()}
    if by in _IN_TIME:
        order = sorted(found, key=lambda group: group or "")
    else:
        order = sorted(found, key=lambda group: _weight(found[group]), reverse=True)
    return {group: found[group] for group in order}


def _weight(totals: Totals) -> tuple[Decimal, Decimal, int]:
    return totals.spent, totals.saved, totals.calls
