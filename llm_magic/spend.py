"""What was spent and set aside under each cap, counted in the ledger's file.

A counter has two halves: what is settled, and what is set aside for calls under way. All kernels
that share the file share the counters, and a look and its change are one transaction, so that two
of them can never set aside the same dollar. Amounts are whole picodollars, rounded up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

__all__ = ["CREATE", "Cap", "Counter", "OverCapError", "read", "reserve", "settle"]

CREATE = (
    "CREATE TABLE spend (scope TEXT PRIMARY KEY, settled INTEGER NOT NULL,"
    " reserved INTEGER NOT NULL) WITHOUT ROWID"
)

_PICO = Decimal(10**12)
# SQLite's integers have 64 bits; no budget is that large.
_LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Counter:
    """USD settled, and USD set aside for calls under way."""

    settled: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit on what may be spent.

    Attributes
    ----------
    scope : str
        What is counted, such as ``day:2026-11-20``.
    limit : decimal.Decimal
        USD.
    per : str
        Its name for people: call, cell, session, day, process or block.
    origin : str
        Where it was set.
    """

    scope: str
    limit: Decimal
    per: str
    origin: str = ""

    def admits(self, counter: Counter, amount: Decimal) -> bool:
        """Whether this much more fits under it."""
        return counter.settled + counter.reserved + amount <= self.limit


class OverCapError(Exception):
    """A cap does not admit an amount; ``cap`` and ``counter`` say which, and how far it is used."""

    def __init__(self, cap: Cap, counter: Counter) -> None:
        super().__init__(cap.scope)
        self.cap = cap
        self.counter = counter


def read(connection: sqlite3.Connection, scopes: Iterable[str]) -> dict[str, Counter]:
    """The counters of these scopes."""
    found = {}
    for scope in scopes:
        row = connection.execute(
            "SELECT settled, reserved FROM spend WHERE scope = ?", (scope,)
        ).fetchone()
        found[scope] = Counter(*(amount / _PICO for amount in row)) if row else Counter()
    return found


def reserve(
    connection: sqlite3.Connection, scopes: Sequence[str], amount: Decimal, caps: Sequence[Cap]
) -> None:
    """Set an amount aside in all scopes, within the caller's transaction.

    Raises
    ------
    OverCapError
        For the first cap that does not admit it; nothing was set aside.
    """
    counters = read(connection, [cap.scope for cap in caps])
    for cap in caps:
        if not cap.admits(counters[cap.scope], amount):
            raise OverCapError(cap, counters[cap.scope])
    _add(connection, scopes, 0, _whole(amount))


def settle(
    connection: sqlite3.Connection,
    scopes: Sequence[str],
    reserved: Decimal | None,
    cost: Decimal | None,
    *,
    again: bool = False,
) -> None:
    """Count what a call cost in place of what was set aside for it.

    Parameters
    ----------
    reserved : decimal.Decimal or None
        What was set aside; None without a cap.
    cost : decimal.Decimal or None
        What it cost; None when nobody knows, and what was set aside counts.
    again : bool
        The call was settled before, as one of unknown outcome, and now its cost is known.
    """
    aside = _whole(reserved or Decimal(0))
    final = aside if cost is None else _whole(cost)
    if again:
        _add(connection, scopes, final - aside, 0)
    else:
        _add(connection, scopes, final, -aside)


def _add(connection: sqlite3.Connection, scopes: Sequence[str], settled: int, aside: int) -> None:
    if settled or aside:
        connection.executemany(
            "INSERT INTO spend VALUES (?, ?, ?) ON CONFLICT (scope)"
            " DO UPDATE SET settled = settled + excluded.settled,"
            " reserved = reserved + excluded.reserved",
            [(scope, settled, aside) for scope in scopes],
        )


def _whole(amount: Decimal) -> int:
    return min(int((amount * _PICO).to_integral_value(ROUND_CEILING)), _LARGEST)
