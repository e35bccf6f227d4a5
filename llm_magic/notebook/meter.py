"""The live cost meter: what this session spent and saved, what nobody knows, and the budgets."""

from __future__ import annotations

import html
import threading
from dataclasses import dataclass
from typing import Any

import ipywidgets
from traitlets import Any as AnyTrait
from traitlets import Int, Unicode

from llm_magic import budgets, config, history, replay
from llm_magic.budgets import State
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, counted, usd
from llm_magic.history import Totals
from llm_magic.notebook import changes
from llm_magic.notebook.display import visible
from llm_magic.notebook.snapshots import MUTED, Snapshot

__all__ = ["CostMeter", "Figures", "read"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the meter shows.

    Attributes
    ----------
    totals : Totals
        Sums over the ledger's rows of this session.
    budgets : tuple of State
        The caps that count now, and how far they are used.
    """

    totals: Totals
    budgets: tuple[State, ...]

    def named(self) -> list[tuple[str, str]]:
        """The figures in words."""
        totals = self.totals
        unknown = counted(totals.unknown, "call") if totals.unknown else "none"
        return [
            ("spent", usd(totals.spent)),
            ("saved by replay", usd(totals.saved)),
            ("of unknown cost", unknown),
            ("calls", f"{count(totals.live)} live, {count(totals.replayed)} replayed"),
        ]

    def __str__(self) -> str:
        lines = [" · ".join(f"{name}: {value}" for name, value in self.named())]
        lines += [f"budget per {state.cap.per}: {_used(state)}" for state in self.budgets]
        return "\n".join(lines)

    def to_html(self) -> str:
        """The same as escaped HTML, with a bar for each budget."""
        tiles = "".join(
            f'<div><div style="{MUTED}">{html.escape(name)}</div>'
            f'<div style="{_FIGURE}">{html.escape(value)}</div></div>'
            for name, value in self.named()
        )
        bars = "".join(map(_bar, self.budgets))
        return (
            '<div class="llm-magic-meter" role="group" aria-label="cost of this session">'
            f'<div style="{_TILES}">{tiles}</div>{bars}</div>'
        )


def read() -> Figures:
    """The figures as the ledger has them now.

    Raises
    ------
    LLMMagicError
        When the ledger cannot be read, or a budget in the settings is none.
    """
    states = budgets.shown(config.default(), replay.current_run())
    return Figures(history.totals(session=history.session()), tuple(states))


def _used(state: State) -> str:
    aside = f", {usd(state.counter.reserved)} set aside" if state.counter.reserved else ""
    return f"{usd(state.counter.settled)} of {usd(state.cap.limit)}{aside}"


_NEARLY = 0.8


def _bar(state: State) -> str:
    taken = state.cap.limit - state.left
    share = min(1.0, float(taken / state.cap.limit)) if state.cap.limit else 1.0
    colour = _COLOURS["full" if share >= 1 else "nearly" if share >= _NEARLY else "free"]
    name, used = html.escape(f"budget per {state.cap.per}"), html.escape(_used(state))
    return (
        f'<div style="{MUTED}; margin-top: 6px">{name}: {used}</div>'
        f'<div role="meter" aria-label="{name}" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{share * 100:.0f}" aria-valuetext="{used}" style="{_TRACK}">'
        f'<div style="width: {share:.1%}; height: 100%; background: {colour}"></div></div>'
    )


_FIGURE = (
    "color: var(--jp-ui-font-color1, #212121); font-size: var(--jp-ui-font-size2, 16px);"
    " font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.4"
)
_TILES = "display: flex; flex-wrap: wrap; gap: 4px 28px"
_TRACK = (
    "height: 6px; max-width: 320px; border-radius: 4px; overflow: hidden;"
    " background: var(--jp-layout-color2, #eeeeee);"
    " border: 1px solid var(--jp-border-color1, #bdbdbd)"
)
_COLOURS = {
    "free": "var(--jp-success-color1, #388e3c)",
    "nearly": "var(--jp-warn-color1, #f57c00)",
    "full": "var(--jp-error-color1, #d32f2f)",
}


class CostMeter(Snapshot, ipywidgets.HTML):
    """A meter that moves with every call of this session, also while a cell runs.

    Its figures are those of the ledger. Several of them show the same.

    Attributes
    ----------
    spent, saved : decimal.Decimal
        USD of live calls; USD that replays would have cost.
    unknown, calls : int
        Live calls whose cost nobody knows; calls in all.
    text : str
        All of it in words.

    Examples
    --------
    >>> meter = CostMeter()
    >>> meter.spent, meter.calls
    (Decimal('0'), 0)
    >>> meter.close()
    """

    spent = AnyTrait(help="USD of this session's live calls, a Decimal")
    saved = AnyTrait(help="USD that this session's replays would have cost, a Decimal")
    unknown = Int(help="live calls of this session whose cost nobody knows")
    calls = Int(help="calls of this session, live or replayed")
    text = Unicode(help="all of it in words")

    def __init__(self, **options: Any) -> None:
        # Figures that were read earlier must not be shown later.
        self._lock = threading.RLock()
        super().__init__(**options)
        self.refresh()
        self._ends.append(changes.watch(self.refresh))

    def refresh(self) -> None:
        """Show what the ledger says now."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        try:
            figures = read()
        except LLMMagicError as error:
            self.text = visible(str(error))
            self.value = f'<div role="alert">{html.escape(self.text)}</div>'
            return
        totals = figures.totals
        self.spent, self.saved = totals.spent, totals.saved
        self.unknown, self.calls = totals.unknown, totals.calls
        self.text, self.value = str(figures), figures.to_html()

    def snapshot_text(self) -> str:
        """The figures as they are now."""
        self.refresh()
        return self.text

    def snapshot_html(self) -> str:
        """The figures as they are now."""
        self.refresh()
        return str(self.value)
