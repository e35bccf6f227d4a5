"""One call on its way: looked up, sent, stored, priced, written down.

The steps are the same for a plain call, a stream and their awaited twins; those four differ by the
line that waits. Order matters: an answer is on disk before anything else is done with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from llm_magic import (
    budgets,
    config,
    dropped,
    failover,
    history,
    key_fields,
    limits,
    media,
    notices,
    pricing,
    replay,
    telemetry,
    tokens,
)
from llm_magic.budgets import Reservation
from llm_magic.config import Settings
from llm_magic.exceptions import (
    BudgetExceededError,
    DiskFullError,
    IncompleteError,
    LLMMagicError,
    ParameterWarning,
    ProviderError,
    SchemaError,
    StoreError,
)
from llm_magic.failover import Attempt
from llm_magic.history import History
from llm_magic.providers.base import Provider
from llm_magic.recordings import Recording, key_of, now
from llm_magic.replay import Plan, Run, in_flight
from llm_magic.shelf import Shelf
from llm_magic.spend import OverCapError
from llm_magic.telemetry import CallSpan
from llm_magic.types import AttrDict, Completion, Mode, Request, Transport, Usage

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llm_magic.schemas import Schema

__all__ = ["Call", "Candidate", "give_numbers", "notes_shown"]


@dataclass(slots=True)
class Candidate:
    """A model that may answer, and which of its recordings the answer is or would be.

    Attributes
    ----------
    request : Request
        What is asked. Keys that its parameters carry are replaced: they are sent, and no more.
    sent : Request
        What goes to the provider: the request as it was given, with an output limit where a budget
        needs one.
    """

    request: Request
    transport: Transport
    provider: Provider
    key: str = ""
    ordinal: int = 0
    notes: list[str] = field(default_factory=list)
    sent: Request = field(init=False, repr=False)
    _given: Request = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.sent = self._given = self.request
        parameters = key_fields.hidden(self.request.parameters)
        if parameters is not self.request.parameters:
            self.request = dataclasses.replace(self.request, parameters=parameters)
        self.key = key_of(self.request)
        self.notes += self.provider.notes(self.request)

    def limit(self, max_tokens: int | None) -> None:
        """Send it with this output limit; None for none but its own."""
        self.sent = self._given
        if max_tokens is not None:
            parameters = {**self._given.parameters, "max_tokens": max_tokens}
            self.sent = dataclasses.replace(self._given, parameters=parameters)


def give_numbers(
    candidates: Iterable[Candidate], sample: int | None, number: Callable[[str], int] | None
) -> None:
    """Say of each candidate which answer to its request is meant: the sample, else its number."""
    # Two candidates may ask the same, with different keys: that is one call all the same.
    taken: dict[str, int] = {}
    for candidate in candidates:
        if sample is not None:
            candidate.ordinal = sample
        elif number is not None:
            if candidate.key not in taken:
                taken[candidate.key] = number(candidate.key)
            candidate.ordinal = taken[candidate.key]


@dataclass(slots=True)
class Call:
    """One call of :class:`~llm_magic.client.Client`.

    Attributes
    ----------
    candidates : sequence of Candidate
        The model that was asked for, and its fallbacks in order.
    candidate : Candidate
        The one whose turn it is, or who answered.
    attempts : list of dict
        Every request that was sent, with its model, which of the candidates that is, its error and
        its time in milliseconds.
    completion : Completion or None
        The result; set when the call was answered or replayed.
    recording : Recording or None
        The recording that answers it, when it is replayed.
    """

    candidates: Sequence[Candidate]
    mode: Mode
    shelf: Shelf | None
    ledger: History
    notebook: str | None
    stream: bool = False
    sample: int | None = None
    schema: Schema | None = None
    num_retries: int = 0
    on_fallback: Callable[[LLMMagicError, str], object] | None = None
    keep_text: bool = True
    settings: Settings = field(default_factory=config.default)
    run: Run | None = None
    candidate: Candidate = field(init=False)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    completion: Completion | None = None
    recording: Recording | None = None
    notes: list[str] = field(default_factory=list)
    first_token_ms: float | None = None
    _asked: int = 0
    _row: str | None = None
    _first_row: str | None = None
    _disk_is_full: bool = False
    _steps: Generator[Attempt, LLMMagicError, None] | None = None
    _claimed: tuple[Path, str, int] | None = None
    _prices: Any = None
    _reservation: Reservation | None = None
    _created: Any = None
    _began: float = field(default_factory=time.perf_counter)
    _span: CallSpan | None = None

    def __post_init__(self) -> None:
        dropped.wait()
        self.candidate = self.candidates[0]
        self.run = replay.current_run()
        number = self.run.next_ordinal if self.run is not None else None
        give_numbers(self.candidates, self.sample, number)
        self._span = telemetry.begin(self)

    @property
    def request(self) -> Request:
        """What is asked of the candidate whose turn it is."""
        return self.candidate.request

    @property
    def key(self) -> str:
        """Key of that request."""
        return self.candidate.key

    @property
    def plan(self) -> Plan:
        """What the mode does, as far as is known now."""
        return replay.PLANS[self.mode, self.recording is not None]

    # Looking up

    def look_up(self) -> None:
        """Find a recording of any candidate, where the mode looks for one.

        The notebook's own answers of all candidates come before those of other notebooks; see
        :func:`llm_magic.replay.look_up`.

        Raises
        ------
        ReplayMissError
            In REPLAY without a recording.
        """
        plan = self.plan
        if not plan.look or self.shelf is None:
            return
        found = replay.look_up(
            self.shelf,
            [(candidate.key, candidate.ordinal) for candidate in self.candidates],
            self.notebook,
            exact=self.sample is not None,
            stream=self.stream,
        )
        if found is not None:
            self.candidate, self.recording = self.candidates[found.candidate], found.recording
            if found.stands_in:
                self._note_stand_in()
            return
        if not plan.call:
            first = self.candidate
            error = replay.miss(
                first.request,
                first.key,
                first.ordinal,
                self._place,
                folder=self.shelf.folder,
                notebook=self.notebook,
                cell=self.run.cell if self.run is not None else None,
            )
            try:
                self.ledger.record(**self._columns("replay", "miss"), **_error_columns(error))
            except LLMMagicError as failure:
                notices.tell(f"the miss is not in the ledger: {failure}")
            raise error
        if self.sample is None:
            # Nothing under our number nor under the first: the answer to come is the first one.
            for candidate in self.candidates:
                candidate.ordinal = 0

    def _note_stand_in(self) -> None:
        note = (
            f"answer 1 stands in for answer {self.candidate.ordinal + 1}, which was never recorded"
        )
        if self.run is None or self.run.notice_once(f"stand-in {self.key}"):
            self.notes.append(note)

    @property
    def _place(self) -> str:
        assert self.shelf is not None
        if self.notebook:
            return self.shelf.source(self.notebook).name
        return str(self.shelf.folder)

    # Waiting for an identical call

    def wait_for_twin(self) -> None:
        """Wait while an identical call is under way in another thread, then look up again."""
        while (twin := self._claim()) is not None:
            if in_flight.runs_here(self._seat):
                # Only this thread could finish it: waiting would be for ever.
                return
            try:
                twin.result(self.candidate.transport.timeout)
            except TimeoutError:
                return
            self.look_up()

    async def await_twin(self) -> None:
        """As :meth:`wait_for_twin`, awaited."""
        # 30 ms to import, which a replay in plain Python does without.
        import asyncio

        task = asyncio.current_task()
        while (twin := self._claim(task)) is not None:
            if in_flight.runs_here(self._seat, task):
                return
            try:
                # Shielded: the twin's future must not be cancelled with us.
                future = asyncio.shield(asyncio.wrap_future(twin))
                await asyncio.wait_for(future, self.candidate.transport.timeout)
            except TimeoutError:
                return
            self.look_up()

    @property
    def _seat(self) -> tuple[Path, str, int]:
        assert self.shelf is not None
        return self.shelf.folder, self.candidates[0].key, self.candidates[0].ordinal

    def _claim(self, task: object = None) -> Future[None] | None:
        if self.recording is not None or not (self.plan.look and self.plan.call):
            return None
        twin = in_flight.claim(self._seat, task)
        if twin is None:
            self._claimed = self._seat
            try:
                # It may have ended between our look-up and the claim.
                self.look_up()
            except BaseException:
                self._unclaim()
                raise
            if self.recording is not None:
                self._unclaim()
        return twin

    def release(self) -> None:
        """Let identical calls go on: this one is over."""
        self._unclaim()
        if self._span is not None:
            try:
                self._span.end(self)
            except Exception as error:
                notices.tell(f"the call's span is not whole: {error}")

    def _unclaim(self) -> None:
        if self._claimed is not None:
            in_flight.end(self._claimed)
            self._claimed = None

    # A replay

    def replayed(self) -> Completion:
        """The completion of the recording; written to the ledger as saved, never as spent.

        Raises
        ------
        StoreError
            When it was not written by us: somebody else packed the folder.
        """
        recording = self.recording
        assert recording is not None
        if recording.closed:
            self.notes.append("the stream was closed early when it was recorded; this is all of it")
        try:
            completion, row = self._replay_of(recording)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                f"the recording {self.key[:12]}… is not one of ours; run %llm cassette repair"
            ) from error
        self.completion = completion
        # Not at once: a replay costs nothing, and a full disk must not keep it from being read.
        self.ledger.record_soon(row)
        if self.run is not None:
            self.run.at_end(self.ledger.flush)
        return completion if recording.closed else self._parsed(completion)

    def _replay_of(self, recording: Recording) -> tuple[Completion, dict[str, Any]]:
        usage = recording.usage
        saved, _ = pricing.charged(recording.response.get("usage"), usage, recording.prices)
        completion = Completion(
            recording.response,
            **self._about("replay"),
            cost=Decimal(0),
            saved=saved,
            cost_source="replay",
            prices=recording.prices or None,
            tokens=usage,
            recorded=recording.created,
            latency_ms=self._elapsed_ms(),
        )
        row = self._columns("replay", "closed" if recording.closed else "ok")
        row |= self._answer_columns(completion, recording.prices)
        row |= {"cost": Decimal(0), "saved": saved, "cost_source": "replay"}
        return completion, row

    # A live call

    def first_attempt(self) -> float:
        """Choose who is asked first; returns the seconds to wait before it is asked."""
        self._steps = failover.attempts(len(self.candidates), self.num_retries)
        return self._turn(next(self._steps))

    def next_attempt(self, error: LLMMagicError) -> float:
        """After a failure: choose who is asked next; returns the seconds to wait before.

        Raises
        ------
        LLMMagicError
            The first failure, when nothing is left to try; it has all attempts.
        """
        assert self._steps is not None
        try:
            attempt = self._steps.send(error)
            after = self.candidates[attempt.candidate]
            if self.on_fallback is not None and after is not self.candidate:
                self.on_fallback(error, after.request.reference)
            return self._turn(attempt)
        except LLMMagicError as last:
            last.attempts = self.attempts
            raise

    def _turn(self, attempt: Attempt) -> float:
        self._asked = attempt.candidate
        self.candidate = self.candidates[attempt.candidate]
        return max(attempt.wait, limits.wait(self.request))

    def begin(self) -> None:
        """Set aside what it can cost and write the intent row; then comes the request.

        Raises
        ------
        BudgetExceededError
            When a budget does not admit it.
        """
        for note in () if _notes_are_shown.get() else self.candidate.notes:
            notices.warn(f"{self.request.reference}: {note}", ParameterWarning)
        self._created = now()
        self._prices = pricing.price_list(
            self.request.provider, self.request.model, self._created, self.request.parameters
        )
        columns = self._columns("live", "pending")
        try:
            self._reserve()
        except BudgetExceededError as error:
            self._note_refusal(columns, error)
            raise
        # Before the row: whatever ends this call finds its attempt.
        self.attempts.append(
            {"model": self.request.reference, "candidate": self._asked, "error": None}
        )
        try:
            self._row = self._intent(columns)
        except DiskFullError as error:
            raise DiskFullError(f"nothing was sent: {error}") from None
        self._first_row = self._first_row or self._row
        self._began = time.perf_counter()

    def _reserve(self) -> None:
        held = budgets.prepare(self.request, self._prices, self.settings, self.run)
        self._reservation = held
        self.candidate.limit(held.max_tokens if held is not None else None)

    def _intent(self, columns: dict[str, Any]) -> str:
        held = self._reservation
        if held is None:
            return self.ledger.begin(**columns)
        try:
            return self.ledger.begin(**columns, reserved=held.amount, caps=held.caps)
        except BaseException as error:
            held.settle(Decimal(0))
            if not isinstance(error, OverCapError):
                raise
            refusal = budgets.exceeded(error.cap, error.counter, held.amount)
            self.attempts.pop()
            self._note_refusal(columns, refusal)
            raise refusal from None

    def _note_refusal(self, columns: dict[str, Any], error: BudgetExceededError) -> None:
        try:
            self.ledger.record(
                **{**columns, "status": "refused"},
                cost=Decimal(0),
                cost_source="unbilled",
                **_error_columns(error),
            )
        except LLMMagicError as failure:
            notices.tell(f"the refusal is not in the ledger: {failure}")

    def answered(self, response: AttrDict, *, closed: bool = False) -> Completion:
        """Store the answer, then price it and complete the ledger."""
        with _uninterrupted():
            completion = self._kept(response, closed=closed)
        return completion if closed else self._parsed(completion)

    def _kept(self, response: AttrDict, *, closed: bool) -> Completion:
        latency = self._elapsed_ms()
        assert self._row is not None
        response["usage"] = tokens.told_or_estimated(self.request, response)
        self._prices = pricing.applied(self._prices, response["usage"])
        recording = Recording(
            key=self.key,
            ordinal=self.candidate.ordinal,
            request={**self.request.to_dict(), "messages": media.keyed(self.request.messages)},
            response=response,
            call=self._row,
            created=self._created,
            latency_ms=latency,
            prices=self._prices or {},
            cell=self.run.cell if self.run is not None else {},
            closed=closed,
            instead_of=self.candidates[0].key if self._asked else "",
        )
        self._store(recording)
        self.attempts[-1]["latency_ms"] = latency
        usage = recording.usage
        cost, source = pricing.charged(response.get("usage"), usage, self._prices)
        self.completion = Completion(
            response,
            **self._about("live"),
            cost=cost,
            cost_source=source,
            prices=self._prices,
            tokens=usage,
            recorded=self._created,
            latency_ms=latency,
        )
        self._settle(
            status="closed" if closed else "ok",
            cost=cost,
            cost_source=source,
            first_token_ms=self.first_token_ms,
            price_table=pricing.price_table(self._prices),
            **self._answer_columns(self.completion, self._prices),
        )
        return self.completion

    def _parsed(self, completion: Completion) -> Completion:
        """The completion with its data; what does not fit is stored all the same."""
        if self.schema is not None and not completion.choices[0].message.tool_calls:
            try:
                completion.parsed = self.schema.parse(completion.text)
            except SchemaError as error:
                error.completion = completion
                raise
        return completion

    def _store(self, recording: Recording) -> None:
        if not self.plan.store or self.shelf is None:
            return
        if self._cut_by_budget(recording.response):
            return
        try:
            if recording.closed:
                found = self.shelf.find(self.key, self.candidate.ordinal, self.notebook)
                if found is not None and not found.closed:
                    # The whole answer is worth more than a part of it.
                    return
            self.shelf.put(recording, self.notebook)
            if self.mode is Mode.CAPTURE:
                self._captured(self.shelf)
        except Exception as error:
            # The answer is paid for: whatever is wrong with the store, the caller gets it, and is
            # told that it will not replay.
            self.notes.append(f"not recorded: {error}")
            notices.tell(f"the answer was not recorded: {error}")
            self._disk_is_full = isinstance(error, DiskFullError)

    def _cut_by_budget(self, response: AttrDict) -> bool:
        """Whether the answer ended at a limit that only a budget set; it is no whole answer."""
        limit = self._reservation.max_tokens if self._reservation is not None else None
        if limit is None or all(one.get("finish_reason") != "length" for one in response.choices):
            return False
        self.notes.append(
            f"cut after {limit:,} tokens, the output limit under a budget; not recorded. Say"
            " max_tokens=, or %llm config budget_max_tokens=TOKENS"
        )
        return True

    def _captured(self, shelf: Shelf) -> None:
        """Take what this capture replaces out of the way of its replay."""
        for candidate in self.candidates[: self._asked]:
            # A replay looks these up first; they were asked again, and did not answer.
            shelf.drop(candidate.key, candidate.ordinal, self.notebook)
        if self.run is None or self.sample is not None:
            return
        other = self.run.captured(self.key, self.candidate.ordinal, shelf, self.notebook)
        if other is not None:
            self.notes.append(f"replaces the answer that another cell captured: {other}")

    def failed(self, error: BaseException, partial: str = "") -> None:
        """Write down a call without an answer. An error answer costs nothing; else nobody knows."""
        if self._span is not None:
            self._span.failed(self, error, sent=self._row is not None)
        if self._row is None:
            return
        billed: bool | None = None
        if isinstance(error, ProviderError):
            status = (
                "incomplete" if error.partial or isinstance(error, IncompleteError) else "error"
            )
            billed, partial = error.billed, error.partial or partial
        elif isinstance(error, LLMMagicError):
            # Ours, from before the request was sent: a missing key, a message without a form.
            status, billed = "error", False
        elif isinstance(error, Exception):
            status = "error"
        else:
            status = "interrupted"
        unbilled = billed is False
        self.attempts[-1] |= {"error": str(error), "latency_ms": self._elapsed_ms()}
        self._settle(
            status=status,
            cost=Decimal(0) if unbilled else None,
            cost_source="unbilled" if unbilled else "unknown",
            latency_ms=self._elapsed_ms(),
            first_token_ms=self.first_token_ms,
            answer=partial if self.keep_text and partial else None,
            **_error_columns(error),
        )

    def _settle(self, **columns: Any) -> None:
        row, self._row = self._row, None
        assert row is not None
        if self._reservation is not None:
            self._reservation.settle(columns["cost"])
        try:
            self.ledger.finish(row, **columns)
        except LLMMagicError as error:
            # The intent row stands, so the call is not forgotten; the answer must not be lost.
            if not (self._disk_is_full and isinstance(error, DiskFullError)):
                notices.tell(f"the ledger was not completed: {error}")

    # What is the same for all

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def token_arrived(self) -> None:
        """Note when the first piece of a stream came."""
        if self.first_token_ms is None:
            self.first_token_ms = self._elapsed_ms()

    def cost_of(self, usage: Mapping[str, Any]) -> Decimal | None:
        """USD of this call, by the usage that the provider reported."""
        if self.recording is not None:
            return Decimal(0)
        return pricing.charged(usage, Usage.from_openai(usage), self._prices)[0]

    def _about(self, source: str) -> Mapping[str, Any]:
        candidate = self.candidate
        return {
            "provider": candidate.request.provider,
            "reference": candidate.request.reference,
            "source": source,
            "key": candidate.key,
            "ordinal": (self.recording or candidate).ordinal,
            "notes": [*candidate.notes, *self.notes],
            "attempts": self.attempts,
        }

    def _columns(self, source: str, status: str) -> dict[str, Any]:
        """What the ledger keeps of the call itself; what has no value is left out."""
        candidate = self.candidate
        request = candidate.request
        columns = {
            "started": self._created or datetime.now(UTC),
            "source": source,
            "status": status,
            "mode": str(self.mode),
            "api": request.api,
            "provider": request.provider,
            "model": request.model,
            "key": candidate.key,
            "ordinal": candidate.ordinal,
            "attempt": len(self.attempts),
            "stream": self.stream,
        }
        optional = {
            "endpoint": request.endpoint,
            "notebook": self.notebook,
            "call": self._first_row,
            "tag": history.current_tag(),
        }
        if self.keep_text:
            optional["prompt"] = request.last_text
        if self.run is not None:
            optional |= {"run": self.run.name, "cell_id": self.run.cell.get("id")}
            if self.keep_text:
                optional["cell_line"] = self.run.cell.get("line")
        for name, value in optional.items():
            if value is not None:
                columns[name] = value
        return columns

    def _answer_columns(self, completion: Completion, prices: Any) -> dict[str, Any]:
        choices = completion["choices"]
        columns = history.usage_columns(completion)
        columns["response_model"] = completion.get("model")
        columns["finish_reason"] = choices[0].get("finish_reason") if choices else None
        columns["latency_ms"] = completion.latency_ms
        columns["notes"] = completion.notes
        if prices:
            columns["prices"] = dict(prices)
        if self.keep_text:
            columns["answer"] = completion.text
        return columns


_notes_are_shown: ContextVar[bool] = ContextVar("llm_magic_notes_are_shown", default=False)


@contextlib.contextmanager
def notes_shown() -> Iterator[None]:
    """No warnings of what is not sent: whoever asks shows the notes of the answer."""
    token = _notes_are_shown.set(True)
    try:
        yield
    finally:
        _notes_are_shown.reset(token)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back for the moment in which an answer that is paid for is stored.

    Only the main thread is interrupted, and only it may change the handler.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        usual(*came[0])


def _error_columns(error: BaseException) -> dict[str, str]:
    return {"error": type(error).__name__, "error_message": str(error)}
