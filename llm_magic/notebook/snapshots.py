"""Widgets that can still be read without their kernel, without JavaScript and without trust.

A widget is displayed as two outputs. The first one is the widget. The second one is a snapshot of
it, as escaped HTML and as text, which a style sheet hides as long as the page shows the widget
itself. One output with both forms was tried and rejected: JupyterLab shows "model not found" for a
widget whose kernel is gone, and nbconvert an empty place for one whose scripts it cannot load, even
where the same output has HTML. The snapshot is brought up to date at the end of every cell.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.display import display

from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import changes
from llm_magic.notebook.display import in_terminal, visible
from llm_magic.secrets import redact

__all__ = ["MUTED", "Snapshot", "close_tree", "quiet", "rendered"]

_WIDGET = "application/vnd.jupyter.widget-view+json"


class Snapshot:
    """Makes a widget, the class that stands beside it, one with a snapshot.

    A subclass says what the snapshot is, and what ends with the widget: functions in ``_ends``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._ends: list[Callable[[], None]] = []
        self._handle: Any = None
        self._shown = ""
        super().__init__(*arguments, **options)
        self._mark = f"llm-magic-{self.model_id}"  # type: ignore[attr-defined]
        self.add_class(self._mark)  # type: ignore[attr-defined]
        self._ends.append(changes.closes_with_extension(self.close))
        self._ends.append(changes.after_cells(self.refresh_snapshot))

    def snapshot_text(self) -> str:
        """What a terminal shows."""
        raise NotImplementedError

    def snapshot_html(self) -> str:
        """What a page without a kernel shows; escaped."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}  # type: ignore[attr-defined]
        return {_WIDGET: view, **self._snapshot()}

    def _ipython_display_(self) -> None:
        if in_terminal() or self.comm is None:  # type: ignore[attr-defined]
            display({"text/plain": self._snapshot()["text/plain"]}, raw=True)
            return
        live = self._repr_mimebundle_()
        # Who does not know widgets shows nothing here, and the snapshot below.
        display({_WIDGET: live[_WIDGET], "text/html": "", "text/plain": ""}, raw=True)
        snapshot = self._snapshot()
        self._shown = snapshot["text/html"]
        self._handle = display(snapshot, raw=True, display_id=True)

    def _snapshot(self) -> dict[str, str]:
        try:
            text, shown = self.snapshot_text(), self.snapshot_html()
        except LLMMagicError as error:
            text = visible(str(error))
            shown = html.escape(text)
        hide = f"body:has(.{self._mark}) .{self._mark}-snapshot {{ display: none; }}"
        return {
            "text/plain": redact(text),
            "text/html": f'<div class="llm-magic-snapshot {self._mark}-snapshot tex2jax_ignore'
            f' mathjax_ignore"><style>{hide}</style>{redact(shown)}</div>',
        }

    def refresh_snapshot(self) -> None:
        """Bring the displayed snapshot up to date."""
        if self._handle is None:
            return
        snapshot = self._snapshot()
        if snapshot["text/html"] != self._shown:
            self._shown = snapshot["text/html"]
            self._handle.update(snapshot, raw=True)

    def close(self) -> None:
        """Close the widget with all that is in it, and end what belongs to it."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        for child in getattr(self, "children", ()):
            close_tree(child)
        for part in _parts(self):
            part.close()
        super().close()  # type: ignore[misc]


def close_tree(widget: ipywidgets.Widget) -> None:
    """Close a widget with all that is in it: a comm stays open for each one that is not closed."""
    for child in getattr(widget, "children", ()):
        close_tree(child)
    for part in _parts(widget):
        part.close()
    widget.close()


def _parts(widget: Any) -> list[ipywidgets.Widget]:
    found = [getattr(widget, name, None) for name in ("layout", "style")]
    return [part for part in found if isinstance(part, ipywidgets.Widget)]


def rendered() -> ipywidgets.HTML:
    """A place for HTML of ours, with the looks of an output: its tables, its code."""
    place = ipywidgets.HTML()
    place.add_class("jp-RenderedHTMLCommon")
    place.add_class("llm-magic-rendered")
    return place


def quiet(text: str) -> str:
    """Escaped HTML of a line that stands back."""
    return f'<div style="{MUTED}">{html.escape(text)}</div>'


MUTED = (
    "color: var(--jp-ui-font-color2, #616161); font-size: var(--jp-ui-font-size1, 13px);"
    " line-height: 1.5"
)
