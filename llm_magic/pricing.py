"""What a call costs: unit prices from genai-prices or the user, arithmetic on token buckets.

Prices are looked up before a call is sent and stored beside its answer, so that a replay is priced
without the price table, and a wrong table can never lose an answer. Money is ``Decimal``; a price
that nobody knows is None, never 0.

Source: https://github.com/pydantic/genai-prices (MIT). Its snapshot is shared by the process and
can be swapped by other libraries, so we hold our own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from llm_magic import own_prices
from llm_magic.own_prices import FREE, UnitPrices
from llm_magic.types import Usage, as_mapping, token_count

__all__ = [
    "FREE",
    "ListedModel",
    "UnitPrices",
    "applied",
    "charged",
    "cost",
    "declare_free",
    "listed",
    "per_token",
    "price_list",
    "price_table",
    "reported",
    "unit_prices",
]

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
    "input_audio_tokens": ("input_audio_mtok",),
}

# What a call is when nobody says otherwise, in the words of all providers.
_STANDARD = frozenset(
    {"", "auto", "default", "global", "not_available", "on_demand", "standard", "standard_only"}
)
# Words of requests and usages that prices depend on.
_CONTEXT = ("service_tier", "speed", "inference_geo", "processing")

# What a provider counts beside our buckets, and the name of its price. Where the list has that
# price, or none can be (no name), the tokens alone do not say what the call cost.
_UNCOUNTED: Mapping[str | None, Mapping[str, str | None]] = {
    "prompt_tokens_details": {
        "image_tokens": "input_image_mtok",
        "video_tokens": "input_video_mtok",
    },
    "completion_tokens_details": {
        "image_tokens": "output_image_mtok",
        "video_tokens": "output_video_mtok",
    },
    None: {
        "citation_tokens": "output_citation_mtok",
        "prompt_audio_seconds": "input_audio_hours",
        "num_sources_used": None,
    },
}

_MILLION = Decimal(1_000_000)
_lock = threading.Lock()
_snapshot: Any = None


def unit_prices(
    provider: str, model: str, when: datetime, context: Mapping[str, Any] | None = None
) -> UnitPrices | None:
    """Prices of a model at a time; None when nobody knows them.

    Parameters
    ----------
    provider, model : str
        The two halves of a model reference.
    when : datetime.datetime
        Time of the call: prices change.
    context : mapping, optional
        ``service_tier``, ``speed``, ``inference_geo``, ``processing``: parameters of a request will
        do, and so will a usage. A kind of service that the list has no price for has none.

    Returns
    -------
    dict or None
        USD as decimal text, by the names of genai-prices.
    """
    return applied(price_list(provider, model, when, context))


def price_list(
    provider: str, model: str, when: datetime, asked: Mapping[str, Any] | None = None
) -> UnitPrices | None:
    """As :func:`unit_prices`, with the prices of every kind of service.

    Which one a call was is known when it is answered: :func:`applied` then gives its prices.

    Parameters
    ----------
    asked : mapping, optional
        Parameters of the request, which count where the answer says nothing.
    """
    own = own_prices.find(provider, model)
    if own is not None:
        return own
    if provider in _free:
        return FREE
    try:
        _, found = _table().find_provider_model(
            model.removeprefix("models/"), None, _NAMES.get(provider, provider), None
        )
    except LookupError:
        return None
    standard = _prices(found, when)
    if standard is None:
        return None
    words = as_mapping(asked)
    asked_context = _context({**as_mapping(words.get("extra_body")), **words})
    return {**standard, "asked": asked_context, "variants": _variants(found, standard, when)}


def _variants(
    model: Any, standard: UnitPrices, when: datetime
) -> list[tuple[Mapping[str, str], UnitPrices]]:
    """The kinds of service that have prices of their own at that time."""
    own: dict[tuple[tuple[str, str], ...], UnitPrices] = {}
    for variant in model.price_variants or ():
        if variant.constraint is None or variant.constraint.active(when):
            context = tuple(variant.when.items())
            # Of two prices for one thing, the first counts.
            own[context] = {**_texts(variant.prices), **own.get(context, {})}
    return [(dict(context), {**standard, **prices}) for context, prices in own.items()]


def applied(prices: UnitPrices | None, told: Mapping[str, Any] | None = None) -> UnitPrices | None:
    """The prices for the kind of service that a call was; None when that has no price.

    Parameters
    ----------
    prices : dict or None
        From :func:`price_list`; prices that are applied already are given back.
    told : mapping, optional
        The provider's usage object, whose ``service_tier`` wins over the one that was asked for.
    """
    if not prices or "variants" not in prices:
        return prices
    context = {**prices["asked"], **_context(as_mapping(told))}
    special = {name: word for name, word in context.items() if word not in _STANDARD}
    if not special:
        return {name: price for name, price in prices.items() if name not in ("asked", "variants")}
    return next((found for when, found in prices["variants"] if when == special), None)


def _context(words: Mapping[str, Any]) -> dict[str, str]:
    found = {name: words[name] for name in _CONTEXT if words.get(name) is not None}
    context = {name: str(word).strip().lower() for name, word in found.items()}
    if context.get("service_tier") == "batch":
        context |= {"service_tier": "", "processing": "batch"}
    return context


def _prices(model: Any, when: datetime) -> UnitPrices | None:
    prices = _texts(model.get_prices(when))
    return prices if "input_mtok" in prices or "output_mtok" in prices else None


def _texts(prices: Any) -> UnitPrices:
    return {
        name: _price_text(value)
        for name, value in vars(prices).items()
        if value is not None and not name.startswith("_")
    }


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


def price_table(prices: UnitPrices | None) -> str | None:
    """Where prices come from, for the ledger: name and version of the list, or ``user``."""
    if not prices or prices == FREE:
        return None
    return str(prices["source"]) if "source" in prices else price_table_version()


@cache  # reading it takes longer than all else that we do about a call
def price_table_version() -> str:
    """Name and version of the price list."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def cost(usage: Usage | None, prices: UnitPrices | None, *, requests: int = 1) -> Decimal | None:
    """USD for the tokens of one call; None when tokens or prices are unknown.

    A price with tiers applies as a whole once the input passes the tier's start, as the vendors
    that have them bill it. Audio without a price of its own has none: it is never that of text. A
    call that went out as several equal requests, for several choices, tells how many: the tier goes
    by the input of one.

    >>> cost(Usage(uncached_input_tokens=1000, output_tokens=500),
    ...      {"input_mtok": "0.25", "output_mtok": "2"})
    Decimal('0.00125')
    """
    if usage is None or not prices:
        return None
    if prices == FREE:
        return Decimal(0)
    millionths, size = Decimal(0), usage.input_tokens // requests
    for _, count, names in _parts(usage, prices):
        price = _first(prices, names)
        if price is None:
            return None
        millionths += tier_price(price, size) * count
    total = millionths / _MILLION
    if "requests_kcount" in prices:
        total += Decimal(prices["requests_kcount"]) * requests / 1000
    return total.normalize() if total else Decimal(0)


