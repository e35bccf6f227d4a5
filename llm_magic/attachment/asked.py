"""From the body of a request over HTTP to a :class:`~llm_magic.types.Request`, and so to its key.

Everything of the body is in the key, the stream flag too: what is replayed are the bytes that the
server sent, and these depend on all of it. API keys in it are not, nor where it travels otherwise,
but for the few headers and query parameters that choose the form of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from llm_magic.attachment.endpoints import Endpoint
from llm_magic.recordings import NOT_IN_KEY
from llm_magic.types import Request

__all__ = ["is_stream", "request_of"]

# Versions and features that are switched on by a header: with them the same body is answered
# otherwise, and in another form. No header that says who asks is ever here.
_HEADERS = ("anthropic-beta", "anthropic-version", "openai-beta")
_QUERY = ("alt", "api-version", "beta")

# Where a body holds what is asked.
_FIELDS: Mapping[str, str] = {
    "chat": "messages",
    "completion": "prompt",
    "embedding": "input",
    "responses": "input",
    "messages": "messages",
    "gemini": "contents",
}
_MODEL_IN_PATH = re.compile(r"/(?:models|deployments)/([^/:]+)")


def is_stream(endpoint: Endpoint, body: Mapping[str, Any]) -> bool:
    """Whether the answer is asked for in pieces."""
    return bool(body.get("stream")) or ":stream" in endpoint.path


def request_of(
    endpoint: Endpoint, url: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> Request:
    """The request that this body is, with messages that people can read.

    Parameters
    ----------
    endpoint : Endpoint
        Where it goes.
    url : str
        The whole address; of its query only what is pinned here is taken.
    headers : mapping
        Of these, too, by names in small letters.
    body : mapping
        The parsed body.
    """
    rest = dict(body)
    messages, form = _messages(rest, _FIELDS[endpoint.kind])
    named = rest.get("model")
    if isinstance(named, str):
        del rest["model"]
        model = named
    else:
        found = _MODEL_IN_PATH.search(endpoint.path)
        model = found[1] if found else ""
    # Under these names they would not be part of the key.
    hidden = {name: rest.pop(name) for name in [*rest] if name in NOT_IN_KEY or name == "http"}
    query = {name: value for name, value in parse_qsl(urlsplit(url).query) if name in _QUERY}
    sent = {name: _sorted(headers[name]) for name in _HEADERS if headers.get(name)}
    travelled = {
        "path": endpoint.path,
        "form": form,
        "query": query,
        "headers": sent,
        "body": hidden,
    }
    return Request(
        provider=endpoint.row.name,
        model=model,
        messages=messages,
        parameters={**rest, "http": {name: value for name, value in travelled.items() if value}},
        endpoint=endpoint.identity,
        api="http",
    )


def _sorted(features: str) -> str:
    """A list of features, in one order whoever wrote it."""
    return ",".join(sorted(feature.strip() for feature in features.split(",")))


def _messages(rest: dict[str, Any], field: str) -> tuple[list[Any], str]:
    """Take what is asked out of a body, as messages; also the form in which it stood there.

    The form is part of the key, so that two bodies never have the same one. What has a form that
    we do not know, such as numbers of tokens, stays where it is.
    """
    asked = rest.get(field)
    texts = [asked] if isinstance(asked, str) else asked
    if not isinstance(texts, list) or not texts:
        return [], ""
    if all(isinstance(text, str) for text in texts):
        del rest[field]
        form = "text" if isinstance(asked, str) else "texts"
        return [{"role": "user", "content": text} for text in texts], form
    if not all(isinstance(message, dict) for message in texts):
        return [], ""
    del rest[field]
    if all(message.keys() == {"role", "parts"} for message in texts):
        return [{"role": one["role"], "content": one["parts"]} for one in texts], "parts"
    return texts, "messages"
