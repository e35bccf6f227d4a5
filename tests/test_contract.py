"""One contract for every provider through every entry point, over real HTTP and the real SDKs.

:data:`FEATURES` says what is asked, what the server answers, what it must have been sent, and what
the caller gets. Its values are tables by model, by provider, or for ``any``: what is not the same
for all of them stands there.
"""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asking
import pytest
from asking import HOWS

from llm_magic.client import Client
from llm_magic.exceptions import ParameterWarning, ReplayMissError
from llm_magic.testing import FakeServer
from llm_magic.types import Chunk, Completion, Usage

KEYS = {
    "openai": "openai-key-0123456789abcdef",
    "anthropic": "anthropic-key-0123456789abcdef",
    "groq": "groq-key-0123456789abcdef",
}
# USD per million tokens: input, read from the cache, written to it for 5 minutes and for an hour,
# output.
PRICES = {
    "openai/gpt-5-mini": ("0.25", "0.025", "0", "0", "2"),
    "openai/gpt-4o-mini": ("0.15", "0.075", "0", "0", "0.6"),
    "groq/llama-3.3-70b-versatile": ("0.59", "0.59", "0", "0", "0.79"),
    "anthropic/claude-sonnet-4-6": ("3", "0.3", "3.75", "6", "15"),
    "anthropic/claude-opus-4-8": ("5", "0.5", "6.25", "10", "25"),
}
REMOTE = list(PRICES)
MODELS = [*REMOTE, "echo/echo"]
STREAMS = ["stream", "astream"]
GPT_5, GPT_4, LLAMA, SONNET, OPUS = REMOTE

# What the server says it used, in its own words, and what that means.
USAGE: Mapping[str, Any] = {
    "any": {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 100},
    },
    "anthropic": {
        "input_tokens": 1000,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 500,
        "output_tokens_details": {"thinking_tokens": 100},
    },
}
TOKENS: Mapping[str, Any] = {
    "any": Usage(
        uncached_input_tokens=800, cache_read_tokens=200, output_tokens=500, reasoning_tokens=100
    ),
    "anthropic": Usage(
        uncached_input_tokens=1000,
        cache_read_tokens=200,
        cache_write_tokens=40,
        cache_write_1h_tokens=30,
        output_tokens=500,
        reasoning_tokens=100,
    ),
}


def of(table: Mapping[str, Any], model: str) -> Any:
    """What a table says of a model: the most particular word counts."""
    return next(table[word] for word in (model, model.partition("/")[0], "any") if word in table)


@dataclass(frozen=True)
class Feature:
    """A row of the contract; the tables are by model, by provider, or for any."""

    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: Any = "Why?"
    # What the server is scripted to reply, one for every request.
    replies: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    # The request, beside model, stream and what BODY says.
    sent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # The answer, beside what ANSWER says.
    answer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Mapping[str, list[str]] = field(default_factory=dict)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


REPLIES: Mapping[str, list[dict[str, Any]]] = {"any": [{"text": "Because."}], "echo": []}
BODY = {
    "any": {"messages": [user("Why?")]},
    "anthropic": {"messages": [user("Why?")], "max_tokens": 4096},
}
ECHOED = "This is **echo**, answering without a model. You said:\n\n> "
ANSWER: Mapping[str, Mapping[str, Any]] = {
    "any": {
        "texts": ["Because."],
        "finish": {"stop"},
        "calls": [],
        "logprobs": None,
        "reasoning": None,
        "parsed": None,
    },
    "echo": {"texts": [f"{ECHOED}Why?"]},
}


def unsent(model: str, names: str, why: str) -> list[str]:
    """Notes that parameters were not sent."""
    return [f"{name} was not sent: {why.format(model=model)}" for name in names.split()]


