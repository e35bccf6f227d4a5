"""The first line of a magic, split and parsed; every mistake is one line that says what to do."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import Any

from IPython.core.error import UsageError

from llm_magic.exceptions import did_you_mean

__all__ = ["no_words", "one_word", "parse_cell_line", "parse_line"]

# One word of the line with the white space after it; quotes may hold spaces. The second form is a
# word whose quote is open.
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+(?!\S)\s*|\S+\s*""")


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
    options = parser.parse_args([])
    rest = line.strip()
    while rest.startswith("-"):
        word, rest = _next(rest)
        if word == "--":
            break
        action, value = _option(parser, word)
        if value is None:
            values = []
            for _ in range(_number_of_values(action)):
                if not rest:
                    raise UsageError(f"{word} needs a value: {_usage(action)}")
                value, rest = _next(rest)
                values.append(value)
        elif _number_of_values(action) == 1:
            values = [value]
        else:
            raise UsageError(f"{_usage(action)} stands without {value!r}")
        _take(parser, options, action, values)
    if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'" and rest[0] not in rest[1:-1]:
        rest = rest[1:-1]
    return options, rest


def _take(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    action: argparse.Action,
    values: list[str],
) -> None:
    """Note an option. Read from words, a value such as ``-x`` would pass for another option."""
    name = action.option_strings[-1]
    for value in values:
        if action.choices is not None and value not in action.choices:
            raise UsageError(f"{name} {value}: {did_you_mean(value, action.choices)}")
    try:
        read = [parser._get_value(action, value) for value in values]
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from None
    action(parser, options, read[0] if action.nargs is None else read, name)


def _next(text: str) -> tuple[str, str]:
    found = _WORD.match(text)
    assert found is not None
    try:
        word = "".join(shlex.split(found[0]))
    except ValueError:
        raise UsageError(f"a quote is open in: {found[0].strip()}") from None
    return word, text[found.end() :]


def _option(parser: argparse.ArgumentParser, word: str) -> tuple[argparse.Action, str | None]:
    """The option that a word names, and the value in the same word: ``--name=value``, ``-T0``."""
    known: dict[str, argparse.Action] = parser._option_string_actions
    name, equals, value = word.partition("=")
    if name in known:
        return known[name], value if equals else None
    if word[:2] in known:
        return known[word[:2]], word[2:]
    names = [option for option in known if option.startswith("--")]
    begun = [option for option in names if option.startswith(name)]
    raise UsageError(f"no option {name}; {did_you_mean(name, begun or names)}")


def _number_of_values(action: argparse.Action) -> int:
    if isinstance(action.nargs, int):
        return action.nargs
    return 1 if action.nargs is None else 0


def _usage(action: argparse.Action) -> str:
    value: Any = action.metavar or "|".join(action.choices or ()) or action.dest.upper()
    names = value if isinstance(value, tuple) else (value,)
    return " ".join([action.option_strings[0], *names[: _number_of_values(action)]])


def one_word(words: Sequence[str], usage: str) -> str:
    """The only word after a command of ``%llm``."""
    if len(words) != 1:
        raise UsageError(f"%llm {usage}: one word, not {len(words)}")
    return words[0]


def no_words(words: Sequence[str], usage: str) -> None:
    """Refuse words after a command of ``%llm`` that takes none."""
    if words:
        raise UsageError(f"%llm {usage} takes nothing more; unexpected {words[0]!r}")
