"""What an answer over HTTP says: in the chat API's shape, and whether all of it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from llm_magic.attachment import gemini, responses
from llm_magic.attachment.endpoints import Endpoint
from llm_magic.exceptions import ProviderError
from llm_magic.providers import answers, anthropic, openai
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.catalog import Entry
from llm_magic.providers.reading import Reader, checked, parsed
from llm_magic.types import AttrDict, Request

__all__ = ["Pieces", "whole"]


def whole(endpoint: Endpoint, request: Request, body: bytes) -> AttrDict:
    """The answer that this body is.

    Raises
    ------
    ProviderError
        For anything but a whole answer.
    """
    answer = parsed(body, request)
    return _FORMS[endpoint.kind].whole(endpoint.row, answer, request)


class Pieces:
    """The answer that the events of a stream have told so far.

    Attributes
    ----------
    done : bool
        Whether the event has come that ends the stream.
    """

    def __init__(self, endpoint: Endpoint, request: Request, body: bytes) -> None:
        self._assembly = Assembly()
        self._reader = _FORMS[endpoint.kind].reader(endpoint.row, request)
        self.error: ProviderError | None = None
        try:
            for chunk in self._reader.feed(body):
                self._assembly.add(chunk)
        except ProviderError as error:
            # A server may tell in the middle of a stream that it failed.
            self.error = error

    @property
    def done(self) -> bool:
        """Whether the event has come that ends the stream."""
        return self._reader.done and self.error is None

    @property
    def text(self) -> str:
        """Text of the first choice."""
        return self._assembly.text

    def so_far(self) -> AttrDict:
        """The answer as far as it came."""
        return self._assembly.response()

    def whole(self) -> AttrDict:
        """The answer, when no more comes.

        Raises
        ------
        ProviderError
            When it has no end.
        """
        if self.error is not None:
            raise self.error
        for chunk in self._reader.end():
            self._assembly.add(chunk)
        return self._assembly.response()


@dataclass(frozen=True, slots=True)
class _Form:
    whole: Callable[[Entry, AttrDict, Request], AttrDict]
    reader: Callable[[Entry, Request], Reader]


def _as(api: str, request: Request) -> Request:
    return replace(request, api=api)


def _embeddings(row: Entry, answer: AttrDict, request: Request) -> AttrDict:
    """The head and the usage; the vectors are in the body, and need not be kept twice."""
    vectors = answer.get("data")
    if not isinstance(vectors, list) or not all(
        isinstance(one, Mapping) and one.get("embedding") for one in vectors
    ):
        vectors = []
    # Without a vector it is no answer, and the check says so.
    shape: AttrDict = checked(answer, request) if not vectors else openai.as_openai(row, answer)
    head = {name: value for name, value in shape.items() if name != "data"}
    return AttrDict(head, choices=[])


def _adapted(
    to_openai: Callable[[AttrDict], AttrDict],
) -> Callable[[Entry, AttrDict, Request], AttrDict]:
    return lambda row, answer, request: checked(to_openai(answer), request)


_FORMS: Mapping[str, _Form] = {
    "chat": _Form(
        lambda row, answer, request: openai.whole_answer(row, answer, _as("chat", request)),
        lambda row, request: openai.reader_of(row, _as("chat", request)),
    ),
    "completion": _Form(
        lambda row, answer, request: openai.whole_answer(row, answer, _as("completion", request)),
        lambda row, request: openai.reader_of(row, _as("completion", request)),
    ),
    "embedding": _Form(
        _embeddings,
        lambda row, request: openai.reader_of(row, _as("embedding", request)),
    ),
    "messages": _Form(
        _adapted(answers.to_openai), lambda row, request: anthropic.reader_of(request)
    ),
    "responses": _Form(
        _adapted(responses.to_openai),
        lambda row, request: Reader(request, chunks=responses.chunks, whole=responses.to_openai),
    ),
    "gemini": _Form(
        _adapted(gemini.to_openai),
        lambda row, request: Reader(request, chunks=gemini.chunks, whole=gemini.to_openai),
    ),
}