UNTAKEN, NO_SUCH = "{model} does not take it", "Anthropic's API has no such parameter"

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": CITY},
}
CALLS = [("call_1", "weather", '{"city": "Oslo"}'), ("call_2", "weather", '{"city": "Rome"}')]
# What a conversation looks like after the calls: content None, and one message for each result.
TALK: list[dict[str, Any]] = [
    user("Weather in Oslo and Rome?"),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": name, "type": "function", "function": {"name": function, "arguments": text}}
            for name, function, text in CALLS
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "cold"},
    {"role": "tool", "tool_call_id": "call_2", "content": "warm"},
]
CLAUDE_TALK: list[dict[str, Any]] = [
    user("Weather in Oslo and Rome?"),
    {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": name, "name": function, "input": json.loads(text)}
            for name, function, text in CALLS
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "cold"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": "warm"},
        ],
    },
]
PICTURES: list[dict[str, Any]] = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg", "detail": "low"}},
]
CLAUDE_PICTURES: list[dict[str, Any]] = [
    {"type": "text", "text": "What is this?"},
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"},
    },
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
]
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADA = '{"name": "Ada", "age": 36}'
HEADS = ["heads", "tails", "heads again"]


def token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


FEATURES: Mapping[str, Feature] = {
    "text": Feature(
        replies={"any": [{"text": "Because.\n  It  is ☂.", "model": "m-2026"}]},
        answer={"any": {"texts": ["Because.\n  It  is ☂."]}},
    ),
    "system": Feature(
        options={"system": "Be brief."},
        sent={
            "any": {"messages": [{"role": "system", "content": "Be brief."}, user("Why?")]},
            "anthropic": {"system": "Be brief."},
        },
    ),
    "stop": Feature(
        options={"stop": "said"},
        replies={"anthropic": [{"text": "Because.", "finish_reason": "stop_sequence"}]},
        sent={"any": {"stop": "said"}, GPT_5: {}, "anthropic": {"stop_sequences": ["said"]}},
        answer={"echo": {"texts": [ECHOED.partition("said")[0]]}},
        notes={GPT_5: unsent(GPT_5, "stop", UNTAKEN)},
    ),
    "limit": Feature(
        options={"max_tokens": 3},
        replies={"any": [{"text": "Because it is", "finish_reason": "length"}]},
        # gpt-5 knows the limit by its newer name only.
        sent={"any": {"max_tokens": 3}, GPT_5: {"max_completion_tokens": 3}},
        answer={
            "any": {"texts": ["Because it is"], "finish": {"length"}},
            "echo": {"texts": ["This is **echo**,"], "finish": {"length"}},
        },
    ),
    "tools": Feature(
        prompt="What is the weather in Oslo?",
        options={"tools": [WEATHER], "tool_choice": "required"},
        replies={
            "any": [
                {
                    "tool_calls": [
                        {"id": name, "name": function, "arguments": text}
                        for name, function, text in CALLS
                    ]
                }
            ]
        },
        sent={
            "any": {
                "messages": [user("What is the weather in Oslo?")],
                "tools": [WEATHER],
                "tool_choice": "required",
            },
            "anthropic": {
                "messages": [user("What is the weather in Oslo?")],
                "tools": [{"name": "weather", "description": "The weather.", "input_schema": CITY}],
                "tool_choice": {"type": "any"},
            },
        },
        answer={
            "any": {"texts": [""], "calls": CALLS, "finish": {"tool_calls"}},
            "echo": {
                "texts": [""],
                "calls": [("call_62986d07_0", "weather", '{"city": "Oslo"}')],
                "finish": {"tool_calls"},
            },
        },
    ),
    "tool results": Feature(
        prompt=TALK,
        sent={"any": {"messages": TALK}, "anthropic": {"messages": CLAUDE_TALK}},
        answer={"echo": {"texts": ["**echo** got this from the tool:\n\n> cold\n> warm"]}},
    ),
    "images": Feature(
        prompt=[user(PICTURES)],
        sent={
            "any": {"messages": [user(PICTURES)]},
            "anthropic": {"messages": [user(CLAUDE_PICTURES)]},
        },
        answer={"echo": {"texts": [f"{ECHOED}What is this?"]}},
        notes={
            "anthropic": ["the detail of an image was not sent: Anthropic's images have none"],
        },
    ),
    "JSON schema": Feature(
        prompt="Who is Ada, aged 36?",
        options={"schema": "name, age int"},
        replies={"any": [{"text": ADA}]},
        sent={
            "any": {
                "messages": [user("Who is Ada, aged 36?")],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": True, "schema": PERSON},
                },
            },
            "anthropic": {
                "messages": [user("Who is Ada, aged 36?")],
                "output_config": {"format": {"type": "json_schema", "schema": PERSON}},
            },
        },
        answer={
            "any": {"texts": [ADA], "parsed": {"name": "Ada", "age": 36}},
            "echo": {"texts": ['{"name": "Ada", "age": 1}'], "parsed": {"name": "Ada", "age": 1}},
        },
    ),
    "JSON without a schema": Feature(
        options={"response_format": {"type": "json_object"}},
        replies={"any": [{"text": ADA}]},
        sent={"any": {"response_format": {"type": "json_object"}}, "anthropic": {}},
        answer={
            "any": {"texts": [ADA]},
            "echo": {"texts": ['{"echo": "Why?", "words": 1, "answer": 1}']},
        },
        notes={
            "anthropic": [
                "response_format json_object was not sent: Anthropic's API has no JSON mode without"
                " a schema; give a schema, or ask for JSON in the prompt"
            ]
        },
    ),
    # Who gives one answer a call is asked three times.
    "n=3": Feature(
        options={"n": 3},
        replies={
            "openai": [{"text": HEADS}],
            "anthropic": [{"text": text} for text in HEADS],
            "groq": [{"text": text} for text in HEADS],
        },
        sent={"openai": {"n": 3}, "any": {}},
        answer={
            "any": {"texts": HEADS},
            "echo": {
                "texts": [
                    f"{ECHOED}Why?\n\n(Answer 1 of 3.)",
                    "**echo** here: no model, no network, no bill. I heard:\n\n> Why?"
                    "\n\n(Answer 2 of 3.)",
                    "You are talking to **echo**, which only repeats. It got:\n\n> Why?"
                    "\n\n(Answer 3 of 3.)",
                ]
            },
        },
    ),
    "logprobs": Feature(
        options={"logprobs": True, "top_logprobs": 2},
        replies={"any": [{"text": "It is"}]},
        sent={GPT_4: {"logprobs": True, "top_logprobs": 2}, "any": {}},
        answer={
            "any": {"texts": ["It is"]},
            GPT_4: {
                "texts": ["It is"],
                "logprobs": [
                    {**token("It", -0.5), "top_logprobs": [token("It", -0.5), token("It?", -1)]},
                    {**token(" is", -0.5), "top_logprobs": [token(" is", -0.5), token(" is?", -1)]},
                ],
            },
        },
        notes={
            GPT_5: unsent(GPT_5, "logprobs top_logprobs", UNTAKEN),
            "groq": unsent("groq", "logprobs top_logprobs", UNTAKEN),
            "anthropic": unsent("", "logprobs top_logprobs", NO_SUCH),
        },
    ),
    "temperature": Feature(
        options={"temperature": 0.2},
        sent={"any": {"temperature": 0.2}, GPT_5: {}, OPUS: {}},
        # The last version of the API that takes sampling parameters.
        headers={SONNET: {"anthropic-version": "2023-06-01"}},
        notes={
            GPT_5: unsent(GPT_5, "temperature", UNTAKEN),
            OPUS: unsent("claude-opus-4-8", "temperature", "{model} takes no sampling parameters"),
        },
    ),
    "seed, penalties, user": Feature(
        options={"seed": 7, "frequency_penalty": 0.5, "presence_penalty": -0.5, "user": "u1"},
        sent={
            "any": {"seed": 7, "frequency_penalty": 0.5, "presence_penalty": -0.5, "user": "u1"},
            GPT_5: {"seed": 7, "user": "u1"},
            "anthropic": {"metadata": {"user_id": "u1"}},
        },
        notes={
            GPT_5: unsent(GPT_5, "frequency_penalty presence_penalty", UNTAKEN),
            "anthropic": unsent("", "frequency_penalty presence_penalty seed", NO_SUCH),
        },
        # Another seed is another answer.
        answer={
            "echo": {
                "texts": ["You are talking to **echo**, which only repeats. It got:\n\n> Why?"]
            },
        },
    ),
    "reasoning": Feature(
        replies={"any": [{"text": "Because.", "reasoning": "Hm, let me think."}]},
        answer={"any": {"reasoning": "Hm, let me think."}},
    ),
}


