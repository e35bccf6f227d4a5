"""The first line of a magic, split and parsed; every mistake is one line that says what to do."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import Any

from IPython.core.error import UsageError

from llm_magic.exceptions import did_you_mean

__all__ = ["parse_cell_line", "parse_line"]

# One word of the line with the white space after it; quotes may hold spaces.
_WORD = re.compile(r"""(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+\s*|\S+\s*""")


def parse_cell_line(parser: argparse.ArgumentParser, line: str) -> argparse.Namespace:
    """The options of a cell magic; nothing else may stand in its line."""
    options, rest = parse_line(parser, line)
    if rest:
        raise UsageError(
            f"unexpected {rest.split()[0]!r} in the first line; options go there, the prompt below"
        )
    return options


def parse_line(parser: argparse.ArgumentParser, line: str) -> tuple[argparse.Namespace, str]:
    """The options at the beginning of a line, and the text after them.

    The text is not split as a shell would: ``%complete what's new?`` has no open quote. Quotes
    around the whole of it are taken off.
    """
    words: list[str] = []
    rest = line.strip()
    while rest.startswith("-"):
        word, rest = _next(rest)
        if word == "--":
            break
        name, _, value = word.partition("=")
        action = _action(parser, name)
        words.append(word)
        if not value:
            for _ in range(_values(action)):
                if not rest:
                    raise UsageError(f"{name} needs a value: {_usage(action)}")
                word, rest = _next(rest)
                words.append(word)
    if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'" and rest[0] not in rest[1:-1]:
        rest = rest[1:-1]
    return parser.parse_args(words), rest


def _next(text: str) -> tuple[str, str]:
    found = _WORD.match(text)
    assert found is not None
    try:
        word = "".join(shlex.split(found[0]))
    except ValueError:
        raise UsageError(f"a quote is open in: {found[0].strip()}") from None
    return word, text[found.end() :]


def _action(parser: argparse.ArgumentParser, name: str) -> argparse.Action:
    known: dict[str, argparse.Action] = parser._option_string_actions
    if name not in known:
        hint = did_you_mean(name, [option for option in known if option.startswith("--")])
        raise UsageError(f"no option {name}; {hint}")
    return known[name]


def _values(action: argparse.Action) -> int:
    if isinstance(action.nargs, int):
        return action.nargs
    return 1 if action.nargs is None else 0


def _usage(action: argparse.Action) -> str:
    value: Any = action.metavar or action.dest.upper()
    names = value if isinstance(value, tuple) else (value,)
    return " ".join([action.option_strings[0], *names])
