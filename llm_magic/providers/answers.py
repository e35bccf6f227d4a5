"""From Anthropic's answers, whole or in pieces, to the OpenAI shape.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llm_magic.types import AttrDict, Chunk, as_mapping, attributes, token_count

__all__ = ["FINISH_REASONS", "Events", "to_openai", "usage_to_openai"]

Block = dict[str, Any]

# An unknown reason is passed on as it is: it is not for us to call it finished or not.
FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def to_openai(message: Mapping[str, Any], *, created: int = 0) -> AttrDict:
    """Anthropic's message as a ``chat.completion``."""
    blocks = message.get("content") or []
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": _json(block.get("input") or {})},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    answer: Block = {"role": "assistant", "content": "".join(texts) if texts else None}
    if not texts and not calls:
        answer["content"] = ""
    answer |= _beside_text(blocks)
    if calls:
        answer["tool_calls"] = calls

    reason = message.get("stop_reason")
    choice = {"index": 0, "message": answer, "logprobs": None, **_finish(reason)}
    response = attributes(
        {
            "id": message.get("id"),
            "object": "chat.completion",
            "created": created,
            "model": message.get("model"),
            "choices": [choice],
            "usage": usage_to_openai(message.get("usage")),
        }
    )
    assert isinstance(response, AttrDict)
    return response


