"""The wire format of `POST /v1/embeddings`; the same text has the same vector, always."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from typing import Any

from llm_magic.testing import openai_wire
from llm_magic.testing.dialect import Stream
from llm_magic.testing.scripts import Answer, prompts

request_headers = openai_wire.request_headers
error = openai_wire.error
error_event = openai_wire.error_event
models = openai_wire.models

_DIMENSIONS = 8


def completion(answer: Answer) -> dict[str, Any]:
    """The body of the answer. What was scripted as its text has no meaning here."""
    size = answer.body.get("dimensions") or _DIMENSIONS
    vectors = [_vector(text, size) for text in prompts(answer.body)]
    packed = answer.body.get("encoding_format") == "base64"
    usage = openai_wire.counted(answer, ())
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _packed(vector) if packed else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": answer.model,
        **({} if usage is None else {"usage": _without_output(usage)}),
    }


def stream(answer: Answer) -> Stream:
    """There are no streams of embeddings."""
    raise ValueError("embeddings are not streamed")


def _vector(text: str, size: int) -> list[float]:
    """The sum of a direction for every word, of length 1: texts that share words are near."""
    words = re.findall(r"\w+", text.lower()) or [text]
    total = [0.0] * size
    for word in words:
        seed = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(size)
        total = [number + byte - 127.5 for number, byte in zip(total, seed, strict=True)]
    length = math.hypot(*total)
    # As OpenAI sends them, with about the digits of a 32-bit float.
    return [round(number / length, 8) for number in total]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _without_output(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: count for name, count in usage.items() if name != "completion_tokens"}
