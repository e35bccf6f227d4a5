"""Rate limits of our own: calls are spread so that a provider's limits are not run into.

A limit is shared by all threads, tasks and clients of the process. It is a leaky bucket in the form
of the generic cell rate algorithm: every call moves the moment at which the next one is due, and is
told how long to wait. A tenth of a minute's allowance may go at once.

Source: ITU-T I.371, Annex A (virtual scheduling).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llm_magic.exceptions import ParameterError
from llm_magic.types import Request

__all__ = ["Limit", "clear", "set_limit", "wait"]

_MINUTE = 60.0
_BURST = 0.1


@dataclass(slots=True)
class _Bucket:
    per_minute: float
    due: float = 0.0

    def take(self, amount: float, now: float) -> float:
        """Seconds until this amount may go; counted from now on as gone."""
        due = max(self.due, now)
        self.due = due + amount * _MINUTE / self.per_minute
        return max(0.0, due - now - _BURST * _MINUTE)


class Limit:
    """Requests and tokens per minute of one provider.

    Parameters
    ----------
    requests_per_minute, tokens_per_minute : float, optional
        None for no limit.
    clock : callable
        Seconds, for tests.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for value in (requests_per_minute, tokens_per_minute):
            if value is not None and not 0 < value < float("inf"):
                raise ParameterError(f"a limit of {value!r} per minute: use a number above 0")
        self._requests = _Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = _Bucket(tokens_per_minute) if tokens_per_minute else None
        self._clock = clock
        self._lock = threading.Lock()

    def wait(self, tokens: float) -> float:
        """Seconds to wait before a call of about that many tokens; it counts as sent."""
        with self._lock:
            now = self._clock()
            waits = [0.0]
            if self._requests is not None:
                waits.append(self._requests.take(1, now))
            if self._tokens is not None:
                waits.append(self._tokens.take(tokens, now))
            return max(waits)


_limits: dict[str, Limit] = {}


def set_limit(
    provider: str,
    *,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
) -> None:
    """Keep calls to a provider under its limits; without a number the limit is taken away.

    Parameters
    ----------
    provider : str
        Name in the catalog.
    requests_per_minute, tokens_per_minute : float, optional
        What the provider allows. Tokens are estimated before a call: input and ``max_tokens``.
    """
    if requests_per_minute is None and tokens_per_minute is None:
        _limits.pop(provider, None)
    else:
        _limits[provider] = Limit(requests_per_minute, tokens_per_minute)


def clear() -> None:
    """Take all limits away."""
    _limits.clear()


def wait(request: Request) -> float:
    """Seconds to wait before this request may be sent; it counts as sent."""
    limit = _limits.get(request.provider)
    return limit.wait(_estimate(request)) if limit is not None else 0.0


# UTF-8 bytes a token, roughly, for English; a limit needs no more.
_BYTES_PER_TOKEN = 4


def _estimate(request: Request) -> float:
    size = sum(len(str(message.get("content"))) for message in request.messages)
    limits = (request.parameters.get(name) for name in ("max_completion_tokens", "max_tokens"))
    output = next((limit for limit in limits if isinstance(limit, int)), 0)
    return size / _BYTES_PER_TOKEN + output