@pytest.fixture(scope="module")
def running() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def server(running: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """One server for all tests: then they share the SDKs' clients, whose making takes longest."""
    running.clear()
    for provider, key in KEYS.items():
        url = running.anthropic_url if provider == "anthropic" else running.openai_url
        monkeypatch.setenv(f"{provider.upper()}_BASE_URL", url)
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", key)
    return running


def ask(
    client: Client, how: str, prompt: Any, chunks: list[Chunk] | None = None, **options: Any
) -> Completion:
    """As :func:`asking.ask`; what it is given stays as it is."""
    before = copy.deepcopy((prompt, options))
    completion = asking.ask(client, how, prompt, chunks, **options)
    assert (prompt, options) == before
    return completion


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", FEATURES)
def test_contract(client: Client, server: FakeServer, name: str, model: str, how: str) -> None:
    feature = FEATURES[name]
    replies = of({**REPLIES, **feature.replies}, model)
    notes = of({"any": [], **feature.notes}, model)
    for reply in replies:
        server.reply(**reply, usage=of(USAGE, model))
    chunks: list[Chunk] = []

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        completion = ask(client, how, feature.prompt, chunks, model=model, **feature.options)

    check_requests(server, feature, model, how, count=len(replies))
    check_answer(completion, feature, model, "live")
    check_chunks(chunks, completion, how)
    check_money(completion, model, requests=len(replies))
    check_row(client, completion, how)
    assert completion.notes == notes
    assert [str(warning.message) for warning in warned] == [f"{model}: {note}" for note in notes]
    assert {(w.category, w.filename) for w in warned} <= {(ParameterWarning, asking.__file__)}
    for again in HOWS:
        chunks = []
        options = {"model": model, "mode": "REPLAY", **feature.options}
        replay = ask(client, again, feature.prompt, chunks, **options)
        check_answer(replay, feature, model, "replay")
        check_chunks(chunks, replay, again)
        assert replay == completion
        assert (replay.cost, replay.saved) == (Decimal(0), completion.cost)
        assert (replay.tokens, replay.notes) == (completion.tokens, notes)
        check_row(client, replay, again)
    assert server.count == len(replies)


def check_requests(server: FakeServer, feature: Feature, model: str, how: str, count: int) -> None:
    """Exactly these requests were seen, down to the last field of their bodies."""
    provider, _, name = model.partition("/")
    body = {**of(BODY, model), **of({"any": {}, **feature.sent}, model), "model": name}
    headers = {"authorization": f"Bearer {KEYS.get(provider)}"}
    headers |= of({"any": {}, **feature.headers}, model)
    route = "POST /v1/chat/completions"
    if provider == "anthropic":
        route = "POST /v1/messages"
        body["stream"] = True
    elif how in STREAMS:
        body |= {"stream": True, "stream_options": {"include_usage": True}}

    assert [seen.body for seen in server.requests] == [body] * count
    for seen in server.requests:
        assert seen.route == route
        assert {name: seen.headers.get(name) for name in headers} == headers


def check_answer(completion: Completion, feature: Feature, model: str, source: str) -> None:
    """What the caller gets, in one shape from everybody."""
    choices = completion.choices
    message = completion["choices"][0]["message"]
    got = {
        # Several calls that are awaited at once are answered in any order.
        "texts": sorted(completion.texts),
        "finish": {choice.finish_reason for choice in choices},
        "calls": [
            (call.id, call.function.name, call.function.arguments)
            for call in message.get("tool_calls") or ()
        ],
        "logprobs": choices[0].logprobs and choices[0].logprobs.content,
        "reasoning": message.reasoning_content,
        "parsed": completion.parsed,
    }
    answer: Mapping[str, Any] = {"any": {}, "echo": {}, **feature.answer}
    expected = {**ANSWER["any"], **of(ANSWER, model), **of(answer, model)}

    assert got == {**expected, "texts": sorted(expected["texts"])}
    assert [choice.index for choice in choices] == list(range(len(choices)))
    assert {choice.message.role for choice in choices} == {"assistant"}
    assert (completion.source, completion.reference) == (source, model)
    assert completion.object == "chat.completion"


def check_chunks(chunks: list[Chunk], completion: Completion, how: str) -> None:
    """The pieces of a stream: text and reasoning apart, usage and cost on the last one."""
    if how not in STREAMS:
        assert chunks == []
        return
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices if choice.index == 0]
    thoughts = "".join(delta.reasoning_content or "" for delta in deltas)
    message = completion.choices[0].message

    assert "".join(chunk.text for chunk in chunks) == completion.text
    assert thoughts == (message.reasoning_content or "")
    assert not any(delta.content and delta.reasoning_content for delta in deltas)
    assert all(delta.content == delta.get("content") == delta["content"] for delta in deltas)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1].usage == completion.usage
    assert not any(chunk.get("usage") for chunk in chunks[:-1])
    # An attribute, as on a completion: in the dict it would be a field that no provider sent.
    assert "cost" not in chunks[-1]
    costs = [chunk.cost for chunk in chunks]
    assert costs == [None] * (len(chunks) - 1) + [completion.cost]


