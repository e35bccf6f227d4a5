"""Keys in REPLAY, where none is needed: SDK clients cannot be built without one.

As long as the mode is REPLAY, the key variables of the catalog that are not set hold a placeholder.
It is no key: a request that would be sent with it is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from llm_magic import config, key_fields, secrets
from llm_magic.providers import catalog
from llm_magic.providers.catalog import Entry
from llm_magic.secrets import PLACEHOLDER
from llm_magic.types import Mode

__all__ = [
    "carries_placeholder",
    "follow_mode",
    "register",
    "take_away",
]

_lock = threading.Lock()
_ours: set[str] = set()

# Where a request carries the provider's key, besides the query.
_HEADERS = ("api-key", "authorization", "x-api-key", "x-goog-api-key")


def follow_mode() -> None:
    """Set placeholders where the mode is REPLAY now, else take them away."""
    if config.default().get("mode") is not Mode.REPLAY:
        take_away()
        return
    with _lock:
        for row in catalog.ENTRIES.values():
            if not row.keyless and not row.credential_variables and not catalog.has_key(row):
                _ours.add(row.key_variables[0])
                os.environ[row.key_variables[0]] = PLACEHOLDER


def take_away() -> None:
    """Leave the environment as it was; a key that was set since stays."""
    with _lock:
        for variable in _ours:
            if os.environ.get(variable) == PLACEHOLDER:
                del os.environ[variable]
        _ours.clear()


def carries_placeholder(headers: Mapping[str, str], url: str = "") -> bool:
    """Whether a request has the placeholder where its key should be."""
    told = (headers.get(name, "") for name in _HEADERS)
    return any(PLACEHOLDER in text for text in (*told, url))


def register(row: Entry, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Note the keys that a request carries, so that they are never stored or shown."""
    name = row.key_variables[0] if row.key_variables else f"{row.name.upper()}_API_KEY"
    for carrier, value in (*headers.items(), *query.items()):
        if carrier == "key" or carrier.lower() in _HEADERS or key_fields.is_key(carrier):
            secrets.register(name, key_fields.bare(value))
