"""Prices of the user's own: in code and in pyproject.toml, exact and by pattern."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pytest

from llm_magic import config, prices
from llm_magic.exceptions import ConfigError
from llm_magic.own_prices import find

OWN = "openai/my-ft"


@pytest.fixture(autouse=True)
def _no_prices_are_left() -> Iterator[None]:
    yield
    prices.clear()


def project(text: str) -> None:
    Path("pyproject.toml").write_text(text)
    config._default = None


def test_what_was_set_is_what_you_get() -> None:
    prices.set(OWN, input=1.5, output="6.00", cache_write_1h=Decimal(3), per_request=0.01)

    assert prices.get(OWN) == {
        "input": Decimal("1.5"),
        "output": Decimal("6.00"),
        "cache_write_1h": Decimal(3),
        "per_request": Decimal("0.01"),
        "source": "user",
    }


@pytest.mark.parametrize("amount", [0.1, "0.1", "$0.1", Decimal("0.1"), numpy.float64(0.1)])
def test_a_price_is_a_number_as_it_is_written(amount: Any) -> None:
    prices.set(OWN, input=amount)

    assert prices.get(OWN) == {"input": Decimal("0.1"), "source": "user"}


def test_the_list_is_told_in_the_same_words() -> None:
    assert prices.get("openai/gpt-5-mini", datetime(2026, 11, 20, tzinfo=UTC)) == {
        "input": Decimal("0.25"),
        "output": Decimal("2"),
        "cache_read": Decimal("0.025"),
        "source": "list",
    }


def test_a_price_with_tiers_is_told_with_them() -> None:
    found = prices.get("gemini/gemini-2.5-pro", datetime(2026, 11, 20, tzinfo=UTC))

    assert found is not None
    assert found["input"] == [(0, Decimal("1.25")), (200_000, Decimal("2.5"))]


def test_what_nobody_knows_is_none() -> None:
    assert prices.get(OWN) is None


def test_what_is_free_says_so() -> None:
    prices.free("corp/*")

    assert prices.get("corp/llama") == {"input": 0, "output": 0, "source": "free"}
    assert prices.get("ollama/llama") == {"input": 0, "output": 0, "source": "free"}


def test_a_local_model_may_be_given_a_price() -> None:
    prices.set("ollama/*", input=0.01, output=0.01)

    assert prices.get("ollama/llama3") == {
        "input": Decimal("0.01"),
        "output": Decimal("0.01"),
        "source": "user",
    }


@pytest.mark.parametrize(
    ("reference", "fits"),
    [
        ("openai/my-ft", True),
        ("OpenAI/My-FT", True),
        ("openai/my-*", True),
        ("*/my-ft", True),
        ("openai/*", True),
        ("*", True),
        ("openai/*f*", True),
        ("openai/my", False),
        ("openai/my-ft*x", False),
        ("openai/my-[a-z]t", False),
        ("openai/my?ft", False),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(reference: str, fits: bool) -> None:
    prices.set(reference, input=1)

    assert (find("openai", "my-ft") is not None) is fits


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    prices.set("openai/" + "*a" * 40 + "*b", input=1)

    # With backtracking this would not end.
    assert find("openai", "a" * 300) is None


def test_a_bracket_in_a_name_is_a_bracket() -> None:
    prices.set("openai/my[1]?", input=1)

    assert find("openai", "my[1]?") is not None


def price() -> str | None:
    found = find("openai", "my-ft")
    return None if found is None else str(found["input_mtok"])


def test_the_latest_of_two_patterns_counts() -> None:
    prices.set("openai/*", input=1)
    prices.set("openai/my-*", input=2)
    prices.set("openai/*", input=3)

    assert price() == "3"


def test_an_exact_name_wins_over_a_pattern_whenever_it_was_set() -> None:
    prices.set(OWN, input=1)
    prices.set("openai/*", input=2)

    assert price() == "1"


PROJECT = """
[tool.llm_magic.prices."openai/my-ft"]
input = 1
output = 2.5
[tool.llm_magic.prices."openai/*"]
input = 3
"""


def test_the_project_file_names_prices() -> None:
    project(PROJECT)

    assert prices.get(OWN) == {"input": Decimal(1), "output": Decimal("2.5"), "source": "user"}
    assert prices.get("openai/gpt-5-mini") == {"input": Decimal(3), "source": "user"}


def test_code_wins_over_the_project_file_among_equals() -> None:
    project(PROJECT)
    prices.set("openai/*", input=4)

    assert prices.get("openai/other") == {"input": Decimal(4), "source": "user"}
    assert price() == "1"
    prices.set(OWN, input=5)
    assert price() == "5"


def test_clearing_leaves_what_the_project_file_says() -> None:
    project(PROJECT)
    prices.set(OWN, input=5)
    prices.free("corp/*")

    prices.clear(OWN)

    assert price() == "1"
    assert find("corp", "m") is not None
    prices.clear()
    assert find("corp", "m") is None


def test_a_table_shows_them_with_what_counts_most_last() -> None:
    project(PROJECT)
    prices.set(OWN, input=5, per_request="0.001")
    prices.free("corp/*")

    lines = [line.split("  ") for line in prices.show().splitlines()]

    assert [line[0] for line in lines] == ["model", "openai/*", "corp/*", OWN, OWN]
    assert "input 5, per_request 0.001" in prices.show()
    assert str(Path("pyproject.toml").resolve()) in prices.show()


@pytest.mark.parametrize(
    ("reference", "amounts", "message"),
    [
        (OWN, {"inptu": 1}, "no price is called 'inptu'; did you mean input"),
        (OWN, {"input": -1}, "input = -1: it takes an amount in USD"),
        (OWN, {"input": float("nan")}, "input = nan: it takes an amount in USD"),
        (OWN, {"input": float("inf")}, "input = inf: it takes an amount in USD"),
        (OWN, {"input": True}, "input = True: it takes an amount in USD"),
        (OWN, {"input": None}, "input = None: it takes an amount in USD"),
        (OWN, {"input": "cheap"}, "input = 'cheap': it takes an amount in USD"),
        (OWN, {"per_request": 1000}, "per_request = 1000: it takes an amount in USD"),
        (OWN, {}, "say a price"),
        ("my-ft", {"input": 1}, "'my-ft': prices are for 'provider/model'"),
        ("", {"input": 1}, "prices are for 'provider/model'"),
    ],
)
def test_what_is_no_price_is_refused_in_one_line(
    reference: str, amounts: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prices.set(reference, **amounts)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert prices.show().count("\n") == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"openai/my-ft" = 1', "[tool.llm_magic.prices] openai/my-ft: say a price"),
        ('"openai/my-ft" = {inptu = 1}', "no price is called 'inptu'; did you mean input"),
        ('"openai/my-ft" = {input = -1}', "input = -1: it takes an amount in USD"),
        ('"openai/my-ft" = {input = nan}', "input = nan: it takes an amount in USD"),
    ],
)
def test_a_mistake_in_the_project_file_says_where_it_stands(text: str, message: str) -> None:
    project(f"[tool.llm_magic.prices]\n{text}\n")

    with pytest.raises(ConfigError) as caught:
        prices.get(OWN)

    assert str(caught.value).startswith(str(Path("pyproject.toml").resolve()))
    assert message in str(caught.value)


def test_prices_that_are_no_table_are_refused() -> None:
    project("[tool.llm_magic]\nprices = 1\n")

    with pytest.raises(ConfigError, match="holds a table for each model"):
        prices.get(OWN)


def test_clearing_what_was_never_set_names_the_nearest() -> None:
    prices.set(OWN, input=1)

    with pytest.raises(ConfigError, match="did you mean openai/my-ft"):
        prices.clear("openai/my-tf")


@pytest.mark.parametrize("reference", ["my-ft", "/my-ft", "openai/"])
def test_only_a_reference_has_a_price(reference: str) -> None:
    with pytest.raises(ConfigError, match="prices are for provider/model"):
        prices.get(reference)
