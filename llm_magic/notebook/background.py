"""An answer that comes while the notebook goes on: ``%%complete --background``."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any

from IPython.display import DisplayHandle

from llm_magic import client, replay
from llm_magic.batch import Question, Work
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import changes, display
from llm_magic.notebook.display import Answer, AnswerText, LiveAnswer
from llm_magic.notebook.failing import one_line, shorten
from llm_magic.notebook.showing import note_rounds
from llm_magic.replay import Run
from llm_magic.types import Completion

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["BackgroundAnswer", "stop_all"]

STOPPED = "stopped; nothing of this answer was stored"


class BackgroundAnswer:
    """An answer that is under way: ``await answer``, or ``answer.result()``.

    What it costs belongs to the cell that asked. When that cell is interrupted, or one that waits
    for it, the answer is stopped.

    Parameters
    ----------
    question : Question
        What is asked.
    value : callable
        Makes of the text what :meth:`result` gives.
    format : str
        How it is shown; ``none`` shows nothing.
    """

    def __init__(self, question: Question, value: Callable[[AnswerText], Any], format: str) -> None:
        self._value = value
        self._format = format
        self._work: Work | None = None
        self._run = replay.current_run()
        self._future = _future()
        self._output = None if format == "none" or display.in_terminal() else _Output()
        if self._output is not None:
            self._output.begin(Answer("", format=format, done=False))
        self._live = LiveAnswer(format if self._output else "none", handle=self._output)
        self._forget = changes.closes_with_extension(self.cancel)
        _open.add(self)
        self._work = Work(client.default(), [question], self._tell, self._ended)

    @classmethod
    def of(cls, value: Any) -> BackgroundAnswer:
        """One that has ended already: nobody has to know that it was replayed."""
        made = cls.__new__(cls)
        made._future, made._work, made._output = _future(), None, None
        made._future.set_result(value)
        return made

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> Any:
        """The answer, as ``--out`` would have bound it; waits for it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; the answer goes on after that.

        Raises
        ------
        LLMMagicError
            When it failed, or was stopped.
        TimeoutError
            When it is not there in time.
        """
        try:
            value = self._future.result(timeout)
        except KeyboardInterrupt:
            self.cancel()
            raise
        self._show_again()
        return value

    def cancel(self) -> None:
        """Hang up; nothing of the answer is stored. An answer that has ended stays."""
        if self._work is not None:
            self._work.stop()
            self._work.join()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        import asyncio  # whoever awaits has it loaded

        try:
            value = await asyncio.wrap_future(self._future)
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._show_again()
        return value

    def _show_again(self) -> None:
        """Update the display in the name of the cell that waited.

        What is told between two cells does not reach a notebook that runs without a screen.
        """
        output, self._output = self._output, None
        if output is not None:
            output.update_again()

    def __repr__(self) -> str:
        if not self.done:
            return "<answer under way: await it, or .result()>"
        error = self._future.exception()
        return (
            f"<no answer: {one_line(error)}>" if error else f"<answer: {self._future.result()!r}>"
        )

    def _tell(self, number: int, news: Any) -> None:
        if isinstance(news, str):
            self._live.add(news)
        elif isinstance(news, Completion):
            # It is the answer of the cell that asked, whichever runs by now.
            with replay.within(self._run):
                self._live.finish(note_rounds(news))
            answer = AnswerText(news.text, news, self._format)
            self._future.set_result(self._value(answer))
        else:
            self._fail(news)

    def _fail(self, error: BaseException) -> None:
        shorten(error)
        if self._output is not None:
            self._output.update(Answer(self._live.text, format=self._format, error=one_line(error)))
        self._future.set_exception(error)

    def _ended(self) -> None:
        if not self.done:
            self._fail(LLMMagicError(STOPPED))
        _open.discard(self)
        self._forget()

    def stop_if_of(self, run: Run) -> None:
        """Hang up when that run began it."""
        if self._run is not None and self._run.number == run.number:
            self.cancel()


class _Output:
    """A display that is updated in the name of whatever cell runs then.

    Front ends find it by its id. Those without a screen hear only what the running cell says, and
    would miss what is said in the name of a cell that has ended.
    """

    def __init__(self) -> None:
        self._handle: Any = DisplayHandle()
        self._shown: Any = None

    def begin(self, answer: Answer) -> None:
        self._handle.display(answer)

    def update_again(self) -> None:
        self._handle.update(self._shown)

    def update(self, answer: Answer) -> None:
        self._shown = answer
        # In an empty context ipykernel knows of no cell but the last one.
        Context().run(self._handle.update, answer)


def _future() -> Future[Any]:
    from concurrent.futures import Future  # as long to load as a replay takes

    return Future()


_open: set[BackgroundAnswer] = set()


def stop_all(run: Run) -> None:
    """Stop the answers that a run of a cell began."""
    for answer in tuple(_open):
        answer.stop_if_of(run)