def _parts(usage: Usage, prices: UnitPrices) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Tokens that have one price each: bucket, count (not 0), and where the price stands."""
    for bucket, names in _BUCKETS.items():
        if count := getattr(usage, bucket):
            yield bucket, count, names
    reasoning = usage.reasoning_tokens if "output_reasoning_mtok" in prices else 0
    audio = usage.output_audio_tokens
    if text := usage.output_tokens - reasoning - audio:
        yield "output_tokens", text, ("output_mtok",)
    if reasoning:
        yield "reasoning_tokens", reasoning, ("output_reasoning_mtok",)
    if audio:
        yield "output_audio_tokens", audio, ("output_audio_mtok",)


def _first(prices: UnitPrices, names: Iterable[str]) -> Any:
    """The price under the first of these names that has one; None where none has."""
    for name in names:
        if name in prices:
            return prices[name]
    return None


def per_token(
    told: Mapping[str, Any] | None, usage: Usage | None, prices: UnitPrices | None
) -> dict[str, Decimal] | None:
    """USD per token of each bucket of a call, which times the tokens add up to what it cost.

    For a part of the output (reasoning, audio) it is what that costs on top. None where the tokens
    alone do not give the amount: an unknown price, a cost that the provider said, a fee.

    Parameters
    ----------
    told, usage, prices
        As of :func:`charged`.

    Examples
    --------
    >>> usage = Usage(uncached_input_tokens=1000, output_tokens=500)
    >>> per_token({}, usage, {"input_mtok": "0.25", "output_mtok": "2"})
    {'uncached_input_tokens': Decimal('2.5E-7'), 'output_tokens': Decimal('0.000002')}
    """
    amount, _ = charged(told, usage, prices)
    prices = applied(prices, told)
    if amount is None or usage is None or not prices:
        return None
    counts = usage.to_dict()
    found: dict[str, Decimal] = {} if prices != FREE else dict.fromkeys(counts, Decimal(0))
    size = usage.input_tokens // (token_count(as_mapping(told).get("requests")) or 1)
    for bucket, _, names in _parts(usage, prices):
        price = _first(prices, names)
        if price is not None:
            on_top_of = found.get("output_tokens", 0) if bucket in _OF_OUTPUT else 0
            found[bucket] = tier_price(price, size) / _MILLION - on_top_of
    total = sum((found.get(bucket, 0) * count for bucket, count in counts.items()), Decimal(0))
    return found if total == amount else None


_OF_OUTPUT = ("reasoning_tokens", "output_audio_tokens")


def tier_price(price: Any, input_tokens: int) -> Decimal:
    """USD per million tokens, for a request with this many input tokens."""
    if isinstance(price, str):
        return _decimal(price)
    base, *tiers = price
    reached = [amount for start, amount in tiers if input_tokens > start]
    return Decimal(reached[-1] if reached else base)


# The prices of a model are the very same texts in call after call.
_decimal = lru_cache(maxsize=1024)(Decimal)


def reported(usage: Mapping[str, Any] | None) -> Decimal | None:
    """USD that the provider itself says the call cost; None when it does not say.

    OpenRouter, Perplexity and xAI do. With a key of the user's own, OpenRouter reports its fee and
    the vendor's bill apart. xAI counts in ticks, ten billion to the dollar.

    Source: https://docs.x.ai/developers/cost-tracking

    >>> reported({"prompt_tokens": 9, "cost": 0.00014})
    Decimal('0.00014')
    >>> reported({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.3}})
    Decimal('0.3')
    >>> reported({"cost_in_usd_ticks": 37756000})
    Decimal('0.0037756')
    """
    told = as_mapping(usage)
    cost = told.get("cost")
    # To ask an abstract class takes long, and most providers say nothing.
    if cost is not None and isinstance(cost, Mapping):
        cost = cost.get("total_cost")
    amount = None if cost is None else _amount(cost)
    if amount is None:
        said = told.get("cost_in_usd_ticks")
        ticks = None if said is None else _amount(said, most=_MILLION * _TICKS)
        return None if ticks is None else ticks / _TICKS
    if not told.get("is_byok"):
        return amount
    vendor = _amount(as_mapping(told.get("cost_details")).get("upstream_inference_cost"))
    return None if vendor is None else amount + vendor


_TICKS = Decimal(10) ** 10


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
        ``provider``, ``user``, ``list``, ``free`` or ``unknown``.
    """
    own = reported(told)
    if own is not None:
        return own, "provider"
    prices = applied(prices, told)
    if prices == FREE:
        return Decimal(0), "free"
    amount = _priced(as_mapping(told), usage, prices)
    return amount, "unknown" if amount is None else str((prices or {}).get("source", "list"))