def check_money(completion: Completion, model: str, requests: int) -> None:
    """Token buckets as the server counted them, summed over the requests, at list prices."""
    tokens, usage = completion.tokens, completion.usage
    assert tokens is not None
    assert tokens.total_tokens == usage.total_tokens > 0
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    if model not in PRICES:
        assert (completion.cost, completion.cost_source) == (Decimal(0), "free")
        return
    once = of(TOKENS, model).to_dict()
    assert tokens.to_dict() == {bucket: count * requests for bucket, count in once.items()}
    buckets = (
        tokens.uncached_input_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_tokens,
        tokens.cache_write_1h_tokens,
        tokens.output_tokens,
    )
    millionths = [Decimal(p) * n for p, n in zip(PRICES[model], buckets, strict=True)]
    assert completion.cost == sum(millionths) / 1_000_000
    assert completion.cost_source == "list"


def check_row(client: Client, completion: Completion, how: str) -> None:
    """One row of the ledger for one call, however many requests it took."""
    *before, row = client.history.rows()
    provider, _, model = completion.reference.partition("/")
    tokens = completion.tokens
    assert tokens is not None
    expected = {
        "status": "ok",
        "source": completion.source,
        "provider": provider,
        "model": model,
        "response_model": completion.model,
        "stream": how in STREAMS,
        "key": completion.key,
        "ordinal": 0,
        "attempt": 0,
        "finish_reason": completion.choices[0].finish_reason,
        "cost": f"{completion.cost:f}",
        "saved": None if completion.saved is None else f"{completion.saved:f}",
        "cost_source": completion.cost_source,
        "notes": json.dumps(completion.notes) if completion.notes else None,
        "answer": completion.text,
        "error": None,
        "input_tokens": tokens.input_tokens,
        **{name: getattr(tokens, name) for name in Usage.__slots__},
    }

    assert {name: row[name] for name in expected} == expected
    assert "pending" not in {row["status"] for row in client.history.rows()}
    assert [row["source"] for row in before] == (["live"] + ["replay"] * len(before))[: len(before)]


