"""Answers of OpenAI's Responses API, in the shape that the ledger and the lists know."""

from __future__ import annotations

import pytest

from llm_magic.attachment import responses
from llm_magic.providers.assembly import Assembly
from llm_magic.types import Usage

WHOLE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "model": "gpt-5-mini-2026",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]},
    ],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 17,
    },
}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}


def test_a_response_has_text_and_usage():
    made = responses.to_openai(WHOLE)

    assert made.choices[0].message.content == "Hello there"
    assert made.choices[0].finish_reason == "stop"
    assert Usage.from_openai(made.usage) == Usage(
        uncached_input_tokens=6, cache_read_tokens=4, output_tokens=7, reasoning_tokens=5
    )


def test_a_call_of_a_function_is_a_tool_call():
    made = responses.to_openai({**WHOLE, "output": [CALL]})

    assert made.choices[0].message.tool_calls[0].function.name == "f"
    assert made.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
        ("in_progress", None, None),
        ("failed", None, None),
    ],
)
def test_the_status_says_why_it_ended(status, details, finish):
    made = responses.to_openai({**WHOLE, "status": status, "incomplete_details": details})

    assert made.choices[0].finish_reason == finish


def test_a_stream_tells_the_same():
    events = [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "Hello"},
        {"type": "response.output_text.delta", "delta": " there"},
        {"type": "response.completed", "response": {**WHOLE, "output": [*WHOLE["output"], CALL]}},
    ]
    assembly = Assembly()

    for event in events:
        for chunk in responses.chunks(event):
            assembly.add(chunk)

    assert assembly.response() == responses.to_openai(events[-1]["response"]) | {
        "choices": assembly.response().choices
    }
    message = assembly.response().choices[0].message
    assert (message.content, message.tool_calls[0].id) == ("Hello there", "c1")
