"""Calls are spread over the minute, whoever makes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic import limits
from llm_magic.exceptions import ParameterError
from llm_magic.limits import Limit
from llm_magic.types import Request


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_tenth_of_a_minutes_allowance_goes_at_once_and_the_rest_is_spread() -> None:
    limit = Limit(60, clock=Clock())

    waits = [limit.wait(0) for _ in range(10)]

    assert waits[:7] == [0] * 7
    assert waits[7:] == [1, 2, 3]


def test_tokens_count_too() -> None:
    limit = Limit(tokens_per_minute=600, clock=Clock())

    assert [limit.wait(60) for _ in range(3)] == [0, 0, 6]


def test_time_that_passes_gives_the_allowance_back() -> None:
    clock = Clock()
    limit = Limit(60, clock=clock)
    for _ in range(10):
        limit.wait(0)

    clock.now = 60

    assert limit.wait(0) == 0


@given(st.lists(st.floats(0, 30), min_size=5, max_size=60), st.integers(1, 600))
def test_no_minute_has_more_than_its_allowance_and_the_burst(
    gaps: list[float], per_minute: int
) -> None:
    clock = Clock()
    limit = Limit(per_minute, clock=clock)
    sent = []
    for gap in gaps:
        clock.now += gap
        sent.append(clock.now + limit.wait(0))

    for start in sent:
        within = sum(start <= moment < start + 60 for moment in sent)
        assert within <= per_minute * 1.1 + 2


def test_threads_share_a_limit() -> None:
    limit = Limit(60, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: limit.wait(0), range(20)))

    assert waits == [0] * 7 + list(range(1, 14))


def test_only_the_provider_that_has_a_limit_waits() -> None:
    asked = Request("openai", "m", [{"role": "user", "content": "x" * 400}], {"max_tokens": 500})
    limits.set_limit("openai", tokens_per_minute=600)
    try:
        waits = [limits.wait(asked) for _ in range(2)]
        other = limits.wait(Request("anthropic", "m", asked.messages))
    finally:
        limits.set_limit("openai")

    assert waits[0] == 0
    assert waits[1] == pytest.approx(54, abs=1)
    assert other == 0
    assert limits.wait(asked) == 0


@pytest.mark.parametrize("value", [0, -1, float("inf")])
def test_a_limit_is_a_number_above_zero(value: float) -> None:
    with pytest.raises(ParameterError, match="above 0"):
        Limit(value)
