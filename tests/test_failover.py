"""DESIGN §5 as a table, and the order of attempts it leads to."""

from __future__ import annotations

from typing import Any

import pytest

from llm_magic import exceptions, failover
from llm_magic.failover import Attempt, Reaction, attempts, back_off, reaction

REACTIONS: dict[exceptions.LLMMagicError, Reaction] = {
    exceptions.ConnectionFailedError("refused"): Reaction.RETRY,
    exceptions.RequestTimeoutError("late"): Reaction.RETRY,
    exceptions.ConflictError("409"): Reaction.RETRY,
    exceptions.RateLimitError("429"): Reaction.RETRY,
    exceptions.ServerError("500"): Reaction.RETRY,
    exceptions.OverloadedError("529"): Reaction.RETRY,
    exceptions.QuotaError("empty"): Reaction.NEXT,
    exceptions.AuthenticationError("401"): Reaction.NEXT,
    exceptions.PermissionDeniedError("403"): Reaction.NEXT,
    exceptions.NotFoundError("404"): Reaction.NEXT,
    exceptions.MissingKeyError("no key"): Reaction.NEXT,
    exceptions.ModelNameError("unknown"): Reaction.NEXT,
    exceptions.ConfigError("no boto3"): Reaction.NEXT,
    exceptions.BadRequestError("no"): Reaction.RAISE,
    exceptions.BadRequestError("no", code="context_length_exceeded"): Reaction.NEXT,
    exceptions.BadRequestError("prompt is too long: 300 > 200"): Reaction.NEXT,
    exceptions.BadRequestError("Unsupported parameter: 'seed'"): Reaction.NEXT,
    exceptions.IncompleteError("half"): Reaction.RAISE,
    exceptions.ParameterError("ours"): Reaction.RAISE,
    exceptions.StoreError("ours"): Reaction.RAISE,
}


@pytest.mark.parametrize("error", REACTIONS, ids=lambda error: f"{type(error).__name__}-{error}")
def test_a_failure_has_one_reaction(error: exceptions.LLMMagicError) -> None:
    assert reaction(error) is REACTIONS[error]


def drive(candidates: int, num_retries: int, *errors: Any) -> list[int]:
    """Candidates asked, in order, when the attempts fail with these errors."""
    steps = attempts(candidates, num_retries)
    asked = [next(steps).candidate]
    for error in errors:
        try:
            asked.append(steps.send(error).candidate)
        except exceptions.LLMMagicError as raised:
            asked.append(-1 - errors.index(raised))
    return asked


FAILED, REFUSED, WRONG = (
    exceptions.ServerError("500"),
    exceptions.AuthenticationError("401"),
    exceptions.BadRequestError("400"),
)
AGAIN = exceptions.ServerError("500 again")


@pytest.mark.parametrize(
    ("candidates", "num_retries", "errors", "asked"),
    [
        (1, 0, [FAILED], [0, -1]),
        (1, 1, [FAILED, AGAIN], [0, 0, -1]),
        (2, 1, [FAILED, AGAIN, REFUSED], [0, 0, 1, -1]),
        (2, 3, [REFUSED, FAILED], [0, 1, 1]),
        (3, 5, [WRONG], [0, -1]),
        (3, 0, [FAILED, WRONG], [0, 1, -2]),
    ],
)
def test_attempts_follow_the_table_and_the_first_error_is_raised(
    candidates: int, num_retries: int, errors: list[Any], asked: list[int]
) -> None:
    assert drive(candidates, num_retries, *errors) == asked


def test_the_first_attempt_of_a_model_does_not_wait() -> None:
    steps = attempts(2, 1)

    assert next(steps).wait == 0
    assert steps.send(FAILED).wait > 0
    assert steps.send(AGAIN) == Attempt(1, 0.0)


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (3.0, 3.0), (86_400.0, 60.0)])
def test_retry_after_is_honoured_and_capped(asked: float, waited: float) -> None:
    assert back_off(0, exceptions.RateLimitError("429", retry_after=asked)) == waited


@pytest.mark.parametrize(("retry", "longest"), [(0, 0.5), (1, 1.0), (2, 2.0), (9, 8.0)])
def test_back_off_doubles_with_jitter_up_to_its_cap(retry: int, longest: float) -> None:
    waits = [back_off(retry, FAILED) for _ in range(200)]

    assert 0.75 * longest <= min(waits) < max(waits) <= longest
    assert longest <= failover.LONGEST_WAIT
