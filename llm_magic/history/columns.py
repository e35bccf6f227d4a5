"""The columns of the ledger: their types, and how values stand in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic.history.filters import stored_moment
from llm_magic.recordings import decimal_text
from llm_magic.secrets import redact
from llm_magic.types import Completion

__all__ = ["COLUMNS", "MONEY", "TEXTS", "TOKENS", "column", "stored", "usage_columns"]

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
    usage, told = completion.tokens, completion.get("usage") or {}
    tier = told.get("service_tier")
    return {
        **{name: getattr(usage, name) if usage is not None else None for name in TOKENS},
        # As completion.usage_source says it, without reading the usage once more: each replay
        # passes here.
        "usage_source": usage and ("estimated" if told.get("estimated") else "provider"),
        "service_tier": None if tier is None else str(tier),
        "tool_calls": sum(map(_tool_calls, completion.get("choices") or ())),
    }


def _tool_calls(choice: Mapping[str, Any]) -> int:
    return len((choice.get("message") or {}).get("tool_calls") or ())


def stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values by column, as they are kept: text without known keys, money and times as text."""
    if unknown := fields.keys() - COLUMNS.keys():
        raise TypeError(f"the ledger has no column {sorted(unknown)[0]}")
    # Every replay writes a row: what needs no conversion gets none.
    return {
        name: value if type(value) in _PLAIN or name in _WORDS else _cell(value)
        for name, value in fields.items()
    }


_PLAIN = frozenset({type(None), int, float, bool})
_WORDS = frozenset(
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
    }
)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = redact(value)
        # Half a surrogate pair cannot be stored as UTF-8.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return stored_moment(value)
    if isinstance(value, (dict, list)):
        return redact(json.dumps(value)) if value else None
    return value
