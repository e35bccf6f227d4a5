"""What was spent over time, as a small chart: bars in a notebook, block characters in a terminal.

The chart is static HTML, without a script and without SVG: a notebook that is not trusted shows
divs, and drops drawings.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from llm_magic.formats import counted, usd
from llm_magic.history import History, Totals

__all__ = ["Bar", "Timeline", "read"]

# More bars than this cannot be told apart; then one of them is a longer time.
_MOST = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of time.

    Attributes
    ----------
    when : str
        Its beginning, where this machine is.
    spent : decimal.Decimal
        USD.
    unknown : int
        Calls whose cost nobody knows.
    """

    when: str
    spent: Decimal = Decimal(0)
    unknown: int = 0

    def plus(self, totals: Totals) -> Bar:
        """The bar with the calls of one more group."""
        return Bar(self.when, self.spent + totals.spent, self.unknown + totals.unknown)

    def __str__(self) -> str:
        unknown = f" and {counted(self.unknown, 'call')} of unknown cost" if self.unknown else ""
        return f"{self.when}: {usd(self.spent)}{unknown}"


@dataclass(frozen=True, slots=True)
class Timeline:
    """What was spent, from the first call to the last one.

    Attributes
    ----------
    unit : str
        ``hour``, ``day``, ``week`` or ``month``: what a bar stands for.
    bars : tuple of Bar
        All of that time; pieces in which nothing was spent, too.
    """

    unit: str
    bars: tuple[Bar, ...]

    @property
    def title(self) -> str:
        """What the chart shows, in words."""
        if not self.bars:
            return "no calls"
        highest = max(self.bars, key=lambda bar: bar.spent)
        unknown = sum(bar.unknown for bar in self.bars)
        return (
            f"spent per {self.unit}, {self.bars[0].when} to {self.bars[-1].when}; most"
            f" {usd(highest.spent)} ({highest.when})"
            + (f"; {counted(unknown, 'call')} of unknown cost not in it" if unknown else "")
        )

    def _share(self, bar: Bar) -> float:
        highest = max(bar.spent for bar in self.bars)
        return float(bar.spent / highest) if highest else 0.0

    def __str__(self) -> str:
        return f"{''.join(map(self._character, self.bars))}\n{self.title}"

    def _character(self, bar: Bar) -> str:
        if not bar.spent:
            return "?" if bar.unknown else "·"
        return _BLOCKS[min(len(_BLOCKS) - 1, int(self._share(bar) * len(_BLOCKS)))]

    def to_html(self) -> str:
        """The chart as HTML."""
        title = html.escape(self.title)
        if not self.bars:
            return f"<div>{title}</div>"
        drawn = "".join(map(self._drawn, self.bars))
        ends = "".join(f"<span>{html.escape(bar.when)}</span>" for bar in self._ends())
        return (
            '<figure class="llm-magic-timeline" style="margin: 8px 0; max-width: 480px">'
            f'<div role="img" aria-label="{title}" style="{_PLOT}">{drawn}</div>'
            f'<div aria-hidden="true" style="{_AXIS}">{ends}</div>'
            f'<figcaption style="{_WORDS}">{title}</figcaption></figure>'
        )

    def _ends(self) -> tuple[Bar, ...]:
        return self.bars if len(self.bars) == 1 else (self.bars[0], self.bars[-1])

    def _drawn(self, bar: Bar) -> str:
        # What was spent is seen, however little it is beside the most.
        height = max(self._share(bar) * 100, 3) if bar.spent else 0
        unknown = _UNKNOWN if bar.unknown else ""
        return (
            f'<div title="{html.escape(str(bar))}" style="flex: 1 1 0; min-width: 2px;'
            f' max-width: 48px; height: {height:.0f}%; background: {_COLOUR}; {unknown}"></div>'
        )


_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOUR = "var(--jp-brand-color1, #1976d2)"
_PLOT = (
    "display: flex; align-items: flex-end; gap: 2px; height: 72px;"
    " border-bottom: 1px solid var(--jp-border-color1, #bdbdbd)"
)
_WORDS = "color: var(--jp-ui-font-color2, #616161); font-size: var(--jp-ui-font-size0, 11px)"
_AXIS = f"display: flex; justify-content: space-between; {_WORDS}"
_UNKNOWN = "border-top: 2px dashed var(--jp-warn-color1, #f57c00)"


def read(ledger: History, **filters: object) -> Timeline:
    """What the calls that match spent over time.

    Parameters
    ----------
    ledger : History
        Where they stand.
    **filters
        As of :meth:`llm_magic.history.History.totals`.
    """
    days = _known(ledger.grouped("day", **filters))
    if not days:
        return Timeline("day", ())
    if _apart(days) < timedelta(days=2):
        hours = _known(ledger.grouped("hour", **filters))
        return Timeline("hour", _filled(hours, timedelta(hours=1), "%Y-%m-%d %H:00"))
    span = _apart(days).days
    if span < _MOST:
        return Timeline("day", _filled(days, timedelta(days=1), "%Y-%m-%d"))
    if span < _MOST * 7:
        weeks = _together(days, lambda day: str(day - timedelta(days=day.weekday())))
        return Timeline("week", _filled(weeks, timedelta(days=7), "%Y-%m-%d"))
    return Timeline("month", tuple(_together(days, lambda day: f"{day:%Y-%m}").values()))


def _known(groups: Mapping[str | None, Totals]) -> dict[str, Bar]:
    return {when: Bar(when).plus(totals) for when, totals in groups.items() if when}


def _apart(bars: Mapping[str, Bar]) -> timedelta:
    return datetime.fromisoformat(max(bars)) - datetime.fromisoformat(min(bars))


def _filled(bars: Mapping[str, Bar], step: timedelta, form: str) -> tuple[Bar, ...]:
    """The bars with those of the time in between, in which nothing was asked."""
    count = _apart(bars) // step + 1
    first = datetime.fromisoformat(min(bars))
    times = [(first + number * step).strftime(form) for number in range(count)]
    return tuple(bars.get(when, Bar(when)) for when in times)


def _together(bars: Mapping[str, Bar], place: Callable[[date], str]) -> dict[str, Bar]:
    """Bars of longer pieces of time."""
    found: dict[str, Bar] = {}
    for bar in bars.values():
        when = place(date.fromisoformat(bar.when))
        before = found.get(when, Bar(when))
        found[when] = Bar(when, before.spent + bar.spent, before.unknown + bar.unknown)
    return found
