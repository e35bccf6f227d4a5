"""``%llm cost`` and ``%llm budget``: what calls cost, and caps on what they may cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from IPython.core.error import UsageError

from llm_magic import budgets, config, costs, history, replay
from llm_magic.budgets import PERIODS
from llm_magic.costs import Report
from llm_magic.exceptions import ConfigError, did_you_mean
from llm_magic.formats import count, usd
from llm_magic.history import FILTERS, Totals
from llm_magic.notebook.tables import Table

__all__ = ["CostView", "budget", "cost", "set_cap"]

_USAGE = "%llm budget USD [--per session|call|cell|day|process]"


def budget(words: Sequence[str]) -> Table | str:
    """``%llm budget``: the caps, and how far they are used.

    ``%llm budget 0.50 [--per day]`` sets one for this session; ``%llm budget off`` takes it away.
    """
    match list(words):
        case []:
            return _caps()
        case [amount]:
            per = "session"
        case [amount, "--per", per]:
            if per not in PERIODS:
                raise UsageError(f"%llm budget --per {per}: {did_you_mean(per, PERIODS)}")
        case _:
            raise UsageError(_USAGE)
    set_cap(per, None if amount == "off" else amount)
    for limit, origin in config.default().caps(PERIODS[per])[:1]:
        kept = ", set outside" if origin.startswith("LLM_MAGIC_") else ""
        return f"budget per {per}: {usd(limit)}{kept}"
    return f"budget per {per}: none"


def set_cap(per: str, amount: str | None) -> None:
    """Set a cap in USD for this session, or take it away; one from outside stays beside it.

    Raises
    ------
    ConfigError
        For what is no amount, or a part of a millionth of a dollar.
    """
    settings = config.default()
    if amount is None:
        settings.session[PERIODS[per]] = None
        return
    try:
        limit = config.read_usd(amount)
    except ValueError as error:
        raise ConfigError(f"budget per {per}: {error}") from None
    if 0 < limit < _LEAST:
        # A slip of the finger, which would fill every line that shows it with zeros.
        raise ConfigError(f"budget per {per}: the least is {usd(_LEAST)}; 0 stops all that costs")
    settings.set(PERIODS[per], limit)


_LEAST = Decimal("0.000001")


_HEADER = ["per", "limit", "spent", "set aside", "left", "from"]


def _caps() -> Table:
    rows = [
        (
            state.cap.per,
            usd(state.cap.limit),
            usd(state.counter.settled),
            usd(state.counter.reserved),
            usd(state.left),
            state.cap.origin,
        )
        for state in budgets.shown(config.default(), replay.current_run())
    ]
    return Table(_HEADER, rows, "" if rows else f"no budget: {_USAGE}")


def cost(words: Sequence[str]) -> Table | CostView:
    """``%llm cost``: spent, saved and unknown, of this session and of this folder's ledger.

    ``%llm cost --by model|cell|day|tag|notebook|provider|session`` tells them apart, with a chart
    over time; ``--since 7d``, ``--model``, ``--tag`` and the other filters of ``history.totals()``
    pick calls.
    """
    if not words:
        return _at_a_glance()
    given = _options(words, {"by", *FILTERS}, "cost")
    return CostView(costs.report(history.default(), **given))


def _options(words: Sequence[str], known: Iterable[str], command: str) -> dict[str, str]:
    """``--name value`` and ``--name=value``, in any order."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        name = word.removeprefix("--")
        if name == word or name not in known:
            options = [f"--{one}" for one in known]
            raise UsageError(f"%llm {command}: no option {word}; {did_you_mean(word, options)}")
        if not equals:
            if not rest:
                raise UsageError(f"%llm {command}: {word} needs a value")
            value = rest.pop(0)
        found[name] = value
    return found


class CostView:
    """A report of costs as a table and a chart, in text and in escaped HTML.

    Parameters
    ----------
    report : Report
        What to show.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def __repr__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        report = self.report
        shown = Table(report.header(), report.rows(), report.caption())
        return (
            '<div class="llm-magic-costs tex2jax_ignore mathjax_ignore">'
            f"{report.timeline.to_html()}{shown._repr_html_()}</div>"
        )


def _at_a_glance() -> Table:
    ledger = history.default()
    sums = ledger.totals(session=history.session()), ledger.totals()
    rows = [(name, *map(read, sums)) for name, read in _FIGURES.items()]
    place = "in memory: this folder cannot be written, or its disk is full"
    if ledger.path is not None:
        folder = config.default().workspace.folder
        place = str(ledger.path).removeprefix(f"{folder}{os.sep}")
    since = sums[1].since
    older = f"; calls before {since.astimezone().date()} were deleted" if since else ""
    return Table(["", "this session", "all"], rows, f"ledger: {place}{older}")


_FIGURES: dict[str, Callable[[Totals], str]] = {
    "spent": lambda totals: usd(totals.spent),
    "saved by replay": lambda totals: usd(totals.saved),
    "calls of unknown cost": lambda totals: count(totals.unknown),
    "replays of unknown price": lambda totals: count(totals.saved_unknown),
    "live calls": lambda totals: count(totals.live),
    "replayed calls": lambda totals: count(totals.replayed),
    "calls without an answer": lambda totals: count(totals.failed),
    "input tokens, live": lambda totals: count(totals.input_tokens),
    "of them from the cache": lambda totals: _share(totals.cached_share),
    "output tokens, live": lambda totals: count(totals.output_tokens),
}


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
