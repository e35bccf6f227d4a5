"""The replay modes as one table, and the run that gives identical calls their numbers.

================  =====================  =======================
mode              recording found        not found
================  =====================  =======================
REPLAY            use it                 ``ReplayMissError``
FALLBACK          use it                 call, store
CAPTURE           call, overwrite        call, store
DISABLED          call                   call
================  =====================  =======================

The n-th identical call of one run of a cell uses the n-th answer. A run is process-wide, because a
kernel runs one cell at a time: threads that a cell starts count too. Outside a run every call is
number 0.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magic import media, secrets
from llm_magic.cassette import Place
from llm_magic.exceptions import ReplayMissError
from llm_magic.recordings import NOT_IN_KEY, Recording, dump_line
from llm_magic.shelf import Shelf, Wanted
from llm_magic.types import Mode, Request

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = [
    "PLANS",
    "Plan",
    "Run",
    "apart",
    "begin_run",
    "current_run",
    "end_run",
    "in_flight",
    "look_up",
    "newest_misses",
    "within",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a mode does about one request."""

    look: bool
    call: bool
    store: bool


# (mode, recording found): look it up? call the provider? store the answer?
PLANS = {
    (Mode.REPLAY, True): Plan(look=True, call=False, store=False),
    (Mode.REPLAY, False): Plan(look=True, call=False, store=False),
    (Mode.FALLBACK, True): Plan(look=True, call=False, store=False),
    (Mode.FALLBACK, False): Plan(look=True, call=True, store=True),
    (Mode.CAPTURE, True): Plan(look=False, call=True, store=True),
    (Mode.CAPTURE, False): Plan(look=False, call=True, store=True),
    (Mode.DISABLED, True): Plan(look=False, call=True, store=False),
    (Mode.DISABLED, False): Plan(look=False, call=True, store=False),
}


@dataclass(slots=True)
class Run:
    """One execution of a cell, or of a ``with llm_magic.run(name):`` block.

    Attributes
    ----------
    name : str
        The cell's id, or the block's name; empty when unknown.
    cell : dict
        ``id`` and ``line`` (first line) of the cell; goes into recordings, never into keys.
    notices : list of str
        What was told once for this run.
    inner : bool
        It runs inside another one and shares its count.
    number : int
        Tells the runs of a process apart; that of the outer run for one inside it.
    """

    name: str = ""
    cell: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    inner: bool = False
    number: int = field(default_factory=itertools.count(1).__next__)
    _taken: Counter[str] = field(default_factory=Counter)
    _returned: dict[str, list[int]] = field(default_factory=dict)
    _captured: dict[tuple[str, str], tuple[Shelf, str | None]] = field(default_factory=dict)
    _at_end: set[Callable[[], None]] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.Lock)

    def next_ordinal(self, key: str) -> int:
        """The number of this call among the identical ones; taken when the call is entered."""
        with self._lock:
            if returned := self._returned.get(key):
                return heapq.heappop(returned)
            ordinal = self._taken[key]
            self._taken[key] += 1
            return ordinal

    def upcoming(self, key: str) -> int:
        """What :meth:`next_ordinal` would give; the count does not go on."""
        with self._lock:
            returned = self._returned.get(key)
            return returned[0] if returned else self._taken[key]

    def give_back(self, key: str, ordinal: int) -> None:
        """Let the next identical call have this number: it is the same call, tried again."""
        with self._lock:
            heapq.heappush(self._returned.setdefault(key, []), ordinal)

    @property
    def label(self) -> str:
        """What tells this run's cell from others: its id, or its first line."""
        return self.name or self.cell.get("line", "")

    def captured(self, key: str, ordinal: int, shelf: Shelf, notebook: str | None) -> str | None:
        """Note that this run captures an answer, so that a longer old tail goes at its end.

        Returns
        -------
        str or None
            The cell that captured the same answer before, in this process; its answer is replaced.
        """
        with self._lock:
            self._captured[key, notebook or ""] = (shelf, notebook)
            place = (shelf.folder, key, ordinal)
            before = _captures.get(place)
            _captures[place] = self.label
        return before if before not in (None, self.label) else None

    def finish(self) -> None:
        """Drop old answers beyond those that the run captured; only after a run without error.

        What another cell captured in this process is no old answer: two cells may ask the same.
        """
        for (key, _), (shelf, notebook) in self._captured.items():
            others = {
                place[2]
                for place, label in _captures.items()
                if place[:2] == (shelf.folder, key) and label != self.label
            }
            shelf.drop_from(key, self._taken[key], notebook, keep=others)

    def at_end(self, action: Callable[[], None]) -> None:
        """Have a function called once when the run ends, however it ends."""
        with self._lock:
            self._at_end.add(action)

    def ended(self) -> None:
        """Call what :meth:`at_end` was told."""
        with self._lock:
            actions = list(self._at_end)
            self._at_end.clear()
        for action in actions:
            action()

    def notice_once(self, text: str) -> str | None:
        """The text the first time in this run, None after that."""
        with self._lock:
            if text in self.notices:
                return None
            self.notices.append(text)
            return text


