"""The table of providers: who there is, where they are, and which variable holds the key.

Adding a provider that speaks a known dialect is one row here, and nothing elsewhere.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from llm_magic import secrets
from llm_magic.exceptions import MissingKeyError, ModelNameError, did_you_mean
from llm_magic.providers.base import Provider

__all__ = ["ENTRIES", "Entry", "api_key", "checked", "entry", "provider"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider.

    Parameters
    ----------
    name : str
        The word before the slash of ``provider/model``.
    dialect : str
        The shape of its API: ``openai``, ``anthropic`` or ``echo``.
    base_url : str
        Where it is; empty for a provider inside this process.
    base_url_variable : str
        Environment variable that moves it, such as to a company's proxy.
    key_variables : tuple of str
        Environment variables that may hold the key; the first one that is set counts.
    local : bool
        Whether it runs on the user's own machine: it needs no key and costs nothing.
    """

    name: str
    dialect: str
    base_url: str = ""
    base_url_variable: str = ""
    key_variables: tuple[str, ...] = ()
    local: bool = False


_ROWS = (
    Entry(
        name="openai",
        dialect="openai",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variables=("OPENAI_API_KEY",),
    ),
    Entry(
        name="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        key_variables=("ANTHROPIC_API_KEY",),
    ),
    Entry(name="echo", dialect="echo", local=True),
)

ENTRIES: Mapping[str, Entry] = MappingProxyType({row.name: row for row in _ROWS})

# Named as entry points are, and loaded at first use: the adapters import this module.
_ADAPTERS = {
    "openai": "llm_magic.providers.openai:OpenAIProvider",
    "anthropic": "llm_magic.providers.anthropic:AnthropicProvider",
    "echo": "llm_magic.providers.echo:EchoProvider",
}


def entry(name: str) -> Entry:
    """The row of that provider.

    Raises
    ------
    ModelNameError
        When there is none; the message names the nearest ones.
    """
    try:
        return ENTRIES[name]
    except KeyError:
        pass
    raise ModelNameError(f"Unknown provider: {name}; {did_you_mean(name, ENTRIES)}")


@functools.cache
def provider(name: str) -> Provider:
    """The adapter that asks that provider; one per process."""
    row = entry(name)
    module, _, adapter = _ADAPTERS[row.dialect].partition(":")
    return cast(Provider, getattr(import_module(module), adapter)(row))


def api_key(row: Entry) -> tuple[str, str] | None:
    """Name and value of the variable that holds the provider's key; None when none is set.

    The value is registered with :mod:`llm_magic.secrets`, so that it is never stored or shown.
    """
    for variable in row.key_variables:
        value = os.environ.get(variable, "").strip()
        if value:
            secrets.register(variable, value)
            return variable, checked(variable, value)
    return None


def checked(name: str, value: str) -> str:
    """The key without white space around it.

    A key with other characters than visible ASCII cannot be an HTTP header, and the HTTP client
    would print the header in its error message.

    Raises
    ------
    MissingKeyError
        When the value cannot be a key.
    """
    value = value.strip()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise MissingKeyError(
            f"what {name} holds is not an API key: it has spaces or special characters in it; "
            "copy the key again"
        )
    return value
