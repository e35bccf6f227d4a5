"""The options of ``%%complete`` and ``%complete``, which are its manual, too."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

from IPython.core.magic_arguments import argument, magic_arguments

from llm_magic.notebook.display import FORMATS

__all__ = ["options", "parser"]


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


# What a wrong value is called in the error.
_whole.__name__ = "whole number"
_positive.__name__ = "number from 1"

_OPTIONS = (
    argument(
        "-m",
        "--model",
        help="model to ask, as provider/model, such as openai/gpt-5-mini; several with commas"
        " between them are asked side by side",
    ),
    argument("-s", "--system", help='system message; "quote it" when it has spaces'),
    argument("-T", "--temperature", type=float, help="sampling temperature"),
    argument("--max-tokens", type=int, metavar="N", help="most tokens that the answer may have"),
    argument(
        "-o",
        "--option",
        nargs=2,
        action="append",
        metavar=("KEY", "VALUE"),
        help="any other parameter of the provider, such as -o top_p 0.9; VALUE is JSON or text",
    ),
    argument("--n", type=_positive, help="how many answers to ask for"),
    argument(
        "-t",
        "--template",
        metavar="NAME",
        help="prompt of prompts/NAME.md; the cell is its {{ input }}",
    ),
    argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        metavar=("NAME", "VALUE"),
        help="value of a {{ NAME }} in the template",
    ),
    argument(
        "--jinja",
        action="store_true",
        help="the template, or the cell, is a Jinja template; it sees the -p values alone",
    ),
    argument("--schema", help="what the answer looks like: a class, or fields as name, age int"),
    argument(
        "--tools",
        metavar="NAME[,NAME]",
        help="functions of yours that the model may call; they are run, and recorded",
    ),
    argument(
        "--image",
        action="append",
        metavar="PATH|URL|NAME",
        help="picture that goes with the prompt: a file, an address, or a variable (a figure)",
    ),
    argument(
        "--file",
        action="append",
        metavar="PATH|NAME",
        help="file that goes with the prompt, or a variable, such as a DataFrame",
    ),
    argument("--chat", metavar="NAME", help="go on with this chat, or begin it"),
    argument("--mode", help="REPLAY, FALLBACK, CAPTURE or DISABLED, for this cell"),
    argument("--refresh", action="store_true", help="ask again and overwrite: --mode CAPTURE"),
    argument("--no-cache", action="store_true", help="neither replay nor record: --mode DISABLED"),
    argument("--fallbacks", metavar="MODEL[,MODEL]", help="models to ask when one failed for good"),
    argument(
        "--retries",
        type=_whole,
        metavar="N",
        help="how often to ask again after a failure that may pass",
    ),
    argument(
        "--map",
        metavar="EXPR",
        help="ask once for each of a list, Series or dict as {{ item }}, or for each row of a"
        " DataFrame as {{ row.column }}",
    ),
    argument(
        "--at-once", type=_positive, metavar="N", help="how many calls --map makes at once; 8"
    ),
    argument("--yes", action="store_true", help="let --map cost more than confirm_above"),
    argument(
        "--background",
        action="store_true",
        help="go on at once; --out gets what you can await, .result() or .cancel()",
    ),
    argument("--out", metavar="NAME", help="variable that gets the answer"),
    argument(
        "--format",
        choices=list(FORMATS),
        help="how the answer is shown; html is shown as source, none shows nothing; code goes"
        " into the next cell, or with --out into the variable",
    ),
    argument("--raw", action="store_true", help="leave {{ expressions }} in the prompt alone"),
    argument(
        "--dry-run",
        action="store_true",
        help="ask nothing; show what would be sent, live or replayed, and what it can cost",
    ),
)


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a magic the options of ``%%complete``; they become its manual."""
    for option in reversed(_OPTIONS):
        function = option(function)
    decorated: Callable[..., Any] = magic_arguments()(function)
    return decorated


@functools.cache
def parser() -> argparse.ArgumentParser:
    """What reads the options."""

    def complete() -> None:
        """Stands for the magic, which is a method."""

    made: argparse.ArgumentParser = options(complete).parser  # type: ignore[attr-defined]
    return made
