"""Small tables for ``%llm``: text for a terminal, escaped HTML for a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from llm_magic.formats import table
from llm_magic.worddiff import visible

__all__ = ["Table"]


class Table:
    """Rows under a header, displayed as text or as HTML.

    Parameters
    ----------
    header : sequence of str
        Column names; empty for none.
    rows : sequence of sequences
        Cells; shown with ``str()``, and what cannot be seen in them as its code.
    caption : str
        A line under the table.
    """

    def __init__(
        self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
    ) -> None:
        self.header = [visible(name) for name in header]
        self.rows = [[visible(str(cell)) for cell in row] for row in rows]
        self.caption = visible(caption)

    def __repr__(self) -> str:
        text = table(self.header, self.rows)
        return f"{text}\n{self.caption}" if self.caption else text

    def _repr_html_(self) -> str:
        parts = ['<table class="llm-magic-table tex2jax_ignore mathjax_ignore">']
        columns = zip(*self.rows, strict=True)
        sides = [_side(column) for column in columns] or ["left"] * len(self.header)
        if self.header:
            cells = zip(self.header, sides, strict=True)
            named = "".join(_cell("th scope='col'", name, side) for name, side in cells)
            parts.append(f"<thead><tr>{named}</tr></thead>")
        body = "".join(
            "<tr>" + "".join(map(_cell, repeat("td"), row, sides)) + "</tr>" for row in self.rows
        )
        parts.append(f"<tbody>{body}</tbody>")
        if self.caption:
            told = html.escape(self.caption).replace("\n", "<br>")
            parts.append(
                f"<caption style='caption-side: bottom; text-align: left'>{told}</caption>"
            )
        return "".join([*parts, "</table>"])


# Counts and amounts of money; unknown ones, too.
_NUMBER = re.compile(r"-?\$?(?:[\d,.]+|\?)|")


def _side(column: Sequence[str]) -> str:
    """Numbers stand under each other by their ends, texts by their beginnings."""
    numbers = any(column) and all(map(_NUMBER.fullmatch, column))
    return "right" if numbers else "left"


def _cell(tag: str, text: str, side: str) -> str:
    name = tag.partition(" ")[0]
    style = f"text-align: {side}; vertical-align: top; overflow-wrap: anywhere"
    return f"<{tag} style='{style}'>{html.escape(text)}</{name}>"
