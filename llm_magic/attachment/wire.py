"""The bytes of an answer as a recording holds them, and back.

Beside the answer in the chat API's shape, for people and the ledger, a recording of API kind
``http`` has in ``response.http`` what the server sent: status, content type and body, the body as
text, or in base64 where it is not UTF-8. A compressed body is kept as it was before. No other
header is kept: they tell of one connection, one moment or one customer.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magic.exceptions import CassetteError
from llm_magic.recordings import Recording

__all__ = ["Answer", "recorded", "to_dict"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent."""

    status: int
    content_type: str
    body: bytes


def to_dict(answer: Answer) -> dict[str, Any]:
    """The answer in JSON's types."""
    head = {"status": answer.status, "content_type": answer.content_type}
    try:
        return {**head, "body": answer.body.decode()}
    except UnicodeDecodeError:
        return {**head, "base64": base64.b64encode(answer.body).decode()}


def recorded(recording: Recording) -> Answer:
    """The answer of a recording, byte for byte.

    Raises
    ------
    CassetteError
        For a recording that holds none: it was edited.
    """
    held = recording.response.get("http")
    fields: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    status, content_type = fields.get("status"), fields.get("content_type")
    body, coded = fields.get("body"), fields.get("base64")
    try:
        data = (
            body.encode() if isinstance(body, str) else base64.b64decode(coded or "", validate=True)
        )
    except (binascii.Error, TypeError, ValueError):
        data = b""
    if status != 200 or not isinstance(content_type, str) or not data:
        raise CassetteError(
            f"the recording {recording.key[:12]}… holds no answer of a server: it was edited;"
            f" %llm forget {recording.key[:12]} removes it"
        )
    return Answer(status, content_type, data)
