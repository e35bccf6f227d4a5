"""What calls said and cost between two moments: start and stop a log, and read it at any time.

>>> from llm_magic import complete, sessions
>>> log = sessions.start()
>>> answer = complete("Hello", model="echo/echo")
>>> log.spent, log.unknown, [number for number in log.logged_history(compact=False)]
(Decimal('0'), 0, [0])
>>> print(log.usage_summary("total"))
----...
Usage summary including cached usage:
Total cost: $0.00
* Model 'echo': cost: $0.00, prompt_tokens: ..., completion_tokens: ..., total_tokens: ...
----...

A log is two places in the ledger and no counter of its own, so that it never tells another sum than
``%llm cost``. It has the calls of this process's session that began while it was open, whoever made
them and in whichever thread; logs may overlap. Its shapes are those of pyautogen's
``start_logging()`` (0.1) and ``print_usage_summary()`` (0.2).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic import client, history
from llm_magic.client import Client
from llm_magic.exceptions import ParameterError
from llm_magic.formats import counted, usd
from llm_magic.history import Totals
from llm_magic.recordings import Recording
from llm_magic.shelf import Shelf
from llm_magic.types import Completion

__all__ = ["CallLog", "ModelUsage", "start"]

# Statuses of calls that have an answer; those that say that nothing was asked of a provider.
_ANSWERED = ("ok", "closed")
_NOT_ASKED = ("miss", "refused", "pending")

# What of a message makes two conversations the same: what people send back to the model.
_SAID = ("role", "name", "content", "text", "tool_calls", "tool_call_id", "function_call")

_RULE = "-" * 100


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What the calls of one model used.

    Attributes
    ----------
    cost : decimal.Decimal
        USD of the calls whose cost is known.
    unknown : int
        Calls that cost what nobody knows.
    prompt_tokens, completion_tokens : int
        Tokens of the calls for which they are known.
    """

    cost: Decimal = Decimal(0)
    unknown: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.prompt_tokens + self.completion_tokens

    def with_call(self, row: Mapping[str, Any]) -> ModelUsage:
        """The usage with one more row of the ledger, at its price when it was live."""
        price = _price(row)
        return replace(
            self,
            cost=self.cost + (price or 0),
            unknown=self.unknown + (price is None),
            prompt_tokens=self.prompt_tokens + (row["input_tokens"] or 0),
            completion_tokens=self.completion_tokens + (row["output_tokens"] or 0),
        )


