"""Many calls at once: some models side by side, a prompt for each row, or one in the background.

They run as tasks of one event loop on a thread of their own. A task can be stopped while it waits
for a word of the model; a thread that reads cannot. They begin in the order in which they are
given, so that among equal ones the n-th has the n-th recording, however long each of them takes.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from llm_magic import replay
from llm_magic.client import Client
from llm_magic.exceptions import did_you_mean
from llm_magic.formats import counted, usd
from llm_magic.pipeline import notes_shown
from llm_magic.preview import LIVE, MISS, Preview
from llm_magic.replay import Run
from llm_magic.types import Completion

if TYPE_CHECKING:
    import asyncio

__all__ = ["AT_ONCE", "Estimate", "Question", "Row", "Work", "estimate", "items"]

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and arguments of ``complete()``."""

    prompt: Any
    options: Mapping[str, Any] = field(default_factory=dict)


# What is told of a question: its number, and a piece of text, the answer, or why there is none.
Event = tuple[int, str | Completion | BaseException]


class Work:
    """Questions that are asked on a thread of their own; begun by making one.

    Parameters
    ----------
    asker : Client
        Asks them.
    questions : sequence of Question
        In the order of the answers.
    tell : callable, optional
        Is called on that thread with the number of a question and what there is new: text of a live
        answer, the completion, or the error. By default :meth:`events` gives them.
    ended : callable, optional
        Is called on that thread at the very end.
    at_once : int
        Most calls under way.
    on_error : {"stop", "go on"}
        After a failure, whether questions that were not begun are still asked.

    Attributes
    ----------
    outcomes : list
        For each question the completion, the error, or None when it was not asked.

    Examples
    --------
    >>> work = Work(Client(model="echo/echo"), [Question("one"), Question("two")])
    >>> work.join()
    >>> [answer.text[-3:] for answer in work.outcomes]
    ['one', 'two']
    """

    def __init__(
        self,
        asker: Client,
        questions: Sequence[Question],
        tell: Callable[[int, Any], None] | None = None,
        ended: Callable[[], None] = lambda: None,
        *,
        at_once: int = AT_ONCE,
        on_error: str = "stop",
    ) -> None:
        self.outcomes: list[Completion | BaseException | None] = [None] * len(questions)
        self._asker = asker
        self._questions = questions
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._tell = tell or (lambda number, news: self._events.put((number, news)))
        self._ended = ended
        self._at_once = at_once
        self._goes_on = on_error == "go on"
        self._run = replay.current_run()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        # What the caller's thread knows of its cell, the new thread knows too.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), daemon=True, name="llm-magic batch"
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self.join()

    def events(self) -> Iterator[Event]:
        """What there is new, until all is done."""
        while (event := self._next()) is not None:
            yield event

    def stop(self) -> None:
        """Hang up; from any thread, and more than once. Nothing of what is under way is kept."""
        with self._lock:
            self._stopped = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)

    def join(self) -> None:
        """Wait for its end."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _next(self) -> Event | None:
        while True:
            try:
                # Windows notices an interrupt only between two waits.
                return self._events.get(timeout=0.5)
            except queue.Empty:
                continue

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _work(self) -> None:
        import asyncio  # not needed to load this module

        try:
            with notes_shown():
                asyncio.run(self._ask_all())
        finally:
            self._events.put(None)
            self._ended()

    async def _ask_all(self) -> None:
        import asyncio

        seats = asyncio.Semaphore(self._at_once)
        with self._lock:
            if self._stopped:
                return
            self._loop = asyncio.get_running_loop()
            self._tasks = [
                asyncio.create_task(self._take_turn(number, seats))
                for number in range(len(self._questions))
            ]
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with self._lock:
            self._loop = None

    async def _take_turn(self, number: int, seats: asyncio.Semaphore) -> None:
        import asyncio

        async with seats:
            failed = any(isinstance(outcome, BaseException) for outcome in self.outcomes)
            if self._stopped or (failed and not self._goes_on):
                return
            outcome: Completion | BaseException
            try:
                with replay.within(self._run):
                    outcome = await self._ask(number, self._questions[number])
            except asyncio.CancelledError:
                raise
            except Exception as error:
                outcome = error
            self.outcomes[number] = outcome
            self._tell(number, outcome)

    async def _ask(self, number: int, question: Question) -> Completion:
        if question.options.get("max_tool_rounds"):
            return await self._asker.acomplete(question.prompt, **question.options)
        async with self._asker.astream(question.prompt, **question.options) as stream:
            async for chunk in stream:
                if stream.source == "live":
                    self._tell(number, chunk.text)
        return stream.completion


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some calls would cost, before they are made.

    Attributes
    ----------
    live, replays, misses : int
        How many would be asked, replayed, or fail for want of a recording.
    most : decimal.Decimal
        USD that the live ones of known price cost at most, if need be under a budget.
    unknown : int
        Live calls that nobody can bound.
    """

    live: int
    replays: int
    misses: int
    most: Decimal
    unknown: int

    def __str__(self) -> str:
        parts = [f"{counted(self.live, 'call')}, at most {usd(self.most)}"]
        if self.unknown:
            parts.append(f"{counted(self.unknown, 'call')} of unknown cost")
        if self.replays:
            parts.append(counted(self.replays, "replay"))
        if self.misses:
            parts.append(f"{counted(self.misses, 'call')} that would fail")
        return ", ".join(parts)

    def exceeds(self, amount: Decimal) -> bool:
        """Whether it can cost more than that, as far as anybody knows."""
        return self.most > amount or self.unknown > 0


