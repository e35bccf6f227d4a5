"""Completions in pieces: iterate chunks, then read ``.completion``.

A stream that ends with its finish reasons is stored like any answer. One that the caller closed
early is stored as closed, and replays only as a stream; an interrupted or broken one is not stored.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from llm_magic import dropped
from llm_magic.exceptions import LLMMagicError
from llm_magic.pipeline import Call
from llm_magic.providers.assembly import Assembly, pieces
from llm_magic.types import Chunk, Completion

__all__ = ["AsyncCompletionStream", "CompletionStream"]


class _Stream:
    """What the sync and the async stream share: all but the lines that wait."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._assembly = Assembly()
        # What came before the first token, while another model could still take over.
        self._early: deque[Chunk] = deque()
        self._done = False
        self._began = False
        self._opened = False
        self._soon = dropped.expect()

    def __del__(self) -> None:
        # Nobody said that the rest is not wanted, so it is not stored.
        if not self._done:
            self._soon(self._drop)

    def _drop(self) -> None:
        """Write down that nobody holds the stream; in a thread of its own."""
        self._fail(GeneratorExit("the stream was dropped"))

    @property
    def completion(self) -> Completion:
        """The whole answer; there once the stream has ended.

        Raises
        ------
        RuntimeError
            Before the end, or when the stream did not end well.
        """
        if self._call.completion is None:
            raise RuntimeError("the completion is there after the end of the stream; read it first")
        return self._call.completion

    @property
    def text(self) -> str:
        """Text of the first choice so far."""
        return self._assembly.text

    @property
    def attempts(self) -> Sequence[Mapping[str, Any]]:
        """Every request that was sent so far; see ``Completion.attempts``."""
        return self._call.attempts

    @property
    def source(self) -> str:
        """``live`` or ``replay``."""
        return "live" if self._call.recording is None else "replay"

    def _seen(self, chunk: Chunk) -> None:
        self._call.token_arrived()
        self._assembly.add(chunk)
        if chunk.get("usage"):
            chunk.cost = self._call.cost_of(chunk["usage"])

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        try:
            if self._call.recording is not None:
                self._call.replayed()
            else:
                self._call.answered(self._assembly.response())
        finally:
            self._call.release()

    def _fail(self, error: BaseException) -> None:
        if self._done:
            return
        self._done = True
        try:
            self._call.failed(error, self._assembly.text)
        finally:
            self._call.release()

    def _close_early(self) -> None:
        if self._done:
            return
        self._done = True
        try:
            if self._call.recording is not None:
                self._call.replayed()
            elif self._began:
                self._call.answered(self._assembly.response(), closed=True)
        finally:
            self._call.release()


def _has_token(chunk: Chunk) -> bool:
    """Whether the chunk holds anything of the answer: text, reasoning, a tool call."""
    return any(
        value
        for choice in chunk["choices"]
        for name, value in choice["delta"].items()
        if name != "role"
    )


# What streams read from. Python would end a generator by itself, on whichever thread collects it,
# also where this thread holds a lock of the very pool that the connection goes back to.
_connections: set[Iterator[Chunk]] = set()


class CompletionStream(_Stream):
    """An iterator of chunks, and a context manager that closes the connection.

    Examples
    --------
    >>> from llm_magic import stream
    >>> with stream("Say hello", model="echo/echo") as answer:
    ...     text = "".join(chunk.text for chunk in answer)
    >>> text == answer.completion.text
    True
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._chunks: Iterator[Chunk] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        if self._done:
            raise StopIteration
        try:
            if not self._opened:
                self._opened = True
                self._open()
            chunk = self._early.popleft() if self._early else next(self._chunks)
            self._seen(chunk)
        except StopIteration:
            _connections.discard(self._chunks)
            self._finish()
            raise
        except BaseException as error:
            self._close_connection()
            self._fail(error)
            raise
        return chunk

    def _open(self) -> None:
        """Find the recording, or ask until a first token comes."""
        call = self._call
        call.wait_for_twin()
        if call.recording is not None:
            self._chunks = pieces(call.recording.response)
            return
        wait = call.first_attempt()
        while True:
            if wait:
                time.sleep(wait)
            call.begin()
            self._began = True
            one = call.candidate
            try:
                self._chunks = one.provider.stream(one.sent, one.transport)
                _connections.add(self._chunks)
                for chunk in self._chunks:
                    self._early.append(chunk)
                    if _has_token(chunk):
                        break
                return
            except LLMMagicError as error:
                _connections.discard(self._chunks)
                call.failed(error)
                failure = error
            self._early.clear()
            wait = call.next_attempt(failure)

    def _close_connection(self) -> None:
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            _connections.discard(self._chunks)

    def close(self) -> None:
        """Stop here: the connection is closed, what came so far is kept as a closed stream."""
        self._close_connection()
        self._close_early()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._close_connection()
            self._fail(error)

    def _drop(self) -> None:
        try:
            self._close_connection()
        finally:
            super()._drop()


class AsyncCompletionStream(_Stream):
    """As :class:`CompletionStream`, awaited: ``async for``, ``async with``, ``aclose()``."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._chunks: AsyncIterator[Chunk] = _awaitable(iter(()))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._done:
            raise StopAsyncIteration
        try:
            if not self._opened:
                self._opened = True
                await self._open()
            chunk = self._early.popleft() if self._early else await anext(self._chunks)
            self._seen(chunk)
        except StopAsyncIteration:
            self._finish()
            raise
        except BaseException as error:
            await self._close_connection()
            self._fail(error)
            raise
        return chunk

    async def _open(self) -> None:
        """As the sync stream's, awaited."""
        import asyncio

        call = self._call
        await call.await_twin()
        if call.recording is not None:
            self._chunks = _awaitable(pieces(call.recording.response))
            return
        wait = call.first_attempt()
        while True:
            if wait:
                await asyncio.sleep(wait)
            call.begin()
            self._began = True
            one = call.candidate
            try:
                self._chunks = one.provider.astream(one.sent, one.transport)
                async for chunk in self._chunks:
                    self._early.append(chunk)
                    if _has_token(chunk):
                        break
                return
            except LLMMagicError as error:
                call.failed(error)
                failure = error
            self._early.clear()
            wait = call.next_attempt(failure)

    async def _close_connection(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()

    async def aclose(self) -> None:
        """Stop here: the connection is closed, what came so far is kept as a closed stream."""
        await self._close_connection()
        self._close_early()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            await self._close_connection()
            self._fail(error)


async def _awaitable(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    for chunk in chunks:
        yield chunk
