"""The requests a server has seen."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from llm_magic.testing.connection import HTTPRequest


@dataclass(frozen=True)
class SeenRequest:
    """A request as the server received it.

    `path` is as sent, with its query; the names in `headers` are lower case; `body` is empty if
    it was not a JSON object; `arrived` is a `time.monotonic()`; `closed_early` is set when the
    client hung up before its answer was complete.
    """

    method: str
    path: str
    # Headers hold keys: a failed assertion prints this object, and CI logs are public.
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any]
    raw: bytes = field(repr=False)
    arrived: float
    closed_early: Event = field(default_factory=Event, compare=False, repr=False)

    @property
    def route(self) -> str:
        """Method and path without the query."""
        return f"{self.method} {self.path.partition('?')[0]}"


def note(request: HTTPRequest) -> SeenRequest:
    """Note down a request that has just arrived."""
    return SeenRequest(
        method=request.method,
        path=request.target,
        headers=request.headers,
        body=_json_object(request.raw),
        raw=request.raw,
        arrived=time.monotonic(),
    )


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
