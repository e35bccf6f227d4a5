"""What models cost: the price list, and prices of your own.

>>> from llm_magic import prices
>>> prices.set("openai/my-ft", input=1.5, output=6.0)
>>> prices.get("openai/my-ft")
{'input': Decimal('1.5'), 'output': Decimal('6.0'), 'source': 'user'}
>>> prices.free("corp-gpu/*")
>>> print(prices.show())
model         USD per million tokens  declared in
corp-gpu/*    free                    code
openai/my-ft  input 1.5, output 6.0   code

In pyproject.toml the same is::

    [tool.llm_magic.prices."openai/my-ft"]
    input = 1.5
    output = 6.0

Your prices win over the list, whatever the service tier; a cost that a provider itself reports wins
over both. A ``*`` stands for anything; an exact name wins over a pattern, what is set later over
what was set earlier, and code over the project file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from llm_magic import own_prices, pricing
from llm_magic.config import PRICE_WORDS
from llm_magic.exceptions import ConfigError
from llm_magic.formats import table

__all__ = ["clear", "free", "get", "set", "show"]

Amount = float | str | Decimal


class Amounts(TypedDict, total=False):
    """USD per million tokens; ``per_request`` in USD."""

    input: Amount
    output: Amount
    cache_read: Amount
    cache_write: Amount
    cache_write_1h: Amount
    input_audio: Amount
    output_audio: Amount
    reasoning: Amount
    per_request: Amount


def set(reference: str, **amounts: Unpack[Amounts]) -> None:
    """Let a model cost this, from now on and in this process.

    Parameters
    ----------
    reference : str
        ``provider/model`` as ``completion.reference`` shows it; ``*`` stands for anything.
    input, output : float, str or decimal.Decimal, optional
        USD per million tokens.
    cache_read, cache_write, cache_write_1h : optional
        The same for input tokens that came from the cache or went into it, by default for five
        minutes. Without them, the price of ``input``; an hour costs what five minutes do.
    input_audio, output_audio, reasoning : optional
        The same for tokens of these kinds. Without it, reasoning costs what ``output`` does; the
        cost of a call with audio is unknown.
    per_request : optional
        USD for each request.

    Raises
    ------
    ConfigError
        For another word, or what is no amount of money.
    """
    own_prices.declare(reference, amounts)


def free(reference: str) -> None:
    """Let a model, or with ``*`` several, cost nothing.

    >>> free("ollama/*")
    """
    own_prices.declare(reference, None)


def clear(reference: str | None = None) -> None:
    """Forget what was set for a reference or pattern; without one, all that was set in code.

    Raises
    ------
    ConfigError
        When nothing was set for it.
    """
    own_prices.clear(reference)


def get(reference: str, when: datetime | None = None) -> dict[str, Any] | None:
    """What a model costs at a time, by default now; None when nobody knows.

    Returns
    -------
    dict or None
        The words of :func:`set`, each with USD per million tokens: a ``Decimal``, or where it
        depends on the size of the input, pairs of tokens from which it counts and ``Decimal``.
        ``source`` is ``user``, ``list`` or ``free``.

    Raises
    ------
    ConfigError
        For what is no reference.
    """
    provider, slash, model = reference.partition("/")
    if not (provider and slash and model):
        raise ConfigError(f"{reference!r} is no model; prices are for provider/model")
    found = pricing.unit_prices(provider, model, when or datetime.now(UTC))
    return None if found is None else _in_words(found)


def _in_words(prices: pricing.UnitPrices) -> dict[str, Any]:
    source = "free" if prices == pricing.FREE else prices.get("source", "list")
    amounts = {
        word: _amount(prices[name], 1000 if word == "per_request" else 1)
        for word, name in PRICE_WORDS.items()
        if name in prices
    }
    return {**amounts, "source": source}


def _amount(price: Any, divisor: int) -> Decimal | list[tuple[int, Decimal]]:
    if isinstance(price, str):
        return Decimal(price) / divisor
    base, *tiers = price
    return [(0, Decimal(base)), *((start, Decimal(amount)) for start, amount in tiers)]


def show() -> str:
    """Your own prices as a table, to print; the last row that fits a model counts.

    The list of all models and their list prices is :func:`llm_magic.models`.
    """
    rows = [
        [name, _line(_in_words(found)), origin] for name, found, origin in own_prices.by_weight()
    ]
    return table(["model", "USD per million tokens", "declared in"], rows)


def _line(words: Mapping[str, Any]) -> str:
    if words["source"] == "free":
        return "free"
    return ", ".join(f"{word} {amount}" for word, amount in words.items() if word != "source")
