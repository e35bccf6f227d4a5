r"""The body of a ``%%complete`` cell: ``{{ expression }}`` becomes the value, all else stays.

>>> expand("Summarise {{ text.upper() }} as JSON like {'n': {'m': 1}}.", {"text": "a"})
"Summarise A as JSON like {'n': {'m': 1}}."

The text goes through once: a value that holds ``{{ x }}`` is sent with it. What is no expression
stays byte for byte: JSON, LaTeX, JSX, ``{{#if}}``, ``{{ .Values.x }}``, and a bare literal
(``x^{{2}}``) too. ``\{{`` gives ``{{`` and opens nothing.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from llm_magic.exceptions import TemplateError, did_you_mean

__all__ = ["expand", "expressions"]

_OPENING = "{{"
_CLOSING = re.compile(r"(?=\}\})")

# Bounds on the search for the end of one placeholder; no expression that a person writes in a
# prompt comes near them.
_LONGEST = 10_000
_DEEPEST = 200  # brackets in brackets; Python's own limit
_MOST_ENDINGS = 50

_TO_SEND_IT = r"write \{{ to send it as it is, or use --raw"


def expand(text: str, namespace: Mapping[str, Any]) -> str:
    r"""The text with every ``{{ expression }}`` replaced by ``str()`` of its value.

    Parameters
    ----------
    text : str
        What the user wrote.
    namespace : mapping
        The variables that expressions see. Nothing is added to it.

    Raises
    ------
    TemplateError
        When an expression names an unknown variable or fails; the message is one line.
    """
    if _OPENING not in text:
        return text
    scope = _scope(namespace)
    parts: list[str] = []
    done = 0
    for start, end, tree in _placeholders(text):
        value = _OPENING if tree is None else _value(tree, text[start:end], scope)
        parts += text[done:start], value
        done = end
    parts.append(text[done:])
    return "".join(parts)


def expressions(text: str) -> list[ast.Expression]:
    r"""The expressions that :func:`expand` would evaluate.

    >>> [ast.unparse(found) for found in expressions(r"{{ a.b }} x^{{2}} \{{ c }} {{ d }}")]
    ['a.b', 'd']
    """
    return [tree for _, _, tree in _placeholders(text) if tree is not None]


def _placeholders(text: str) -> Iterator[tuple[int, int, ast.Expression | None]]:
    """First and last character of what is replaced, and its expression; None for an escape."""
    done = 0
    opening = text.find(_OPENING)
    while opening >= 0:
        inside = opening + len(_OPENING)
        if opening > done and text[opening - 1] == "\\":
            yield opening - 1, inside, None
            done = following = inside
        elif (found := _expression(text, inside)) is None:
            following = inside
        else:
            tree, following = found
            if not _is_literal(tree):
                yield opening, following, tree
                done = following
        opening = text.find(_OPENING, following)


def _scope(namespace: Mapping[str, Any]) -> dict[str, Any]:
    # eval() writes __builtins__ into a dict that lacks it. IPython's namespace has it, and is used
    # as it is, so that comprehensions and lambdas in an expression see it as their globals.
    if isinstance(namespace, dict) and "__builtins__" in namespace:
        return namespace
    return dict(namespace)


def _expression(text: str, start: int) -> tuple[ast.Expression, int] | None:
    """The expression that starts there and where its placeholder ends, if it is one."""
    for end in _endings(text, start):
        tree = _parse(text[start:end].strip())
        if tree is not None:
            return tree, end + 2
    return None


# What may hide a brace or a bracket from the search for the end: strings and comments. A quote
# that closes nowhere is in no expression.
_STRING = (
    r'"""(?:[^\\]|\\.)*?"""'
    r"|'''(?:[^\\]|\\.)*?'''"
    r'|"(?!"")(?:[^"\\\n]|\\.)*"'
    r"|'(?!'')(?:[^'\\\n]|\\.)*'"
)
_PIECES = re.compile(
    rf"(?P<formatted>\b(?i:[ft]r?|r[ft])(?:{_STRING}))|(?P<string>{_STRING})|(?P<stray>[\"'])"
    r"|(?P<comment>\#(?:[^\n}]|\}(?!\}))*)|(?P<open>[(\[{])|(?P<close>[)\]}])",
    re.DOTALL,
)
_PARTNER = {"(": ")", "[": "]", "{": "}"}


def _endings(text: str, start: int) -> Iterator[int]:
    """Where the placeholder may end: the ``}}`` before which an expression could be complete.

    Trying every ``}}`` would be correct too, but parses the rest of a long text again for each
    of its openings. At the right one all brackets are closed, and that holds at most once: a
    ``}`` that closes nothing cannot be inside an expression.
    """
    limit = start + _LONGEST
    awaited = []
    nested = False
    for piece in _PIECES.finditer(text, start, limit):
        kind = piece.lastgroup
        if kind == "stray":
            break
        if kind == "formatted":
            nested = nested or piece[0].count("{") > piece[0].count("}")
        elif kind == "open":
            awaited.append(_PARTNER[piece[0]])
            if len(awaited) > _DEEPEST:
                break
        elif kind == "close" and awaited:
            if awaited.pop() != piece[0]:
                break
        elif kind == "close":
            if text.startswith("}}", piece.start()):
                yield piece.start()
            break

    # Since Python 3.12 the quotes of an f-string may come again in its braces, f"{d["}}"]}", so
    # that what looks like its end is none; only the parser can tell.
    if nested:
        closings = _CLOSING.finditer(text, start, limit)
        yield from (closing.start() for closing in islice(closings, _MOST_ENDINGS))


def _parse(source: str) -> ast.Expression | None:
    # A comment that runs over the end of {{#if x}} would let the lines after it pass for one.
    if not source or source.startswith("#"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text that is no code, such as "\d", is no news
        try:
            return ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _is_literal(tree: ast.Expression) -> bool:
    try:
        ast.literal_eval(tree)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _value(tree: ast.Expression, placeholder: str, scope: dict[str, Any]) -> str:
    shown = _one_line(placeholder, 60)
    try:
        code = compile(tree, "<placeholder>", "eval", dont_inherit=True)
        # The user's own expression, in the user's own cell, with the user's own variables.
        return str(eval(code, scope))  # noqa: S307
    except NameError as error:
        if error.name is None or error.name not in _names(tree):
            raise _failed(shown, error) from error
        known = (name for name in scope if isinstance(name, str) and not name.startswith("_"))
        near = did_you_mean(error.name, known, show_all=False)
        raise TemplateError(
            f"no variable {error.name} for {shown}; {near + ' ' if near else ''}({_TO_SEND_IT})"
        ) from error
    except Exception as error:
        raise _failed(shown, error) from error


def _names(tree: ast.Expression) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _failed(shown: str, error: Exception) -> TemplateError:
    reason = _one_line(str(error), 200)
    kind = type(error).__name__
    return TemplateError(f"{shown} failed: {kind}{': ' + reason if reason else ''} ({_TO_SEND_IT})")


def _one_line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