def _beside_text(blocks: Iterable[Mapping[str, Any]]) -> Block:
    """What OpenAI's shape has no field for, in fields of its own, verbatim."""
    found: Block = {}
    thinking = [block for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    if thinking:
        found["reasoning_content"] = "".join(block.get("thinking", "") for block in thinking)
        found["thinking_blocks"] = thinking
    known = ("text", "tool_use", "thinking", "redacted_thinking")
    others = [block for block in blocks if block.get("type") not in known]
    if others:
        found["native_blocks"] = others
    citations = [cited for block in blocks for cited in block.get("citations") or ()]
    if citations:
        found["citations"] = citations
    return found


def _finish(reason: str | None) -> Block:
    ours = None if reason is None else FINISH_REASONS.get(reason, reason)
    return {"finish_reason": ours, "native_finish_reason": reason}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usage_to_openai(usage: Mapping[str, Any] | None) -> Block | None:
    """Anthropic's counts, where ``input_tokens`` excludes the cache, as OpenAI's, which include it.

    ``cache_write_tokens`` and ``cache_write_1h_tokens`` are ours: OpenAI has no word for writes to
    the cache. Fields that prices depend on, such as ``server_tool_use``, are kept as they are.
    """
    told = as_mapping(usage)
    uncached, output = token_count(told.get("input_tokens")), token_count(told.get("output_tokens"))
    if uncached is None or output is None:
        return None
    read = token_count(told.get("cache_read_input_tokens")) or 0
    hour, written = _cache_writes(told)
    prompt = uncached + read + written
    thinking = token_count(as_mapping(told.get("output_tokens_details")).get("thinking_tokens"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written - hour,
            "cache_write_1h_tokens": hour,
        },
        "completion_tokens_details": {"reasoning_tokens": thinking or 0},
        **{name: told[name] for name in _KEPT if told.get(name) is not None},
    }


# What prices depend on beside the tokens.
_KEPT = ("server_tool_use", "service_tier", "speed", "inference_geo")


def _cache_writes(usage: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the cache for an hour, and all that were written."""
    parts = as_mapping(usage.get("cache_creation"))
    minutes, hour = (
        token_count(parts.get(f"ephemeral_{span}_input_tokens")) or 0 for span in ("5m", "1h")
    )
    told = token_count(usage.get("cache_creation_input_tokens"))
    return hour, max(told or 0, minutes + hour)


class Events:
    """Is fed the events of a stream, in order, and gives the chunks they mean.

    A stream has blocks; each starts, grows by deltas and stops. Text, thinking and the arguments of
    tool calls are passed on as they grow, anything else when it is whole.
    """

    def __init__(self, *, created: int = 0) -> None:
        self._head: Block = {"id": None, "object": "chat.completion.chunk", "created": created}
        self._head["model"] = None
        self._usage: Block = {}
        self._block: Block = {}
        self._pieces: list[str] = []  # of the JSON input of the block
        self._calls = 0

    def feed(self, event: Mapping[str, Any]) -> list[Chunk]:
        """The chunks that this event means; none for an event that we do not know.

        New kinds of events may come at any time, says the documentation; they are passed over.
        """
        means = _MEANINGS.get(event.get("type", ""))
        return means(self, event) if means else []

    def usage(self) -> Chunk:
        """The last chunk: no choices, but the counts, which are final when the stream is over."""
        return self._chunk([], usage=attributes(usage_to_openai(self._usage)))

    def _message_start(self, event: Mapping[str, Any]) -> list[Chunk]:
        message = event["message"]
        self._head["id"], self._head["model"] = message.get("id"), message.get("model")
        self._count(message.get("usage"))
        return [self._delta(role="assistant")]

    def _block_start(self, event: Mapping[str, Any]) -> list[Chunk]:
        self._block, self._pieces = dict(event["content_block"]), []
        kind = self._block["type"]
        if kind == "tool_use":
            function = AttrDict(name=self._block["name"], arguments="")
            return [self._call(id=self._block["id"], type="function", function=function)]
        if kind == "text" and self._block.get("text"):
            return [self._delta(content=self._block["text"])]
        return []

    def _block_delta(self, event: Mapping[str, Any]) -> list[Chunk]:
        delta = event["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return [self._delta(content=delta["text"])]
        if kind == "thinking_delta":
            self._block["thinking"] = self._block.get("thinking", "") + delta["thinking"]
            return [self._delta(reasoning_content=delta["thinking"])]
        if kind == "signature_delta":
            self._block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            return [self._delta(citations=[delta["citation"]])]
        elif kind == "input_json_delta" and delta["partial_json"]:
            self._pieces.append(delta["partial_json"])
            if self._block["type"] == "tool_use":
                return [self._call(function=AttrDict(arguments=delta["partial_json"]))]
        return []

    def _block_stop(self, event: Mapping[str, Any]) -> list[Chunk]:
        kind = self._block.get("type")
        if kind == "tool_use":
            # A call without arguments sends none, and its start may have held them already.
            rest = [] if self._pieces else [_json(self._block.get("input") or {})]
            chunks = [self._call(function=AttrDict(arguments=text)) for text in rest]
            self._calls += 1
            return chunks
        if kind in (None, "text"):
            return []
        if self._pieces:
            self._block["input"] = json.loads("".join(self._pieces))
        name = "thinking_blocks" if "thinking" in str(kind) else "native_blocks"
        whole: Block = {name: [attributes(self._block)]}
        return [self._delta(**whole)]

    def _message_delta(self, event: Mapping[str, Any]) -> list[Chunk]:
        self._count(event.get("usage"))
        reason = event["delta"].get("stop_reason")
        if reason is None:
            return []
        choice = AttrDict(index=0, delta=AttrDict(content=None), logprobs=None, **_finish(reason))
        return [self._chunk([choice])]

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        # The counts of later events are running totals; what they leave out has not changed.
        self._usage |= {name: n for name, n in as_mapping(usage).items() if n is not None}

    def _delta(self, *, content: str | None = None, **fields: Any) -> Chunk:
        delta = AttrDict(content=content, **fields)
        return self._chunk([AttrDict(index=0, delta=delta, logprobs=None, finish_reason=None)])

    def _call(self, **fields: Any) -> Chunk:
        return self._delta(tool_calls=[AttrDict(index=self._calls, **fields)])

    def _chunk(self, choices: list[AttrDict], **fields: Any) -> Chunk:
        return Chunk(**self._head, choices=choices, **fields)


_MEANINGS = {
    "message_start": Events._message_start,
    "content_block_start": Events._block_start,
    "content_block_delta": Events._block_delta,
    "content_block_stop": Events._block_stop,
    "message_delta": Events._message_delta,
}
