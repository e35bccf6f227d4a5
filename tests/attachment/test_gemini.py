"""Answers of Gemini's own API, in the shape that the ledger and the lists know."""

from __future__ import annotations

from llm_magic.attachment import gemini
from llm_magic.providers.assembly import Assembly
from llm_magic.types import Usage

USAGE = {
    "promptTokenCount": 10,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 18,
}


def answer(text, finish=None, **more):
    parts = [{"text": "hm", "thought": True}, {"text": text}]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "modelVersion": "g-1",
        **more,
    }


def test_an_answer_has_text_and_usage():
    made = gemini.to_openai(answer("Hello", "STOP", usageMetadata=USAGE))

    assert (made.model, made.choices[0].message.content) == ("g-1", "Hello")
    assert made.choices[0].finish_reason == "stop"
    assert Usage.from_openai(made.usage) == Usage(
        uncached_input_tokens=6, cache_read_tokens=4, output_tokens=8, reasoning_tokens=5
    )


def test_a_call_of_a_function_is_a_tool_call():
    parts = [{"functionCall": {"name": "f", "args": {"x": 1}}}]

    made = gemini.to_openai({"candidates": [{"content": {"parts": parts}}]})

    assert made.choices[0].message.tool_calls[0].function == {"name": "f", "arguments": '{"x": 1}'}


def test_a_stream_tells_the_same():
    assembly = Assembly()

    for event in (answer("Hel"), answer("lo", "MAX_TOKENS", usageMetadata=USAGE)):
        for chunk in gemini.chunks(event):
            assembly.add(chunk)

    assert assembly.complete
    assert assembly.response().choices[0].message.content == "Hello"
    assert assembly.response().choices[0].finish_reason == "length"
    assert assembly.response().usage.completion_tokens == 8
