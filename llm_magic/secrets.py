"""The API keys this process knows, and text without them.

Only *known* values are replaced, and only in what is keyed, stored, logged or raised: a text that
merely looks like a key is an answer, and answers are byte-identical.
"""

from __future__ import annotations

import json
import os
import threading

from llm_magic import environment

__all__ = [
    "PLACEHOLDER",
    "Hidden",
    "hide",
    "known",
    "redact",
    "refresh",
    "refresh_if_changed",
    "register",
]

# Stands where a key is wanted and none is needed: in REPLAY, for the SDKs of others. No secret.
PLACEHOLDER = "llm-magic-replay-no-key"

# Shorter values ("none", "ollama", "test") are placeholders and occur in ordinary text.
_SHORTEST = 16
_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")

_lock = threading.Lock()
_known: dict[str, str] = {}
_seen: object = None


def register(name: str, value: str | None) -> None:
    """Remember a key value under the name that will stand in for it."""
    global _known
    value = value.strip() if value else value
    if value and len(value) >= _SHORTEST and value not in _known and value != PLACEHOLDER:
        with _lock:
            # Also as it stands inside JSON text, where quotes and backslashes are escaped.
            found = {**_known, value: name, json.dumps(value)[1:-1]: name}
            # Longest first, because one value may begin with another; swapped at once, because
            # other threads are redacting.
            _known = dict(sorted(found.items(), key=lambda item: -len(item[0])))


def refresh() -> None:
    """Look again at the environment: a cell may have set a key since."""
    global _seen
    _seen = environment.everything().copy()
    for name in os.environ:
        if name.upper().endswith(_ENDINGS):
            value = os.environ.get(name, "")
            # SSL_KEY=/etc/ssl/key.pem names a file; a path in an answer is no secret.
            if not os.path.exists(value):
                register(name, value)


def refresh_if_changed() -> None:
    """Look again when a variable was set, changed or taken away; costs about a microsecond."""
    if environment.everything() != _seen:
        refresh()


class Hidden(str):
    """A key value that does not print: tracebacks with variables must not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def hide(options: dict[str, object]) -> None:
    """Hide the ``api_key`` among keyword arguments."""
    key = options.get("api_key")
    if isinstance(key, str):
        options["api_key"] = Hidden(key)


def known() -> dict[str, str]:
    """Key values and the names that stand in for them."""
    return dict(_known)


def redact(text: str) -> str:
    """The text with every known key value replaced by ``{{secret:NAME}}``.

    >>> register("DEMO_API_KEY", "demo-key-0123456789")
    >>> redact("Authorization: Bearer demo-key-0123456789")
    'Authorization: Bearer {{secret:DEMO_API_KEY}}'
    """
    if not _known:
        return text
    for value, name in list(_known.items()):
        if value in text:
            text = text.replace(value, "{{secret:" + name + "}}")
    return text


refresh()
