"""One call on its way: looked up, sent, stored, priced, written down.

The steps are the same for a plain call, a stream and their awaited twins; those four differ by the
line that waits. Order matters: an answer is on disk before anything else is done with it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_magic import failover, history, limits, media, pricing, replay
from llm_magic.cassette import Shelf
from llm_magic.exceptions import (
    IncompleteError,
    LLMMagicError,
    ParameterWarning,
    ProviderError,
    SchemaError,
)
from llm_magic.failover import Attempt
from llm_magic.history import History
from llm_magic.providers.base import Provider
from llm_magic.recordings import Recording, key_of, now
from llm_magic.replay import Plan, Run, in_flight
from llm_magic.schemas import Schema
from llm_magic.types import AttrDict, Completion, Mode, Request, Transport

__all__ = ["Call", "Candidate"]


@dataclass
class Candidate:
    """A model that may answer, and which of its recordings the answer is or would be."""

    request: Request
    transport: Transport
    provider: Provider
    key: str = ""
    ordinal: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = key_of(self.request)
        self.notes += self.provider.notes(self.request)


@dataclass
class Call:
    """One call of :class:`~llm_magic.client.Client`.

    Attributes
    ----------
    candidates : sequence of Candidate
        The model that was asked for, and its fallbacks in order.
    candidate : Candidate
        The one whose turn it is, or who answered.
    attempts : list of dict
        Every request that was sent, with its model, error and time in milliseconds.
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
    keep_text: bool = True
    run: Run | None = None
    candidate: Candidate = field(init=False)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    completion: Completion | None = None
    recording: Recording | None = None
    notes: list[str] = field(default_factory=list)
    first_token_ms: float | None = None
    _row: str | None = None
    _first_row: str | None = None
    _steps: Generator[Attempt, LLMMagicError, None] | None = None
    _claimed: tuple[Path, str, int] | None = None
    _prices: Any = None
    _created: Any = None
    _began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.candidate = self.candidates[0]
        self.run = replay.current_run()
        for candidate in self.candidates:
            if self.sample is not None:
                candidate.ordinal = self.sample
            elif self.run is not None:
                candidate.ordinal = self.run.next_ordinal(candidate.key)

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
        """Find the recording of the first candidate that has one, where the mode looks for it.

        Raises
        ------
        ReplayMissError
            In REPLAY without a recording.
        """
        if not self.plan.look or self.shelf is None:
            return
        for candidate in self.candidates:
            found = replay.look_up(
                self.shelf,
                candidate.key,
                candidate.ordinal,
                self.notebook,
                exact=self.sample is not None,
                stream=self.stream,
            )
            if found is not None:
                self.candidate, self.recording = candidate, found.recording
                self._note_stand_in(found.stands_in)
                return
        if not self.plan.call:
            first = self.candidate
            error = replay.miss(first.request, first.key, first.ordinal, self._place)
            self.ledger.record(**self._columns("replay", "miss"), **_error_columns(error))
            raise error
        if self.sample is None:
            # Nothing under our number nor under the first: the answer to come is the first one.
            for candidate in self.candidates:
                candidate.ordinal = 0

    def _note_stand_in(self, stands_in: bool) -> None:
        if not stands_in:
            return
        note = (
            f"answer 1 stands in for answer {self.candidate.ordinal + 1}, which was never recorded"
        )
        if self.run is None or self.run.notice_once(f"stand-in {self.key}"):
            self.notes.append(note)

    @property
    def _place(self) -> str:
        assert self.shelf is not None
        if self.notebook:
            return self.shelf.cassette_path(self.notebook).name
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
                self.release()
                raise
            if self.recording is not None:
                self.release()
        return twin

    def release(self) -> None:
        """Let identical calls go on."""
        if self._claimed is not None:
            in_flight.end(self._claimed)
            self._claimed = None

    # A replay

    def replayed(self) -> Completion:
        """The completion of the recording; written to the ledger as saved, never as spent."""
        recording = self.recording
        assert recording is not None
        usage = recording.usage
        saved, _ = pricing.charged(recording.response.get("usage"), usage, recording.prices)
        self.completion = Completion(
            recording.response,
            **self._about("replay"),
            cost=Decimal(0),
            saved=saved,
            cost_source="replay",
            tokens=usage,
            recorded=recording.created,
            latency_ms=self._elapsed_ms(),
        )
        self.ledger.record(
            **self._columns("replay", "closed" if recording.closed else "ok"),
            **self._answer_columns(self.completion, recording.prices),
            cost=Decimal(0),
            saved=saved,
            cost_source="replay",
        )
        return self._parsed(self.completion)

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
            return self._turn(self._steps.send(error))
        except LLMMagicError as last:
            last.attempts = self.attempts
            raise

    def _turn(self, attempt: Attempt) -> float:
        self.candidate = self.candidates[attempt.candidate]
        return max(attempt.wait, limits.wait(self.request))

    def begin(self) -> None:
        """Write the intent row; the next thing to happen is the request."""
        for note in self.candidate.notes:
            warnings.warn(f"{self.request.reference}: {note}", ParameterWarning, stacklevel=4)
        self._created = now()
        self._prices = pricing.unit_prices(self.request.provider, self.request.model, self._created)
        numbered = self.run is not None and self.sample is None
        if numbered and self.mode is Mode.CAPTURE and self.shelf is not None:
            assert self.run is not None
            self.run.captured(self.key, self.shelf, self.notebook)
        self._row = self.ledger.begin(**self._columns("live", "pending"))
        self._first_row = self._first_row or self._row
        self.attempts.append({"model": self.request.reference, "error": None})
        self._began = time.perf_counter()

    def answered(self, response: AttrDict, *, closed: bool = False) -> Completion:
        """Store the answer, then price it and complete the ledger."""
        latency = self._elapsed_ms()
        assert self._row is not None
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
            tokens=usage,
            recorded=self._created,
            latency_ms=latency,
        )
        self._settle(
            status="closed" if closed else "ok",
            cost=cost,
            cost_source=source,
            first_token_ms=self.first_token_ms,
            **self._answer_columns(self.completion, self._prices),
        )
        return self.completion if closed else self._parsed(self.completion)

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
        try:
            if recording.closed and self.mode is Mode.FALLBACK:
                found = self.shelf.find(self.key, self.candidate.ordinal, self.notebook)
                if found is not None and not found.closed:
                    # Somebody else has the whole answer by now.
                    return
            self.shelf.put(recording, self.notebook)
        except LLMMagicError as error:
            # The answer is paid for: the caller gets it, and is told that it will not replay.
            self.notes.append(f"not recorded: {error}")
            warnings.warn(f"the answer was not recorded: {error}", RuntimeWarning, stacklevel=5)

    def failed(self, error: BaseException, partial: str = "") -> None:
        """Write down a call without an answer. An error answer costs nothing; else nobody knows."""
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
        try:
            self.ledger.finish(row, **columns)
        except LLMMagicError as error:
            # The intent row stands, so the call is not forgotten; the answer must not be lost.
            warnings.warn(f"the ledger was not completed: {error}", RuntimeWarning, stacklevel=4)

    # What is the same for all

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def token_arrived(self) -> None:
        """Note when the first piece of a stream came."""
        if self.first_token_ms is None:
            self.first_token_ms = self._elapsed_ms()

    def _about(self, source: str) -> Mapping[str, Any]:
        return {
            "provider": self.request.provider,
            "reference": self.request.reference,
            "source": source,
            "key": self.key,
            "ordinal": self.candidate.ordinal,
            "notes": [*self.candidate.notes, *self.notes],
            "attempts": self.attempts,
        }

    def _columns(self, source: str, status: str) -> dict[str, Any]:
        request, cell = self.request, self.run.cell if self.run is not None else {}
        return {
            "started": self._created or now(),
            "source": source,
            "status": status,
            "mode": str(self.mode),
            "api": request.api,
            "provider": request.provider,
            "model": request.model,
            "endpoint": request.endpoint,
            "notebook": self.notebook,
            "cell_id": cell.get("id"),
            "cell_line": cell.get("line") if self.keep_text else None,
            "run": self.run.name if self.run is not None else None,
            "key": self.key,
            "ordinal": self.candidate.ordinal,
            "call": self._first_row,
            "attempt": len(self.attempts),
            "stream": self.stream,
            "prompt": request.last_text if self.keep_text else None,
        }

    def _answer_columns(self, completion: Completion, prices: Any) -> dict[str, Any]:
        choices = completion["choices"]
        live = completion.source == "live"
        return {
            "response_model": completion.get("model"),
            "finish_reason": choices[0].get("finish_reason") if choices else None,
            "latency_ms": completion.latency_ms,
            "prices": dict(prices) if prices else None,
            "price_table": pricing.price_table_version() if live and prices else None,
            "notes": completion.notes,
            "answer": completion.text if self.keep_text else None,
            **history.token_columns(completion.tokens),
        }


def _error_columns(error: BaseException) -> dict[str, str]:
    return {"error": type(error).__name__, "error_message": str(error)}
