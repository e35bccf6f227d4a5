"""A DataFrame of calls or models, in which a model's text cannot do anything.

pandas escapes HTML, but MathJax takes the dollar signs of two prices for a formula, and follows
what a formula says; a terminal follows the escape characters of a text. This module imports pandas,
so it is imported where there is a frame to show.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from llm_magic import worddiff
from llm_magic.formats import printable

__all__ = ["InertFrame"]


class InertFrame(pd.DataFrame):
    r"""A DataFrame that shows its texts as they are; what is made of it does, too.

    It pickles as a plain DataFrame, so that a file or a worker that gets it needs no llm-magic.

    >>> InertFrame({"answer": ["\x1b[2J"]})
             answer
    0  <U+001B>[2J
    """

    @property
    def _constructor(self) -> Any:
        return InertFrame

    def __repr__(self) -> str:
        return worddiff.visible(super().__repr__())

    def _repr_html_(self) -> str | None:
        shown = super()._repr_html_()  # type: ignore[misc]
        if shown is None:  # the user wants frames as text
            return None
        return f'<div class="tex2jax_ignore mathjax_ignore">{printable(shown)}</div>'

    def __reduce__(self) -> Any:
        return pd.DataFrame, (pd.DataFrame(self),)
