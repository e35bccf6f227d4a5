"""The wire format of `POST /v1/chat/completions`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from llm_magic.testing.dialect import CREATED, Stream, to_json
from llm_magic.testing.scripts import Answer, Failure, words

# status: type, code, message
_FAILURES: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not supported."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("timeout_error", None, "The request took too long."),
    409: ("conflict_error", None, "The request conflicts with another one."),
    422: ("invalid_request_error", None, "The request cannot be processed."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    503: ("service_unavailable", None, "The engine is overloaded."),
    529: ("server_error", None, "The server is overloaded."),
}
_OTHER_FAILURE = ("server_error", None, "The server had an error.")


def request_headers(number: int) -> dict[str, str]:
    """The headers that name a request in support tickets."""
    return {"x-request-id": f"req_fake_{number}"}


def completion(answer: Answer) -> dict[str, Any]:
    """The body of a whole answer."""
    usage = counted(answer, answer.texts)
    return {
        **_identity(answer, "chat.completion"),
        "choices": [
            {
                "index": index,
                "message": _message(answer, text),
                "logprobs": _logprobs(answer, text),
                "finish_reason": answer.finish_reason,
            }
            for index, text in enumerate(answer.texts)
        ],
        **({} if usage is None else {"usage": usage}),
    }


def stream(answer: Answer) -> Stream:
    """The chunks of a streamed answer."""
    choices = range(len(answer.texts))
    role = {"role": "assistant", "content": None if answer.reply.tool_calls else ""}
    deltas = [_deltas(answer, text) for text in answer.texts]
    return Stream(
        opening=b"".join(_chunk(answer, index, role) for index in choices),
        words=[
            b"".join(_chunk(answer, index, delta) for index, delta in enumerate(row) if delta)
            for row in zip_longest(*deltas)
        ],
        closing=b"" if answer.finish_reason is None else _closing(answer),
    )


def error(failure: Failure, number: int) -> dict[str, Any]:
    """The body of an error."""
    kind, code, message = _FAILURES.get(failure.status, _OTHER_FAILURE)
    return {
        "error": {
            "message": failure.message or message,
            "type": failure.type or kind,
            "param": None,
            "code": failure.code or code,
        }
    }


def error_event(failure: Failure, number: int) -> bytes:
    """The chunk of an error inside a stream."""
    return _event(error(failure, number))


def models(names: Sequence[str]) -> dict[str, Any]:
    """The list of models."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "llm-magic"}
            for name in names
        ],
    }


def _identity(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-fake-{answer.number}",
        "object": kind,
        "created": CREATED,
        "model": answer.model,
        "system_fingerprint": "fp_fake",
        **({"service_tier": answer.reply.service_tier} if answer.reply.service_tier else {}),
    }


def counted(answer: Answer, texts: Sequence[str]) -> dict[str, Any] | None:
    """The usage of an answer with these texts; None where it is not told."""
    if answer.reply.usage is None:
        return None
    prompt, output = answer.tokens(texts)
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output}
    if answer.reply.reasoning:
        reasoning = min(answer.reasoning_tokens, output)
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    usage.update(answer.extra_usage())
    usage.setdefault("total_tokens", usage["prompt_tokens"] + usage["completion_tokens"])
    return usage


def _message(answer: Answer, text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if answer.reply.reasoning is not None:
        # Not OpenAI's own field: this is what DeepSeek, vLLM and other compatible servers send.
        message["reasoning_content"] = answer.reply.reasoning
    if answer.reply.tool_calls:
        message["content"] = text or None
        message["tool_calls"] = [
            _tool_call(index, call, _arguments(call))
            for index, call in enumerate(answer.reply.tool_calls)
        ]
    return message


def _deltas(answer: Answer, text: str) -> Iterator[dict[str, Any]]:
    for word in words(answer.reply.reasoning or ""):
        yield {"reasoning_content": word}
    for word in words(text):
        yield {"content": word}
    for index, call in enumerate(answer.reply.tool_calls):
        yield {"tool_calls": [{"index": index, **_tool_call(index, call, "")}]}
        for piece in words(_arguments(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _tool_call(index: int, call: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    return {
        "id": call.get("id", f"call_fake_{index}"),
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }


def _arguments(call: Mapping[str, Any]) -> str:
    # Text goes out as it stands, so that a test can script JSON that does not parse.
    arguments = call.get("arguments", {})
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _closing(answer: Answer) -> bytes:
    events = [_chunk(answer, index, {}, answer.finish_reason) for index in range(len(answer.texts))]
    usage = counted(answer, answer.texts)
    if usage_asked(answer) and usage is not None and answer.reply.usage_place == "own chunk":
        identity = _identity(answer, "chat.completion.chunk")
        events.append(_event({**identity, "choices": [], "usage": usage}))
    return b"".join([*events, b"data: [DONE]\n\n"])


def _chunk(
    answer: Answer,
    index: int,
    delta: Mapping[str, Any],
    finish_reason: str | None = None,
) -> bytes:
    choice = {
        "index": index,
        "delta": delta,
        "logprobs": _logprobs(answer, delta.get("content")),
        "finish_reason": finish_reason,
    }
    chunk = {**_identity(answer, "chat.completion.chunk"), "choices": [choice]}
    if usage_asked(answer):
        chunk["usage"] = None
    place = answer.reply.usage_place
    if place == "every chunk" or (place != "own chunk" and finish_reason is not None):
        usage = counted(answer, answer.texts)
        if place == "x_groq":
            chunk["x_groq"] = {"id": f"req_fake_{answer.number}", "usage": usage}
        else:
            (choice if place == "choice" else chunk)["usage"] = usage
    return _event(chunk)


def _logprobs(answer: Answer, text: str | None) -> dict[str, Any] | None:
    """The log probabilities of a text's words, where they were asked for."""
    if not answer.body.get("logprobs") or not text:
        return None
    ranks = range(answer.body.get("top_logprobs") or 0)
    content = [
        {**_token(word, 0), "top_logprobs": [_token(word, rank) for rank in ranks]}
        for word in words(text)
    ]
    return {"content": content, "refusal": None}


def _token(word: str, rank: int) -> dict[str, Any]:
    # The likeliest word is the one that was said; the others are it with question marks.
    text = word + "?" * rank
    return {"token": text, "logprob": -0.5 * (rank + 1), "bytes": list(text.encode())}


def usage_asked(answer: Answer) -> bool:
    """Whether a stream is to end with its usage."""
    options = answer.body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _event(data: object) -> bytes:
    return b"data: " + to_json(data) + b"\n\n"
