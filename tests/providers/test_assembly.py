import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.providers.assembly import Assembly, pieces
from llm_magic.types import attributes


def chunk(index=0, finish_reason=None, **delta):
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return attributes({"id": "c1", "created": 7, "model": "m", "choices": [choice]})


def assembled(*chunks):
    assembly = Assembly()
    for piece in chunks:
        assembly.add(piece)
    return assembly


def call(index=None, **fields):
    return {"tool_calls": [{**({} if index is None else {"index": index}), **fields}]}


def test_text_and_what_stands_around_it_is_collected():
    assembly = assembled(
        chunk(role="assistant", content=""),
        chunk(content="Hel"),
        chunk(content="lo"),
        chunk(finish_reason="stop"),
        {"id": "", "choices": [], "usage": {"prompt_tokens": 3}, "system_fingerprint": "fp"},
    )

    response = assembly.response()

    assert assembly.text == "Hello"
    assert assembly.complete
    assert response == {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3},
    }
    assert response.choices[0].message.content == "Hello"


def test_an_answer_is_complete_when_every_choice_has_ended():
    assembly = assembled(chunk(0, "stop", content="a"), chunk(1, content="b"))

    assert not assembly.complete
    assembly.add(chunk(1, "length"))
    assert assembly.complete


def test_nothing_is_not_complete():
    assert not Assembly().complete
    assert Assembly().text == ""
    assert Assembly().response().choices == []


@given(st.lists(st.lists(st.text(), max_size=5), min_size=1, max_size=4), st.randoms())
def test_choices_may_come_interleaved_in_any_way(texts, rng: random.Random):
    waiting = [list(text) for text in texts]
    assembly = assembled(*(chunk(index, content="") for index in range(len(texts))))
    while any(waiting):
        index = rng.choice([i for i, text in enumerate(waiting) if text])
        assembly.add(chunk(index, content=waiting[index].pop(0)))

    contents = [choice.message.content for choice in assembly.response().choices]

    assert contents == ["".join(text) for text in texts]


def test_parallel_tool_calls_grow_by_their_index():
    assembly = assembled(
        chunk(role="assistant", content=None),
        chunk(**call(0, id="a", type="function", function={"name": "f", "arguments": ""})),
        chunk(**call(1, id="b", type="function", function={"name": "g", "arguments": ""})),
        chunk(**call(1, function={"arguments": '{"y":'})),
        chunk(**call(0, function={"arguments": "{}"})),
        chunk(**call(1, function={"arguments": "1}"})),
        chunk(finish_reason="tool_calls"),
    )

    message = assembly.response().choices[0].message

    assert message.content is None
    assert message.tool_calls == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":1}'}},
    ]


@pytest.mark.parametrize("index", [None, 0], ids=["without index", "all with index 0"])
def test_a_new_id_is_a_new_tool_call(index):
    assembly = assembled(
        chunk(**call(index, id="a", function={"name": "f", "arguments": "{"})),
        chunk(**call(index, function={"arguments": "}"})),
        chunk(**call(index, id="b", function={"name": "f", "arguments": "[]"})),
        chunk(**call(index, id="b", function={"name": "f", "arguments": " "})),
    )

    calls = assembly.response().choices[0].message.tool_calls

    assert [(one.id, one.function.name, one.function.arguments) for one in calls] == [
        ("a", "f", "{}"),
        ("b", "f", "[] "),
    ]


def test_reasoning_refusal_logprobs_and_unknown_fields_are_kept():
    token = {"token": "a", "logprob": -1.0}
    with_logprobs = chunk(content="a")
    with_logprobs.choices[0].logprobs = {"content": [token], "refusal": None}
    assembly = assembled(
        chunk(reasoning_content="think ", thinking_blocks=[{"n": 1}]),
        chunk(reasoning_content="hard", thinking_blocks=[{"n": 2}]),
        chunk(refusal="No"),
        with_logprobs,
        with_logprobs,
        chunk(audio={"id": "x", "data": "AA"}),
        chunk(audio={"id": "x", "data": "BB"}),
    )

    choice = assembly.response().choices[0]

    assert choice.message == {
        "role": "assistant",
        "content": "aa",
        "reasoning_content": "think hard",
        "thinking_blocks": [{"n": 1}, {"n": 2}],
        "refusal": "No",
        "audio": {"id": "x", "data": "AABB"},
    }
    assert choice.logprobs.content == [token, token]


def test_a_chunk_may_be_changed_after_it_was_added():
    piece = chunk(content="a")
    assembly = assembled(piece)

    piece.choices[0].delta.content = "other"

    assert assembly.text == "a"


def test_a_whole_answer_in_pieces_is_that_answer_again():
    calls = [
        {"id": str(i), "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for i in range(2)
    ]
    response = {
        "id": "c",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": calls},
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1},
    }

    assert assembled(*pieces(response)).response() == response