class CallLog:
    """The calls between :func:`start` and :meth:`stop`, as the ledger has them.

    Attributes
    ----------
    first : int
        Number of its first call in :meth:`logged_history`.
    """

    def __init__(self, asker: Client, first: int = 0) -> None:
        self._asker = asker
        self._after = self._newest()
        self._until: str | None = None
        self.first = first

    def stop(self) -> None:
        """Take no more calls; what was logged can still be read. Stopping again changes nothing."""
        if self._until is None:
            self._until = self._newest()

    @property
    def spent(self) -> Decimal:
        """USD that live calls cost, as far as their cost is known."""
        return self.totals().spent

    @property
    def saved(self) -> Decimal:
        """USD that replayed calls would have cost."""
        return self.totals().saved

    @property
    def unknown(self) -> int:
        """How many live calls cost what nobody knows."""
        return self.totals().unknown

    @property
    def next(self) -> int:
        """The number after its last call, for a log that goes on counting."""
        return self.first + len(self._answered())

    def totals(self) -> Totals:
        """Sums of the calls in the log; a call under way counts when it has ended."""
        return self._asker.history.totals(
            after=self._after, until=self._until, session=history.session()
        )

    def usage(self, *, replays: bool) -> dict[str, ModelUsage]:
        """What each model used, by the name with which it answered.

        Parameters
        ----------
        replays : bool
            Whether replayed calls count too, at the price when they were live.
        """
        found: dict[str, ModelUsage] = {}
        for row in self._rows():
            if row["status"] in _NOT_ASKED or (row["source"] == "replay" and not replays):
                continue
            name = row["response_model"] or row["model"]
            found[name] = found.get(name, ModelUsage()).with_call(row)
        return found

    def usage_summary(self, mode: str | Sequence[str] = "both") -> str:
        """The usage as text: what was paid, and what all answers would have cost.

        Parameters
        ----------
        mode : str or sequence of str
            ``actual`` for live calls alone, ``total`` for replayed ones as well, ``both`` or
            ``["actual", "total"]``.

        Raises
        ------
        ParameterError
            For a mode that is none of these.
        """
        modes = _modes(mode)
        actual, total = self.usage(replays=False), self.usage(replays=True)
        if not total:
            return "No usage summary: no call was made since the log began."
        parts = []
        if "actual" in modes:
            parts.append(_paragraph("excluding", actual))
        if "total" in modes:
            parts.append(
                "All completions are non-cached: the total cost with cached completions is the"
                " same as actual cost."
                if actual == total and "actual" in modes
                else _paragraph("including", total)
            )
        return "\n".join([_RULE, "\n\n".join(parts), _RULE])

    def logged_history(
        self,
        *,
        compact: bool = True,
        earlier: Mapping[Any, Any] | None = None,
        shelves: Iterable[Shelf] = (),
    ) -> dict[Any, Any]:
        """The calls that were answered, in the shapes of autogen's ``logged_history``.

        Calls are numbered in the order in which they began. A replay is logged as its live call
        was, with its cost. Costs are USD, and None where nobody knows.

        Parameters
        ----------
        compact : bool
            One entry a conversation, ``{JSON of its messages: {"created_at": [0, 1], "cost":
            [0.1, 0.2], "token_count": [...]}}``: a call that goes on with a conversation takes the
            place of its entry, and one that repeats it is added there. Otherwise one a call,
            ``{0: {"request": {...}, "response": {...}}}``.
        earlier : mapping, optional
            Such a history, to be gone on with; it is not changed.
        shelves : iterable of Shelf, optional
            More places where recordings may be.

        Notes
        -----
        Requests and responses are those of the recordings. Where a recording is gone or was never
        made (in DISABLED, after a later CAPTURE), the request has the model and the last thing
        that was asked, and the response the model, the text of the first choice, its finish reason
        and the tokens. Of a call that was forgotten (``%llm forget``), or where the ledger keeps no
        texts, their contents are None.
        """
        places = [self._asker.shelf, *shelves]
        found = dict(earlier or {})
        for number, row in enumerate(self._answered(), self.first):
            request, response = _exchange(row, _recording(row, places))
            if compact:
                _add_turn(found, number, row, request, response)
            else:
                found[number] = {"request": request, "response": response}
        return found

    def _rows(self) -> list[dict[str, Any]]:
        # Other kernels that work in the folder write the same ledger, in sessions of their own.
        return self._asker.history.rows(
            after=self._after, until=self._until, session=history.session()
        )

    def _answered(self) -> list[dict[str, Any]]:
        return [row for row in self._rows() if row["status"] in _ANSWERED]

    def _newest(self) -> str:
        newest = self._asker.history.rows(limit=1)
        # No id sorts before the empty one, so it is the place before all rows.
        return newest[0]["id"] if newest else ""


def start(asker: Client | None = None, *, first: int = 0) -> CallLog:
    """Begin a log of the calls that this process makes from now on.

    Parameters
    ----------
    asker : Client, optional
        Whose ledger is read; by default that of the folder this process works in.
    first : int
        Number of the first call; that of ``other.next`` goes on where another log is.
    """
    return CallLog(client.default() if asker is None else asker, first)


def _modes(mode: str | Sequence[str]) -> set[str]:
    known = {"actual", "total"}
    modes = known if mode == "both" else {mode} if isinstance(mode, str) else set(mode)
    if not modes or not modes <= known:
        raise ParameterError(f"mode={mode!r}: 'actual', 'total' or 'both'")
    return modes


def _paragraph(word: str, usage: Mapping[str, ModelUsage]) -> str:
    if not usage:
        return "No actual cost incurred (all completions are using cache)."
    known = sum((one.cost for one in usage.values()), Decimal(0))
    unknown = sum(one.unknown for one in usage.values())
    return "\n".join(
        [
            f"Usage summary {word} cached usage:",
            f"Total cost: {_amount(known, unknown)}",
            *(
                f"* Model '{model}': cost: {_amount(one.cost, one.unknown)}, prompt_tokens:"
                f" {one.prompt_tokens}, completion_tokens: {one.completion_tokens}, total_tokens:"
                f" {one.total_tokens}"
                for model, one in usage.items()
            ),
        ]
    )


