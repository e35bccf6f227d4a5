"""What a call costs: unit prices from genai-prices, arithmetic on token buckets.

Prices are looked up before a call is sent and stored beside its answer, so that a replay is priced
without the price table, and a wrong table can never lose an answer. Money is ``Decimal``; a price
that nobody knows is None, never 0.

Source: https://github.com/pydantic/genai-prices (MIT). Its snapshot is shared by the process and
can be swapped by other libraries, so we hold our own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic.types import Usage

__all__ = ["UnitPrices", "cost", "price_table_version", "unit_prices"]

# Prices in USD as decimal text by genai-prices' names (``input_mtok``: per million tokens), or for
# a price that depends on the size of the input ``[base, [tokens, price], ...]``.
UnitPrices = Mapping[str, Any]

# A price of nothing is a price: declared free, not unknown.
FREE: UnitPrices = {"input_mtok": "0", "output_mtok": "0"}

# Names of our providers that genai-prices calls otherwise.
_NAMES = {"bedrock": "aws", "gemini": "google", "moonshot": "moonshotai", "xai": "x-ai"}

# A bucket, and where its price stands; the first that is given is used.
_BUCKETS = {
    "uncached_input_tokens": ("input_mtok",),
    "cache_read_tokens": ("cache_read_mtok", "input_mtok"),
    "cache_write_tokens": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h_tokens": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "input_audio_tokens": ("input_audio_mtok", "input_mtok"),
}

_MILLION = Decimal(1_000_000)
_lock = threading.Lock()
_snapshot: Any = None


def unit_prices(provider: str, model: str, when: datetime) -> UnitPrices | None:
    """List prices of a model at a time; None when nobody knows them.

    Parameters
    ----------
    provider, model : str
        The two halves of a model reference.
    when : datetime.datetime
        Time of the call: prices change.

    Returns
    -------
    dict or None
        USD as decimal text, by the names of genai-prices.
    """
    if provider == "echo":
        return FREE
    try:
        _, found = _table().find_provider_model(
            model.removeprefix("models/"), None, _NAMES.get(provider, provider), None
        )
    except LookupError:
        return None
    prices = {
        name: _price_text(value)
        for name, value in vars(found.get_prices(when)).items()
        if value is not None and not name.startswith("_")
    }
    return prices if "input_mtok" in prices or "output_mtok" in prices else None


def _price_text(value: Any) -> Any:
    if hasattr(value, "tiers"):
        return [str(value.base), *([tier.start, str(tier.price)] for tier in value.tiers)]
    return str(value)


def _table() -> Any:
    global _snapshot
    with _lock:
        if _snapshot is None:
            from genai_prices.data import providers
            from genai_prices.data_snapshot import DataSnapshot

            _snapshot = DataSnapshot(providers=list(providers), from_auto_update=False)
        return _snapshot


def price_table_version() -> str:
    """Name and version of the price table."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def cost(usage: Usage | None, prices: UnitPrices | None) -> Decimal | None:
    """USD for the tokens of one call; None when tokens or prices are unknown.

    A price with tiers applies as a whole once the input passes the tier's start, as the vendors
    that have them bill it.

    >>> cost(Usage(uncached_input_tokens=1000, output_tokens=500),
    ...      {"input_mtok": "0.25", "output_mtok": "2"})
    Decimal('0.00125')
    """
    if usage is None or not prices:
        return None
    if usage.output_tokens and "output_mtok" not in prices:
        return None
    total = Decimal(0)
    for bucket, names in _BUCKETS.items():
        total += _amount(getattr(usage, bucket), names, prices, usage)
    reasoning = usage.reasoning_tokens if "output_reasoning_mtok" in prices else 0
    audio = usage.output_audio_tokens if "output_audio_mtok" in prices else 0
    total += _amount(usage.output_tokens - reasoning - audio, ("output_mtok",), prices, usage)
    total += _amount(reasoning, ("output_reasoning_mtok",), prices, usage)
    total += _amount(audio, ("output_audio_mtok",), prices, usage)
    if "requests_kcount" in prices:
        total += Decimal(prices["requests_kcount"]) / 1000
    return total.normalize() if total else Decimal(0)


def _amount(count: int, names: tuple[str, ...], prices: UnitPrices, usage: Usage) -> Decimal:
    for name in names if count else ():
        if name in prices:
            return _tier(prices[name], usage.input_tokens) * count / _MILLION
    return Decimal(0)


def _tier(price: Any, input_tokens: int) -> Decimal:
    if isinstance(price, str):
        return Decimal(price)
    base, *tiers = price
    reached = [amount for start, amount in tiers if input_tokens > start]
    return Decimal(reached[-1] if reached else base)
