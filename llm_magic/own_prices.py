"""Prices that the user declares, in code or in pyproject.toml, and which of them a model has.

An exact reference wins over a pattern; among equals, code wins over the project file and what came
later over what came earlier.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from llm_magic import config
from llm_magic.config import PRICE_WORDS
from llm_magic.exceptions import ConfigError, did_you_mean

__all__ = ["FREE", "UnitPrices", "by_weight", "clear", "declare", "find"]

# Prices in USD as decimal text by genai-prices' names (``input_mtok``: per million tokens), or for
# a price that depends on the size of the input ``[base, [tokens, price], ...]``. Those of the user
# have a ``source``, which says so.
UnitPrices = Mapping[str, Any]

# A price of nothing is a price: declared free, not unknown.
FREE: UnitPrices = {"input_mtok": "0", "output_mtok": "0"}

_lock = threading.Lock()
_session: dict[str, UnitPrices] = {}


def declare(reference: str, prices: Mapping[str, Any] | None) -> None:
    """From now on a model costs this; None for nothing at all.

    Raises
    ------
    ConfigError
        For what is no reference, no word for a price, or no amount of money.
    """
    if prices is None:
        config.check_prices({reference: {"input": 0}}, "prices.free()")
    else:
        config.check_prices({reference: prices}, "prices.set()")
    with _lock:
        # Taken out first: what is declared again is the latest.
        _session.pop(reference, None)
        _session[reference] = FREE if prices is None else _unit_prices(prices)


def clear(reference: str | None = None) -> None:
    """Forget what was declared in code for a reference or pattern; without one, all of it.

    Raises
    ------
    ConfigError
        When nothing was.
    """
    with _lock:
        if reference is None:
            _session.clear()
        elif _session.pop(reference, None) is None:
            hint = did_you_mean(reference, _session) or "no price was declared in code"
            raise ConfigError(f"prices.clear({reference!r}): there is none; {hint}")


def by_weight() -> list[tuple[str, UnitPrices, str]]:
    """Reference or pattern, its prices, and where they were declared; what counts most is last."""
    settings = config.default()
    project = settings.project.get("prices", {})
    with _lock:
        session = dict(_session)
    origin = str(settings.project_file)
    rows = [
        *((name, _unit_prices(prices), origin) for name, prices in project.items()),
        *((name, prices, "code") for name, prices in session.items()),
    ]
    return sorted(rows, key=lambda row: "*" not in row[0])


def find(provider: str, model: str) -> UnitPrices | None:
    """What the user declared for a model; None when nothing."""
    reference = f"{provider}/{model}".lower()
    last: UnitPrices | None = None
    for name, prices, _ in by_weight():
        # Only the star is special: a bracket in the name of a model is a bracket.
        if fnmatchcase(reference, re.sub(r"([\[?])", r"[\1]", name.lower())):
            last = prices
    return last


def _unit_prices(prices: Mapping[str, Any]) -> UnitPrices:
    return {**dict(_named(prices)), "source": "user"}


def _named(prices: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for word, amount in prices.items():
        usd = config.read_usd(amount)
        yield PRICE_WORDS[word], f"{usd * 1000 if word == 'per_request' else usd:f}"
