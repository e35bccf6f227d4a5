"""Keys in the fields of a request, known by the names of the fields.

A parameter may carry the key of a gateway (``extra_body={"api_key": ...}``), or of a server with
tools that the provider asks (``{"type": "mcp", "authorization": ...}``). Who asks is no part of
what is asked: such a key is sent, and neither stored nor hashed.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import Any

from llm_magic import secrets

__all__ = ["bare", "hidden", "is_key"]

_KEY = re.compile(
    r"(?:^|[-_])(?:api[-_]?key|authorization(?:[-_]token)?|subscription-key|auth|connection[-_]string"
    r"|(?:access|auth|bearer|refresh|secret|session)[-_](?:key|token)|secret|password)$",
    re.IGNORECASE,
)
# Where they are for servers and not for models, more names tell a key.
_KEY_THERE = re.compile(r"(?:^|[-_])(?:cookie|key|pat|pwd|token)$", re.IGNORECASE)
_THERE = re.compile(
    r"(?:^|[-_])(?:auth|authentication|authorization|credentials?|env|headers|query)$",
    re.IGNORECASE,
)
# What holds words for the model: the names of its fields are the user's.
_WORDS = frozenset({"function", "input_schema", "json_schema", "properties", "schema"})
_ADDRESS = re.compile(r"(?:^|[-_])(?:endpoint|uri|url)$", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/?#@]+(?=@)")
_QUERY_ITEM = re.compile(r"(?<=[?&])([^=&#]+)=([^&#]+)")


def is_key(name: str) -> bool:
    """Whether a field, a header or a part of a query with this name carries a key.

    >>> is_key("x-api-key"), is_key("accessToken"), is_key("max_tokens")
    (True, True, False)
    """
    return _tells_key(name, there=False)


def bare(value: str) -> str:
    """A key without the word before it, such as ``Bearer``."""
    return value.rpartition(" ")[2]


def hidden(value: Any) -> Any:
    """The value with names in place of the keys in it; the very same object where there is none.

    The keys are known from then on (:func:`llm_magic.secrets.register`), so that no text shows
    them.

    >>> hidden({"type": "mcp", "authorization": "Bearer 123"})
    {'type': 'mcp', 'authorization': '{{secret:authorization}}'}
    """
    return _hidden(value, there=False)


def _hidden(value: Any, *, there: bool) -> Any:
    if isinstance(value, list):
        items = [_hidden(item, there=there) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    if not isinstance(value, dict):
        return value
    changed: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, str):
            if _tells_key(name, there):
                changed[name] = _noted(name, item)
            elif ("?" in item or "@" in item) and _ADDRESS.search(_in_words(name)):
                short = _bare_address(item)
                if short != item:
                    changed[name] = short
        elif isinstance(item, (dict, list)) and name not in _WORDS:
            short = _hidden(item, there=_is_there(name))
            if short is not item:
                changed[name] = short
    return {**value, **changed} if changed else value


def _bare_address(url: str) -> str:
    def without(item: re.Match[str]) -> str:
        name, value = item.groups()
        return f"{name}={_noted(name, value)}" if _tells_key(name, there=True) else item[0]

    url = _USER_INFO.sub(lambda user: _noted("password", user[0].rpartition(":")[2]), url)
    return _QUERY_ITEM.sub(without, url)


def _noted(name: str, value: str) -> str:
    stand_in = f"{{{{secret:{name}}}}}"
    if value != stand_in:
        secrets.register(name, bare(value))
    return stand_in


# The same few names come again and again, and a replay waits for this.
@functools.lru_cache(maxsize=1024)
def _tells_key(name: str, there: bool) -> bool:
    words = _in_words(name)
    return bool(_KEY.search(words) or (there and _KEY_THERE.search(words)))


@functools.lru_cache(maxsize=1024)
def _is_there(name: str) -> bool:
    return _THERE.search(_in_words(name)) is not None


def _in_words(name: str) -> str:
    """``exaApiKey`` as ``exa_Api_Key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
