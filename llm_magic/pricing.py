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
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic.types import Usage

__all__ = [
    "ListedModel",
    "UnitPrices",
    "cost",
    "declare_free",
    "listed",
    "price_table_version",
    "reported",
    "unit_prices",
]

# Prices in USD as decimal text by genai-prices' names (``input_mtok``: per million tokens), or for
# a price that depends on the size of the input ``[base, [tokens, price], ...]``.
UnitPrices = Mapping[str, Any]

# A price of nothing is a price: declared free, not unknown.
FREE: UnitPrices = {"input_mtok": "0", "output_mtok": "0"}

# Names of our providers that genai-prices calls otherwise.
_NAMES = {"bedrock": "aws", "gemini": "google", "moonshot": "moonshotai", "xai": "x-ai"}

# Providers that run on the user's own machine.
_free = {"echo", "llamacpp", "lmstudio", "ollama", "vllm"}

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
    if provider in _free:
        return FREE
    try:
        _, found = _table().find_provider_model(
            model.removeprefix("models/"), None, _NAMES.get(provider, provider), None
        )
    except LookupError:
        return None
    return _prices(found, when)


def _prices(model: Any, when: datetime) -> UnitPrices | None:
    prices = {
        name: _price_text(value)
        for name, value in vars(model.get_prices(when)).items()
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


def declare_free(provider: str) -> None:
    """From now on this provider costs nothing: it runs on the user's own machine."""
    _free.add(provider)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """What the price table says of one model."""

    name: str
    context_window: int | None
    prices: UnitPrices | None


# Where the table's name of a model is not the one to ask for it by, and where it lists what the
# provider serves at other addresses.
_ASKED_AS = {"fireworks": "accounts/fireworks/models/"}
_SERVED = {"gemini": ("gemini", "gemma")}


def listed(provider: str, when: datetime) -> list[ListedModel]:
    """The models of a provider that the price table knows, with list prices at a time."""
    wanted = _NAMES.get(provider, provider)
    found = [each.models for each in _table().providers if each.id == wanted]
    return [
        ListedModel(
            _ASKED_AS.get(provider, "") + model.id, model.context_window, _prices(model, when)
        )
        for models in found
        for model in models
        if model.id.startswith(_SERVED.get(provider, ""))
    ]


def price_table_version() -> str:
    """Name and version of the price table."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def cost(usage: Usage | None, prices: UnitPrices | None, *, requests: int = 1) -> Decimal | None:
    """USD for the tokens of one call; None when tokens or prices are unknown.

    A price with tiers applies as a whole once the input passes the tier's start, as the vendors
    that have them bill it. A call that went out as several equal requests, for several choices,
    tells how many: the tier goes by the input of one.

    >>> cost(Usage(uncached_input_tokens=1000, output_tokens=500),
    ...      {"input_mtok": "0.25", "output_mtok": "2"})
    Decimal('0.00125')
    """
    if usage is None or not prices:
        return None
    reasoning = usage.reasoning_tokens if "output_reasoning_mtok" in prices else 0
    audio = usage.output_audio_tokens if "output_audio_mtok" in prices else 0
    parts = [(getattr(usage, bucket), names) for bucket, names in _BUCKETS.items()]
    parts += [
        (usage.output_tokens - reasoning - audio, ("output_mtok",)),
        (reasoning, ("output_reasoning_mtok",)),
        (audio, ("output_audio_mtok",)),
    ]
    total = Decimal(0)
    for count, names in parts:
        price = next((prices[name] for name in names if name in prices), None)
        if count and price is None:
            return None
        if count:
            total += _tier(price, usage.input_tokens // requests) * count / _MILLION
    if "requests_kcount" in prices:
        total += Decimal(prices["requests_kcount"]) * requests / 1000
    return total.normalize() if total else Decimal(0)


def _tier(price: Any, input_tokens: int) -> Decimal:
    if isinstance(price, str):
        return Decimal(price)
    base, *tiers = price
    reached = [amount for start, amount in tiers if input_tokens > start]
    return Decimal(reached[-1] if reached else base)


def reported(usage: Mapping[str, Any] | None) -> Decimal | None:
    """USD that the provider itself says the call cost; None when it does not say.

    OpenRouter and Perplexity do. With a key of the user's own, OpenRouter reports its fee and the
    vendor's bill apart.

    >>> reported({"prompt_tokens": 9, "cost": 0.00014})
    Decimal('0.00014')
    >>> reported({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.3}})
    Decimal('0.3')
    """
    told = (usage or {}).get("cost")
    if isinstance(told, Mapping):
        told = told.get("total_cost")
    amount = _amount(told)
    if amount is None or usage is None or not usage.get("is_byok"):
        return amount
    vendor = _amount((usage.get("cost_details") or {}).get("upstream_inference_cost"))
    return None if vendor is None else amount + vendor


def charged(
    told: Mapping[str, Any] | None, usage: Usage | None, prices: UnitPrices | None
) -> tuple[Decimal | None, str]:
    """What a live call cost, and who says so.

    Parameters
    ----------
    told : mapping or None
        The provider's own usage object; a cost in it wins.
    usage : Usage or None
        Token buckets.
    prices : dict or None
        Unit prices.

    Returns
    -------
    cost : decimal.Decimal or None
        USD; None when nobody knows.
    source : str
        ``provider``, ``list``, ``free`` or ``unknown``.
    """
    own = reported(told or {})
    if own is not None:
        return own, "provider"
    requests = (told or {}).get("requests")
    several = requests if isinstance(requests, int) and requests > 0 else 1
    amount = cost(usage, prices, requests=several)
    return amount, "unknown" if amount is None else "free" if prices == FREE else "list"


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    # No call costs a million dollars; a number that large would spoil every sum it is in.
    return amount if amount.is_finite() and 0 <= amount < _MILLION else None
