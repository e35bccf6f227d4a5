"""The wire format of `POST /v1/completions`, OpenAI's older API of prompts and texts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from llm_magic.testing import openai_wire
from llm_magic.testing.dialect import CREATED, Stream, to_json
from llm_magic.testing.scripts import Answer, words

request_headers = openai_wire.request_headers
error = openai_wire.error
error_event = openai_wire.error_event
models = openai_wire.models


def completion(answer: Answer) -> dict[str, Any]:
    """The body of a whole answer: the choices of every prompt, one prompt after the other."""
    texts = _texts(answer)
    choices = [
        _choice(answer, index, text, answer.finish_reason) for index, text in enumerate(texts)
    ]
    usage = openai_wire.counted(answer, texts)
    return {**_identity(answer), "choices": choices, **({} if usage is None else {"usage": usage})}


def stream(answer: Answer) -> Stream:
    """The chunks of a streamed answer."""
    texts = _texts(answer)
    rows = zip_longest(*(words(text) for text in texts))
    return Stream(
        opening=b"",
        words=[
            b"".join(_event(answer, index, word, None) for index, word in enumerate(row) if word)
            for row in rows
        ],
        closing=b"".join(_closing(answer, texts)),
    )


def _texts(answer: Answer) -> tuple[str, ...]:
    prompts = answer.body.get("prompt")
    return answer.texts * (len(prompts) if isinstance(prompts, list) else 1)


def _closing(answer: Answer, texts: tuple[str, ...]) -> Iterator[bytes]:
    if answer.finish_reason is None:
        return
    for index in range(len(texts)):
        yield _event(answer, index, "", answer.finish_reason)
    usage = openai_wire.counted(answer, texts)
    if openai_wire.usage_asked(answer) and usage is not None:
        yield _data({**_identity(answer), "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _identity(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"cmpl-fake-{answer.number}",
        "object": "text_completion",
        "created": CREATED,
        "model": answer.model,
    }


def _choice(answer: Answer, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {
        "text": text,
        "index": index,
        "logprobs": _logprobs(answer, text),
        "finish_reason": finish_reason,
    }


def _logprobs(answer: Answer, text: str) -> dict[str, Any] | None:
    """The log probabilities of a text's words, where they were asked for, in the older shape."""
    if not answer.body.get("logprobs") or not text:
        return None
    tokens = words(text)
    return {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}


def _event(answer: Answer, index: int, text: str, finish_reason: str | None) -> bytes:
    return _data({**_identity(answer), "choices": [_choice(answer, index, text, finish_reason)]})


def _data(value: object) -> bytes:
    return b"data: " + to_json(value) + b"\n\n"
