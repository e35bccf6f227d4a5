"""What the modules of this package share: our errors, streams and answers, dressed as others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from llm_magic import exceptions
from llm_magic.exceptions import LLMMagicError
from llm_magic.streaming import AsyncCompletionStream, CompletionStream
from llm_magic.types import AttrDict, Chunk, Completion

__all__ = [
    "AsyncPieces",
    "Pieces",
    "about",
    "also",
    "as_embedding",
    "as_text_completion",
    "as_text_piece",
    "with_choice",
]

Attempts = Sequence[Mapping[str, Any]]


# Errors

_joined: dict[tuple[type, type], type[LLMMagicError]] = {}


def also(error: LLMMagicError, kind: type[Exception]) -> None:
    """Make an error one of another library's kind as well, so that code that catches it works.

    It stays what it is: the same object, of our class, with our message and attributes, and
    besides with the ones that the other library's errors have.
    """
    if not isinstance(error, kind):
        error.__class__ = joined(type(error), kind)


def joined(ours: type[LLMMagicError], kind: type[Exception]) -> type[LLMMagicError]:
    """The class of errors that are both; it is named like ours."""
    found = _joined.get((ours, kind))
    if found is None:
        fields = {
            "__module__": ours.__module__,
            "__doc__": ours.__doc__,
            "__reduce__": _reduce,
            "body": None,
            "message": property(str),
            "status_code": property(lambda error: getattr(error, "status", None)),
        }
        found = _joined.setdefault((ours, kind), type(ours.__name__, (ours, kind), fields))
    return found


def _reduce(error: LLMMagicError) -> tuple[Any, ...]:
    # A class that was put together here does not exist in the process that unpickles.
    names = vars(exceptions)
    ours = next(cls for cls in type(error).__mro__ if names.get(cls.__name__) is cls)
    return ours, (str(error),), error.__dict__


# Streams


def with_choice(chunk: Chunk) -> Chunk:
    """The chunk with a choice in it: the examples of the other libraries look at the first one.

    The last chunk, which has the usage, comes without.
    """
    if not chunk["choices"]:
        delta = AttrDict(content=None)
        chunk["choices"] = [AttrDict(index=0, delta=delta, logprobs=None, finish_reason=None)]
    return chunk


Stream = TypeVar("Stream", bound=CompletionStream | AsyncCompletionStream)


def _nothing(attempts: Attempts) -> None:
    return None


class _Pieces(Generic[Stream]):
    """What the sync and the async one share: all but the lines that wait.

    Parameters
    ----------
    stream : CompletionStream or AsyncCompletionStream
        Ours.
    fail : callable
        Raises an error of ours as the other library's.
    shape : callable
        From our chunk to the other library's.
    ended : callable
        Is told all attempts when the stream has ended, well or not.
    """

    def __init__(
        self,
        stream: Stream,
        fail: Callable[[LLMMagicError], NoReturn],
        shape: Callable[[Chunk], Chunk] = with_choice,
        ended: Callable[[Attempts], None] = _nothing,
    ) -> None:
        self._stream = stream
        self._fail = fail
        self._shape = shape
        self._ended = ended

    @property
    def completion(self) -> Completion:
        """The whole answer; there once the stream has ended."""
        return self._stream.completion

    def _end(self) -> None:
        ended, self._ended = self._ended, _nothing
        ended(self._stream.attempts)


class Pieces(_Pieces[CompletionStream]):
    """The chunks of a stream in another library's shape; ``close()`` ends it early."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        try:
            return self._shape(next(self._stream))
        except StopIteration:
            self._end()
            raise
        except LLMMagicError as error:
            self._end()
            self._fail(error)

    def close(self) -> None:
        """Stop here; the connection is closed."""
        self._stream.close()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.__exit__(kind, error, traceback)
        self._end()


class AsyncPieces(_Pieces[AsyncCompletionStream]):
    """As :class:`Pieces`, awaited: ``async for``, ``async with``, ``aclose()``."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            return self._shape(await anext(self._stream))
        except StopAsyncIteration:
            self._end()
            raise
        except LLMMagicError as error:
            self._end()
            self._fail(error)

    async def aclose(self) -> None:
        """Stop here; the connection is closed."""
        await self._stream.aclose()
        self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stream.__aexit__(kind, error, traceback)
        self._end()


# Answers


def about(completion: Completion) -> dict[str, Any]:
    """What we know about a call beside its answer, to go with the answer in another shape."""
    return dict(vars(completion))


def as_text_completion(completion: Completion) -> Completion:
    """An answer as the older completions API gives it: ``choices[0].text``."""
    choices = [
        {
            "text": choice["message"].get("content") or "",
            **{name: item for name, item in choice.items() if name != "message"},
        }
        for choice in completion["choices"]
    ]
    answer = {**completion, "object": "text_completion", "choices": choices}
    return Completion(answer, **about(completion))


def as_text_piece(chunk: Chunk) -> Chunk:
    """A chunk as the older completions API streams it: ``choices[0].text``."""
    choices = [
        {
            "text": choice["delta"].get("content") or "",
            **{name: item for name, item in choice.items() if name != "delta"},
        }
        for choice in with_choice(chunk)["choices"]
    ]
    piece = Chunk({**chunk, "object": "text_completion"})
    piece["choices"] = choices
    return piece


def as_embedding(completion: Completion) -> Completion:
    """An answer as the embeddings API gives it: without choices."""
    answer = {name: item for name, item in completion.items() if name != "choices"}
    return Completion(answer, **about(completion))