def estimate(asker: Client, questions: Iterable[Question]) -> Estimate:
    """What questions would cost; nothing is sent and nothing is written."""
    from contextlib import closing

    from llm_magic.shelf import Shelf

    counts = {LIVE: 0, "replay": 0, MISS: 0}
    most, unknown = Decimal(0), 0
    run = Run()
    coming: set[str] = set()
    with closing(Shelf(asker.settings.workspace, read_only=True)) as shelf:
        for question in questions:
            seen = asker.preview(
                question.prompt, stream=True, shelf=shelf, run=run, **question.options
            )
            if seen.source == LIVE and seen.key in coming:
                counts["replay"] += 1
                continue
            counts[seen.source] += 1
            if seen.source == LIVE:
                coming |= _stands_for_others(seen)
                unknown += seen.most_under_budget is None
                most += seen.most_under_budget or 0
    return Estimate(counts[LIVE], counts["replay"], counts[MISS], most, unknown)


def _stands_for_others(seen: Preview) -> set[str]:
    """The key of a call whose answer the same question gets, too."""
    plan = replay.PLANS[seen.mode, False]
    return {seen.key} if plan.look and plan.store else set()


# Labels, the names that a prompt sees, and what makes of answers what the values were.
Items = tuple[list[Any], list[dict[str, Any]], Callable[[list[Any]], Any]]


class Row(Mapping[str, Any]):
    """A row of a DataFrame: ``row.column`` and ``row["column"]``.

    >>> Row({"title": "Emma", "year": 1815}).title
    'Emma'
    """

    def __init__(self, values: Mapping[Any, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: Any) -> Any:
        return self._values[name]

    def __getattribute__(self, name: str) -> Any:
        # A column named like a method of dict is a column all the same.
        if not name.startswith("_") and name in self._values:
            return self._values[name]
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        hint = did_you_mean(name, map(str, self._values))
        raise AttributeError(f"no column {name!r}; {hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


def items(values: Any) -> Items:
    """What ``map`` goes over.

    Returns
    -------
    labels : list
        What tells the items apart: index, keys or numbers.
    names : list of dict
        The names that a prompt sees for each item: ``item``, ``key`` of a dict, ``row`` of a
        DataFrame.
    gather : callable
        Makes of a list of answers what the values were: a Series with the same index, a dict with
        the same keys, or a list.

    Raises
    ------
    TypeError
        For what has no items, and for text.

    Examples
    --------
    >>> labels, names, gather = items({"a": 1, "b": 2})
    >>> labels, names[0], gather(["x", "y"])
    (['a', 'b'], {'item': 1, 'key': 'a'}, {'a': 'x', 'b': 'y'})
    """
    if hasattr(values, "index") and hasattr(values, "iloc"):
        return _of_pandas(values)
    if isinstance(values, Mapping):
        keys = list(values)
        names = [{"item": values[key], "key": key} for key in keys]
        return keys, names, lambda answers: dict(zip(keys, answers, strict=True))
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"a list, Series, dict or DataFrame, not {type(values).__name__}")
    listed = list(values)
    return list(range(len(listed))), [{"item": value} for value in listed], list


def _of_pandas(values: Any) -> Items:
    import pandas  # whoever has such values has it loaded

    labels = list(values.index)
    if values.ndim == 2:
        rows = [Row(row) for row in values.to_dict("records")]
        names: list[dict[str, Any]] = [{"item": row, "row": row} for row in rows]
        name = None
    else:
        names, name = [{"item": value} for value in values], values.name

    def gather(answers: list[Any]) -> Any:
        return pandas.Series(answers, index=values.index, name=name, dtype=object)

    return labels, names, gather
