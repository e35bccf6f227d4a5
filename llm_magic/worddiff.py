"""Two texts compared by words, for people: white space that differs is made visible.

>>> to_text(compare("Write a long poem", "Write a short poem"))
'Write a [-long-]{+short+} poem'
>>> to_text(compare("Why?", "Why ?"))
'Why{+␣+}?'
"""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = ["Piece", "compare", "to_html", "to_text", "visible", "words"]

# A word, a run of one kind of white space, or one sign; scripts without spaces go sign by sign.
_TOKEN = re.compile(r"[^\W\u2e80-\U0010ffff]+| +|\n+|\s|.", re.DOTALL)
_WORD = re.compile(r"[^\W\u2e80-\U0010ffff]+|[\u2e80-\U0010ffff]")

# What drives a terminal, turns the direction of writing or cannot be seen at all.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff]"
)
_SPACES = str.maketrans({" ": "␣", "\t": "⇥", "\n": "⏎"})

# Two texts that share nothing would take seconds to compare and tell nobody anything.
_MOST_TOKENS = 800
_CONTEXT = 48
_LONGEST = 240


class Piece(NamedTuple):
    """A stretch of two texts: the same in both, or in one of them only."""

    kind: Literal["same", "old", "new"]
    text: str


def words(text: str) -> list[str]:
    """The words of a text, without white space and signs.

    >>> words("Why, oh why?")
    ['Why', 'oh', 'why']
    """
    return _WORD.findall(text)


def visible(text: str) -> str:
    """The text with characters that cannot be seen as their code, such as ``<U+200B>``."""
    return _HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def compare(old: str, new: str) -> tuple[Piece, ...]:
    """What is the same and what differs, in order; long stretches are cut. Empty when equal."""
    if old == new:
        return ()
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    start = _shared(a, b)
    stop = _shared(a[start:][::-1], b[start:][::-1])
    a_middle, b_middle = a[start : len(a) - stop], b[start : len(b) - stop]
    pieces: list[Piece] = [Piece("same", "".join(a[:start]))]
    if max(len(a_middle), len(b_middle)) > _MOST_TOKENS:
        pieces += [Piece("old", "".join(a_middle)), Piece("new", "".join(b_middle))]
    else:
        pieces += _differing(a_middle, b_middle)
    pieces.append(Piece("same", "".join(a[len(a) - stop :])))
    pieces = [piece for piece in pieces if piece.text]
    last = len(pieces) - 1
    return tuple(_cut(piece, at == 0, at == last) for at, piece in enumerate(pieces))


def to_text(pieces: Sequence[Piece]) -> str:
    """Pieces as git's word diff shows them: ``[-old-]{+new+}``."""
    marks = {"same": ("", ""), "old": ("[-", "-]"), "new": ("{+", "+}")}
    return "".join(marks[piece.kind][0] + piece.text + marks[piece.kind][1] for piece in pieces)


def to_html(pieces: Sequence[Piece]) -> str:
    """Pieces as escaped HTML in the colours of JupyterLab's theme."""
    return "".join(
        _TAGS[piece.kind].format(html.escape(piece.text)).replace("\n", "<br>") for piece in pieces
    )


_TAGS = {
    "same": "{}",
    "old": '<del style="color: var(--jp-error-color1, #c62828)">{}</del>',
    "new": ('<ins style="color: var(--jp-success-color1, #2e7d32); font-weight: bold">{}</ins>'),
}


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """How many tokens two sequences begin with in common."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        count += 1
    return count


def _differing(a: list[str], b: list[str]) -> list[Piece]:
    pieces = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(a[i:j])))
        else:
            pieces += [Piece("old", "".join(a[i:j])), Piece("new", "".join(b[k:m]))]
    return pieces


def _cut(piece: Piece, first: bool, last: bool) -> Piece:
    """A piece as it is shown: not too long, and nothing in it that cannot be seen."""
    text = piece.text
    if piece.kind != "same":
        if not text.strip():
            text = text.translate(_SPACES)
        half = _LONGEST // 2
        if len(text) > _LONGEST:
            text = f"{text[:half]} … {text[-half:]}"
    elif first and len(text) > _CONTEXT:
        text = "…" + text[-_CONTEXT:]
    elif last and len(text) > _CONTEXT:
        text = text[:_CONTEXT] + "…"
    elif len(text) > 2 * _CONTEXT:
        text = f"{text[:_CONTEXT]} … {text[-_CONTEXT:]}"
    return Piece(piece.kind, visible(text))
