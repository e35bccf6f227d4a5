"""Gemini's own API, whole or in pieces, in the chat API's shape.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llm_magic.types import AttrDict, Chunk, attributes

__all__ = ["chunks", "to_openai"]

Fields = dict[str, Any]

# Other reasons are passed on as they are.
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


def to_openai(answer: Mapping[str, Any]) -> AttrDict:
    """An answer as a ``chat.completion``."""
    choices = [
        {
            "index": candidate.get("index", position),
            "message": {"role": "assistant", **_said(candidate)},
            "finish_reason": _finish(candidate),
        }
        for position, candidate in enumerate(answer.get("candidates") or ())
    ]
    return _attributes({**_head(answer, "chat.completion"), "choices": choices})


def chunks(event: Mapping[str, Any]) -> Iterable[Chunk]:
    """The chunk that a piece of a stream means: each is an answer that holds the next words."""
    choices = [
        {
            "index": candidate.get("index", position),
            "delta": _said(candidate),
            "finish_reason": _finish(candidate),
        }
        for position, candidate in enumerate(event.get("candidates") or ())
    ]
    return [Chunk(_attributes({**_head(event, "chat.completion.chunk"), "choices": choices}))]


def _said(candidate: Mapping[str, Any]) -> Fields:
    parts = (candidate.get("content") or {}).get("parts") or ()
    texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    said: Fields = {"content": "".join(texts) if texts else None}
    if calls:
        said["tool_calls"] = [
            {
                "id": call.get("id") or f"call_{index}",
                "type": "function",
                "function": {"name": call.get("name"), "arguments": json.dumps(call.get("args"))},
            }
            for index, call in enumerate(calls)
        ]
    return said


def _finish(candidate: Mapping[str, Any]) -> str | None:
    reason = candidate.get("finishReason")
    return _FINISH.get(reason, reason) if reason else None


def _head(answer: Mapping[str, Any], shape: str) -> Fields:
    return {
        "id": answer.get("responseId"),
        "object": shape,
        "model": answer.get("modelVersion"),
        "usage": _usage(answer.get("usageMetadata")),
    }


def _usage(usage: Any) -> Fields | None:
    if not isinstance(usage, Mapping) or usage.get("promptTokenCount") is None:
        return None
    # What a tool brought in is counted apart, and so are thoughts; both are billed.
    thought = usage.get("thoughtsTokenCount") or 0
    return {
        "prompt_tokens": usage["promptTokenCount"] + (usage.get("toolUsePromptTokenCount") or 0),
        "completion_tokens": (usage.get("candidatesTokenCount") or 0) + thought,
        "total_tokens": usage.get("totalTokenCount"),
        "prompt_tokens_details": {"cached_tokens": usage.get("cachedContentTokenCount") or 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _attributes(value: Fields) -> AttrDict:
    made = attributes(value)
    assert isinstance(made, AttrDict)
    return made
