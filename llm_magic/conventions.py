"""A call in the words of OpenTelemetry's conventions for generative AI, and a few words of our own.

The conventions are in development; these are the names of the span ``gen_ai.client.inference`` as
of semantic conventions 1.44. Source:
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md

``gen_ai.usage.*`` is what was used: a replay used nothing, and tells the tokens of its recording as
``llm_magic.saved.input_tokens`` and ``llm_magic.saved.output_tokens``, so that sums over a fleet
stay true. ``llm_magic.cost_usd`` is what the answer cost; it is missing where nobody knows that,
and never 0 for it. What attempts before it may have cost is in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from llm_magic import history, media
from llm_magic.exceptions import LLMMagicError
from llm_magic.providers import catalog
from llm_magic.recordings import dump_line
from llm_magic.replay import Run
from llm_magic.secrets import redact
from llm_magic.types import Completion, Mode, Request, Transport, as_mapping

__all__ = ["Attributes", "Told", "attempted", "begun", "content", "ended", "span_name"]

Attributes = dict[str, Any]


class Asked(Protocol):
    """A candidate of a call: what is asked of whom."""

    request: Request
    sent: Request
    transport: Transport
    key: str
    ordinal: int


class Told(Protocol):
    """What is told of a call; :class:`~llm_magic.pipeline.Call` has it."""

    @property
    def candidate(self) -> Asked:
        """Who is asked, or who answered."""

    mode: Mode
    notebook: str | None
    stream: bool
    run: Run | None
    attempts: list[dict[str, Any]]
    completion: Completion | None
    recording: Any
    first_token_ms: float | None


# The conventions' names of our providers, where they are others.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}

_OPERATIONS = {"completion": "text_completion", "embedding": "embeddings"}
# Of another library's request, by the end of its path.
_PATHS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "enerateContent": "generate_content",
}


def _double(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _several(value: Any) -> int | None:
    return _int(value) if value != 1 else None


def _text(value: Any) -> str | None:
    return redact(value) if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str] | None:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        return None
    return [redact(text) for text in found] or None


def _output_type(value: Any) -> str | None:
    kind = as_mapping(value).get("type")
    return {"json_object": "json", "json_schema": "json", "text": "text"}.get(str(kind))


_PARAMETERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "temperature": ("gen_ai.request.temperature", _double),
    "top_p": ("gen_ai.request.top_p", _double),
    "top_k": ("gen_ai.request.top_k", _int),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", _double),
    "presence_penalty": ("gen_ai.request.presence_penalty", _double),
    "max_tokens": ("gen_ai.request.max_tokens", _int),
    "max_completion_tokens": ("gen_ai.request.max_tokens", _int),
    "max_output_tokens": ("gen_ai.request.max_tokens", _int),
    "n": ("gen_ai.request.choice.count", _several),
    "seed": ("gen_ai.request.seed", _int),
    "stop": ("gen_ai.request.stop_sequences", _texts),
    "reasoning_effort": ("gen_ai.request.reasoning.level", _text),
    "response_format": ("gen_ai.output.type", _output_type),
    "dimensions": ("gen_ai.embeddings.dimension.count", _int),
    "encoding_format": ("gen_ai.request.encoding_formats", _texts),
}


def span_name(request: Request) -> str:
    """Operation and model.

    >>> span_name(Request("openai", "gpt-5-mini", []))
    'chat gpt-5-mini'
    """
    return redact(f"{_operation(request)} {request.model}")


def _operation(request: Request) -> str:
    if request.api == "http":
        path = str(as_mapping(request.parameters.get("http")).get("path", ""))
        return next((name for end, name in _PATHS.items() if path.endswith(end)), "chat")
    return _OPERATIONS.get(request.api, "chat")


def begun(call: Told) -> Attributes:
    """What is known when a call begins."""
    candidate, run = call.candidate, call.run
    request = candidate.sent
    attributes: Attributes = {
        "gen_ai.operation.name": _operation(request),
        "gen_ai.provider.name": _PROVIDERS.get(request.provider, request.provider),
        "gen_ai.request.model": _text(request.model),
        "gen_ai.request.stream": call.stream or None,
        "llm_magic.mode": str(call.mode),
        "llm_magic.key": candidate.key,
        "llm_magic.ordinal": candidate.ordinal,
        "llm_magic.session": history.session(),
        "llm_magic.notebook": _text(call.notebook),
        "llm_magic.run": _text(run.name) if run is not None else None,
        "llm_magic.cell": _text(run.cell.get("id")) if run is not None else None,
    }
    for name, value in request.parameters.items():
        if name in _PARAMETERS:
            attribute, read = _PARAMETERS[name]
            attributes[attribute] = read(value)
    return _known(attributes)


def attempted(call: Told, error: BaseException) -> Attributes:
    """What is told of a request that was sent in vain."""
    return {
        "llm_magic.attempt": len(call.attempts),
        "gen_ai.request.model": redact(call.candidate.request.model),
        "error.type": type(error).__name__,
    }


def ended(call: Told) -> Attributes:
    """What is known when a call has ended, of whoever answered it."""
    attributes = begun(call)
    replayed = call.recording is not None
    if call.attempts:
        attributes["llm_magic.source"] = "live"
    elif replayed or call.mode is Mode.REPLAY:
        attributes["llm_magic.source"] = "replay"
    attributes["llm_magic.attempts"] = len(call.attempts)
    if call.attempts:
        attributes |= _server(call.candidate)
    if call.first_token_ms is not None and not replayed:
        attributes["gen_ai.response.time_to_first_chunk"] = call.first_token_ms / 1000
    if call.completion is not None:
        attributes |= _answered(call.completion, attributes["gen_ai.operation.name"])
    return _known(attributes)


def _server(candidate: Asked) -> Attributes:
    url = candidate.transport.api_base or candidate.request.endpoint
    if not url:
        # Those inside this process have no address.
        with contextlib.suppress(LLMMagicError):
            url = catalog.base_url(catalog.entry(candidate.request.provider))
    parts = urlsplit(url or "")
    with contextlib.suppress(ValueError):
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return {"server.address": parts.hostname, "server.port": port if parts.hostname else None}
    return {}


def _answered(completion: Completion, operation: str) -> Attributes:
    attributes = {
        "gen_ai.response.id": _text(completion.get("id")),
        "gen_ai.response.model": _text(completion.get("model")),
        "gen_ai.response.finish_reasons": [
            _text(choice.get("finish_reason")) or "error" for choice in completion["choices"]
        ],
        "llm_magic.cost_usd": None if completion.cost is None else float(completion.cost),
        "llm_magic.saved_usd": None if completion.saved is None else float(completion.saved),
        "llm_magic.cost_source": completion.cost_source,
    }
    usage, live = completion.tokens, completion.source == "live"
    if usage is None:
        return attributes
    where = "gen_ai.usage" if live else "llm_magic.saved"
    attributes[f"{where}.input_tokens"] = usage.input_tokens
    if operation != "embeddings":
        attributes[f"{where}.output_tokens"] = usage.output_tokens
    if live:
        written = usage.cache_write_tokens + usage.cache_write_1h_tokens
        attributes |= {
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens or None,
            "gen_ai.usage.cache_write.input_tokens": written or None,
            "gen_ai.usage.audio.input_tokens": usage.input_audio_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
            "gen_ai.usage.audio.output_tokens": usage.output_audio_tokens or None,
        }
    return attributes


def content(call: Told) -> Attributes:
    """What was said, as JSON: known API keys are replaced, and files by their hashes."""
    request = call.candidate.request
    asked = [_message(message) for message in media.keyed(request.messages)]
    attributes = {"gen_ai.input.messages": redact(dump_line(asked))}
    if call.completion is not None and call.completion["choices"]:
        answers = [
            {
                **_message(choice.get("message") or choice),
                "role": "assistant",
                "finish_reason": choice.get("finish_reason") or "error",
            }
            for choice in call.completion["choices"]
        ]
        attributes["gen_ai.output.messages"] = redact(dump_line(answers))
    return attributes


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = str(message.get("role", "user"))
    if role == "tool":
        response = {"type": "tool_call_response", "response": message.get("content")}
        return {"role": role, "parts": [{**response, "id": message.get("tool_call_id")}]}
    return {"role": role, "parts": list(_parts(message))}


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if thought := message.get("reasoning_content"):
        yield {"type": "reasoning", "content": thought}
    said = message.get("content") or message.get("text")
    for part in said if isinstance(said, list) else [said] if said else []:
        yield _part(part)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, Sequence) else ():
        function = as_mapping(as_mapping(call).get("function"))
        yield {
            "type": "tool_call",
            "id": as_mapping(call).get("id"),
            "name": function.get("name"),
            "arguments": _parsed(function.get("arguments")),
        }


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "content": part}
    told = as_mapping(part)
    if told.get("type", "text") == "text" and "text" in told:
        return {"type": "text", "content": told["text"]}
    # The conventions leave other kinds of parts to their makers.
    return {"type": "unknown", **told}


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments)
    except (TypeError, ValueError):
        # What a model wrote need not be JSON.
        return arguments


def _known(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}
