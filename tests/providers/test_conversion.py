import base64
import copy
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import ParameterError
from llm_magic.providers.answers import to_openai
from llm_magic.providers.conversion import headers, notes, takes_sampling, to_anthropic
from llm_magic.types import Request

OLD, NEW = "claude-sonnet-4-6", "claude-opus-4-7"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}


def request(*messages, model=OLD, **parameters):
    return Request("anthropic", model, messages or [user("hi")], parameters)


def user(content):
    return {"role": "user", "content": content}


def system(content):
    return {"role": "system", "content": content}


def assistant(content, **fields):
    return {"role": "assistant", "content": content, **fields}


def result(identity, content):
    return {"type": "tool_result", "tool_use_id": identity, "content": content}


def tool(identity, content):
    return {"role": "tool", "tool_call_id": identity, "content": content}


def text(words):
    return {"type": "text", "text": words}


MESSAGES = {
    "text": ([user("a")], [user("a")]),
    "turns": ([user("a"), assistant("b"), user("c")], [user("a"), assistant("b"), user("c")]),
    "two of one role": ([user("a"), user("b")], [user([text("a"), text("b")])]),
    "parts": ([user([text("a"), text("b")])], [user([text("a"), text("b")])]),
    "a tool call": ([assistant(None, tool_calls=[CALL])], [assistant([USE])]),
    "text and a tool call": (
        [assistant("so", tool_calls=[CALL])],
        [assistant([text("so"), USE])],
    ),
    "thinking comes first": (
        [assistant("so", thinking_blocks=[THINKING], tool_calls=[CALL])],
        [assistant([THINKING, text("so"), USE])],
    ),
    "tool results and what is said after": (
        [assistant(None, tool_calls=[CALL]), tool("t1", "1"), tool("t2", [text("2")]), user("go")],
        [
            assistant([USE]),
            user([result("t1", "1"), result("t2", [text("2")]), text("go")]),
        ],
    ),
    "an assistant that said nothing": ([user("a"), assistant("")], [user("a")]),
    "a refusal": ([assistant(None, refusal="no")], [assistant("no")]),
    "an image by value": (
        [user([{"type": "image_url", "image_url": {"url": "data:image/PNG;base64,QUJD"}}])],
        [
            user(
                [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
                    }
                ]
            )
        ],
    ),
    "an image by address": (
        [user([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])],
        [user([{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}])],
    ),
    "a file": (
        [
            user(
                [
                    {
                        "type": "file",
                        "file": {
                            "filename": "a.pdf",
                            "file_data": "data:application/pdf;base64,AA",
                        },
                    }
                ]
            )
        ],
        [
            user(
                [
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
                    }
                ]
            )
        ],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_messages_become_turns(messages, expected):
    asked = request(*messages)
    before = copy.deepcopy(asked)

    assert to_anthropic(asked)["messages"] == expected
    assert asked == before


def test_system_messages_are_hoisted_in_order():
    asked = request(
        system("one"), user("a"), {"role": "developer", "content": [text("tw"), text("o")]}
    )

    assert to_anthropic(asked)["system"] == "one\n\ntwo"
    assert to_anthropic(asked)["messages"] == [user("a")]
    assert "later system message" in notes(asked)[0]


def test_system_parts_stay_apart_when_something_hangs_on_them():
    cached = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    asked = request(system("one"), system([cached]), user("a"))

    assert to_anthropic(asked)["system"] == [text("one"), cached]
    assert notes(asked) == []


PARAMETERS = [
    ({}, {"max_tokens": 4096}),
    ({"max_tokens": 9}, {"max_tokens": 9}),
    ({"max_completion_tokens": 9}, {"max_tokens": 9}),
    ({"max_tokens": None}, {"max_tokens": 4096}),
    ({"stop": "x"}, {"stop_sequences": ["x"]}),
    ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}),
    ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": {"type": "tool", "name": "f"}},
    ),
    (
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": SCHEMA},
                }
            ]
        },
        {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}]},
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": False},
        {
            "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
    ),
    (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA},
            }
        },
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    ({"response_format": {"type": "text"}}, {}),
    ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
    ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
    ({"some_new_thing": [1]}, {"some_new_thing": [1]}),
]