# Which cell captured an answer in this process: folder, key and ordinal, and the run's label.
_captures: dict[tuple[Path, str, int], str] = {}

_runs: list[Run] = []
_runs_lock = threading.Lock()


def begin_run(name: str = "", *, cell: dict[str, str] | None = None) -> Run:
    """Start counting identical calls from 0; ends with :func:`end_run`.

    Inside another run the count goes on: the inner calls are calls of the outer run too, and
    answers that it captured must not be captured over.
    """
    run = Run(name=name, cell=cell or {})
    secrets.refresh()
    with _runs_lock:
        if _runs:
            outer = _runs[-1]
            run._taken, run._captured, run._lock = outer._taken, outer._captured, outer._lock
            run._returned, run._at_end = outer._returned, outer._at_end
            run.inner, run.number = True, outer.number
            run.cell = run.cell or outer.cell
        _runs.append(run)
    return run


def end_run(run: Run, *, ok: bool) -> None:
    """End a run; ``ok`` says that it ended without an error."""
    with _runs_lock:
        if run not in _runs:
            return
        _runs.remove(run)
    if run.inner:
        return
    try:
        run.ended()
    finally:
        if ok:
            run.finish()


# The run of what a thread or task asks apart from the cell that is running.
_apart: ContextVar[Run | None] = ContextVar("llm_magic_apart", default=None)


@contextlib.contextmanager
def apart(name: str) -> Iterator[Run]:
    """A run of its own for what this thread or task asks.

    What a person asks beside a cell that is running must not take that cell's numbers. An answer
    that it captures is one of many that were captured elsewhere, so no longer tail is dropped.
    """
    run = Run(name=name)
    token = _apart.set(run)
    try:
        yield run
    finally:
        _apart.reset(token)
        run.ended()


@contextlib.contextmanager
def within(run: Run | None) -> Iterator[None]:
    """Let what this thread or task asks belong to a run, which may have ended since."""
    token = _apart.set(run)
    try:
        yield
    finally:
        _apart.reset(token)


def current_run() -> Run | None:
    """The innermost run, or None outside of any."""
    if (run := _apart.get()) is not None:
        return run
    with _runs_lock:
        return _runs[-1] if _runs else None


@contextlib.contextmanager
def run(name: str) -> Iterator[Run]:
    """Number identical calls in plain Python, as a cell does in a notebook.

    Parameters
    ----------
    name : str
        A label for the ledger; it is not part of any key.

    Examples
    --------
    >>> from llm_magic import complete, run
    >>> with run("five opinions"):
    ...     opinions = [complete("Is it art?", model="echo/echo").text for _ in range(5)]
    """
    current = begin_run(name)
    ok = False
    try:
        yield current
        ok = True
    finally:
        end_run(current, ok=ok)


@dataclass(slots=True)
class Found:
    """A recording, whose it is of those that may answer, and whether it stands in for another."""

    recording: Recording
    candidate: int = 0
    stands_in: bool = False


def look_up(
    shelf: Shelf, places: Sequence[Place], notebook: str | None, *, exact: bool, stream: bool
) -> Found | None:
    """The answer to a call that any of several models may answer.

    An answer with the call's own number comes first: one of the first model, or one that a fallback
    gave in its place, so that what a run captured replays, also where its calls were answered by
    different models. Then come the models in their order, each with the answer of that number and
    else with its first, which stands in: FALLBACK never pays twice for one request unless asked
    to. What the notebook has itself comes before all that others have (:meth:`Shelf.find_first`).

    Parameters
    ----------
    places : sequence of (key, ordinal)
        Of each model that may answer, in their order, and its how manieth answer it would be.
    exact : bool
        No stand-in: the caller asked for this sample.
    stream : bool
        A stream that was closed early will do.
    """
    (first, number), *others = places
    numbered = [Wanted(first, number)]
    in_order = [] if exact or not number else [Wanted(first, 0, instead=number)]
    for index, (key, ordinal) in enumerate(others, 1):
        numbered.append(Wanted(key, ordinal, index, given_for=first))
        in_order.append(Wanted(key, ordinal, index))
        if ordinal and not exact:
            in_order.append(Wanted(key, 0, index, instead=ordinal))
    # With the notebook unknown, the right number tells more about whose answer it is than the order
    # of notebooks does.
    apart = number > 0 and not notebook
    for wanted in [numbered, in_order] if apart else [numbered + in_order]:
        found = shelf.find_first(wanted, notebook, whole=not stream)
        if found is not None:
            one, recording = found
            return Found(recording, one.candidate, stands_in=one.instead is not None)
    return None


