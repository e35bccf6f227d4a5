import pytest

from llm_magic.providers.answers import FINISH_REASONS, Events, to_openai, usage_to_openai
from llm_magic.providers.assembly import Assembly
from llm_magic.types import Usage

USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 200,
    "cache_creation_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 4},
    "server_tool_use": {"web_search_requests": 1},
}
THINKING = {"type": "thinking", "thinking": "hm, so", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}
CITED = {"type": "char_location", "cited_text": "c"}
SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"q": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        THINKING,
        REDACTED,
        SEARCH,
        FOUND,
        {"type": "text", "text": "Hel"},
        {"type": "text", "text": "lo π", "citations": [CITED]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1, "y": "π"}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": USAGE,
}
EXPECTED_MESSAGE = {
    "role": "assistant",
    "content": "Hello π",
    "reasoning_content": "hm, so",
    "thinking_blocks": [THINKING, REDACTED],
    "native_blocks": [SEARCH, FOUND],
    "citations": [CITED],
    "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x":1,"y":"π"}'}},
        {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ],
}


def test_a_message_becomes_a_chat_completion():
    response = to_openai(MESSAGE, created=5)

    assert response.choices[0] == {
        "index": 0,
        "message": EXPECTED_MESSAGE,
        "logprobs": None,
        "finish_reason": "tool_calls",
        "native_finish_reason": "tool_use",
    }
    assert (response.id, response.object, response.created, response.model) == (
        "msg_1",
        "chat.completion",
        5,
        "claude-x",
    )
    assert response.usage.total_tokens == 267


@pytest.mark.parametrize(
    ("native", "expected"), [*FINISH_REASONS.items(), ("brand_new", "brand_new"), (None, None)]
)
def test_reasons_are_translated_and_kept(native, expected):
    choice = to_openai({"content": [], "stop_reason": native}).choices[0]

    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)
    assert choice.message.content == ""


def test_usage_falls_into_disjoint_buckets():
    usage = usage_to_openai(USAGE)

    assert Usage.from_openai(usage) == Usage(
        uncached_input_tokens=10,
        cache_read_tokens=200,
        cache_write_tokens=30,
        cache_write_1h_tokens=20,
        output_tokens=7,
        reasoning_tokens=4,
    )
    assert usage["total_tokens"] == Usage.from_openai(usage).total_tokens == 267
    assert usage["server_tool_use"] == {"web_search_requests": 1}


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": 3}])
def test_unknown_usage_is_none(usage):
    assert usage_to_openai(usage) is None


def streamed():
    """The events that the message above is streamed as."""
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    deltas = {
        0: [
            {"type": "thinking_delta", "thinking": "hm,"},
            {"type": "thinking_delta", "thinking": " so"},
            {"type": "signature_delta", "signature": "sig"},
        ],
        2: [{"type": "input_json_delta", "partial_json": part} for part in ("", '{"q":', '"x"}')],
        4: [{"type": "text_delta", "text": part} for part in ("H", "el")],
        5: [
            {"type": "text_delta", "text": "lo π"},
            {"type": "citations_delta", "citation": CITED},
        ],
        6: [{"type": "input_json_delta", "partial_json": part} for part in ('{"x":1,', '"y":"π"}')],
        7: [{"type": "input_json_delta", "partial_json": ""}],
    }
    empty = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": "", "citations": None},
        "tool_use": {"input": {}},
        "server_tool_use": {"input": {}},
    }
    for index, block in enumerate(MESSAGE["content"]):
        begun = {**block, **empty.get(block["type"], {})}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in deltas.get(index, []):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 7, "input_tokens": None},
    }
    yield {"type": "brand_new_event"}
    yield {"type": "message_stop"}


def test_a_stream_assembles_to_the_same_answer_as_the_message():
    events, assembly = Events(created=5), Assembly()
    chunks = [chunk for event in streamed() for chunk in events.feed(event)]

    for chunk in [*chunks, events.usage()]:
        assembly.add(chunk)

    assert assembly.complete
    assert assembly.response() == to_openai(MESSAGE, created=5)
    assert all("content" in choice.delta for chunk in chunks for choice in chunk.choices)
