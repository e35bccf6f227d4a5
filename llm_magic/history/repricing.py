"""What rows cost by today's prices, from the tokens that they have.

A row is left as it is where that would be a guess: when a provider itself said what the call cost,
when its tokens and its prices do not give the cost that it has (several requests, searches,
pictures), when its tokens were estimated, and when nobody knows a price today.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic import pricing
from llm_magic.formats import counted, table, usd
from llm_magic.pricing import UnitPrices
from llm_magic.types import Usage

__all__ = ["READ", "Change", "Repricing", "changes"]

# Columns that a price depends on.
_BUCKETS = tuple(Usage.__dataclass_fields__)
READ = (
    *("id", "session", "started", "source", "provider", "model", "service_tier"),
    *("usage_source", "prices", "price_table", "cost", "saved", "cost_source", "reserved"),
    *_BUCKETS,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What repricing does to one row.

    Attributes
    ----------
    row : dict
        The row as it was.
    amount : decimal.Decimal
        USD: its cost now, or of a replay what it saved.
    prices : dict
        Unit prices.
    """

    row: Mapping[str, Any]
    amount: Decimal
    prices: UnitPrices

    @property
    def before(self) -> Decimal | None:
        """USD as it was; None when nobody knew."""
        return _amount(self.row)

    def columns(self) -> dict[str, Any]:
        """Values to write."""
        written = {"prices": dict(self.prices), "price_table": pricing.price_table(self.prices)}
        if self.row["source"] == "replay":
            return {**written, "saved": self.amount}
        free = self.prices == pricing.FREE
        source = "free" if free else self.prices.get("source", "list")
        return {**written, "cost": self.amount, "cost_source": source}


@dataclass(frozen=True, slots=True)
class Repricing:
    """What :func:`llm_magic.history.reprice` changed; printed, it is a table.

    Attributes
    ----------
    models : dict
        By model, and ``live`` or ``replay``: how many calls changed, USD before and now, and of
        how many nobody knew it before.
    calls : int
        Calls that changed.
    """

    models: Mapping[tuple[str, str], tuple[int, Decimal, Decimal, int]]

    @property
    def calls(self) -> int:
        """Calls that changed."""
        return sum(line[0] for line in self.models.values())

    @classmethod
    def of(cls, changed: Iterable[Change]) -> Repricing:
        """The sums of these changes."""
        models: dict[tuple[str, str], tuple[int, Decimal, Decimal, int]] = {}
        for change in changed:
            name = f"{change.row['provider']}/{change.row['model']}", change.row["source"]
            calls, before, now, unknown = models.get(name, (0, Decimal(0), Decimal(0), 0))
            models[name] = (
                calls + 1,
                before + (change.before or 0),
                now + change.amount,
                unknown + (change.before is None),
            )
        return cls(dict(sorted(models.items())))

    def __str__(self) -> str:
        if not self.models:
            return "no call has another price today"
        rows = [
            [model, source, str(calls), usd(before), str(unknown) if unknown else "", usd(now)]
            for (model, source), (calls, before, now, unknown) in self.models.items()
        ]
        header = ["model", "source", "calls", "before", "unknown before", "now"]
        return f"{table(header, rows)}\n{counted(self.calls, 'call')} repriced"

    __repr__ = __str__


def changes(rows: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The rows whose price is another one today.

    Parameters
    ----------
    rows : iterable of dict
        Values of the columns in ``READ``.
    """
    return [change for row in rows if (change := _change(row)) is not None]


def _change(row: Mapping[str, Any]) -> Change | None:
    usage = _usage(row)
    if usage is None or row["started"] is None or not _follows_from_tokens(row, usage):
        return None
    when = datetime.fromisoformat(row["started"])
    told = {"service_tier": row["service_tier"]} if row["service_tier"] else {}
    prices = pricing.unit_prices(row["provider"], row["model"], when, told)
    amount = pricing.cost(usage, prices)
    if prices is None or amount is None or amount == _amount(row):
        return None
    if prices.get("source") is None and row["price_table"] == pricing.price_table(prices):
        # The same list: what differs is a kind of service that the row does not name.
        return None
    return Change(row, amount, prices)


def _follows_from_tokens(row: Mapping[str, Any], usage: Usage) -> bool:
    """Whether its tokens and its prices, if it has any, give the amount that it has."""
    if row["cost_source"] in ("provider", "unbilled") or row["usage_source"] == "estimated":
        return False
    prices = json.loads(row["prices"]) if row["prices"] else None
    return bool(pricing.cost(usage, prices) == _amount(row))


def _usage(row: Mapping[str, Any]) -> Usage | None:
    counts = {name: row[name] for name in _BUCKETS}
    if any(type(count) is not int or count < 0 for count in counts.values()):
        return None
    return Usage(**counts)


def _amount(row: Mapping[str, Any]) -> Decimal | None:
    text = row["saved"] if row["source"] == "replay" else row["cost"]
    return None if text is None else Decimal(text)
