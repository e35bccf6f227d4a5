"""Keys in the fields of a request, known by the places and the names of the fields.

A parameter may carry the key of a gateway (``extra_body={"api_key": ...}``), or of a server with
tools that the provider asks (``{"type": "mcp", "authorization": ...}``). Who asks is no part of
what is asked: such a key is sent, and neither stored nor hashed.

A name alone tells nothing: ``{"variables": {"password": "swordfish"}}`` are words for the model,
and two requests that differ there must not share an answer. So a key is looked for only where
servers and gateways have theirs (``_PLACES``), and everything else is what is asked.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magic import secrets

__all__ = ["bare", "hidden", "is_key"]

# Names are compared in small letters, with "_" between their words.
_KEY = (
    r"api_?keys?(?:_string)?|auth|authorization(?:_token)?|bearer|connection_string|credentials?"
    r"|pass(?:phrase|wd|words?)|private_key|secrets?|subscription_key"
    r"|(?:access|auth|bearer|refresh|secret|session)_(?:key|token)(?:_id)?"
)
_KEY_OF_SERVER = rf"{_KEY}|pat|pwd|token"
# In headers, a query or the environment, and in what logs in: nothing there is for a model.
_KEY_THERE = rf"{_KEY_OF_SERVER}|cookie|key|pass|sas|sig|signature"

_AUTH = r"(?:.*_)?(?:auth|authentication|authorization|credentials?|oauth2?)(?:_config)?"
_THERE = {r"(?:.*_)?headers": "there", r"(?:.*_)?env(?:ironment)?": "there", _AUTH: "login"}
_SERVERS = (
    r"connectors|data_sources|fallbacks|gateway|litellm_params|mcp_?servers|model_list|plugins"
    r"|providers?|proxy|servers"
)
_OF_SERVER = {
    **_THERE,
    r"(?:.*_)?query(?:_params)?": "there",
    r"config(?:uration)?|connection|embedding_dependency|external_api|google_maps|litellm_params"
    r"|mcp|openapi|retrieval|server|transport": "server",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A mapping in which keys can be: the names that tell one, and the fields that lead on."""

    keys: str
    leads: Mapping[str, str]


_PLACES: Mapping[str, _Place] = {
    # Parameters, and the body of a request.
    "top": _Place(
        _KEY,
        {
            **_THERE,
            r"(?:default|extra)_query": "there",
            r"extra_body": "top",
            r"http": "http",
            r"tools": "tool",
            _SERVERS: "servers",
        },
    ),
    # What attach keeps of a body under names of ours.
    "http": _Place("", {r"body": "top"}),
    "tool": _Place(_KEY_OF_SERVER, _OF_SERVER),
    "server": _Place(_KEY_OF_SERVER, {**_OF_SERVER, r"parameters": "server"}),
    # In a list, or by names of the user's.
    "servers": _Place(_KEY_OF_SERVER, {**_OF_SERVER, r".+": "server"}),
    "there": _Place(_KEY_THERE, {}),
    "login": _Place(rf"{_KEY_THERE}|value", {r".+": "login"}),
}

# Tools that are described to the model, and run by the user.
_DESCRIBED = ("custom", "function")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_USER_INFO = re.compile(r"(?<=://)[^/?#@]+(?=@)")
_QUERY_ITEM = re.compile(r"(?<=[?&])([^=&#]+)=([^&#]+)")
# At the top, what is read (a page, a picture) has an address, too, and its query is what is asked.
_OF_A_SERVER = re.compile(r"(?:.*_)?(?:api_base|base_ur[il]|endpoint|proxy|server_ur[il]|webhook)")
_SCHEME = re.compile(r"(?:apikey|basic|bearer|token) \S{8}", re.IGNORECASE)


def is_key(name: str) -> bool:
    """Whether a field, a header or a part of a query with this name carries a key.

    >>> is_key("x-api-key"), is_key("accessToken"), is_key("max_tokens")
    (True, True, False)
    """
    return _tells_key("top", name)


