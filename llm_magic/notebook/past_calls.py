"""Calls of the ledger as a person looks at them again: in words, asked again, as a cell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, duration, usd
from llm_magic.recordings import Recording, dump_line
from llm_magic.types import content_text

__all__ = ["SORTED_BY", "PastCall", "chosen"]


@dataclass(frozen=True, slots=True)
class PastCall:
    """One row of the ledger.

    Parameters
    ----------
    row : dict
        Values by column.
    position : int
        Its place among the others; a later one has a higher number.
    """

    row: Mapping[str, Any]
    position: int = 0

    @property
    def id(self) -> str:
        """The row's id."""
        return str(self.row["id"])

    @property
    def reference(self) -> str:
        """``provider/model``."""
        return f"{self.row['provider']}/{self.row['model']}"

    @property
    def prompt(self) -> str:
        """The last words that a person wrote; empty where the ledger keeps no texts."""
        return self.row["prompt"] or ""

    @property
    def answer(self) -> str:
        """The answer, or what had come of it."""
        return self.row["answer"] or ""

    @property
    def cost(self) -> Decimal | None:
        """USD that it cost; None when nobody knows, and for a replay, which costs nothing."""
        return None if self.row["cost"] is None else Decimal(self.row["cost"])

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return (self.row["input_tokens"] or 0) + (self.row["output_tokens"] or 0)

    @property
    def price(self) -> str:
        """What it cost, in words."""
        if self.row["source"] == "live" and self.row["status"] != "pending":
            return usd(self.cost)
        return "" if self.row["status"] in ("pending", "miss") else "$0.00"

    @property
    def outcome(self) -> str:
        """``live``, ``replay``, or what became of it."""
        status = self.row["status"]
        return (
            self.row["source"] if status == "ok" else "under way" if status == "pending" else status
        )

    @property
    def _counts(self) -> str:
        given, got = self.row["input_tokens"], self.row["output_tokens"]
        asked = self.row["status"] not in ("miss", "pending", "refused")
        return f"{count(given)} + {count(got)}" if asked else ""

    def cells(self) -> list[str]:
        """Under the columns of the history."""
        day, _, time = str(self.row["started"]).partition("T")
        return [
            f"{day[5:]} {time[:5]}",
            self.reference,
            self.outcome,
            self._counts,
            self.price,
            self.prompt,
        ]

    def line(self) -> str:
        """What there is to know beside its texts."""
        row = self.row
        tokens = self._counts and f"{self._counts} tokens"
        parts = [self.reference, self.outcome, tokens, self.price]
        if row["source"] == "replay" and row["saved"] is not None:
            parts.append(f"saved {usd(Decimal(row['saved']))}")
        if row["latency_ms"] is not None:
            parts.append(duration(row["latency_ms"]))
        if row["cell_line"]:
            parts.append(f"cell {row['cell_line']!r}")
        return " · ".join(part for part in parts if part)

    def mentions(self, text: str) -> bool:
        """Whether the text is in it somewhere, in capital or small letters."""
        names = ("prompt", "answer", "cell_line", "status", "source", "started", "tag", "notebook")
        texts = [self.reference, *(str(self.row[name] or "") for name in names)]
        return any(text.casefold() in one.casefold() for one in texts)

    def again(self, recording: Recording | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Messages and arguments that ask the same.

        Parameters
        ----------
        recording : Recording, optional
            The one of its key, which knows all that was asked.

        Raises
        ------
        LLMMagicError
            When not all of it is known, or it cannot be asked from here.
        """
        if recording is None:
            raise LLMMagicError(
                "nothing is recorded under its key, so what was asked is not known in full; copy"
                " it as a cell, or run its cell again"
            )
        asked = recording.request
        if asked.get("endpoint"):
            # A cassette may come from anywhere, and must not choose who is sent what.
            raise LLMMagicError("it was asked with api_base=; run its cell again")
        if asked.get("api", "chat") != "chat" or not all(map(_is_text, asked["messages"])):
            raise LLMMagicError("it is no chat of texts alone; run its cell again")
        options = {**asked.get("parameters", {}), "model": recording.reference}
        if asked.get("cache_seed") is not None:
            options["cache_seed"] = asked["cache_seed"]
        return [dict(message) for message in asked["messages"]], options

    def cell(self, recording: Recording | None) -> tuple[str, list[str]]:
        """The call as a ``%%complete`` cell, and what of it no cell says.

        Raises
        ------
        LLMMagicError
            When the ledger does not keep texts.
        """
        asked = recording.request if recording is not None else {}
        messages = list(asked.get("messages", ()))
        system = ""
        if messages and messages[0].get("role") == "system":
            system = content_text(messages.pop(0).get("content"))
        prompt = content_text(messages[-1].get("content")) if messages else self.prompt
        if not prompt.strip():
            raise LLMMagicError("its prompt is not in the ledger (history_text is off)")
        missing = [] if recording is not None else ["system message and parameters: not recorded"]
        if len(messages) > 1:
            missing.append(f"the {len(messages) - 1} messages before the last one")
        words = ["-m", self.reference]
        if "\n" in system:
            missing.append("the system message: it has several lines")
        elif system:
            words += ["-s", system]
        for name, value in sorted(asked.get("parameters", {}).items()):
            if name in _OPTIONS:
                words += [_OPTIONS[name], str(value)]
            elif name in _IN_PYTHON:
                missing.append(name)
            else:
                words += ["-o", name, _json_or_text(value)]
        if "{{" in prompt:
            words.append("--raw")
        line = " ".join(map(shlex.quote, words))
        return f"%%complete {line}\n{prompt}", missing


# Parameters that have an option of their own.
_OPTIONS = {"temperature": "-T", "max_tokens": "--max-tokens", "n": "--n"}
# Those that a cell takes from variables of the user's.
_IN_PYTHON = ("tools", "tool_choice")


def _json_or_text(value: Any) -> str:
    """A value as ``-o NAME VALUE`` takes it: a text that would pass for JSON is in quotes."""
    if isinstance(value, str) and value.isidentifier() and value not in ("true", "false", "null"):
        return value
    return dump_line(value)


def _is_text(message: Mapping[str, Any]) -> bool:
    return isinstance(message.get("content"), str) and not message.get("tool_calls")


_Order = Callable[[PastCall], Any]

# What the history is sorted by, the most or the newest first.
SORTED_BY: Mapping[str, _Order] = {
    "time": lambda call: call.position,
    "model": lambda call: call.reference,
    "outcome": lambda call: call.outcome,
    "tokens": lambda call: call.tokens,
    "cost": lambda call: call.cost or Decimal(0),
    "duration": lambda call: call.row["latency_ms"] or 0.0,
}


def chosen(
    rows: Iterable[Mapping[str, Any]], *, text: str = "", by: str = "time", rising: bool = False
) -> Sequence[PastCall]:
    """The calls that have the text in them, sorted; among equals the newest first.

    Parameters
    ----------
    rows : iterable of dict
        Rows of the ledger, oldest first.
    text : str
        Only calls with this in them.
    by : str
        One of ``SORTED_BY``.
    rising : bool
        Least or oldest first.
    """
    calls = [PastCall(row, position) for position, row in enumerate(rows)]
    found = [call for call in calls if not text.strip() or call.mentions(text.strip())]
    found.sort(key=SORTED_BY["time"], reverse=True)
    return sorted(found, key=SORTED_BY[by], reverse=not rising)
