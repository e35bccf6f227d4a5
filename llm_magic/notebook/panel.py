"""The panel: ask, look back, and keep the recordings in order, under a live cost meter."""

from __future__ import annotations

from typing import Any

import ipywidgets

from llm_magic import history
from llm_magic.notebook import changes
from llm_magic.notebook.ask_tab import AskTab
from llm_magic.notebook.cassette_tab import CassetteTab
from llm_magic.notebook.display import visible
from llm_magic.notebook.history_tab import HistoryTab
from llm_magic.notebook.meter import CostMeter
from llm_magic.notebook.past_calls import PastCall
from llm_magic.notebook.snapshots import Snapshot
from llm_magic.notebook.tables import Table

__all__ = ["Panel", "panel"]


def panel() -> Panel:
    """A panel to ask models and to see what it costs; several of them stay in step.

    Model and mode that are picked here count for ``%%complete``, too, for this session. An answer
    streams in while the kernel is free for other cells. A press of a button while a cell runs is
    heard when the cell has ended; the cost meter moves all the time.

    Examples
    --------
    >>> from llm_magic import panel
    >>> shown = panel()
    >>> shown.meter.calls
    0
    >>> shown.close()
    """
    return Panel()


class Panel(Snapshot, ipywidgets.VBox):
    """A form, the history and the cassette in tabs, under a cost meter.

    Attributes
    ----------
    meter : CostMeter
        What this session cost.
    ask : AskTab
        The form; ``ask.picker`` is its ModelPicker.
    history : HistoryTab
        The calls.
    cassette : CassetteTab
        The recordings.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_class("llm-magic-panel")
        self.meter = CostMeter()
        self.ask = AskTab()
        self.history = HistoryTab(self._ask_again)
        self.cassette = CassetteTab()
        self.tabs = ipywidgets.Tab(
            [self.ask, self.history, self.cassette], titles=["Ask", "History", "Cassette"]
        )
        self.children = [self.meter, self.tabs]
        self.tabs.observe(self._refresh_tab, "selected_index")
        self._ends.append(changes.watch(self._refresh))

    def _refresh(self) -> None:
        self.ask.refresh()
        self._refresh_tab()

    def _refresh_tab(self, change: Any = None) -> None:
        # What nobody sees is not brought up to date.
        if self.tabs.selected_index == 1:
            self.history.refresh()
        elif self.tabs.selected_index == 2:
            self.cassette.refresh()

    def _ask_again(self, messages: Any, options: Any) -> None:
        self.tabs.selected_index = 0
        self.ask.ask(messages, options)

    def snapshot_text(self) -> str:
        """The figures, the settings and the newest calls, without their texts."""
        return f"{self.meter.snapshot_text()}\n{self._settings()}\n{self._newest()!r}"

    def snapshot_html(self) -> str:
        """The same as a table under the meter."""
        return f"{self.meter.snapshot_html()}{self._newest(self._settings())._repr_html_()}"

    def _settings(self) -> str:
        model, mode = self.ask.picker.value, self.ask.mode.value
        return f"model: {visible(model or 'none')} · mode: {mode}"

    def _newest(self, caption: str = "") -> Table:
        rows = history.default().rows(_NEWEST, session=history.session())
        cells = [PastCall(row).cells()[:-1] for row in reversed(rows)]
        shown = [[visible(cell) for cell in row] for row in cells]
        return Table(["time (UTC)", "model", "outcome", "tokens", "cost"], shown, caption)


_NEWEST = 5
