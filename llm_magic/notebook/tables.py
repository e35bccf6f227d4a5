"""Small tables for ``%llm``: text for a terminal, escaped HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from llm_magic.formats import table

__all__ = ["Table"]


class Table:
    """Rows under a header, displayed as text or as HTML.

    Parameters
    ----------
    header : sequence of str
        Column names; empty for none.
    rows : sequence of sequences
        Cells; shown with ``str()``.
    caption : str
        A line under the table.
    """

    def __init__(
        self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
    ) -> None:
        self.header = list(header)
        self.rows = [[str(cell) for cell in row] for row in rows]
        self.caption = caption

    def __repr__(self) -> str:
        text = table(self.header, self.rows)
        return f"{text}\n{self.caption}" if self.caption else text

    def _repr_html_(self) -> str:
        parts = ['<table class="llm-magic-table tex2jax_ignore mathjax_ignore">']
        if self.header:
            cells = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in self.header)
            parts.append(f"<thead><tr>{cells}</tr></thead>")
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        parts.append(f"<tbody>{body}</tbody>")
        if self.caption:
            parts.append(
                f"<caption style='caption-side: bottom; text-align: left'>"
                f"{html.escape(self.caption)}</caption>"
            )
        return "".join([*parts, "</table>"])
