"""The columns of the ledger: their types, and how values stand in the file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic.history.filters import stored_moment
from llm_magic.recordings import decimal_text
from llm_magic.secrets import redact
from llm_magic.types import AttrDict, Completion, as_mapping

__all__ = [
    "COLUMNS",
    "MONEY",
    "TEXTS",
    "TOKENS",
    "assignments",
    "column",
    "insertion",
    "stored",
    "usage_columns",
]

# Columns in their order, with their pandas dtypes. USD as decimal text in the file, as Float64 in
# a DataFrame; token counts are those of Usage.
COLUMNS: Mapping[str, str] = {
    "id": "str",
    "session": "str",
    "started": "datetime64[ms, UTC]",
    "status": "str",
    "source": "str",
    "mode": "str",
    "api": "str",
    "provider": "str",
    "model": "str",
    "response_model": "str",
    "endpoint": "str",
    "notebook": "str",
    "cell_id": "str",
    "cell_line": "str",
    "run": "str",
    "key": "str",
    "ordinal": "Int64",
    "call": "str",
    "attempt": "Int64",
    "stream": "boolean",
    "latency_ms": "Float64",
    "first_token_ms": "Float64",
    "input_tokens": "Int64",
    "uncached_input_tokens": "Int64",
    "cache_read_tokens": "Int64",
    "cache_write_tokens": "Int64",
    "cache_write_1h_tokens": "Int64",
    "input_audio_tokens": "Int64",
    "output_tokens": "Int64",
    "reasoning_tokens": "Int64",
    "output_audio_tokens": "Int64",
    "cost": "Float64",
    "saved": "Float64",
    "cost_source": "str",
    "prices": "str",
    "price_table": "str",
    "finish_reason": "str",
    "error": "str",
    "error_message": "str",
    "notes": "str",
    "prompt": "str",
    "answer": "str",
    "pid": "Int64",
    "process_started": "Float64",
    "reserved": "Float64",
    "usage_source": "str",
    "service_tier": "str",
    "tool_calls": "Int64",
    "tag": "str",
}

# What may hold words of a user or a model.
TEXTS = ("prompt", "answer", "cell_line", "error_message", "notes")

_SQL_TYPES = {"Int64": "INTEGER", "boolean": "INTEGER", "Float64": "REAL"}
MONEY = ("cost", "saved", "reserved")
TOKENS = (
    "input_tokens",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
)


def column(name: str) -> str:
    """The definition of a column in SQL."""
    kind = "TEXT" if name in MONEY else _SQL_TYPES.get(COLUMNS[name], "TEXT")
    return f"{name} {kind}" + (" PRIMARY KEY" if name == "id" else "")


def usage_columns(completion: Completion) -> dict[str, Any]:
    """What the ledger keeps of an answer's tokens, who counted them, and how it was served."""
    usage, told = completion.tokens, as_mapping(completion.get("usage"))
    if usage is None:
        columns: dict[str, Any] = dict.fromkeys((*TOKENS, "usage_source"))
    else:
        # One by one: to pair them with their names takes three times as long.
        columns = {
            "input_tokens": usage.input_tokens,
            "uncached_input_tokens": usage.uncached_input_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "cache_write_1h_tokens": usage.cache_write_1h_tokens,
            "input_audio_tokens": usage.input_audio_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "output_audio_tokens": usage.output_audio_tokens,
        }
        # As completion.usage_source says it, without reading the usage once more: each replay
        # passes here.
        columns["usage_source"] = "estimated" if told.get("estimated") else "provider"
    tier = told.get("service_tier")
    if tier is not None:
        columns["service_tier"] = str(tier)
    columns["tool_calls"] = sum(map(_tool_calls, completion.get("choices") or ()))
    return columns


def _tool_calls(choice: Mapping[str, Any]) -> int:
    calls = as_mapping(choice.get("message")).get("tool_calls")
    return len(calls) if isinstance(calls, list) else 0


def stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values by column, as they are kept: text without known keys, money and times as text.

    Columns without a value are left out.
    """
    return {
        name: value if name in _KEPT_AS_THEY_ARE else _KEEPERS.get(type(value), _other)(value)
        for name, value in fields.items()
        if value is not None
    }


def insertion(verb: str, row: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The statement that writes a row, and its values as they are kept.

    A column without a value is better left out of it: to bind a NULL takes the module of SQLite
    longer than to bind a text.

    Raises
    ------
    TypeError
        For a column that there is none of.
    """
    statement, converted = _insertion(verb, tuple(row))
    # Every replay writes a row: what needs no conversion gets none.
    values = list(row.values())
    for index in converted:
        value = values[index]
        if value is not None:
            values[index] = _KEEPERS.get(type(value), _other)(value)
    return statement, values


@functools.cache
def _insertion(verb: str, names: tuple[str, ...]) -> tuple[str, list[int]]:
    """The statement, and which of the values are not kept as they are."""
    _check(names)
    statement = f"{verb} INTO calls ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    return statement, [at for at, name in enumerate(names) if name not in _KEPT_AS_THEY_ARE]


def assignments(names: Collection[str]) -> str:
    """The part of a statement that changes these columns; raises as :func:`insertion` does."""
    _check(names)
    return ", ".join(f"{name} = ?" for name in names)


def _check(names: Collection[str]) -> None:
    if unknown := set(names) - COLUMNS.keys():
        raise TypeError(f"the ledger has no column {min(unknown)}")


# Our own words and numbers.
_KEPT_AS_THEY_ARE = frozenset(
    {
        "id",
        "session",
        "status",
        "source",
        "mode",
        "api",
        "key",
        "call",
        "cost_source",
        "usage_source",
        *(name for name, kind in COLUMNS.items() if kind in ("Int64", "Float64")),
    }
).difference(MONEY)


def _text(value: str) -> str:
    text = redact(value)
    # Half a surrogate pair cannot be stored as UTF-8.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _as_text(value: Any) -> str:
    return _text(str(value))


def _json(value: dict[str, Any] | list[Any]) -> str | None:
    return redact(json.dumps(value)) if value else None


def _prices(value: dict[str, Any]) -> str | None:
    try:
        text = _texts_as_json(tuple(value.items()))
    except TypeError:  # it has lists: a price that depends on the size of the input
        return _json(value)
    return _json(value) if text is None else redact(text)


# Calls of one model have the very same prices, and json.dumps() makes an encoder for each.
@functools.lru_cache(maxsize=256)
def _texts_as_json(pairs: tuple[tuple[Any, Any], ...]) -> str | None:
    """Pairs of texts as JSON; None for others: 1 and True are equal, and not the same as text."""
    texts = pairs and all(isinstance(one, str) for pair in pairs for one in pair)
    return json.dumps(dict(pairs)) if texts else None


# By kind; booleans too, as the module of SQLite takes its time over what is not exactly an int.
_KEEPERS: Mapping[type, Callable[[Any], Any]] = {
    str: _text,
    Decimal: decimal_text,
    datetime: stored_moment,
    AttrDict: _prices,
    dict: _prices,
    list: _json,
    bool: int,
    # Where a text belongs: an answer may have a number there, of more digits than SQLite takes.
    int: str,
    float: float,
}


def _other(value: Any) -> Any:
    """What is of a subclass of those kinds, or is kept as text."""
    keepers = (keep for kind, keep in _KEEPERS.items() if isinstance(value, kind))
    return next(keepers, _as_text)(value)
