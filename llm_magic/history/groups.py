"""What the ledger's sums can be told apart by, each with its place in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_magic.exceptions import ParameterError, did_you_mean
from llm_magic.history.sums import Sums, Totals

__all__ = ["CELL", "GROUPS", "CellTotals", "grouped", "grouped_by_cell", "place_of"]

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
# What tells cells apart that begin alike: their id, and the line only where they have none.
CELL = "cell_id, CASE WHEN cell_id IS NULL THEN cell_line END"


@dataclass(frozen=True, slots=True)
class CellTotals:
    """Sums of one cell; those of calls outside of cells have neither id nor line.

    Attributes
    ----------
    id : str or None
        Its id, where the frontend tells one.
    line : str or None
        Its first line, as it was at its newest call.
    totals : Totals
        The sums.
    """

    id: str | None
    line: str | None
    totals: Totals


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


def grouped_by_cell(lines: Iterable[tuple[Any, ...]]) -> list[CellTotals]:
    """Sums by cell, from lines that begin with its id, its first line and the newest rowid."""
    sums: dict[tuple[str | None, str | None], Sums] = {}
    newest: dict[tuple[str | None, str | None], tuple[int, str | None]] = {}
    for cell, named, rowid, *line in lines:
        place = (cell, None) if cell is not None else (None, named)
        sums.setdefault(place, Sums()).add([line])
        if place not in newest or rowid > newest[place][0]:
            newest[place] = rowid, named
    found = [CellTotals(place[0], newest[place][1], sum_.totals()) for place, sum_ in sums.items()]
    return sorted(found, key=lambda cell: _weight(cell.totals), reverse=True)


def _weight(totals: Totals) -> tuple[Decimal, Decimal, int]:
    return totals.spent, totals.saved, totals.calls
