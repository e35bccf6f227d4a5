"""A question that is answered on a thread of its own, so that the kernel goes on meanwhile.

The thread awaits the answer in an event loop of its own: a task can be cancelled while it waits for
a word of the model, a thread that reads cannot. Stopped is interrupted: the connection is closed at
once and nothing of the answer is stored, as with an interrupt of ``%%complete``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from llm_magic import client, replay
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.display import LiveAnswer, visible
from llm_magic.pipeline import notes_shown
from llm_magic.types import Completion

__all__ = ["Answering"]

STOPPED = "stopped; nothing of this answer was stored"


class Answering:
    """An answer under way.

    Parameters
    ----------
    prompt : str or list of dict
        What is asked.
    options : dict
        Arguments of ``stream()``.
    live : LiveAnswer
        Shows the answer as it comes.
    ended : callable
        Is called at the end, on the thread, with the completion or None, and what to tell.
    """

    def __init__(
        self,
        prompt: Any,
        options: Mapping[str, Any],
        live: LiveAnswer,
        ended: Callable[[Completion | None, str], None],
    ) -> None:
        self._prompt, self._options = prompt, options
        self._live, self._ended = live, ended
        self._lock = threading.Lock()
        self._stopped = False
        self._task: asyncio.Task[Completion] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="llm-magic answer")
        self._thread.start()

    def stop(self) -> None:
        """Hang up; from any thread, and more than once."""
        with self._lock:
            self._stopped = True
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def join(self) -> None:
        """Wait for its end."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        completion, told = None, ""
        try:
            completion = asyncio.run(self._read())
            self._live.finish(completion)
        except asyncio.CancelledError:
            told = STOPPED
            self._live.fail("stopped")
        except Exception as error:
            told = _told(error)
            self._live.fail(told)
        self._ended(completion, told)

    async def _read(self) -> Completion:
        with self._lock:
            if self._stopped:
                raise asyncio.CancelledError
            self._task = asyncio.current_task()
        try:
            with replay.apart("panel"), notes_shown():
                stream = client.default().astream(self._prompt, **self._options)
                async with stream:
                    async for chunk in stream:
                        if stream.source == "live":
                            self._live.add(chunk.text)
            return stream.completion
        finally:
            with self._lock:
                self._task = None


def _told(error: Exception) -> str:
    """The error in one line, without what drives a terminal and without known keys."""
    text = str(error) if isinstance(error, LLMMagicError) else f"{type(error).__name__}: {error}"
    return " ".join(visible(text).split())