@pytest.mark.parametrize(("parameters", "expected"), PARAMETERS, ids=lambda value: str(value)[:40])
def test_parameters_are_said_anthropics_way(parameters, expected):
    asked = request(**parameters)

    body = to_anthropic(asked)

    assert body == {
        "model": OLD,
        "messages": [user("hi")],
        "max_tokens": 4096,
        **expected,
    }
    assert notes(asked) == []
    json.dumps(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("seed", 0),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("logit_bias", {"5": 1}),
        ("modalities", ["text", "audio"]),
        ("verbosity", "low"),
        ("reasoning_effort", "minimal"),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_what_is_not_sent_is_noted(name, value):
    asked = request(**{name: value})

    assert to_anthropic(asked) == to_anthropic(request())
    assert len(notes(asked)) == 1
    assert notes(asked)[0].startswith(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 1), ("logprobs", False), ("frequency_penalty", 0.0), ("logit_bias", {}), ("seed", None)],
)
def test_a_value_that_asks_for_nothing_needs_no_note(name, value):
    asked = request(**{name: value})

    assert to_anthropic(asked) == to_anthropic(request())
    assert notes(asked) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-2.1", True),
        ("claude-instant-1.2", True),
        ("claude-instant", True),
        ("claude-3-opus-20240229", True),
        ("claude-3-5-sonnet-latest", True),
        ("claude-3-7-sonnet-20250219", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-haiku-4-5-20251001", True),
        ("claude-sonnet-4.6", True),
        ("anthropic/claude-opus-4-6", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-4.7", False),
        ("claude-opus-4-10", False),
        ("claude-opus-5", False),
        ("claude-opus-5-5", False),
        ("claude-sonnet-5-20270101", False),
        ("claude-10-opus", False),
        ("claude-next", False),
        ("another-model-5", True),
    ],
)
def test_claude_takes_sampling_parameters_before_4_7(model, expected):
    assert takes_sampling(model) is expected


def test_sampling_parameters_go_with_the_version_that_knows_them():
    assert headers(request(temperature=0)) == {"anthropic-version": "2023-06-01"}
    assert headers(request(model=NEW, temperature=0)) == {}
    assert headers(request()) == {}


def test_a_newer_claude_gets_no_sampling_parameters_and_the_note_says_so():
    asked = request(model=NEW, temperature=0.5, top_p=0.9)

    assert not {"temperature", "top_p"} & to_anthropic(asked).keys()
    assert notes(asked) == [
        f"temperature was not sent: {NEW} takes no sampling parameters",
        f"top_p was not sent: {NEW} takes no sampling parameters",
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "robot", "content": "a"}, r"messages\[0\]: role 'robot'"),
        (user([{"type": "input_audio", "input_audio": {}}]), r"messages\[0\].content\[0\].*audio"),
        (
            assistant(None, tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{"}}]),
            r"messages\[0\].tool_calls\[0\]: the arguments of f are not a JSON object",
        ),
    ],
)
def test_what_cannot_be_said_is_an_error_that_says_where(message, words):
    with pytest.raises(ParameterError, match=words):
        to_anthropic(request(message))


VALUES = st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=3)
CALLS = st.lists(
    st.tuples(st.text(min_size=1), st.text(min_size=1), VALUES).map(
        lambda call: {
            "id": call[0],
            "type": "function",
            "function": {"name": call[1], "arguments": json.dumps(call[2])},
        }
    ),
    max_size=3,
)
TEXTS = st.text(min_size=1)
PICTURES = st.binary(min_size=1, max_size=20).map(
    lambda data: {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(data).decode()}"},
    }
)
PARTS = st.lists(st.one_of(TEXTS.map(text), PICTURES), min_size=1, max_size=4)
CONVERSATION = st.lists(
    st.one_of(
        TEXTS.map(user),
        PARTS.map(user),
        TEXTS.map(system),
        st.builds(lambda words, calls: assistant(words, tool_calls=calls), TEXTS, CALLS),
        st.builds(tool, TEXTS, TEXTS),
    )
)


@given(CONVERSATION)
def test_conversion_keeps_roles_texts_images_ids_and_order(messages):
    asked = Request("anthropic", OLD, messages)
    before = copy.deepcopy(messages)

    body = to_anthropic(asked)

    assert messages == before
    roles = [turn["role"] for turn in body["messages"]]
    assert all(one != two for one, two in itertools.pairwise(roles))
    assert list(said(body)) == list(meant(messages))
    assert body.get("system", "") == "\n\n".join(
        message["content"] for message in messages if message["role"] == "system"
    )


def said(body):
    for turn in body["messages"]:
        content = turn["content"]
        for block in [text(content)] if isinstance(content, str) else content:
            if block["type"] == "text":
                yield turn["role"], block["text"]
            elif block["type"] == "image":
                source = block["source"]
                yield turn["role"], f"data:{source['media_type']};base64,{source['data']}"
            elif block["type"] == "tool_use":
                yield turn["role"], block["id"], block["name"], block["input"]
            else:
                yield "tool", block["tool_use_id"], block["content"]


def meant(messages):
    for message in messages:
        if message["role"] == "tool":
            yield "tool", message["tool_call_id"], message["content"]
        elif message["role"] != "system":
            content = message["content"]
            for part in [text(content)] if isinstance(content, str) else content:
                is_text = part["type"] == "text"
                yield message["role"], part["text"] if is_text else part["image_url"]["url"]
            for call in message.get("tool_calls", ()):
                arguments = json.loads(call["function"]["arguments"])
                yield message["role"], call["id"], call["function"]["name"], arguments


@given(TEXTS, CALLS)
def test_what_the_assistant_said_comes_back_as_it_was(words, calls):
    message = assistant(words, tool_calls=calls)
    [turn] = to_anthropic(request(message))["messages"]
    content = turn["content"] if isinstance(turn["content"], list) else [text(turn["content"])]

    back = to_openai({"content": content, "stop_reason": "end_turn"}).choices[0].message

    assert back.content == words
    assert [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in back.tool_calls or []
    ] == [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in calls
    ]
