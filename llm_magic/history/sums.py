"""Sums over the ledger, in which spent, saved and unknown are never mixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = ["GROUPED", "SUMMED", "Sums", "Totals"]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the ledger.

    Attributes
    ----------
    spent, saved : decimal.Decimal
        USD paid for live calls; USD that replays would have cost.
    unknown, saved_unknown : int
        Live calls whose cost nobody knows; replays of which nobody knows what they saved.
    calls, live, replayed, failed : int
        Calls in all; by source; those without an answer.
    estimated : int
        Live calls whose tokens were estimated, because the provider did not tell.
    input_tokens, output_tokens : int
        Tokens of live calls.
    cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens : int
        Parts of the input.
    reasoning_tokens, output_audio_tokens : int
        Parts of the output.
    since : datetime.datetime or None
        From when on calls are counted, where older ones were deleted; else None.
    """

    spent: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    unknown: int = 0
    saved_unknown: int = 0
    calls: int = 0
    live: int = 0
    replayed: int = 0
    failed: int = 0
    estimated: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    since: datetime | None = None

    @property
    def uncached_input_tokens(self) -> int:
        """Input tokens that were read anew, those that went into the cache not among them."""
        return (
            self.input_tokens
            - self.cache_read_tokens
            - self.cache_write_tokens
            - self.cache_write_1h_tokens
            - self.input_audio_tokens
        )

    @property
    def cached_share(self) -> float | None:
        """Share of the input that came from the provider's cache; None without any input."""
        return self.cache_read_tokens / self.input_tokens if self.input_tokens else None


_TOKENS = tuple(name for name in Totals.__slots__ if name.endswith("_tokens"))
# What a sum is made of, and what must be alike in the rows that make one line of it: so amounts
# are added exactly, as decimals.
SUMMED = "source, status, cost, saved, count(*), total(usage_source = 'estimated'), " + ", ".join(
    f"total({name})" for name in _TOKENS
)
GROUPED = "GROUP BY source, status, cost, saved"


class Sums:
    """Totals in the making."""

    def __init__(self, other: Sums | None = None) -> None:
        self._spent: Decimal = other._spent if other else Decimal(0)
        self._saved: Decimal = other._saved if other else Decimal(0)
        self._counts: dict[str, int] = dict(other._counts) if other else {}

    def add(self, lines: Iterable[Sequence[Any]]) -> Sums:
        """Take in what a query for ``SUMMED`` found; returns the sums themselves."""
        for line in lines:
            self._add(*line)
        return self

    def _add(
        self,
        source: str,
        status: str,
        cost: str | None,
        saved: str | None,
        count: int,
        estimated: float,
        *tokens: float,
    ) -> None:
        self._count("calls", count)
        if status not in ("ok", "pending", "closed"):
            self._count("failed", count)
        if status == "refused":
            return
        if source == "live":
            self._count("live", count)
            self._count("estimated", int(estimated or 0))
            for name, number in zip(_TOKENS, tokens, strict=True):
                self._count(name, int(number))
            if cost is not None:
                self._spent += Decimal(cost) * count
            elif status != "pending":
                self._count("unknown", count)
        elif status != "miss":
            self._count("replayed", count)
            self._saved += Decimal(saved or 0) * count
            self._count("saved_unknown", count if saved is None else 0)

    def _count(self, name: str, number: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + number

    def totals(self, since: datetime | None = None) -> Totals:
        """The sums as they are now."""
        return Totals(spent=self._spent, saved=self._saved, since=since, **self._counts)
