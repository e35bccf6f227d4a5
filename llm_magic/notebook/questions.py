"""Prompts may end with a question mark.

IPython takes ``%complete what is love?`` for a question about ``love``, because any line that ends
with ``?`` asks for help. In front of that rule this transformer puts a better guess: after
``%complete`` and some words, the question is for the model. ``%complete?`` stays a help call.
"""

from __future__ import annotations

import tokenize
from typing import Any, Self

from IPython.core.inputtransformer2 import EscapedCommand, MagicAssign, TokenTransformBase

__all__ = ["Question"]

_NO_TOKENS = {tokenize.INDENT, tokenize.DEDENT}


class Question(TokenTransformBase):
    """Finds ``%complete ...?`` and ``name = %complete ...?`` where they are code, not a string."""

    priority = 1  # before IPython's help rule, which has 5

    def __init__(
        self, start: tuple[int, int], percent: tuple[int, int], transformer: type[Any]
    ) -> None:
        super().__init__(start)  # type: ignore[no-untyped-call]
        self._transformer = transformer(percent)

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> Self | None:
        """The first such line of the cell."""
        for tokens in tokens_by_line:
            words = [token for token in tokens if token.type not in _NO_TOKENS]
            if not words or not words[0].line.rstrip().endswith("?"):
                continue
            for at in range(len(words) - 2):
                if words[at].string != "%" or words[at + 1].string != "complete":
                    continue
                asks = words[at + 2].string not in ("?", "")
                if asks and at == 0:
                    return cls(words[0].start, words[0].start, EscapedCommand)
                if asks and words[at - 1].string == "=":
                    return cls(words[0].start, words[at].start, MagicAssign)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """Leave the line to IPython's own rule for magics."""
        transformed: list[str] = self._transformer.transform(lines)
        return transformed