def miss(
    request: Request,
    key: str,
    ordinal: int,
    place: str,
    *,
    folder: Path | None = None,
    notebook: str | None = None,
    cell: Mapping[str, Any] | None = None,
) -> ReplayMissError:
    """The error for REPLAY without a recording; it holds what ``doctor.diagnose()`` asks for."""
    number = f" (answer number {ordinal + 1})" if ordinal else ""
    text = " ".join(request.last_text.split())
    prompt = text if len(text) <= 60 else text[:59] + "…"
    message = (
        secrets.redact(
            f"no recording for {request.reference} in {place} (mode REPLAY){number}: {prompt!r};"
        )
        + " nothing was sent. Record it once: --mode CAPTURE in the cell, or llm-magic run NOTEBOOK"
        " --mode CAPTURE"
    )
    about: dict[str, Any] = {
        "key": key,
        "ordinal": ordinal,
        "request": _as_recorded(request),
        "folder": folder,
        "notebook": notebook,
        "cell": cell,
    }
    _missed.append(ReplayMissError(message, **about))
    return ReplayMissError(message, **about)


# The newest misses of this process, for who explains them. These are copies that nobody raises: a
# traceback would keep the variables of a cell alive.
_missed: deque[ReplayMissError] = deque(maxlen=50)


def newest_misses() -> list[ReplayMissError]:
    """The misses of this process, the newest first; of many the newest 50."""
    return [*reversed(_missed.copy())]


def _as_recorded(request: Request) -> Request:
    """The request without files, headers and known keys: errors are printed, pickled and sent."""
    fields = {**request.to_dict(), "messages": media.keyed(request.messages)}
    fields["parameters"] = {
        name: value for name, value in request.parameters.items() if name not in NOT_IN_KEY
    }
    return Request.from_dict(json.loads(secrets.redact(dump_line(fields))))


class InFlight:
    """Calls that are under way in this process, so that an identical one waits for their answer.

    Only threads and tasks that can be overtaken wait: the thread that runs the first call itself
    would wait for ever.
    """

    def __init__(self) -> None:
        self._calls: dict[Seat, tuple[Future[None], Owner]] = {}
        self._lock = threading.Lock()

    def claim(self, seat: Seat, task: object = None) -> Future[None] | None:
        """None when the call is ours to make; else what ends when the other one has ended.

        Parameters
        ----------
        task : asyncio.Task, optional
            The task that will await the answer.
        """
        from concurrent.futures import Future  # as long to load as a replay takes, which has none

        with self._lock:
            found = self._calls.get(seat)
            if found is None:
                self._calls[seat] = (Future(), (threading.get_ident(), task))
                return None
            return found[0]

    def runs_here(self, seat: Seat, task: object = None) -> bool:
        """Whether only the caller could go on with the call under way: its thread, its task.

        Other tasks of the thread go on while one awaits, but not while the thread itself waits.
        """
        with self._lock:
            _, owner = self._calls.get(seat, (None, (0, None)))
        thread, other = owner
        return thread == threading.get_ident() and (task is None or other in (None, task))

    def forget(self) -> None:
        """Forget all calls, as a child process must."""
        self._lock = threading.Lock()
        self._calls = {}

    def end(self, seat: Seat) -> None:
        """The call has ended, well or not; whoever waits looks again."""
        with self._lock:
            future, _ = self._calls.pop(seat, (None, None))
        if future is not None:
            future.set_result(None)


# Folder, key and ordinal of an answer.
Seat = tuple[Path, str, int]
# Thread that makes a call, and the task in it where the call is awaited.
Owner = tuple[int, object]

in_flight = InFlight()

if hasattr(os, "register_at_fork"):  # not on Windows
    # The child has none of its parent's calls under way, and would wait for them.
    os.register_at_fork(after_in_child=in_flight.forget)
