"""OpenAI's Responses API, whole or in pieces, in the chat API's shape.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llm_magic.types import AttrDict, Chunk, attributes

__all__ = ["chunks", "to_openai"]

Fields = dict[str, Any]


def to_openai(response: Mapping[str, Any]) -> AttrDict:
    """A response as a ``chat.completion``; one that is still under way has no finish reason."""
    output = [item for item in response.get("output") or () if isinstance(item, Mapping)]
    parts = [part for item in output for part in item.get("content") or () if part]
    texts = [part["text"] for part in parts if part.get("type") == "output_text"]
    calls = _calls(output)
    message: Fields = {"role": "assistant", "content": "".join(texts) if texts else None}
    if refused := [part["refusal"] for part in parts if part.get("type") == "refusal"]:
        message["refusal"] = "".join(refused)
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": _finish(response, bool(calls))}
    return _attributes({**_head(response, "chat.completion"), "choices": [choice]})


def chunks(event: Mapping[str, Any]) -> Iterable[Chunk]:
    """The chunks that an event of a stream means: texts as they grow, and at the end the rest."""
    kind = event.get("type")
    if kind == "response.output_text.delta":
        return [_chunk({}, {"content": event.get("delta")}, None)]
    if kind not in ("response.completed", "response.incomplete"):
        return []
    response = event["response"]
    calls = _calls([item for item in response.get("output") or () if isinstance(item, Mapping)])
    numbered = [{**call, "index": index} for index, call in enumerate(calls)]
    delta: Fields = {"tool_calls": numbered} if calls else {}
    head = _head(response, "chat.completion.chunk")
    return [_chunk(head, delta, _finish(response, bool(calls)))]


def _chunk(head: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None) -> Chunk:
    choice = {"index": 0, "delta": {"content": None, **delta}, "finish_reason": finish}
    return Chunk({**head, "choices": [_attributes(choice)]})


def _head(response: Mapping[str, Any], shape: str) -> Fields:
    return {
        "id": response.get("id"),
        "object": shape,
        "created": response.get("created_at"),
        "model": response.get("model"),
        "usage": _usage(response.get("usage")),
    }


def _finish(response: Mapping[str, Any], calls: bool) -> str | None:
    if response.get("status") == "completed":
        return "tool_calls" if calls else "stop"
    if response.get("status") != "incomplete":
        return None
    reason = (response.get("incomplete_details") or {}).get("reason")
    return "content_filter" if reason == "content_filter" else "length"


def _calls(output: Iterable[Mapping[str, Any]]) -> list[Fields]:
    return [
        {
            "id": item.get("call_id"),
            "type": "function",
            "function": {"name": item.get("name"), "arguments": item.get("arguments")},
        }
        for item in output
        if item.get("type") == "function_call"
    ]


def _usage(usage: Any) -> Fields | None:
    if not isinstance(usage, Mapping) or usage.get("input_tokens") is None:
        return None
    inside = usage.get("input_tokens_details") or {}
    outside = usage.get("output_tokens_details") or {}
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage.get("output_tokens") or 0,
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": {"cached_tokens": inside.get("cached_tokens") or 0},
        "completion_tokens_details": {"reasoning_tokens": outside.get("reasoning_tokens") or 0},
    }


def _attributes(value: Fields) -> AttrDict:
    made = attributes(value)
    assert isinstance(made, AttrDict)
    return made
