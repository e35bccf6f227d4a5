"""Usage as the providers send it, over HTTP, becomes disjoint buckets that sum to their totals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.pricing import applied, charged, reported
from llm_magic.providers import catalog
from llm_magic.providers.answers import to_openai, usage_to_openai
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.choices import joined, summed
from llm_magic.providers.openai import as_openai
from llm_magic.testing import FakeServer
from llm_magic.tokens import told_or_estimated
from llm_magic.types import AttrDict, Completion, Request, Transport, Usage, attributes

MESSAGES = [{"role": "user", "content": "Why?"}]
WAYS = ("send", "stream", "asend", "astream")


@pytest.fixture(scope="module")
def running() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def asked(way: str, name: str, server: FakeServer, **parameters: Any) -> AttrDict:
    """The answer of a provider, whichever way it is asked."""
    provider, request = catalog.provider(name), Request(name, "m", MESSAGES, parameters)
    url = server.anthropic_url if name == "anthropic" else server.openai_url
    transport = Transport(api_key="test-key-0123456789abcdef", api_base=url, timeout=10)
    if way == "send":
        return provider.send(request, transport)
    if way == "asend":
        return asyncio.run(provider.asend(request, transport))
    assembly = Assembly()
    if way == "stream":
        for chunk in provider.stream(request, transport):
            assembly.add(chunk)
        return assembly.response()

    async def all_of_it() -> None:
        async for chunk in provider.astream(request, transport):
            assembly.add(chunk)

    asyncio.run(all_of_it())
    return assembly.response()


def openai_usage(prompt: int, output: int, **fields: Any) -> dict[str, Any]:
    total = {"total_tokens": prompt + output}
    return {"prompt_tokens": prompt, "completion_tokens": output, **total, **fields}


# Provider, the usage as its documentation shows it, where its streams have it, and the buckets.
DIALECTS = {
    "openai": (
        "openai",
        openai_usage(
            19,
            10,
            prompt_tokens_details={"cached_tokens": 8, "audio_tokens": 3},
            completion_tokens_details={
                "reasoning_tokens": 4,
                "audio_tokens": 2,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        ),
        "own chunk",
        Usage(
            uncached_input_tokens=8,
            cache_read_tokens=8,
            input_audio_tokens=3,
            output_tokens=10,
            reasoning_tokens=4,
            output_audio_tokens=2,
        ),
    ),
    "anthropic": (
        "anthropic",
        {
            "input_tokens": 21,
            "cache_creation_input_tokens": 248,
            "cache_read_input_tokens": 1800,
            "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 30},
            "service_tier": "standard",
        },
        "own chunk",
        Usage(
            uncached_input_tokens=21,
            cache_read_tokens=1800,
            cache_write_tokens=148,
            cache_write_1h_tokens=100,
            output_tokens=50,
            reasoning_tokens=30,
        ),
    ),
    "anthropic without the split of writes": (
        "anthropic",
        {"input_tokens": 3, "cache_creation_input_tokens": 7, "output_tokens": 5},
        "own chunk",
        Usage(uncached_input_tokens=3, cache_write_tokens=7, output_tokens=5),
    ),
    "anthropic with nothing but the split": (
        "anthropic",
        {
            "input_tokens": 3,
            "cache_creation_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 2},
            "output_tokens": 5,
        },
        "own chunk",
        Usage(
            uncached_input_tokens=3, cache_write_tokens=4, cache_write_1h_tokens=2, output_tokens=5
        ),
    ),
    "openrouter": (
        "openrouter",
        openai_usage(
            194,
            2,
            cost=0.00095,
            is_byok=False,
            prompt_tokens_details={"cached_tokens": 100, "cache_write_tokens": 50},
            cost_details={"upstream_inference_cost": None},
            completion_tokens_details={"reasoning_tokens": 0},
        ),
        "own chunk",
        Usage(
            uncached_input_tokens=44, cache_read_tokens=100, cache_write_tokens=50, output_tokens=2
        ),
    ),
    "azure": (
        "azure",
        openai_usage(30, 5, prompt_tokens_details={"cached_tokens": 20}),
        "own chunk",
        Usage(uncached_input_tokens=10, cache_read_tokens=20, output_tokens=5),
    ),
    "deepseek": (
        "deepseek",
        openai_usage(
            16,
            10,
            prompt_cache_hit_tokens=12,
            prompt_cache_miss_tokens=4,
            completion_tokens_details={"reasoning_tokens": 6},
        ),
        "last chunk",
        Usage(uncached_input_tokens=4, cache_read_tokens=12, output_tokens=10, reasoning_tokens=6),
    ),
    "gemini, thinking apart": (
        "gemini",
        {"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 120},
        "every chunk",
        Usage(uncached_input_tokens=9, output_tokens=111, reasoning_tokens=100),
    ),
    "groq": (
        "groq",
        openai_usage(18, 556, queue_time=0.037, prompt_time=0.0007, total_time=0.46),
        "x_groq",
        Usage(uncached_input_tokens=18, output_tokens=556),
    ),
    "mistral": (
        "mistral",
        openai_usage(20, 7, num_cached_tokens=16),
        "last chunk",
        Usage(uncached_input_tokens=4, cache_read_tokens=16, output_tokens=7),
    ),
    "xai, thinking apart": (
        "xai",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {
                "text_tokens": 32,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 6,
            },
            "completion_tokens_details": {"reasoning_tokens": 94, "audio_tokens": 0},
            "num_sources_used": 0,
            "cost_in_usd_ticks": 37756000,
        },
        "own chunk",
        Usage(
            uncached_input_tokens=26, cache_read_tokens=6, output_tokens=103, reasoning_tokens=94
        ),
    ),
    "perplexity": (
        "perplexity",
        openai_usage(
            8,
            439,
            search_context_size="low",
            cost={"input_tokens_cost": 0.0, "request_cost": 0.006, "total_cost": 0.013},
        ),
        "every chunk",
        Usage(uncached_input_tokens=8, output_tokens=439),
    ),
    "together": (
        "together",
        openai_usage(12, 3, cached_tokens=5),
        "own chunk",
        Usage(uncached_input_tokens=7, cache_read_tokens=5, output_tokens=3),
    ),
    "fireworks": (
        "fireworks",
        openai_usage(12, 3, prompt_tokens_details={"cached_tokens": 5}),
        "last chunk",
        Usage(uncached_input_tokens=7, cache_read_tokens=5, output_tokens=3),
    ),
    "cohere": (
        "cohere",
        openai_usage(12, 3),
        "last chunk",
        Usage(uncached_input_tokens=12, output_tokens=3),
    ),
    "cerebras": (
        "cerebras",
        openai_usage(12, 3, prompt_tokens_details={"cached_tokens": 0}),
        "last chunk",
        Usage(uncached_input_tokens=12, output_tokens=3),
    ),
    "sambanova": (
        "sambanova",
        openai_usage(12, 3, is_last_response=True, time_to_first_token=0.2, total_latency=0.4),
        "own chunk",
        Usage(uncached_input_tokens=12, output_tokens=3),
    ),
    "moonshot": (
        "moonshot",
        openai_usage(19, 21, cached_tokens=10),
        "choice",
        Usage(uncached_input_tokens=9, cache_read_tokens=10, output_tokens=21),
    ),
    "bedrock": (
        "bedrock",
        openai_usage(12, 3),
        "own chunk",
        Usage(uncached_input_tokens=12, output_tokens=3),
    ),
    "ollama": (
        "ollama",
        openai_usage(26, 3),
        "own chunk",
        Usage(uncached_input_tokens=26, output_tokens=3),
    ),
    "vllm": (
        "vllm",
        openai_usage(26, 3, prompt_tokens_details=None),
        "own chunk",
        Usage(uncached_input_tokens=26, output_tokens=3),
    ),
    "lmstudio": (
        "lmstudio",
        openai_usage(26, 3),
        "own chunk",
        Usage(uncached_input_tokens=26, output_tokens=3),
    ),
    "llamacpp": (
        "llamacpp",
        openai_usage(26, 3),
        "own chunk",
        Usage(uncached_input_tokens=26, output_tokens=3),
    ),
}


def test_every_provider_of_the_catalog_has_a_row() -> None:
    assert {name for name, *_ in DIALECTS.values()} == {*catalog.ENTRIES} - {"echo"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "told", "place", "expected"), DIALECTS.values(), ids=DIALECTS)
def test_buckets_are_disjoint_and_sum_to_the_providers_total(
    running: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    name: str,
    told: Mapping[str, Any],
    place: Any,
    expected: Usage,
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    running.reply("Because.", usage=told, usage_place=place)

    usage = asked(way, name, running)["usage"]

    assert Usage.from_openai(usage) == expected
    assert expected.total_tokens == usage["total_tokens"]


@pytest.mark.parametrize("way", WAYS)
def test_the_tier_that_answered_stands_in_the_usage(running: FakeServer, way: str) -> None:
    running.reply("Because.", service_tier="flex")

    assert asked(way, "openai", running)["usage"]["service_tier"] == "flex"


@pytest.mark.parametrize("way", WAYS)
def test_what_a_provider_says_it_cost_comes_through(running: FakeServer, way: str) -> None:
    running.reply("Because.", usage=DIALECTS["xai, thinking apart"][1])

    # 37,756,000 ticks of a ten-billionth of a dollar
    assert str(reported(asked(way, "xai", running)["usage"])) == "0.0037756"


# Several answers


def test_a_cost_that_one_of_several_requests_did_not_tell_is_unknown() -> None:
    assert reported(summed([{"prompt_tokens": 1, "cost": 0.1}, {"prompt_tokens": 1}])) is None


def test_a_key_of_the_users_own_in_one_of_several_requests_is_billed_by_the_vendor_too() -> None:
    own = {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}

    assert str(reported(summed([{"cost": 0.3, "is_byok": False}, own]))) == "0.51"


def test_several_answers_of_different_tiers_have_no_price() -> None:
    answers = [
        AttrDict(choices=[], usage=AttrDict(openai_usage(1, 1, service_tier=tier)))
        for tier in ("default", "flex")
    ]
    prices = {"input_mtok": "1", "asked": {}, "variants": [({"service_tier": "flex"}, {})]}

    assert applied(prices, joined(answers)["usage"]) is None


# Whatever comes

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 300)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**30, 1e308, 10**400]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cost",
    "cost_in_usd_ticks",
    "is_byok",
    "requests",
    "service_tier",
    "num_sources_used",
]
PARTS = ["cached_tokens", "audio_tokens", "reasoning_tokens", "cache_write_tokens"]
PARTS += ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "thinking_tokens"]
PLACES = ["prompt_tokens_details", "completion_tokens_details", "cache_creation"]
PLACES += ["output_tokens_details", "server_tool_use", "cost_details"]
USAGES = ODD | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NAMES, ODD),
        **{
            place: ODD | st.dictionaries(st.sampled_from(PARTS), ODD, max_size=3)
            for place in PLACES
        },
    },
)


def checked(usage: Any) -> None:
    """What is read of a usage makes sense, and pricing it raises nothing."""
    buckets = Usage.from_openai(usage)
    charged(usage, buckets, {"input_mtok": "1", "output_mtok": "1", "requests_kcount": "1"})
    if buckets is None:
        return
    assert all(count > 0 for count in buckets.to_dict().values())
    assert buckets.reasoning_tokens + buckets.output_audio_tokens <= buckets.output_tokens
    assert buckets.input_tokens == usage["prompt_tokens"]
    if usage.get("completion_tokens") is not None:
        assert buckets.output_tokens == usage["completion_tokens"]


@given(USAGES, st.sampled_from(["openai", "gemini", "groq", "openrouter"]))
def test_no_usage_of_openais_dialect_is_misread_or_raises(usage: Any, name: str) -> None:
    answer = as_openai(catalog.entry(name), attributes({"choices": [], "usage": usage}))

    checked(answer["usage"])


@given(USAGES)
def test_no_usage_of_anthropics_dialect_is_misread_or_raises(usage: Any) -> None:
    read = usage_to_openai(usage)

    checked(read)
    if read is not None:
        assert read["total_tokens"] == read["prompt_tokens"] + read["completion_tokens"]
        assert to_openai({"usage": usage})["usage"] == read


@given(USAGES)
def test_an_answer_has_tokens_whatever_was_told_of_them(usage: Any) -> None:
    request = Request("openai", "m", MESSAGES)
    answer = attributes({"choices": [{"message": {"content": "Because."}}], "usage": usage})

    answer["usage"] = told_or_estimated(request, answer)

    assert Usage.from_openai(answer["usage"]) is not None
    assert Completion(answer).usage_source in ("provider", "estimated")
