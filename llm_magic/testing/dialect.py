"""What the server needs to know about a provider's wire format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_magic.testing.scripts import Answer, Failure

# The moment every fake answer was made, so that two runs of a test see the same bytes.
CREATED = 1_700_000_000


@dataclass(frozen=True)
class Stream:
    """The server-sent events of an answer: what comes before, with and after its words.

    One item of `words` carries the next word of every choice. Gates and cuts go between items.
    """

    opening: bytes
    words: Sequence[bytes] = ()
    closing: bytes = b""


class Dialect(Protocol):
    """A provider's wire format, as a module of functions from plain data to plain data."""

    def request_headers(self, number: int) -> dict[str, str]:
        """The headers that name a request in support tickets."""

    def completion(self, answer: Answer) -> dict[str, Any]:
        """The body of a whole answer."""

    def stream(self, answer: Answer) -> Stream:
        """The events of a streamed answer."""

    def error(self, failure: Failure, number: int) -> dict[str, Any]:
        """The body of an error."""

    def error_event(self, failure: Failure, number: int) -> bytes:
        """The event of an error inside a stream."""

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        """The list of models."""


def to_json(value: object) -> bytes:
    """A value as compact JSON."""
    # Raw UTF-8, as the providers send it: a client that splits lines or characters wrongly
    # should fail here, not in production.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
