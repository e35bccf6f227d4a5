"""What calls cost, told apart by model, cell, day and the like: a table and a chart over time.

``%llm cost --by`` and ``llm-magic cost`` show it; :func:`llm_magic.history.costs` is the table as a
DataFrame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magic import timeline
from llm_magic.exceptions import ParameterError, did_you_mean
from llm_magic.formats import count, counted, table, usd
from llm_magic.history import FILTERS, History, Totals
from llm_magic.timeline import Timeline
from llm_magic.worddiff import visible

__all__ = ["BY", "FILTERS", "Report", "report"]

BY = ("model", "cell", "day", "tag", "notebook", "provider", "session")

_HEADER = (
    *("spent", "saved", "unknown", "calls", "live", "replayed", "failed"),
    *("input", "from cache", "into cache", "output", "reasoning", "cached"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """Sums by group; printed, a table and a chart.

    Attributes
    ----------
    by : str
        What they are told apart by.
    groups : dict
        Totals by group; None is the group of the calls that have none.
    totals : Totals
        The sums of all of them.
    timeline : Timeline
        What they spent over time.
    """

    by: str
    groups: Mapping[str | None, Totals]
    totals: Totals
    timeline: Timeline

    def header(self) -> list[str]:
        """Names of the columns."""
        return [self.by, *_HEADER]

    def rows(self) -> list[list[str]]:
        """The cells as people read them; the last row is the sum of all."""
        rows = [[_named(group), *_cells(totals)] for group, totals in self.groups.items()]
        return rows if len(rows) == 1 else [*rows, ["all", *_cells(self.totals)]]

    def caption(self) -> str:
        """What is to be known about it."""
        told = "USD; tokens of live calls; cached: share of the input from the provider's cache"
        if self.totals.estimated:
            told += f"; {counted(self.totals.estimated, 'call')} with estimated tokens"
        if self.totals.since is not None:
            day = self.totals.since.astimezone().date()
            told += f"; calls before {day} were deleted"
        return told

    def __str__(self) -> str:
        rows = [[visible(cell) for cell in row] for row in self.rows()]
        return f"{table(self.header(), rows)}\n{self.caption()}\n\n{self.timeline}"


def _named(group: str | None) -> str:
    return "(none)" if group is None else group


def _cells(totals: Totals) -> list[str]:
    share = totals.cached_share
    return [
        usd(totals.spent),
        usd(totals.saved),
        count(totals.unknown),
        count(totals.calls),
        count(totals.live),
        count(totals.replayed),
        count(totals.failed),
        count(totals.input_tokens),
        count(totals.cache_read_tokens),
        count(totals.cache_write_tokens + totals.cache_write_1h_tokens),
        count(totals.output_tokens),
        count(totals.reasoning_tokens),
        "" if share is None else f"{share:.0%}",
    ]


def report(ledger: History, by: str = "model", **filters: Any) -> Report:
    """What the calls that match cost.

    Parameters
    ----------
    ledger : History
        Where they stand.
    by : str
        ``model``, ``cell``, ``day``, ``tag``, ``notebook``, ``provider`` or ``session``.
    **filters
        As of :meth:`llm_magic.history.History.totals`.

    Raises
    ------
    ParameterError
        For another ``by``, a time that is none, or when no call matches; with the nearest names
        that there are.
    """
    if by not in BY:
        raise ParameterError(f"costs by {by!r}: {did_you_mean(by, BY)}")
    given = {name: value for name, value in filters.items() if value is not None}
    totals = ledger.totals(**given)
    if not totals.calls:
        raise ParameterError(_why_nothing(ledger, given))
    return Report(by, ledger.grouped(by, **given), totals, timeline.read(ledger, **given))


def _why_nothing(ledger: History, filters: Mapping[str, Any]) -> str:
    """No call matches; where one filter alone is the reason, the nearest names that there are."""
    for name, value in filters.items():
        if name in _NAMED and not ledger.totals(**{name: value}).calls:
            known = [visible(group) for group in ledger.grouped(name) if group]
            if name == "model" and "/" not in str(value):
                known = sorted({reference.partition("/")[2] for reference in known})
            hint = did_you_mean(str(value), known[:_LISTED]) or "no call has one"
            return f"no call has {name} {value!r}; {hint}"
    told = ", ".join(f"{name} {value}" for name, value in filters.items())
    return f"no call matches: {told}" if told else "nothing was asked in this folder yet"


_NAMED = ("model", "provider", "notebook", "cell", "tag")
# So many names are looked through, and may be listed.
_LISTED = 50
