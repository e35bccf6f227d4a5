"""What calls cost, to the last digit: the arithmetic stands beside every row, by hand.

Every row goes from the usage object that the provider sends to USD. Amounts in the comments are
millionths of a dollar: tokens times USD per million tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llm_magic import prices, pricing
from llm_magic.budgets import budget
from llm_magic.client import Client
from llm_magic.exceptions import BudgetExceededError
from llm_magic.providers import catalog
from llm_magic.providers.answers import usage_to_openai
from llm_magic.providers.openai import as_openai
from llm_magic.testing import FakeServer
from llm_magic.types import Completion, Usage, attributes

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def above(start: int, **prices: tuple[str, str]) -> dict[str, Any]:
    """Prices up to so many input tokens, and above."""
    return {name: [base, [start, higher]] for name, (base, higher) in prices.items()}


BATCH, FLEX = {"processing": "batch"}, {"service_tier": "flex"}
PRIORITY, FAST = {"service_tier": "priority"}, {"speed": "fast"}
# What the rows below are worked out with: model, kind of service, day, USD per million tokens.
# (Per thousand: searches and requests.)
LIST: list[tuple[str, Mapping[str, str], datetime, Mapping[str, Any]]] = [
    ("openai/gpt-5-mini", {}, NOON, {"input": "0.25", "cache_read": "0.025", "output": "2"}),
    ("openai/gpt-5-mini", FLEX, NOON, {"input": "0.125", "cache_read": "0.0125", "output": "1"}),
    ("openai/gpt-5-mini", BATCH, NOON, {"input": "0.125", "cache_read": "0.0125", "output": "1"}),
    ("openai/gpt-5-mini", PRIORITY, NOON, {"input": "0.45", "output": "3.6"}),
    ("openai/gpt-5.4", PRIORITY, NOON, {"input": "5", "output": "30"}),
    (
        "openai/gpt-6-sol",
        {},
        NOON,
        above(
            272_000,
            input=("2", "4"),
            cache_read=("0.2", "0.4"),
            cache_write=("2.5", "5"),
            output=("10", "15"),
        ),
    ),
    ("openai/gpt-6-sol", FLEX, NOON, above(272_000, input=("1", "2"), output=("5", "7.5"))),
    ("openai/gpt-4.1", BATCH, NOON, {"input": "1", "cache_read": "0.5", "output": "4"}),
    ("openai/o3", {}, datetime(2025, 5, 1, tzinfo=UTC), {"input": "10", "output": "40"}),
    ("openai/o3", {}, datetime(2025, 7, 1, tzinfo=UTC), {"input": "2", "output": "8"}),
    (
        "openai/gpt-audio",
        {},
        NOON,
        {"input": "2.5", "input_audio": "32", "output": "10", "output_audio": "64"},
    ),
    ("openai/text-embedding-3-small", {}, NOON, {"input": "0.02"}),
    ("openai/gpt-3.5-turbo-instruct", {}, NOON, {"input": "1.5", "output": "2"}),
    (
        "anthropic/claude-sonnet-4-5",
        {},
        NOON,
        above(
            200_000,
            input=("3", "6"),
            cache_read=("0.3", "0.6"),
            cache_write=("3.75", "7.5"),
            cache_write_1h=("6", "12"),
            output=("15", "22.5"),
        ),
    ),
    (
        "anthropic/claude-sonnet-4-6",
        {},
        NOON,
        {"input": "3", "cache_write_1h": "6", "output": "15", "web_searches_kcount": "10"},
    ),
    ("anthropic/claude-sonnet-4-6", BATCH, NOON, {"input": "1.5", "output": "7.5"}),
    (
        "anthropic/claude-sonnet-4-6",
        {},
        datetime(2026, 3, 1, tzinfo=UTC),
        above(200_000, input=("3", "6"), output=("15", "22.5")),
    ),
    ("anthropic/claude-opus-4-8", {}, NOON, {"input": "5", "output": "25"}),
    ("anthropic/claude-opus-4-8", FAST, NOON, {"input": "10", "output": "50"}),
    (
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {},
        NOON,
        {"input": "3.3", "output": "16.5"},
    ),
    (
        "gemini/gemini-2.5-pro",
        {},
        NOON,
        above(200_000, input=("1.25", "2.5"), output=("10", "15")),
    ),
    ("gemini/gemini-2.5-flash", {}, NOON, {"input": "0.3", "input_audio": "1", "output": "2.5"}),
    ("deepseek/deepseek-chat", {}, NOON, {"input": "0.27", "cache_read": "0.07", "output": "1.1"}),
    (
        "deepseek/deepseek-chat",
        {},
        datetime(2026, 11, 20, 20, tzinfo=UTC),
        {"input": "0.135", "cache_read": "0.035", "output": "0.55"},
    ),
    ("openrouter/openai/gpt-4o-mini", {}, NOON, {"input": "0.15", "output": "0.6"}),
    ("perplexity/sonar", {}, NOON, {"input": "1", "output": "1", "requests_kcount": "12"}),
    ("xai/grok-4", {}, NOON, {"input": "3", "cache_read": "0.75", "output": "15"}),
    (
        "mistral/mistral-large-latest",
        {},
        NOON,
        {"input": "2", "cache_read": None, "output": "6"},
    ),
]


@pytest.mark.parametrize(("reference", "context", "when", "expected"), LIST)
def test_the_price_list_is_the_one_the_rows_were_worked_out_with(
    reference: str, context: Mapping[str, str], when: datetime, expected: Mapping[str, Any]
) -> None:
    provider, _, model = reference.partition("/")
    prices = pricing.unit_prices(provider, model, when, context) or {}

    found = {name: prices.get(name, prices.get(f"{name}_mtok")) for name in expected}

    assert found == expected, (
        f"{pricing.price_table_version()} has other prices for {reference}: if they are right,"
        " change LIST, and work its rows out again"
    )


def openai(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        **more,
    }


def cached(prompt: int, read: int, output: int, **more: Any) -> dict[str, Any]:
    return openai(prompt, output, prompt_tokens_details={"cached_tokens": read, **more})


def claude(uncached: int, output: int, read: int = 0, **more: Any) -> dict[str, Any]:
    minutes, hour = more.pop("minutes", 0), more.pop("hour", 0)
    return {
        "input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": minutes + hour,
        "cache_creation": {
            "ephemeral_5m_input_tokens": minutes,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": output,
        **more,
    }


@dataclass(frozen=True)
class Row:
    """A call, what it costs and who says so."""

    model: str
    told: Any
    usd: str | None
    source: str = "list"
    asked: Mapping[str, Any] = field(default_factory=dict)
    tier: str | None = None
    when: datetime = NOON
    own: Mapping[str, Any] = field(default_factory=dict)
    free: str = ""


MINI, SOL, CLAUDE = "openai/gpt-5-mini", "openai/gpt-6-sol", "anthropic/claude-sonnet-4-5"
SONNET, OPUS, SONAR = "anthropic/claude-sonnet-4-6", "anthropic/claude-opus-4-8", "perplexity/sonar"
OWN = "openai/my-ft"

ROWS = {
    # 1000 x 0.25 + 500 x 2 = 250 + 1000
    "plain": Row(MINI, openai(1000, 500), "0.00125"),
    "no tokens": Row(MINI, openai(0, 0), "0"),
    # 200 x 0.25 + 800 x 0.025 + 100 x 2 = 50 + 20 + 200
    "cached reads": Row(MINI, cached(1000, 800, 100), "0.00027"),
    # 1000 x 0.025 + 0
    "all cached, no answer": Row(MINI, cached(1000, 1000, 0), "0.000025"),
    # 10 x 0.25 + 100 x 2 = 2.5 + 200, of which 40 are reasoning
    "reasoning is output": Row(
        MINI, openai(10, 100, completion_tokens_details={"reasoning_tokens": 40}), "0.0002025"
    ),
    # 500 x 2 + 300 x 0.2 + 200 x 2.5 + 50 x 10 = 1000 + 60 + 500 + 500
    "cache writes of openai": Row(SOL, cached(1000, 300, 50, cache_write_tokens=200), "0.00206"),
    # Service tiers
    # 1000 x 0.125 + 500 x 1 = 125 + 500
    "flex, asked and told": Row(MINI, openai(1000, 500), "0.000625", asked=FLEX, tier="flex"),
    "flex, told only": Row(MINI, openai(1000, 500), "0.000625", tier="flex"),
    "flex, asked only": Row(MINI, openai(1000, 500), "0.000625", asked=FLEX),
    # 200 x 0.125 + 800 x 0.0125 + 100 x 1 = 25 + 10 + 100
    "flex, cached reads": Row(MINI, cached(1000, 800, 100), "0.000135", tier="flex"),
    # 1000 x 0.45 + 500 x 3.6 = 450 + 1800
    "priority": Row(MINI, openai(1000, 500), "0.00225", asked=PRIORITY, tier="priority"),
    # 1000 x 0.25 + 500 x 2 = 250 + 1000
    "priority, not had": Row(MINI, openai(1000, 500), "0.00125", asked=PRIORITY, tier="default"),
    "auto": Row(MINI, openai(1000, 500), "0.00125", asked={"service_tier": "auto"}),
    "a tier that is paid for otherwise": Row(
        MINI, openai(1000, 500), None, "unknown", tier="scale"
    ),
    "a tier without a price": Row("openai/gpt-4o", openai(1, 1), None, "unknown", asked=FLEX),
    "flex, before it had a price": Row(
        MINI, openai(1, 1), None, "unknown", asked=FLEX, when=datetime(2026, 10, 1, tzinfo=UTC)
    ),
    # 1000 x 0.125 + 500 x 1 = 125 + 500
    "flex, since it has a price": Row(
        MINI, openai(1000, 500), "0.000625", asked=FLEX, when=datetime(2026, 10, 13, tzinfo=UTC)
    ),
    # 1000 x 0.125 + 500 x 1 = 125 + 500
    "batch": Row(MINI, openai(1000, 500), "0.000625", asked=BATCH),
    # 500 x 1 + 500 x 0.5 + 100 x 4 = 500 + 250 + 400: reads cost in a batch what they always do
    "batch, cached reads": Row("openai/gpt-4.1", cached(1000, 500, 100), "0.00115", asked=BATCH),
    # 1000 x 1.5 + 100 x 7.5 = 1500 + 750
    "batch of claude": Row(SONNET, claude(1000, 100, service_tier="batch"), "0.00225"),
    # 1000 x 3 + 100 x 15 = 3000 + 1500
    "standard of claude": Row(SONNET, claude(1000, 100, service_tier="standard"), "0.0045"),
    "priority of claude": Row(SONNET, claude(1, 1, service_tier="priority"), None, "unknown"),
    # 1000 x 10 + 100 x 50 = 10000 + 5000
    "fast mode, told": Row(OPUS, claude(1000, 100, speed="fast"), "0.015"),
    "fast mode, asked": Row(
        OPUS, claude(1000, 100), "0.015", asked={"extra_body": {"speed": "fast"}}
    ),
    # 1000 x 5 + 100 x 25 = 5000 + 2500
    "anywhere": Row(OPUS, claude(1000, 100, inference_geo="global"), "0.0075"),
    "in one country": Row(OPUS, claude(1, 1, inference_geo="us"), None, "unknown"),
    # Long inputs
    # 272000 x 2 + 1000 x 10 = 544000 + 10000
    "at the start of a tier": Row(SOL, openai(272_000, 1000), "0.554"),
    # 300000 x 4 + 1000 x 15 = 1200000 + 15000
    "above it": Row(SOL, openai(300_000, 1000), "1.215"),
    # 300000 x 2 + 1000 x 7.5 = 600000 + 7500
    "above it, flex": Row(SOL, openai(300_000, 1000), "0.6075", asked=FLEX),
    # 300000 x 5 + 1000 x 30 = 1500000 + 30000
    "priority is the same above it": Row(
        "openai/gpt-5.4", openai(300_000, 1000), "1.53", asked=PRIORITY
    ),
    # 200000 x 3 + 10 x 15 = 600000 + 150
    "200,000 of claude": Row(CLAUDE, claude(200_000, 10), "0.60015"),
    # 200001 x 6 + 10 x 22.5 = 1200006 + 225
    "200,001 of claude": Row(CLAUDE, claude(200_001, 10), "1.200231"),
    # 300000 x 2.5 + 1000 x 15 = 750000 + 15000
    "above 200,000 of gemini": Row("gemini/gemini-2.5-pro", openai(300_000, 1000), "0.765"),
    # Claude's cache
    # 100 x 3 + 1000 x 0.3 + 200 x 3.75 + 300 x 6 + 50 x 15 = 300 + 300 + 750 + 1800 + 750
    "reads and writes of 5 m and 1 h": Row(
        CLAUDE, claude(100, 50, 1000, minutes=200, hour=300), "0.0039"
    ),
    # 1 x 6 + 200000 x 0.6 + 10 x 7.5 + 20 x 12 + 50 x 22.5 = 6 + 120000 + 75 + 240 + 1125
    "the cache counts for the tier": Row(
        CLAUDE, claude(1, 50, 200_000, minutes=10, hour=20), "0.121446"
    ),
    # 1000 x 6 + 1 x 15
    "writes of 1 h only": Row(SONNET, claude(0, 1, hour=1000), "0.006015"),
    # 1000 x 3.3 + 100 x 16.5 = 3300 + 1650
    "claude at bedrock": Row(
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", claude(1000, 100), "0.00495"
    ),
    # 1000 x 3 + 100 x 15 + 3 searches x 10 a thousand = 3000 + 1500 + 30000
    "web searches": Row(
        SONNET, claude(1000, 100, server_tool_use={"web_search_requests": 3}), "0.0345"
    ),
    # Dates and times of day
    # 1000 x 10 + 100 x 40 = 10000 + 4000
    "o3 in May 2025": Row(
        "openai/o3", openai(1000, 100), "0.014", when=datetime(2025, 5, 1, tzinfo=UTC)
    ),
    # 1000 x 2 + 100 x 8 = 2000 + 800
    "o3 in July 2025": Row(
        "openai/o3", openai(1000, 100), "0.0028", when=datetime(2025, 7, 1, tzinfo=UTC)
    ),
    # 300000 x 6 + 1000 x 22.5 = 1800000 + 22500
    "claude with tiers, in their time": Row(
        SONNET, claude(300_000, 1000), "1.8225", when=datetime(2026, 3, 1, tzinfo=UTC)
    ),
    # 300000 x 3 + 1000 x 15 = 900000 + 15000
    "claude without tiers, since": Row(SONNET, claude(300_000, 1000), "0.915"),
    # 400 x 0.27 + 600 x 0.07 + 100 x 1.1 = 108 + 42 + 110
    "deepseek by day": Row(
        "deepseek/deepseek-chat", openai(1000, 100, prompt_cache_hit_tokens=600), "0.00026"
    ),
    # 400 x 0.135 + 600 x 0.035 + 100 x 0.55 = 54 + 21 + 55
    "deepseek by night": Row(
        "deepseek/deepseek-chat",
        openai(1000, 100, prompt_cache_hit_tokens=600),
        "0.00013",
        when=datetime(2026, 11, 20, 20, tzinfo=UTC),
    ),
    # Audio and pictures
    # 40 x 2.5 + 60 x 32 + 10 x 10 + 40 x 64 = 100 + 1920 + 100 + 2560
    "audio in and out": Row(
        "openai/gpt-audio",
        openai(
            100,
            50,
            prompt_tokens_details={"audio_tokens": 60},
            completion_tokens_details={"audio_tokens": 40},
        ),
        "0.00468",
    ),
    # 400 x 0.3 + 600 x 1 + 10 x 2.5 = 120 + 600 + 25
    "audio of gemini": Row(
        "gemini/gemini-2.5-flash", cached(1000, 0, 10, audio_tokens=600), "0.000745"
    ),
    "audio without a price": Row(
        "openai/gpt-4o-audio-preview", cached(10, 0, 1, audio_tokens=5), None, "unknown"
    ),
    # Other dialects
    # 9 x 0.3 + (120 - 9) x 2.5 = 2.7 + 277.5
    "thinking apart": Row(
        "gemini/gemini-2.5-flash", {**openai(9, 11), "total_tokens": 120}, "0.0002802"
    ),
    # 26 x 3 + 6 x 0.75 + (135 - 32) x 15 = 78 + 4.5 + 1545
    "xai by the list": Row("xai/grok-4", {**cached(32, 6, 9), "total_tokens": 135}, "0.0016275"),
    # 37756000 ticks of a ten-billionth
    "xai by its bill": Row(
        "xai/grok-4", openai(1, 1, cost_in_usd_ticks=37756000), "0.0037756", "provider"
    ),
    "xai with searches": Row("xai/grok-4", openai(1, 1, num_sources_used=2), None, "unknown"),
    # 20 x 2 + 7 x 6 = 40 + 42: the list has no price for reads, so they cost what input does
    "reads without a price": Row(
        "mistral/mistral-large-latest", openai(20, 7, num_cached_tokens=16), "0.000082"
    ),
    "openrouter's own cost": Row(
        "openrouter/openai/gpt-4o-mini", openai(9, 9, cost=0.00014), "0.00014", "provider"
    ),
    # 0.01 of OpenRouter and 0.2 of the vendor
    "a key of one's own at openrouter": Row(
        "openrouter/openai/gpt-4o-mini",
        openai(9, 9, cost=0.01, is_byok=True, cost_details={"upstream_inference_cost": 0.2}),
        "0.21",
        "provider",
    ),
    # 1000 x 0.15 + 100 x 0.6 = 150 + 60
    "openrouter without its cost": Row(
        "openrouter/openai/gpt-4o-mini", openai(1000, 100), "0.00021"
    ),
    "perplexity's own cost": Row(
        SONAR,
        openai(8, 439, cost={"request_cost": 0.006, "total_cost": 0.013}),
        "0.013",
        "provider",
    ),
    # 8 x 1 + 439 x 1 + 12000 for the request
    "a fee for the request": Row(SONAR, openai(8, 439), "0.012447"),
    # 24 x 1 + 1317 x 1 + 3 x 12000
    "a fee for each of three requests": Row(SONAR, openai(24, 1317, requests=3), "0.037341"),
    # 300000 x 3 + 30 x 15 = 900000 + 450: each of the three has 100,000, below the tier
    "three answers are no long one": Row(CLAUDE, {**openai(300_000, 30), "requests": 3}, "0.90045"),
    "citations that nobody counted": Row(
        "perplexity/sonar-deep-research", openai(33, 7163, citation_tokens=19955), None, "unknown"
    ),
    # 1000 x 0.02
    "embeddings": Row(
        "openai/text-embedding-3-small", {"prompt_tokens": 1000, "total_tokens": 1000}, "0.00002"
    ),
    # 1000 x 1.5 + 200 x 2 = 1500 + 400
    "the older completions": Row("openai/gpt-3.5-turbo-instruct", openai(1000, 200), "0.0019"),
    # Unknown and free
    "an unknown model": Row(OWN, openai(1, 1), None, "unknown"),
    "an unknown provider": Row("nobody/gpt-4o", openai(1, 1), None, "unknown"),
    "no usage": Row(MINI, None, None, "unknown"),
    "usage that makes no sense": Row(MINI, {"prompt_tokens": "many"}, None, "unknown"),
    "estimated tokens": Row(MINI, openai(9, 9, estimated=True), None, "unknown"),
    "on the user's machine": Row("ollama/llama3", openai(1000, 500), "0", "free"),
    "there without usage": Row("ollama/llama3", None, "0", "free"),
    # Prices of one's own
    # 1000 x 1.5 + 500 x 6 = 1500 + 3000
    "the user's": Row(
        OWN, openai(1000, 500), "0.0045", "user", own={OWN: {"input": 1.5, "output": 6}}
    ),
    # 1000 x 0.1 + 500 x 0.2 = 100 + 100
    "the user's wins over the list": Row(
        MINI, openai(1000, 500), "0.0002", "user", own={MINI: {"input": "0.1", "output": "0.2"}}
    ),
    "the user's stands for every tier": Row(
        MINI,
        openai(1000, 500),
        "0.0002",
        "user",
        own={MINI: {"input": "0.1", "output": "0.2"}},
        tier="scale",
    ),
    # 200 x 1 + 800 x 0.5 + 60 x 2 + 40 x 3 = 200 + 400 + 120 + 120, and 1000 for the request
    "the user's of every kind": Row(
        OWN,
        cached(1000, 800, 100) | {"completion_tokens_details": {"reasoning_tokens": 40}},
        "0.00184",
        "user",
        own={
            OWN: {"input": 1, "cache_read": 0.5, "output": 2, "reasoning": 3, "per_request": 0.001}
        },
    ),
    # 1000 x 2 + 500 x 4 = 2000 + 2000
    "a pattern": Row(
        OWN,
        openai(1000, 500),
        "0.004",
        "user",
        own={"openai/*": {"input": 2, "output": 4}, "openai/my-*r": {"input": 9, "output": 9}},
    ),
    # 1000 x 1 + 500 x 1
    "the exact name wins": Row(
        OWN,
        openai(1000, 500),
        "0.0015",
        "user",
        own={OWN: {"input": 1, "output": 1}, "openai/*": {"input": 2, "output": 4}},
    ),
    "declared free": Row("openai/gpt-4o", openai(1000, 500), "0", "free", free="openai/*"),
    "a provider's bill wins over all": Row(
        "openrouter/x/y", openai(1, 1, cost=0.5), "0.5", "provider", free="*"
    ),
    "the user's without a price for what was used": Row(
        OWN, openai(1, 1), None, "unknown", own={OWN: {"input": 1}}
    ),
}


@pytest.fixture(autouse=True)
def _no_prices_are_left() -> Iterator[None]:
    yield
    prices.clear()


def normalised(row: Row) -> Any:
    """The row's usage as the provider's adapter passes it on."""
    provider = row.model.partition("/")[0]
    if isinstance(row.told, Mapping) and "input_tokens" in row.told:
        return usage_to_openai(row.told)
    answer = {"choices": [], "usage": row.told}
    if row.tier:
        answer["service_tier"] = row.tier
    entry = catalog.ENTRIES.get(provider, catalog.entry("openai"))
    return as_openai(entry, attributes(answer))["usage"]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_call_costs_what_was_worked_out_by_hand(row: Row) -> None:
    for reference, amounts in row.own.items():
        prices.set(reference, **amounts)
    if row.free:
        prices.free(row.free)
    provider, _, model = row.model.partition("/")
    told = normalised(row)

    listed = pricing.price_list(provider, model, row.when, row.asked)
    cost, source = pricing.charged(told, Usage.from_openai(told), listed)

    assert cost == (None if row.usd is None else Decimal(row.usd))
    assert source == row.source


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_replay_saves_the_same_by_the_prices_that_were_stored(row: Row) -> None:
    for reference, amounts in row.own.items():
        prices.set(reference, **amounts)
    if row.free:
        prices.free(row.free)
    provider, _, model = row.model.partition("/")
    told = normalised(row)
    listed = pricing.price_list(provider, model, row.when, row.asked)

    stored = pricing.applied(listed, told) or {}

    assert not {"asked", "variants"} & set(stored)
    again = pricing.charged(told, Usage.from_openai(told), stored)
    assert again == pricing.charged(told, Usage.from_openai(told), listed)


# Over HTTP, with the SDKs, into the ledger


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    opened = Client(".", timeout=20)
    yield opened
    opened.close()


def by_complete(client: Client, **options: Any) -> Completion:
    return client.complete("Why?", **options)


def by_stream(client: Client, **options: Any) -> Completion:
    with client.stream("Why?", **options) as stream:
        costs = [chunk.cost for chunk in stream]
    assert costs[-1] == stream.completion.cost
    return stream.completion


HOWS = pytest.mark.parametrize("how", [by_complete, by_stream])


def check(client: Client, completion: Completion, usd: str, source: str) -> dict[str, Any]:
    """The completion and the row of the ledger say it; a replay says it was saved. The row."""
    row = client.history.rows(limit=1)[0]
    assert (completion.cost, completion.cost_source) == (Decimal(usd), source)
    assert (Decimal(row["cost"]), row["cost_source"]) == (Decimal(usd), source)
    return row


@HOWS
def test_cached_reads_end_to_end(client: Client, server: FakeServer, how: Any) -> None:
    server.reply("Because.", usage=cached(1000, 800, 100))

    completion = how(client, model=MINI)

    check(client, completion, "0.00027", "list")
    assert how(client, model=MINI).saved == Decimal("0.00027")


@HOWS
def test_the_tier_that_answers_is_paid_end_to_end(
    client: Client, server: FakeServer, how: Any
) -> None:
    server.reply("Because.", usage=openai(1000, 500), service_tier="flex")

    completion = how(client, model=MINI, service_tier="priority")

    row = check(client, completion, "0.000625", "list")
    stored = json.loads(row["prices"])
    assert (stored["input_mtok"], stored["output_mtok"]) == ("0.125", "1")
    assert not {"asked", "variants"} & set(stored)
    assert row["price_table"] == pricing.price_table_version()
    assert how(client, model=MINI, service_tier="priority").saved == Decimal("0.000625")


def test_a_budget_sets_aside_what_the_tier_that_is_asked_for_costs(
    client: Client, server: FakeServer
) -> None:
    options: Any = {"model": MINI, "max_tokens": 1000}

    # 1000 x 2 and 1000 x 3.6 millionths, and a little for the question
    with budget("0.003"):
        client.complete("Why?", **options)
        with pytest.raises(BudgetExceededError):
            client.complete("Why?", service_tier="priority", **options)
        with pytest.raises(BudgetExceededError, match="price of openai/gpt-4o is unknown"):
            client.complete("Why?", model="openai/gpt-4o", max_tokens=1, service_tier="flex")


@HOWS
def test_claudes_cache_end_to_end(client: Client, server: FakeServer, how: Any) -> None:
    server.reply("Because.", usage=claude(100, 50, 1000, minutes=200, hour=300))

    check(client, how(client, model=CLAUDE), "0.0039", "list")


@HOWS
def test_three_answers_of_one_request_end_to_end(
    client: Client, server: FakeServer, how: Any
) -> None:
    server.reply(["a", "b", "c"], usage=openai(1000, 500))

    completion = how(client, model=MINI, n=3)

    assert len(completion.texts) == 3
    check(client, completion, "0.00125", "list")


@HOWS
def test_three_answers_of_three_requests_end_to_end(
    client: Client, server: FakeServer, how: Any
) -> None:
    for text in "abc":
        server.reply(text, usage=claude(100_000, 10))

    # 300000 x 3 + 30 x 15
    check(client, how(client, model=CLAUDE, n=3), "0.90045", "list")


@HOWS
def test_a_reported_cost_end_to_end(
    client: Client, server: FakeServer, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.openai_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", "test-key-0123456789abcdef")
    server.reply("Because.", usage=openai(9, 9, cost=0.00014))

    check(client, how(client, model="openrouter/openai/gpt-4o-mini"), "0.00014", "provider")


@HOWS
def test_a_price_of_ones_own_end_to_end(client: Client, server: FakeServer, how: Any) -> None:
    prices.set(OWN, input=1.5, output=6)
    server.reply("Because.", usage=openai(1000, 500))

    completion = how(client, model=OWN)

    row = check(client, completion, "0.0045", "user")

    assert row["price_table"] == "user"
    recording = client.shelf.find(completion.key, 0, None)
    assert recording is not None
    recording.check()
    prices.clear()
    assert how(client, model=OWN).saved == Decimal("0.0045")


@HOWS
def test_without_usage_tokens_are_estimated_and_the_cost_is_unknown(
    client: Client, server: FakeServer, how: Any
) -> None:
    server.reply("Because it is.", usage=None)

    completion = how(client, model=MINI)

    assert completion.usage_source == "estimated"
    assert completion.tokens == Usage(uncached_input_tokens=9, output_tokens=4)
    assert (completion.cost, completion.cost_source) == (None, "unknown")
    assert how(client, model=MINI).usage_source == "estimated"


def test_a_stream_that_was_closed_early_has_estimated_tokens(
    client: Client, server: FakeServer
) -> None:
    server.reply("one two three four five", usage=(9, 5))

    with client.stream("Count.", model=MINI) as stream:
        next(chunk for chunk in stream if chunk.text)

    assert stream.completion.usage_source == "estimated"
    assert stream.completion.tokens is not None
    assert stream.completion.cost is None
