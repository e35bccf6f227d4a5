"""Our arithmetic is that of genai-prices, to the last digit; what nobody knows has no price."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import genai_prices.types as theirs
import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from llm_magic import pricing
from llm_magic.pricing import charged, cost, per_token, unit_prices
from llm_magic.types import Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

USAGES = {
    "plain": Usage(uncached_input_tokens=1234, output_tokens=567),
    "cached": Usage(uncached_input_tokens=11, cache_read_tokens=89_017, output_tokens=3),
    "written for 5 minutes": Usage(uncached_input_tokens=7, cache_write_tokens=2051),
    "written for an hour": Usage(
        uncached_input_tokens=7, cache_write_1h_tokens=4099, output_tokens=1
    ),
    "everything": Usage(
        uncached_input_tokens=101,
        cache_read_tokens=203,
        cache_write_tokens=307,
        cache_write_1h_tokens=401,
        output_tokens=503,
        reasoning_tokens=99,
    ),
    "the tier's start": Usage(uncached_input_tokens=200_000, output_tokens=10),
    "above the tier": Usage(
        uncached_input_tokens=1, cache_read_tokens=200_000, cache_write_tokens=5, output_tokens=10
    ),
    "a long one": Usage(uncached_input_tokens=9_999_999, output_tokens=131_072),
    "nothing": Usage(),
}

# What a token of ours can be; the rest is billed by the search, the page, the hour or the pixel,
# or for kinds of tokens that no usage we read tells apart (images, video, citations).
TOKENS = {
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_5m_mtok",
    "cache_write_1h_mtok",
    "output_reasoning_mtok",
    "requests_kcount",
}
# Prices for what our usage says nothing about, so that they add nothing on either side.
ASIDE = {"web_searches_kcount", "storage_searches_kcount"}


def table() -> Iterator[tuple[Any, Any, Any, set[str]]]:
    """Provider, model, prices and the names of the prices, for the whole snapshot."""
    for provider in providers:
        for model in provider.models:
            prices = model.get_prices(NOW)
            yield provider, model, prices, {k for k, v in vars(prices).items() if v is not None}


def expected(prices: theirs.ModelPrice, usage: Usage) -> Decimal:
    return prices.calc_price(
        theirs.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
            cache_write_5m_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
    )["total_price"]


def as_stored(prices: theirs.ModelPrice) -> dict[str, Any]:
    return {k: pricing._price_text(v) for k, v in vars(prices).items() if v is not None}


@pytest.mark.parametrize("usage", USAGES.values(), ids=USAGES)
def test_our_sum_is_theirs_for_every_model(usage: Usage) -> None:
    compared = 0
    for provider, model, prices, names in table():
        needed = {"input_mtok"} | ({"output_mtok"} if usage.output_tokens else set())
        if names <= TOKENS | ASIDE and names >= needed:
            compared += 1
            ours = cost(usage, as_stored(prices))
            assert ours == expected(prices, usage), (provider.id, model.id)

    assert compared > 1900


def test_models_with_other_prices_are_few_and_known() -> None:
    left_out = {name for *_, names in table() for name in names - TOKENS - ASIDE}

    assert left_out == {
        "audio_hours",
        "cache_audio_read_mtok",
        "cache_image_read_mtok",
        "input_annotated_document_kpages",
        "input_audio_hours",
        "input_audio_mtok",
        "input_document_kpages",
        "input_image_mtok",
        "input_mchars",
        "input_text_messages_kcount",
        "input_video_mtok",
        "output_audio_mtok",
        "output_citation_mtok",
        "output_image_mtok",
        "output_video_mtok",
    }


def test_audio_has_its_own_price() -> None:
    compared = 0
    for provider, model, prices, names in table():
        # Without a text usage, their sum for prices of cached audio cannot be asked.
        if (
            {"input_mtok", "output_mtok", "input_audio_mtok"}
            <= names
            <= TOKENS
            | ASIDE
            | {
                "input_audio_mtok",
                "output_audio_mtok",
            }
        ):
            compared += 1
            usage = Usage(
                uncached_input_tokens=100,
                input_audio_tokens=50,
                output_tokens=30,
                # Without a price of its own it would be that of text with them; we have none.
                output_audio_tokens=20 if "output_audio_mtok" in names else 0,
            )
            total = prices.calc_price(
                theirs.Usage(
                    input_tokens=150,
                    input_audio_tokens=50,
                    output_tokens=30,
                    output_audio_tokens=20,
                )
            )["total_price"]
            assert cost(usage, as_stored(prices)) == total, (provider.id, model.id)

    assert compared >= 5


@given(st.tuples(*[st.integers(0, 10**8)] * 5))
def test_a_sum_is_exact_for_any_count(counts: tuple[int, ...]) -> None:
    names = ("input_mtok", "cache_read_mtok", "cache_write_5m_mtok", "cache_write_1h_mtok")
    prices = dict(zip(names, ("3", "0.3", "3.75", "6"), strict=True)) | {"output_mtok": "15"}
    uncached, read, write, write_1h, output = counts

    total = cost(Usage(uncached, read, write, write_1h, 0, output), prices)

    # In hundredths of a dollar for a million tokens, so in whole numbers.
    units = uncached * 300 + read * 30 + write * 375 + write_1h * 600 + output * 1500
    assert total == Decimal(units) / 10**8


AMOUNT = st.decimals(0, 1000, places=4).map(str)
BUCKETS = ("uncached_input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "output")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    counts = [draw(st.integers(0, 10**7)) for _ in BUCKETS]
    reasoning = draw(st.integers(0, counts[-1]))
    return Usage(*counts, reasoning, draw(st.integers(0, counts[-1] - reasoning)))


PRICES = st.fixed_dictionaries(
    {
        "input_mtok": st.one_of(
            AMOUNT,
            st.lists(AMOUNT, min_size=1, max_size=1).map(lambda base: [*base, [200_000, "7.25"]]),
        ),
        "output_mtok": AMOUNT,
    },
    optional=dict.fromkeys(
        (
            "cache_read_mtok",
            "cache_write_mtok",
            "cache_write_1h_mtok",
            "input_audio_mtok",
            "output_reasoning_mtok",
            "output_audio_mtok",
            "requests_kcount",
        ),
        AMOUNT,
    ),
)


@given(usages(), PRICES)
def test_tokens_times_their_prices_are_the_cost_or_there_are_none(
    usage: Usage, prices: dict[str, Any]
) -> None:
    each = per_token({}, usage, prices)

    amount = cost(usage, prices)
    if each is None:
        assert amount is None or Decimal(prices.get("requests_kcount", 0)) > 0
    else:
        tokens = usage.to_dict()
        assert sum((each.get(name, 0) * tokens[name] for name in tokens), Decimal(0)) == amount


@pytest.mark.parametrize(
    ("told", "prices"),
    [
        ({"cost": 0.5}, {"input_mtok": "1", "output_mtok": "2"}),
        ({"estimated": True}, {"input_mtok": "1", "output_mtok": "2"}),
        (
            {"server_tool_use": {"web_search_requests": 2}},
            {"input_mtok": "1", "output_mtok": "2", "web_searches_kcount": "10"},
        ),
        ({}, {"input_mtok": "1", "output_mtok": "2", "requests_kcount": "5"}),
        ({}, {"input_mtok": "1"}),
        ({}, None),
    ],
)
def test_what_tokens_alone_do_not_give_has_no_price_per_token(
    told: dict[str, Any], prices: dict[str, Any] | None
) -> None:
    assert per_token(told, USAGES["plain"], prices) is None


def test_the_price_of_several_requests_is_that_of_one_of_them() -> None:
    usage = Usage(uncached_input_tokens=300, output_tokens=3)
    prices = {"input_mtok": ["1", [200, "2"]], "output_mtok": "4"}

    each = per_token({"requests": 3}, usage, prices)

    assert each is not None
    assert each["uncached_input_tokens"] == Decimal("0.000001")
    assert charged({"requests": 3}, usage, prices)[0] == Decimal("0.000312")


# Looking up


def test_prices_are_found_by_our_names_and_stored_as_text() -> None:
    prices = unit_prices("openai", "gpt-4o-mini", NOW)

    assert prices is not None
    assert {"input_mtok", "output_mtok"} <= prices.keys()
    assert all(isinstance(price, str) for price in prices.values())


def test_a_price_with_tiers_keeps_them() -> None:
    prices = unit_prices("google", "gemini-2.5-pro", NOW)

    assert prices is not None
    base, (start, above) = prices["input_mtok"]
    assert (start, Decimal(above) > Decimal(base)) == (200_000, True)


def test_prices_are_those_of_the_day() -> None:
    changing = [
        (provider.id, model.id, model.prices[1].constraint.start_date)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, list)
        and len(model.prices) == 2
        and isinstance(model.prices[1].constraint, theirs.StartDateConstraint)
        and model.prices[0].prices != model.prices[1].prices
    ]
    provider, model, start = changing[0]
    day = datetime(start.year, start.month, start.day, tzinfo=UTC)

    assert unit_prices(provider, model, day) != unit_prices(provider, model, day - timedelta(1))


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "no-such-model"), ("nobody", "gpt-4o-mini"), ("anthropic", "gpt-4o-mini")],
)
def test_an_unknown_model_has_no_price(provider: str, model: str) -> None:
    assert unit_prices(provider, model, NOW) is None


def test_echo_is_free_and_not_unknown() -> None:
    prices = unit_prices("echo", "echo", NOW)

    assert cost(Usage(uncached_input_tokens=5, output_tokens=5), prices) == Decimal(0)


@pytest.mark.parametrize(
    ("usage", "prices"),
    [
        (None, {"input_mtok": "1", "output_mtok": "1"}),
        (Usage(output_tokens=1), None),
        (Usage(output_tokens=1), {}),
        (Usage(output_tokens=1), {"input_mtok": "1"}),
        (Usage(uncached_input_tokens=1), {"output_mtok": "1"}),
        (Usage(cache_read_tokens=1), {"cache_write_mtok": "1", "output_mtok": "1"}),
    ],
)
def test_what_nobody_knows_costs_none_and_not_nothing(usage: Any, prices: Any) -> None:
    assert cost(usage, prices) is None


def test_tokens_that_were_not_used_need_no_price() -> None:
    assert cost(Usage(uncached_input_tokens=2_000_000), {"input_mtok": "1.5"}) == Decimal(3)


def test_a_price_for_each_request_is_added() -> None:
    prices = {"input_mtok": "1", "output_mtok": "1", "requests_kcount": "5"}

    assert cost(Usage(uncached_input_tokens=1_000_000), prices) == Decimal("1.005")


def test_our_prices_for_every_kind_of_service_are_theirs() -> None:
    contexts = [{"processing": "batch"}, {"speed": "fast"}]
    contexts += [{"service_tier": tier} for tier in ("flex", "priority", "fast")]
    compared = 0
    for provider in providers:
        ours = {"google": "gemini", "x-ai": "xai"}.get(provider.id, provider.id)
        for model in provider.models:
            listed = [variant.when for variant in model.price_variants or ()]
            for context in contexts:
                found = unit_prices(ours, model.id, NOW, context)
                if context in listed and found is not None:
                    compared += 1
                    assert found == as_stored(model.get_prices(NOW, context)), model.id

    assert compared > 150


def test_the_price_table_says_its_version() -> None:
    assert pricing.price_table_version().startswith("genai-prices 0.")


@pytest.mark.parametrize("provider", ["ollama", "vllm", "lmstudio", "llamacpp"])
def test_what_runs_on_the_users_machine_is_free(provider: str) -> None:
    assert unit_prices(provider, "any", NOW) == pricing.FREE


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("gemini", "gemini-2.5-pro"),
        ("xai", "grok-3"),
        ("moonshot", "kimi-k2"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3-0324"),
        ("openrouter", "openai/gpt-4o-mini"),
        ("groq", "llama-3.1-8b-instant"),
    ],
)
def test_prices_are_found_by_the_names_to_ask_for(provider: str, model: str) -> None:
    prices = unit_prices(provider, model, NOW)

    assert prices is not None
    assert "input_mtok" in prices


def test_what_is_listed_has_the_price_of_a_call() -> None:
    listed = pricing.listed("openai", NOW)

    assert [model.name for model in listed if model.name == "gpt-5-mini"] == ["gpt-5-mini"]
    for model in listed:
        found = unit_prices("openai", model.name, NOW)
        assert found is None or found == model.prices
    assert pricing.listed("ollama", NOW) == []


def test_several_requests_are_priced_by_the_size_of_one() -> None:
    prices = {"input_mtok": ["1", [200, "2"]], "output_mtok": "0", "requests_kcount": "5"}
    usage = Usage(uncached_input_tokens=300, output_tokens=3)

    assert cost(usage, prices) == Decimal("0.0056")
    assert cost(usage, prices, requests=3) == Decimal("0.0153")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"cost": None}, None),
        ({"cost": 0}, Decimal(0)),
        ({"cost": 0.00014}, Decimal("0.00014")),
        ({"cost": 1.4e-07}, Decimal("1.4E-7")),
        ({"cost": "0.5"}, Decimal("0.5")),
        ({"cost": True}, None),
        ({"cost": -1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": "much"}, None),
        ({"cost": {"total_cost": 0.006}}, Decimal("0.006")),
        ({"cost": {}}, None),
        (
            {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}},
            Decimal("0.21"),
        ),
        ({"cost": 0.01, "is_byok": True}, None),
        ({"cost": 0.01, "is_byok": False, "cost_details": None}, Decimal("0.01")),
    ],
)
def test_a_provider_may_report_its_own_cost(usage: Any, expected: Decimal | None) -> None:
    assert pricing.reported(usage) == expected


def test_a_call_of_several_requests_is_charged_as_several() -> None:
    prices = {"input_mtok": ["1", [200, "2"]], "output_mtok": "0"}
    usage = Usage(uncached_input_tokens=300)

    assert pricing.charged({"requests": 3}, usage, prices) == (Decimal("0.0003"), "list")
    assert pricing.charged({"requests": 0}, usage, prices) == (Decimal("0.0006"), "list")
    assert pricing.charged(None, usage, prices) == (Decimal("0.0006"), "list")