def _priced(
    told: Mapping[str, Any], usage: Usage | None, prices: UnitPrices | None
) -> Decimal | None:
    # Tokens that we estimated give no amount of money: it would be taken for one that is known.
    if prices is None or told.get("estimated") or _has_uncounted(told, prices):
        return None
    amount = cost(usage, prices, requests=token_count(told.get("requests")) or 1)
    if amount is None or not (used := as_mapping(told.get("server_tool_use"))):
        return amount
    searches = token_count(used.get("web_search_requests"))
    if not searches:
        return amount
    fee = prices.get("web_searches_kcount")
    return None if fee is None else amount + tier_price(fee, 0) * searches / 1000


def _has_uncounted(told: Mapping[str, Any], prices: UnitPrices) -> bool:
    for place, items in _UNCOUNTED.items():
        inside = told if place is None else told.get(place)
        # Most answers have none of it, and every replay passes here.
        if not inside or items.keys().isdisjoint(inside := as_mapping(inside)):
            continue
        for name, price in items.items():
            if inside.get(name) and (price is None or price in prices):
                return True
    return False


def _amount(value: Any, most: Decimal = _MILLION) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        amount = Decimal(str(value))
    except (ArithmeticError, ValueError):
        # A ValueError is an integer of more digits than Python writes out.
        return None
    # No call costs a million dollars; a number that large would spoil every sum it is in.
    return amount if amount.is_finite() and 0 <= amount < most else None