# The parameters that we document, and some that we have never heard of.
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"temperature": 0.3},
    "top_p": {"top_p": 0.9},
    "max_tokens": {"max_tokens": 50},
    "stop": {"stop": ["\n", "END"]},
    "n": {"n": 2},
    "seed": {"seed": 7},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": -0.5},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "response_format": {"response_format": {"type": "json_object"}},
    "tools": {"tools": [WEATHER]},
    "tool_choice": {
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
    },
    "parallel_tool_calls": {"tools": [WEATHER], "parallel_tool_calls": False},
    "user": {"user": "u1"},
    "metadata": {"metadata": {"part": "x"}},
    "falsy": {"temperature": 0, "logprobs": False, "seed": 0, "stop": [], "user": ""},
    "unknown": {"some_new_thing": {"a": [1, None, "π"]}, "another": False},
}


@pytest.mark.parametrize("how", ["complete", "astream"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_reaches_openai_as_it_is(
    client: Client, server: FakeServer, name: str, how: str
) -> None:
    completion = ask(client, how, "Why?", model=GPT_4, timeout=30, **PARAMETERS[name])

    how_it_travels = {"stream", "stream_options"} if how in STREAMS else set()
    sent = {key: value for key, value in server.last.body.items() if key not in how_it_travels}
    assert sent == {"model": "gpt-4o-mini", "messages": [user("Why?")], **PARAMETERS[name]}
    assert completion.notes == []


@pytest.mark.parametrize("model", REMOTE)
def test_what_we_do_not_know_is_sent_and_extra_body_laid_over_it(
    client: Client, server: FakeServer, model: str
) -> None:
    completion = client.complete(
        "Why?", model=model, some_new_thing=[1], unset=None, extra_body={"other": {"a": 1}}
    )

    body = server.last.body
    assert (body["some_new_thing"], body["other"]) == ([1], {"a": 1})
    assert body.keys().isdisjoint({"unset", "extra_body", "timeout"})
    assert completion.notes == []


# What a careless layer strips, joins, translates or takes for the end of a line.
ODD = (
    "\ufeff\u201cCurly\u201d \u2019quotes\u2019,\u00a0no-break\u202fspaces, "
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 and \U0001f3f4\U000e0067\U000e007f, "
    "e\u0301 is not \u00e9,  two  spaces \t\ttabs\r\nCRLF\rCR\u2028LS\u2029PS\x85NEL\x00NUL "
    "{{ braces }} {b} `code` $x^2$ <b>&amp;</b> data: [DONE]\n\n\ndata: x \u200b\u00ad \n  \r\n "
)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("model", [GPT_5, SONNET, LLAMA])
def test_text_is_the_same_byte_for_byte(
    client: Client, server: FakeServer, model: str, how: str
) -> None:
    server.reply(ODD)

    live = ask(client, how, ODD, model=model, system=ODD)
    replays = [ask(client, again, ODD, model=model, system=ODD, mode="REPLAY") for again in HOWS]
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    client.close()
    shutil.rmtree(".llm_magic/recordings")
    from_cassette = ask(client, how, ODD, model=model, system=ODD, mode="REPLAY")

    assert [completion.text for completion in (live, *replays, from_cassette)] == [ODD] * 6
    body = server.last.body
    assert body["messages"][-1]["content"] == ODD
    assert (body.get("system") or body["messages"][0]["content"]) == ODD
    assert server.count == 1


@pytest.mark.parametrize("how", STREAMS)
@pytest.mark.parametrize("model", REMOTE)
def test_a_stream_closed_early_hangs_up_and_is_stored_as_closed(
    client: Client, server: FakeServer, model: str, how: str
) -> None:
    server.reply("one two three", gate=threading.Event())

    def read() -> str:
        stream = client.stream("Why?", model=model)
        next(chunk for chunk in stream if chunk.text)
        stream.close()
        assert stream.completion.text == stream.text
        return stream.text

    async def aread() -> str:
        stream = client.astream("Why?", model=model)
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()
        assert stream.completion.text == stream.text
        return stream.text

    text = asyncio.run(aread()) if how == "astream" else read()

    assert text == "one"
    assert server.last.closed_early.wait(10)
    (row,) = client.history.rows()
    assert (row["status"], row["cost"], row["answer"]) == ("closed", None, "one")
    with pytest.raises(ReplayMissError):
        client.complete("Why?", model=model, mode="REPLAY")
    for again in STREAMS:
        assert ask(client, again, "Why?", model=model, mode="REPLAY").text == "one"
    assert server.count == 1
