"""Completion with the Tab key, in a terminal and in JupyterLab: options, and what goes with them.

Everything offered is in memory or in a folder listing: no SDK is imported, and nothing is asked
over a network.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from llm_magic import chats, config, named_templates, pricing, routing
from llm_magic.budgets import PERIODS
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import (
    cassette_commands,
    chat_commands,
    commands,
    complete_options,
    template_commands,
)
from llm_magic.providers import catalog
from llm_magic.types import Mode

__all__ = ["Found", "complete", "matches"]

Names = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What fits at the cursor.

    Attributes
    ----------
    fragment : str
        What is written of it already.
    words : list of str
        What may stand there instead.
    alone : bool
        Whether nothing else may: not the names of files, and no Python.
    """

    fragment: str
    words: list[str]
    alone: bool = True


_ASKING = re.compile(r"(?:^\s*%%complete|(?:^|[=(,\s])%complete)\s+(?P<rest>.*)$", re.DOTALL)
_LOOKING = re.compile(r"(?:^|[=\s])%llm\s+(?P<rest>.*)$", re.DOTALL)


def complete(line: str, namespace: Names) -> Found | None:
    """What fits at the end of a line that is written up to there; None where that is not ours.

    Parameters
    ----------
    line : str
        The line before the cursor.
    namespace : mapping
        The user's variables.
    """
    if found := _ASKING.search(line):
        return _for_asking(found["rest"], namespace)
    if found := _LOOKING.search(line):
        return _for_looking(found["rest"])
    return None


def _for_asking(rest: str, namespace: Names) -> Found | None:
    *before, fragment = rest.split(" ")
    actions: dict[str, Any] = complete_options.parser()._option_string_actions
    name, equals, value = fragment.partition("=")
    if equals and name in actions:
        return _values(actions[name], value, [], namespace)
    words = [word for word in before if word]
    for back in (1, 2):
        # "-o KEY VALUE" takes two words.
        action = actions.get(words[-back]) if len(words) >= back else None
        if action is not None and back <= _takes(action):
            return _values(action, fragment, words[len(words) - back + 1 :], namespace)
    if not fragment.startswith("-"):
        return None
    return _of(
        fragment, [option for option in actions if option.startswith("--") or fragment == "-"]
    )


def _takes(action: Any) -> int:
    return 1 if action.nargs is None else int(action.nargs)


def _values(action: Any, fragment: str, before: list[str], namespace: Names) -> Found | None:
    if action.choices:
        return _of(fragment, action.choices)
    if action.dest in ("model", "fallbacks"):
        *_, last = fragment.split(",")
        return _of(last, _models(last))
    if action.dest == "tools":
        *_, last = fragment.split(",")
        return _of(last, _variables(namespace, callable))
    if action.dest in ("image", "file"):
        return _of(fragment, _variables(namespace), alone=False)
    if action.dest in ("map", "schema", "out"):
        return _of(fragment, _variables(namespace))
    offer = _OFFERS.get(action.dest)
    return _of(fragment, offer()) if offer is not None and not before else None


def _of(fragment: str, words: Iterable[str], *, alone: bool = True) -> Found:
    found = sorted({word for word in words if word.startswith(fragment)})
    return Found(fragment, found, alone)


def _variables(
    namespace: Names, wanted: Callable[[Any], bool] = lambda value: True
) -> Iterable[str]:
    # What IPython puts there itself is no variable of the user's.
    own = {"In", "Out", "exit", "quit", "get_ipython", "open", "display"}
    for name, value in namespace.items():
        if not name.startswith("_") and name not in own and wanted(value):
            yield name


def _models(fragment: str) -> list[str]:
    """Providers and the user's own words; behind a slash the provider's models."""
    settings = config.default()
    routing.learn_providers(settings)
    provider, slash, _ = fragment.partition("/")
    if not slash:
        return [*settings.aliases, *(f"{name}/" for name in catalog.ENTRIES)]
    return [f"{provider}/{name}" for name in _listed(provider)]


@functools.cache
def _listed(provider: str) -> tuple[str, ...]:
    if provider == "echo":
        return ("echo",)
    return tuple(model.name for model in pricing.listed(provider, datetime.now(UTC)))


def _templates() -> Iterable[str]:
    return named_templates.templates(config.default().workspace.folder)


def _chats() -> Iterable[str]:
    return [chat.name for chat in chats.default()]


_PARAMETERS = (
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "service_tier",
    "stop",
    "top_k",
    "top_p",
    "verbosity",
)
# What other values an option may have.
_OFFERS: Mapping[str, Callable[[], Iterable[str]]] = {
    "chat": _chats,
    "mode": lambda: map(str, Mode),
    "option": lambda: _PARAMETERS,
    "template": _templates,
}


def _for_looking(rest: str) -> Found | None:
    *before, fragment = rest.split(" ")
    words = tuple(word for word in before if word)
    if not words:
        return _of(fragment, commands.COMMANDS)
    if words[0] == "config":
        name, equals, value = fragment.partition("=")
        if not equals:
            return _of(fragment, [f"{option}=" for option in config.OPTIONS])
        offer = _SETTINGS.get(name)
        return _of(value, offer(value)) if offer is not None else None
    if words[0] == "budget" and words[-1] == "--per":
        return _of(fragment, PERIODS)
    offered = _WORDS.get(words)
    return _of(fragment, offered()) if offered is not None else None


# What a setting may be, given what is written of it.
_SETTINGS: Mapping[str, Callable[[str], Iterable[str]]] = {
    "format": lambda written: config.FORMATS,
    "mode": lambda written: map(str, Mode),
    "model": _models,
}
# What comes next after words of %llm.
_WORDS: Mapping[tuple[str, ...], Callable[[], Iterable[str]]] = {
    ("attach",): lambda: ["--status"],
    ("budget",): lambda: ["off"],
    ("cassette",): lambda: cassette_commands.COMMANDS,
    ("chats",): lambda: chat_commands.COMMANDS,
    **{("chats", name): _chats for name in ("export", "fork", "reset", "show")},
    ("mode",): lambda: map(str, Mode),
    ("template",): lambda: template_commands.COMMANDS,
    ("template", "show"): _templates,
}


def matches(context: Any, namespace: Names) -> dict[str, Any]:
    """As IPython's matchers answer (``CompletionContext`` in, ``SimpleMatcherResult`` out)."""
    from IPython.core.completer import SimpleCompletion

    try:
        found = complete(context.text_until_cursor, namespace)
    except LLMMagicError:
        # Whoever runs the line is told; here there is just nothing to offer.
        found = None
    if found is None or not found.words:
        return {"completions": [], "suppress": False}
    return {
        "completions": [SimpleCompletion(text=word, type="param") for word in found.words],
        "matched_fragment": found.fragment,
        "suppress": found.alone,
    }
