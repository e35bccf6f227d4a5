"""Which options of ``%%complete`` do not go together, and what ``-o`` may not say."""

from __future__ import annotations

import argparse
import functools
import inspect
import keyword

from IPython.core.error import UsageError

from llm_magic.arguments import Arguments

__all__ = ["check"]

# Two options that contradict each other, and why.
_EITHER = (
    ("mode", "refresh", "both say the mode"),
    ("mode", "no_cache", "both say the mode"),
    ("refresh", "no_cache", "one records, the other does not"),
    ("raw", "jinja", "raw text is no template"),
    ("chat", "n", "a chat goes on with one answer"),
    ("chat", "map", "a chat goes on with one answer"),
    ("chat", "background", "the next turn would not wait for this one"),
    ("map", "background", "--map fills its table while it runs"),
    ("map", "n", "--map has one answer for each item"),
)
# Options that make sense only with another one.
_ONLY_WITH = (("yes", ("map",)), ("at_once", ("map",)), ("param", ("template", "jinja")))
# What several models at once do not go with, and why.
_NOT_SIDE_BY_SIDE = {
    "chat": "a chat goes on with one answer",
    "map": "--map asks one model",
    "background": "models side by side wait for each other",
    "fallbacks": "every model answers for itself",
}
# How what -o may not say is said.
_OWN_OPTIONS = {
    "fallbacks": "--fallbacks says it",
    "files": "--file says it",
    "max_tool_rounds": "functions go into --tools",
    "mode": "--mode says it",
    "model": "-m says it",
    "num_retries": "--retries says it",
    "response_format": "--schema says it",
    "schema": "--schema says it",
    "system": "-s says it",
    "tools": "--tools says it",
    "api_key": "a key belongs into the environment, never into a cell",
    "messages": "the cell is the prompt",
    "prompt": "the cell is the prompt",
    "stream": "answers stream on their own",
    **dict.fromkeys(("run", "self", "shelf"), "no provider takes it"),
}
# Arguments that are no parameters and have no option of their own.
_TAKEN = {"api_base", "cache_seed", "sample", "timeout"}


def check(given: argparse.Namespace, *, in_line: bool) -> None:
    """Refuse options that make no sense together, before anything is looked up.

    Parameters
    ----------
    given : argparse.Namespace
        The options.
    in_line : bool
        They stand after ``%complete``.

    Raises
    ------
    UsageError
        One line that says what to leave out.
    """
    if given.out is not None and not _is_name(given.out):
        raise UsageError(f"--out {given.out}: that is no name for a variable")
    for one, other, reason in _EITHER:
        if _is_given(given, one) and _is_given(given, other):
            raise UsageError(
                f"{_option(one)} with {_option(other)}: {reason}; leave one of them out"
            )
    for name, others in _ONLY_WITH:
        if _is_given(given, name) and not any(_is_given(given, other) for other in others):
            raise UsageError(f"{_option(name)} goes with {' or '.join(map(_option, others))}")
    if "," in (given.model or ""):
        for name, reason in _NOT_SIDE_BY_SIDE.items():
            if _is_given(given, name):
                raise UsageError(f"-m {given.model} with {_option(name)}: {reason}")
    if given.map is not None and in_line:
        raise UsageError("--map needs %%complete, with a prompt below that has {{ item }} in it")
    _check_parameters(given)


def _check_parameters(given: argparse.Namespace) -> None:
    for name, _ in given.option or ():
        if getattr(given, name, None) is not None:
            raise UsageError(f"-o {name} and {_option(name)} say the same; leave one of them out")
        own = name in _arguments_of_complete() and name not in _TAKEN
        if own or name in _OWN_OPTIONS:
            hint = _OWN_OPTIONS.get(name, "complete() takes it")
            raise UsageError(f"-o {name} is no parameter of a provider; {hint}")


@functools.cache
def _arguments_of_complete() -> set[str]:
    return set(inspect.signature(Arguments).parameters) - {"parameters"}


def _is_given(given: argparse.Namespace, name: str) -> bool:
    return getattr(given, name) not in (None, False)


def _option(name: str) -> str:
    """How an option is written."""
    return {"template": "-t", "param": "-p"}.get(name, f"--{name.replace('_', '-')}")


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
