"""Which models there are: what the price table knows, and what local servers offer right now."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from llm_magic import config, pricing, routing
from llm_magic.config import Settings
from llm_magic.providers import catalog
from llm_magic.providers.catalog import Entry

if TYPE_CHECKING:
    import pandas

__all__ = ["COLUMNS", "known", "models"]

# Prices are USD per million tokens.
COLUMNS = {
    "provider": "string",
    "model": "string",
    "context_window": "Int64",
    "input_price": "Float64",
    "output_price": "Float64",
    "modalities": "string",
    "key_present": "boolean",
    "local": "boolean",
}

_PATIENCE = 0.3  # seconds
_MOST_BYTES = 4_000_000

Row = tuple[Any, ...]


def models(
    text: str = "", *, live: bool = True, settings: Settings | None = None
) -> pandas.DataFrame:
    """The models one can ask: a row each, with its price and whether a key is set.

    What is unknown is missing (NA). Local servers are asked which models they offer, all at once,
    and are given 0.3 seconds; models that are not in the price table can be asked too.

    Parameters
    ----------
    text : str
        Only models whose ``provider/model`` has this in it, in capital or small letters.
    live : bool
        Whether to ask local servers; without it nothing is sent anywhere.
    settings : Settings, optional
        Whose providers count; by default those of this process.

    Returns
    -------
    pandas.DataFrame
        ``context_window`` is in tokens, prices are list prices in USD per million tokens, today;
        ``key_present`` is missing where no key is needed.

    Examples
    --------
    >>> frame = models("openai/gpt-5-mini", live=False)
    >>> frame.loc[frame["provider"] == "openai", ["model", "input_price", "output_price"]].head(1)
            model  input_price  output_price
    ...gpt-5-mini         0.25           2.0
    """
    import pandas

    wanted = text.strip().lower()
    rows = known(live=live, settings=settings)
    chosen = [row for row in rows if wanted in f"{row[0]}/{row[1]}".lower()]
    columns = list(zip(*chosen, strict=True)) if chosen else [()] * len(COLUMNS)
    data = {}
    dtype: Any
    for (name, dtype), column in zip(COLUMNS.items(), columns, strict=True):
        data[name] = pandas.Series(list(column), dtype=dtype)
    return pandas.DataFrame(data)


def known(*, live: bool = True, settings: Settings | None = None) -> list[Row]:
    """What :func:`models` shows as plain rows under ``COLUMNS``, without pandas."""
    routing.learn_providers(config.default() if settings is None else settings)
    return [*_listed(), *(_offered() if live else ())]


def _listed() -> Iterator[Row]:
    """Rows from the price table."""
    when = datetime.now(UTC)
    for row in catalog.ENTRIES.values():
        key = None if row.keyless else catalog.has_key(row)
        if row.dialect == "echo":
            yield row.name, "echo", None, 0.0, 0.0, "text", key, True
        for model in pricing.listed(row.name, when):
            yield (
                row.name,
                model.name,
                model.context_window,
                _price(model.prices, "input_mtok"),
                _price(model.prices, "output_mtok"),
                _modalities(model.prices),
                key,
                row.local,
            )


def _price(prices: pricing.UnitPrices | None, name: str) -> float | None:
    price = (prices or {}).get(name)
    if price is None:
        return None
    # A price with tiers begins with the one for a short prompt.
    return float(Decimal(price if isinstance(price, str) else price[0]))


def _modalities(prices: pricing.UnitPrices | None) -> str | None:
    """What has a price of its own is taken or given; of the rest nothing is known."""
    priced = " ".join(prices or ())
    found = [kind for kind in ("audio", "image", "video") if f"_{kind}_" in priced]
    return ", ".join(["text", *found]) if found else None


def _offered() -> list[Row]:
    """Rows from the local servers that answer in time."""
    rows = [row for row in catalog.ENTRIES.values() if row.local and row.dialect == "openai"]
    found: dict[str, list[Row]] = {}
    threads = [
        # A daemon: nobody waits for a server that takes the connection and says nothing.
        threading.Thread(target=_ask, args=(row, found), daemon=True, name=f"models {row.name}")
        for row in rows
    ]
    for thread in threads:
        thread.start()
    end = datetime.now(UTC).timestamp() + _PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - datetime.now(UTC).timestamp()))
    return [offered for row in rows for offered in found.get(row.name, ())]


def _ask(row: Entry, found: dict[str, list[Row]]) -> None:
    try:
        found[row.name] = [_offer(row, model) for model in _fetch(row)]
    except Exception:
        # No server there, or something else that listens: it offers no models.
        return


class _NoRedirects(HTTPRedirectHandler):
    """A key goes to the server that the user named, and not on from there."""

    def redirect_request(self, *request: Any) -> None:
        return None


def _fetch(row: Entry) -> list[Mapping[str, Any]]:
    url = f"{catalog.base_url(row).rstrip('/')}/models"
    key = catalog.api_key(row)
    headers = {"Authorization": f"Bearer {key[1]}"} if key else {}
    if not url.startswith(("http://", "https://")):
        return []
    opener = build_opener(ProxyHandler({}), _NoRedirects)
    with opener.open(Request(url, headers=headers), timeout=_PATIENCE) as response:  # noqa: S310
        answer = json.loads(response.read(_MOST_BYTES))
    return [model for model in answer["data"] if isinstance(model.get("id"), str)]


def _offer(row: Entry, model: Mapping[str, Any]) -> Row:
    details = model.get("meta")
    trained = details.get("n_ctx_train") if isinstance(details, Mapping) else None
    window = model.get("max_model_len") or trained
    tokens = window if isinstance(window, int) else None
    return row.name, model["id"], tokens, 0.0, 0.0, None, None, True
