"""The panel's history: sort it, filter it, open an answer, ask again, copy as a cell."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from llm_magic import client, history
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.display import Answer, visible
from llm_magic.notebook.lists import Column, Rows
from llm_magic.notebook.past_calls import SORTED_BY, PastCall, chosen
from llm_magic.notebook.snapshots import quiet, rendered
from llm_magic.recordings import Recording

__all__ = ["HistoryTab"]

_COLUMNS: list[Column] = [
    ("time (UTC)", 11, False),
    ("model", 20, False),
    ("outcome", 11, False),
    ("tokens", 10, True),
    ("cost", 12, True),
    ("prompt", 60, False),
]
# Older calls are found by a filter of the ledger: %llm history, history.to_pandas().
_MOST = 300
_SESSION, _FOLDER = "this session", "this folder"


class HistoryTab(ipywidgets.VBox):
    """The calls of the ledger; read when somebody looks, by :meth:`refresh`.

    Parameters
    ----------
    ask : callable
        Asks again: is given messages and arguments.
    """

    def __init__(self, ask: Callable[[Any, Mapping[str, Any]], None]) -> None:
        super().__init__()
        self._ask = ask
        self._calls: dict[str, PastCall] = {}
        self.filter = ipywidgets.Text(
            description="Filter",
            placeholder="words of a prompt or an answer, a model, an outcome",
            description_allow_html=False,
            layout={"flex": "1 1 260px", "width": "auto"},
            style={"description_width": "60px"},
        )
        self.by = _choice("Sort by", list(SORTED_BY), "60px")
        self.scope = _choice("Of", [_SESSION, _FOLDER], "30px")
        self.rising = ipywidgets.ToggleButton(
            description="reverse", tooltip="Least or oldest first", layout={"width": "auto"}
        )
        self.rows = Rows("calls", _COLUMNS, height=8)
        self.run_again = ipywidgets.Button(
            description="Ask again",
            tooltip="Ask the same; what is recorded replays, unless the mode is CAPTURE",
            icon="refresh",
            disabled=True,
        )
        self.copy = ipywidgets.Button(
            description="Copy as cell",
            tooltip="Show it as a cell with %%complete, to be copied",
            icon="copy",
            disabled=True,
        )
        self._told = ipywidgets.HTML()
        self.cell = ipywidgets.Textarea(
            description="Cell",
            description_allow_html=False,
            rows=5,
            layout={"width": "auto", "display": "none"},
            style={"description_width": "60px"},
        )
        self.opened = rendered()
        self.children = [
            ipywidgets.HBox([self.filter, self.by, self.rising, self.scope], layout=_WRAP),
            self.rows,
            ipywidgets.HBox([self.run_again, self.copy, self._told], layout=_WRAP),
            self.cell,
            self.opened,
        ]
        for field in (self.filter, self.by, self.rising, self.scope):
            field.observe(self._show, "value")
        self.rows.observe(self._open, "value")
        self.run_again.on_click(self._run_again)
        self.copy.on_click(self._copy)

    def refresh(self) -> None:
        """Show new calls, unless somebody looks at one: the list would move under the hand."""
        if self.rows.value is None:
            self._show()

    def _show(self, change: Any = None) -> None:
        only = {"session": history.session()} if self.scope.value == _SESSION else {}
        try:
            rows = history.default().rows(_MOST, **only)
        except LLMMagicError as error:
            self._tell(str(error))
            return
        calls = chosen(rows, text=self.filter.value, by=self.by.value, rising=self.rising.value)
        self._calls = {call.id: call for call in calls}
        self.rows.show([(call.id, call.cells()) for call in calls])

    @property
    def call(self) -> PastCall | None:
        """The one that is open."""
        return self._calls.get(self.rows.value)

    def _open(self, change: Any) -> None:
        call = self.call
        self.run_again.disabled = self.copy.disabled = call is None
        self.cell.value, self.cell.layout.display = "", "none"
        self._tell("")
        self.opened.value = "" if call is None else _opened(call)

    def _run_again(self, button: Any) -> None:
        if self.call is None:
            return
        try:
            messages, options = self.call.again(_recording(self.call))
        except LLMMagicError as error:
            self._tell(str(error))
            return
        self._ask(messages, options)

    def _copy(self, button: Any) -> None:
        if self.call is None:
            return
        try:
            cell, missing = self.call.cell(_recording(self.call))
        except LLMMagicError as error:
            self._tell(str(error))
            return
        self.cell.value, self.cell.layout.display = cell, ""
        self._tell(f"not in the cell: {', '.join(missing)}" if missing else "copy it from below")

    @property
    def told(self) -> str:
        """What the last button did, as HTML."""
        return str(self._told.value)

    def _tell(self, text: str) -> None:
        self._told.value = quiet(visible(text)) if text else ""


def _recording(call: PastCall) -> Recording | None:
    key = call.row["key"]
    if not key:
        return None
    return client.default().shelf.find(key, call.row["ordinal"] or 0, call.row["notebook"])


def _opened(call: PastCall) -> str:
    error = call.row["error_message"]
    answer = Answer(call.answer, error=error).html()
    prompt = html.escape(visible(call.prompt or "the prompt is not in the ledger"))
    return (
        f'<div class="llm-magic-call tex2jax_ignore mathjax_ignore">{quiet(visible(call.line()))}'
        f'<pre style="{_PROMPT}">{prompt}</pre>{answer}</div>'
    )


_PROMPT = (
    "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 12em; overflow: auto;"
    " padding: 6px 8px; border-left: 3px solid var(--jp-border-color1, #bdbdbd)"
)


def _choice(label: str, options: list[str], width: str) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(
        options=options,
        description=label,
        description_allow_html=False,
        layout={"width": "190px"},
        style={"description_width": width},
    )


_WRAP = {"flex_flow": "row wrap", "align_items": "center"}
