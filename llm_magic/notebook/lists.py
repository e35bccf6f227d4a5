"""A list to pick from, in columns: a plain list box, so it has a keyboard, labels and no markup."""

from __future__ import annotations

import html
import threading
from collections.abc import Hashable, Sequence
from typing import Any

import ipywidgets
from traitlets import Any as AnyTrait

from llm_magic.notebook.display import visible
from llm_magic.notebook.snapshots import close_tree

__all__ = ["Column", "Rows", "short"]

# Name, width in characters, and whether it holds numbers, which stand on the right.
Column = tuple[str, int, bool]

_STYLE = """<style>
.llm-magic-rows select, .llm-magic-rows .llm-magic-columns {
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);
}
.llm-magic-rows .widget-label {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
.llm-magic-rows select { padding: 2px; border: 1px solid var(--jp-border-color1, #bdbdbd); }
.llm-magic-rows select option { padding: 1px 3px; }
.llm-magic-rows .llm-magic-columns {
  white-space: pre; overflow: hidden; padding: 0 6px; line-height: 1.4; font-weight: 600;
  color: var(--jp-ui-font-color2, #616161);
}
.llm-magic-panel .lm-TabBar-tabLabel { color: var(--jp-ui-font-color1, #212121); }
.llm-magic-rendered table { margin-left: 0; }
.llm-magic-rendered td, .llm-magic-rendered th { text-align: left; }
</style>"""


class Rows(ipywidgets.VBox):
    """Rows under a header, of which one may be picked.

    Every change of the rows makes a new list box: a click that was on its way to the old one, as
    they are while a cell runs, then picks nothing, where it would pick what has moved to its place.

    Parameters
    ----------
    name : str
        What the list is called for those who cannot see it.
    columns : sequence of Column
        Its columns.
    height : int
        How many rows are seen at once.

    Attributes
    ----------
    value : object
        Identity of the picked row, or None.
    """

    value = AnyTrait(None, help="identity of the picked row, or None")

    def __init__(self, name: str, columns: Sequence[Column], *, height: int) -> None:
        self._name, self._columns, self._height = name, columns, height
        self._rows: list[tuple[str, Hashable]] | None = None
        self._box: Any = None
        self._lock = threading.RLock()
        super().__init__()
        self.add_class("llm-magic-rows")
        heading = _line([column[0] for column in columns], columns)
        self._heading = ipywidgets.HTML(
            f'{_STYLE}<div class="llm-magic-columns">{html.escape(heading)}</div>'
        )
        self.show([])

    @property
    def lines(self) -> list[str]:
        """The rows as they are seen."""
        return [label for label, _ in self._rows or ()]

    @property
    def identities(self) -> list[Hashable]:
        """What the rows stand for."""
        return [identity for _, identity in self._rows or ()]

    def show(self, rows: Sequence[tuple[Hashable, Sequence[str]]]) -> None:
        """Show these rows: an identity and the cells for each. A picked one stays so."""
        labelled = [(_line(cells, self._columns), identity) for identity, cells in rows]
        with self._lock:
            self._show(labelled)

    def _show(self, labelled: list[tuple[str, Hashable]]) -> None:
        if labelled == self._rows:
            return
        self._rows = labelled
        if self.value not in self.identities:
            self.value = None
        old = self._box
        self._box = ipywidgets.Select(
            options=labelled,
            value=self.value,
            rows=self._height,
            description=self._name,
            description_allow_html=False,
            tooltip=self._name,
            layout={"width": "auto", "height": "auto"},
        )
        self._box.observe(self._picked, "value")
        self.children = [self._heading, self._box]
        if old is not None:
            old.unobserve(self._picked, "value")
            close_tree(old)

    def _picked(self, change: Any) -> None:
        self.value = change["new"]

    def pick(self, identity: Hashable | None) -> None:
        """Pick a row as a click does; None, or a row that is not there, picks none."""
        self._box.value = identity if identity in self.identities else None


def _line(cells: Sequence[str], columns: Sequence[Column]) -> str:
    shown = [
        short(cell, width).rjust(width) if number else short(cell, width).ljust(width)
        for cell, (_, width, number) in zip(cells, columns, strict=True)
    ]
    return "  ".join(shown).rstrip()


def short(text: str, most: int) -> str:
    """The text in one line of at most so many characters, without any that drive a terminal."""
    line = " ".join(visible(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
