"""The wire format of `POST /v1/messages`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_magic.testing.dialect import Stream, to_json
from llm_magic.testing.scripts import Answer, Failure, words

# Other words are sent as they are: a test may script Anthropic's own, such as "pause_turn".
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

# status: type, message
_FAILURES: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is a problem with your billing."),
    403: ("permission_error", "Your key has no permission for this."),
    404: ("not_found_error", "Not found."),
    408: ("timeout_error", "The request took too long."),
    409: ("conflict_error", "The request conflicts with another one."),
    413: ("request_too_large", "The request is too large."),
    422: ("invalid_request_error", "The request cannot be processed."),
    429: ("rate_limit_error", "Rate limit reached."),
    504: ("timeout_error", "The request took too long."),
    529: ("overloaded_error", "Overloaded"),
}
_OTHER_FAILURE = ("api_error", "Internal server error")


def request_headers(number: int) -> dict[str, str]:
    """The headers that name a request in support tickets."""
    return {"request-id": f"req_fake_{number}"}


def completion(answer: Answer) -> dict[str, Any]:
    """The body of a whole answer."""
    usage = _usage(answer)
    return {
        **_message(answer),
        "content": [block for block, _ in _blocks(answer)],
        "stop_reason": _stop_reason(answer),
        **({} if usage is None else {"usage": usage}),
    }


def stream(answer: Answer) -> Stream:
    """The events of a streamed answer."""
    usage = _usage(answer) or {}
    output = {key: value for key, value in usage.items() if key.startswith("output_tokens")}
    # The start already counts one output token, as the real one does, so that a client which
    # adds up the two counts instead of taking the last is found out.
    start = {key: value for key, value in usage.items() if key not in output}
    start |= {"output_tokens": 1} if output else {}
    message = {**_message(answer), "content": [], "stop_reason": None, "usage": start}
    return Stream(
        opening=_event("message_start", message=message) + _event("ping"),
        words=list(_block_events(answer)),
        closing=b"" if answer.finish_reason is None else _closing(answer, output),
    )


def error(failure: Failure, number: int) -> dict[str, Any]:
    """The body of an error."""
    kind, message = _FAILURES.get(failure.status, _OTHER_FAILURE)
    details: dict[str, Any] = {
        "type": failure.type or kind,
        "message": failure.message or message,
    }
    if failure.code is not None:
        details["details"] = {"error_code": failure.code}
    return {"type": "error", "error": details, "request_id": f"req_fake_{number}"}


def error_event(failure: Failure, number: int) -> bytes:
    """The event of an error inside a stream."""
    return _event(**error(failure, number))


def models(names: Sequence[str]) -> dict[str, Any]:
    """The list of models."""
    return {
        "data": [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2023-11-14T22:13:20Z",
                "lifecycle": "active",
            }
            for name in names
        ],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_fake_{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_sequence": None,
    }


def _usage(answer: Answer) -> dict[str, Any] | None:
    if answer.reply.usage is None:
        return None
    prompt, output = answer.tokens(answer.texts[:1])
    usage: dict[str, Any] = {
        "input_tokens": prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
    if answer.reply.reasoning:
        thinking = min(answer.reasoning_tokens, output)
        usage["output_tokens_details"] = {"thinking_tokens": thinking}
    return {**usage, **answer.extra_usage()}


def _stop_reason(answer: Answer) -> str | None:
    reason = answer.finish_reason
    return None if reason is None else _STOP_REASONS.get(reason, reason)


def _blocks(answer: Answer) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Every content block, and the deltas that fill it when it is streamed."""
    if answer.reply.reasoning:
        yield (
            {"type": "thinking", "thinking": answer.reply.reasoning, "signature": "fake"},
            [
                *({"type": "thinking_delta", "thinking": w} for w in words(answer.reply.reasoning)),
                {"type": "signature_delta", "signature": "fake"},
            ],
        )
    # Anthropic has no `n`: of a list of texts, the first is the answer.
    for text in filter(None, answer.texts[:1]):
        yield (
            {"type": "text", "text": text},
            [{"type": "text_delta", "text": word} for word in words(text)],
        )
    for index, call in enumerate(answer.reply.tool_calls):
        text, value = _arguments(call)
        yield (
            {
                "type": "tool_use",
                "id": call.get("id", f"toolu_fake_{index}"),
                "name": call["name"],
                "input": value,
            },
            [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *words(text)]],
        )


_EMPTY: Mapping[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}


def _block_events(answer: Answer) -> Iterator[bytes]:
    for index, (block, deltas) in enumerate(_blocks(answer)):
        start = {**block, **_EMPTY[block["type"]]}
        events = [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
        events[0] = _event("content_block_start", index=index, content_block=start) + events[0]
        events[-1] += _event("content_block_stop", index=index)
        yield from events


def _arguments(call: Mapping[str, Any]) -> tuple[str, object]:
    # Text goes out as it stands, so that a test can script JSON that does not parse.
    arguments = call.get("arguments", {})
    if not isinstance(arguments, str):
        return json.dumps(arguments, ensure_ascii=False), arguments
    try:
        return arguments, json.loads(arguments)
    except ValueError:
        return arguments, arguments


def _closing(answer: Answer, usage: dict[str, Any]) -> bytes:
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    # Without counts the field is there but empty: the SDK reads inside it unasked.
    return _event("message_delta", delta=delta, usage=usage) + _event("message_stop")


def _event(type: str, **fields: Any) -> bytes:
    return f"event: {type}\n".encode() + b"data: " + to_json({"type": type, **fields}) + b"\n\n"
