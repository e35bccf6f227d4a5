"""What to do when a call fails: once more, the next model, or give up. One table for everything.

=====================================================  ===========================================
what happened                                          what we do
=====================================================  ===========================================
connect error, timeout, 408, 409, 425, 429, 5xx, 529   retry up to ``num_retries``; then next model
401, 403, 404, missing key, unknown name, quota,       next model at once
an extra that is not installed
400, 413, 422                                          raise; next model only where another one may
                                                       do: context length, unsupported parameter
stream                                                 all of this until the first token; then raise
=====================================================  ===========================================

The SDKs' own retries are off, so this is the only layer. Decisions are made by one generator, which
a sync and an async loop drive; it never waits itself.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Generator
from dataclasses import dataclass

from llm_magic import exceptions
from llm_magic.exceptions import LLMMagicError, ProviderError

__all__ = ["Attempt", "Reaction", "attempts", "back_off", "reaction"]


class Reaction(enum.Enum):
    """What a failure calls for."""

    RETRY = "once more, then the next model"
    NEXT = "the next model at once"
    RAISE = "give up"


# The first class that fits decides; subclasses stand before their parents.
_TABLE: tuple[tuple[type[LLMMagicError], Reaction], ...] = (
    (exceptions.QuotaError, Reaction.NEXT),
    (exceptions.RateLimitError, Reaction.RETRY),
    (exceptions.ConflictError, Reaction.RETRY),
    (exceptions.ServerError, Reaction.RETRY),
    (exceptions.ConnectionFailedError, Reaction.RETRY),
    (exceptions.AuthenticationError, Reaction.NEXT),
    (exceptions.PermissionDeniedError, Reaction.NEXT),
    (exceptions.NotFoundError, Reaction.NEXT),
    (exceptions.MissingKeyError, Reaction.NEXT),
    (exceptions.ConfigError, Reaction.NEXT),  # an SDK's extra that is not installed
    (exceptions.ModelNameError, Reaction.NEXT),
)

# Words by which providers say that the request is fine, but not for this model.
_ANOTHER_MODEL_MAY = (
    "context_length_exceeded",
    "context length",
    "context window",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "unsupported_parameter",
    "unsupported parameter",
    "unsupported_value",
    "not supported",
    "does not support",
)

# Seconds: the first wait, the longest of ours, and the longest that a provider may ask for.
FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
LONGEST_RETRY_AFTER = 60.0


def reaction(error: LLMMagicError) -> Reaction:
    """What a failure calls for, as long as no token was delivered."""
    for family, answer in _TABLE:
        if isinstance(error, family):
            return answer
    if isinstance(error, exceptions.BadRequestError):
        said = f"{error.code} {error}".lower()
        if any(word in said for word in _ANOTHER_MODEL_MAY):
            return Reaction.NEXT
    return Reaction.RAISE


def back_off(retry: int, error: LLMMagicError) -> float:
    """Seconds to wait before the retry with this number, from 0.

    What the provider asks for in Retry-After counts, up to a minute; else the wait doubles from
    half a second to eight, less up to a quarter by chance, so that many callers do not come back
    together.
    """
    asked = error.retry_after if isinstance(error, ProviderError) else None
    if asked is not None:
        return min(asked, LONGEST_RETRY_AFTER)
    # Chance for spreading load, not for secrets.
    spread = random.uniform(0.75, 1.0)  # noqa: S311
    return spread * min(FIRST_WAIT * 2.0**retry, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to be sent.

    Attributes
    ----------
    candidate : int
        Which of the models is asked, from 0.
    wait : float
        Seconds to wait first.
    """

    candidate: int
    wait: float = 0.0


def attempts(candidates: int, num_retries: int) -> Generator[Attempt, LLMMagicError, None]:
    """The attempts of one call, in order; send each failure in to get the next one.

    Parameters
    ----------
    candidates : int
        How many models there are: the one that was asked for and its fallbacks.
    num_retries : int
        How often each may be asked again.

    Raises
    ------
    LLMMagicError
        The first failure when nothing is left to try, or the one that ends it all.

    Examples
    --------
    >>> steps = attempts(2, num_retries=0)
    >>> next(steps)
    Attempt(candidate=0, wait=0.0)
    >>> steps.send(exceptions.NotFoundError("no such model"))
    Attempt(candidate=1, wait=0.0)
    """
    first: LLMMagicError | None = None
    for candidate in range(candidates):
        wait = 0.0
        for retry in range(num_retries + 1):
            error = yield Attempt(candidate, wait)
            first = first or error
            answer = reaction(error)
            if answer is Reaction.RAISE:
                raise error
            if answer is Reaction.NEXT:
                break
            wait = back_off(retry, error)
    assert first is not None
    raise first