def bare(value: str) -> str:
    """A key without the word before it, such as ``Bearer``."""
    return value.rpartition(" ")[2]


def hidden(value: Any) -> Any:
    """The parameters with names in place of the keys in them; the very same where there is none.

    The keys are known from then on (:func:`llm_magic.secrets.register`), so that no text shows
    them.

    >>> hidden({"tools": [{"type": "mcp", "authorization": "Bearer 123"}]})
    {'tools': [{'type': 'mcp', 'authorization': '{{secret:authorization}}'}]}
    >>> hidden({"extra_body": {"variables": {"authorization": "granted"}}})
    {'extra_body': {'variables': {'authorization': 'granted'}}}
    """
    return _hidden("top", value) if value else value


def _hidden(place: str, value: Any) -> Any:
    if isinstance(value, list):
        return _same_or([_hidden(place, item) for item in value], value)
    if not isinstance(value, dict) or (place == "tool" and value.get("type") in _DESCRIBED):
        return value
    if place == "there" and (name := _named(value)):
        # A header as a pair of name and value.
        short = _text(place, name, value["value"])
        return value if short is value["value"] else {**value, "value": short}
    changed: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, str):
            short = _text(place, name, item)
        elif isinstance(item, (dict, list)):
            short = _inner(place, name, item)
        else:
            continue
        if short is not item:
            changed[name] = short
    return {**value, **changed} if changed else value


def _inner(place: str, name: str, value: dict[str, Any] | list[Any]) -> Any:
    further = _leads(place, name)
    if isinstance(value, list) and _tells_key(place, name):
        value = _same_or(
            [_noted(name, item) if isinstance(item, str) else item for item in value], value
        )
    return value if further is None else _hidden(further, value)


def _same_or(items: list[Any], old: list[Any]) -> list[Any]:
    return old if all(map(operator.is_, items, old)) else items


def _named(pair: dict[str, Any]) -> str | None:
    if not isinstance(pair.get("value"), str):
        return None
    names = (pair.get(word) for word in ("name", "key", "header"))
    return next((name for name in names if isinstance(name, str)), None)


def _text(place: str, name: str, text: str) -> str:
    if _tells_key(place, name) or (place in ("there", "login") and _SCHEME.match(text)):
        return _noted(name, text)
    if "://" in text and _ADDRESS.fullmatch(text):
        return _bare_address(text, query=place != "top" or _is_server(name))
    return text


def _bare_address(url: str, *, query: bool) -> str:
    def without(item: re.Match[str]) -> str:
        name, value = item.groups()
        return f"{name}={_noted(name, value)}" if _tells_key("there", name) else item[0]

    short = _USER_INFO.sub(lambda user: _noted("password", user[0].rpartition(":")[2]), url)
    if query:
        short = _QUERY_ITEM.sub(without, short)
    return url if short == url else short


def _noted(name: str, value: str) -> str:
    stand_in = f"{{{{secret:{name}}}}}"
    if value == stand_in:
        return value
    secrets.register(name, bare(value))
    return stand_in


# The same few names come again and again, and a replay waits for this.
@functools.lru_cache(maxsize=1024)
def _tells_key(place: str, name: str) -> bool:
    return re.fullmatch(rf"(?:.*_)?(?:{_PLACES[place].keys})", _in_words(name)) is not None


@functools.lru_cache(maxsize=1024)
def _leads(place: str, name: str) -> str | None:
    words = _in_words(name)
    leads = _PLACES[place].leads.items()
    return next((further for names, further in leads if re.fullmatch(names, words)), None)


@functools.lru_cache(maxsize=1024)
def _is_server(name: str) -> bool:
    return _OF_A_SERVER.fullmatch(_in_words(name)) is not None


def _in_words(name: str) -> str:
    """``exaApiKey`` as ``exa_api_key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.\s]", "_", name).lower()