def _amount(known: Decimal, unknown: int) -> str:
    if not unknown:
        return usd(known)
    calls = f"{counted(unknown, 'call')} of unknown cost"
    return f"{usd(known)} and {calls}" if known else f"{usd(None)} ({calls})"


def _price(row: Mapping[str, Any]) -> Decimal | None:
    """USD of a row, at the prices when it was live."""
    text = row["saved"] if row["source"] == "replay" else row["cost"]
    return None if text is None else Decimal(text)


def _recording(row: Mapping[str, Any], shelves: Sequence[Shelf]) -> Recording | None:
    """The recording that a call made or replayed, unless another one took its place since."""
    key, ordinal = row["key"], row["ordinal"]
    for shelf in shelves:
        if row["source"] == "live" and (
            found := shelf.recordings.find_call(key, ordinal, row["id"])
        ):
            return found
        # Its own answer, or the first one that stood in for it.
        for number in {ordinal: None, 0: None}:
            found = shelf.find(key, number, row["notebook"])
            if found is not None and _is_of(row, found):
                return found
    return None


def _is_of(row: Mapping[str, Any], recording: Recording) -> bool:
    if row["source"] == "live":
        return bool(recording.call == row["id"])
    # Both: a capture may follow within the millisecond, and may be answered alike.
    text = Completion(recording.response).text
    before = recording.created <= datetime.fromisoformat(row["started"])
    return before and row["answer"] in (None, text)


def _exchange(
    row: Mapping[str, Any], recording: Recording | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    price = _price(row)
    cost = None if price is None else float(price)
    if recording is None:
        return _remembered_request(row), {**_remembered_response(row), "cost": cost}
    asked = recording.request
    messages = list(asked["messages"])
    what = (
        {"messages": messages}
        if asked.get("api", "chat") == "chat"
        else {"prompt": [message.get("content") for message in messages]}
    )
    request = {"model": asked["model"], **what, **asked.get("parameters", {})}
    return request, {**recording.response.to_dict(), "cost": cost}


def _remembered_request(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["api"] == "chat":
        return {
            "model": row["model"],
            "messages": [{"role": "user", "content": row["prompt"]}],
        }
    return {"model": row["model"], "prompt": [row["prompt"]]}


def _remembered_response(row: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": row["answer"]}
    choice = {"index": 0, "message": message, "finish_reason": row["finish_reason"]}
    response: dict[str, Any] = {"model": row["response_model"] or row["model"], "choices": [choice]}
    if row["input_tokens"] is not None:
        response["usage"] = {
            name: value for name, value in _token_count(row).items() if name != "model"
        }
    return response


def _token_count(row: Mapping[str, Any]) -> dict[str, Any]:
    asked, answered = row["input_tokens"], row["output_tokens"]
    return {
        "model": row["response_model"] or row["model"],
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": None if asked is None else asked + (answered or 0),
    }


def _add_turn(
    found: dict[Any, Any],
    number: int,
    row: Mapping[str, Any],
    request: Mapping[str, Any],
    response: Mapping[str, Any],
) -> None:
    """Put a call where its conversation stands in a compact history."""
    asked = request.get("messages") or request["prompt"]
    answers = [choice.get("message") or choice for choice in response.get("choices", ())]
    whole, before = _text([*asked, *answers]), _text(asked[:-1])
    entry: dict[str, list[Any]] = {"created_at": [], "cost": [], "token_count": []}
    for place in (whole, before):
        for name, values in found.pop(place, {}).items():
            entry[name] = [*entry.get(name, ()), *values]
    entry["created_at"].append(number)
    entry["cost"].append(response["cost"])
    entry["token_count"].append(_token_count(row))
    found[whole] = entry


def _text(messages: Iterable[Any]) -> str:
    return json.dumps(list(_said(messages)), sort_keys=True)


def _said(messages: Iterable[Any]) -> Iterator[Any]:
    """What was said, without what SDKs add to an answer and nobody sends back."""
    for message in messages:
        if isinstance(message, Mapping):
            yield {name: message[name] for name in _SAID if message.get(name)}
        else:
            yield message
