"""httpx2 and httpx: two libraries that work alike and share no class."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

from llm_magic import dropped

__all__ = ["Library", "Watcher"]


class Watcher(Protocol):
    """Is told what comes of an answer, and how it ends. The first to tell an end counts."""

    @property
    def over(self) -> bool:
        """Whether it was told how it ends."""

    def came(self, piece: bytes) -> None:
        """Bytes that the caller is about to get."""

    def ended(self) -> None:
        """All bytes have come."""

    def broke(self, error: BaseException) -> None:
        """No more comes, because of this."""

    def closed(self, why: BaseException | None = None) -> None:
        """The caller wants no more, maybe because of an error; also after the end.

        Where Python collects the stream or what reads it, this is called in a thread of its own.
        """


class Library:
    """One of the two: makes responses of its kind, and has its streams watched.

    Parameters
    ----------
    module : module
        ``httpx2`` or ``httpx``.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        # Both check that streams inherit from classes of their own.
        both = (self.module.SyncByteStream, self.module.AsyncByteStream)
        self._watched_sync = type("WatchedStream", (_WatchedSync, both[0]), {})
        self._watched_async = type("WatchedAsyncStream", (_WatchedAsync, both[1]), {})
        self._stored = type("StoredStream", (_Stored, *both), {})

    def body(self, request: Any) -> bytes | None:
        """The body of a request; None for one that is not there before it is sent."""
        # One that was redirected has its bytes, and has not read them.
        if isinstance(request.stream, self.module.ByteStream):
            request.read()
        try:
            content: bytes = request.content
        except self.module.RequestNotRead:
            return None
        return content

    def response(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        at_end: Callable[[], None] = lambda: None,
    ) -> Any:
        """A response that has not been read yet, as one from a server.

        ``at_end`` is called when somebody who has the whole body wants more.
        """
        stream = self._stored(body, at_end)
        return self.module.Response(status, headers=dict(headers), stream=stream)

    def decoded(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """The body without its compression."""
        if not headers.get("content-encoding"):
            return body
        content: bytes = self.module.Response(200, headers=headers, content=body).content
        return content

    def watch(self, response: Any, watcher: Watcher, *, awaited: bool) -> None:
        """Let the watcher see what the caller reads, when the caller reads it.

        A stream may be of both kinds: who asked tells how it is read.
        """
        kind = self._watched_async if awaited else self._watched_sync
        response.stream = kind(response.stream, watcher)


class _Watched:
    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._stream = stream
        self._watcher = watcher
        self._soon = dropped.expect()

    def __del__(self) -> None:
        self._close_soon()

    def _close_soon(self) -> None:
        if not self._watcher.over:
            self._soon(self._watcher.closed)

    def _closed(self, why: BaseException | None) -> None:
        """Tell that it was closed, while this error was on its way."""
        if isinstance(why, GeneratorExit):
            # A generator that reads it ends, and Python may be collecting that anywhere.
            self._close_soon()
        else:
            self._watcher.closed(why)


class _WatchedSync(_Watched):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                self._watcher.came(piece)
                yield piece
        except GeneratorExit:
            # close() tells whether that was meant.
            raise
        except BaseException as error:
            self._watcher.broke(error)
            raise
        self._watcher.ended()

    def close(self) -> None:
        why = sys.exception()
        try:
            self._stream.close()
        finally:
            self._closed(why)


class _WatchedAsync(_Watched):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._watcher.came(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self._watcher.broke(error)
            raise
        self._watcher.ended()

    async def aclose(self) -> None:
        why = sys.exception()
        try:
            await self._stream.aclose()
        finally:
            self._closed(why)


class _Stored:
    """Bytes that stand in for those of a connection."""

    def __init__(self, body: bytes, at_end: Callable[[], None]) -> None:
        self._body = body
        self._at_end = at_end

    def __iter__(self) -> Iterator[bytes]:
        yield self._body
        self._at_end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        self._at_end()

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass
