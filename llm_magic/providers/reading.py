"""What a server sent, read and checked: an answer is JSON, has choices, and every choice ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from llm_magic.exceptions import IncompleteError, ProviderError
from llm_magic.providers import sse
from llm_magic.providers.assembly import Assembly, pieces
from llm_magic.providers.base import error_for_status
from llm_magic.secrets import redact
from llm_magic.types import AttrDict, Chunk, Request

__all__ = ["Reader", "checked", "checked_vectors", "parsed"]

_SHOWN = 200

# How streams end that are not ended by [DONE]: those of Anthropic, and of OpenAI's Responses API.
_LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete"})

# json.loads() makes a new decoder a call: a fifth of a stream's time.
_DECODER = json.JSONDecoder(object_hook=AttrDict)


def parsed(text: str | bytes, request: Request, *, partial: Callable[[], str] = str) -> AttrDict:
    """The JSON object in this text.

    Raises
    ------
    ProviderError
        When there is none, or it is an error that came dressed as a success, with status 200.
    """
    try:
        answer = _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except ValueError:  # UnicodeDecodeError is one
        answer = None
    if not isinstance(answer, AttrDict):
        raise _not_an_answer(
            f"sent something that is not an answer: {_start(text)}", request, partial()
        )
    if answer.get("error"):
        raise error_for_status(None, answer, request=request, partial=partial())
    return answer


def checked(response: AttrDict, request: Request) -> AttrDict:
    """The same answer, if it is whole.

    Raises
    ------
    ProviderError
        When it has no choices.
    IncompleteError
        When a choice has no finish reason.
    """
    choices = response.get("choices")
    if not choices:
        raise _not_an_answer(f"sent an answer without choices: {_start(str(response))}", request)
    if not all(choice.get("finish_reason") for choice in choices):
        raise _incomplete(request, (choices[0].get("message") or {}).get("content") or "")
    return response


def checked_vectors(response: AttrDict, request: Request) -> AttrDict:
    """The same answer, if it holds a vector for every text.

    Raises
    ------
    ProviderError
        When it does not.
    """
    given = response.get("data")
    vectors = given if isinstance(given, list) else []
    count = sum(isinstance(one, AttrDict) and bool(one.get("embedding")) for one in vectors)
    if count != len(request.messages) or count != len(vectors):
        raise _not_an_answer(
            f"sent {count} vectors for {len(request.messages)} texts: {_start(str(response))}",
            request,
        )
    return response


class Reader:
    """Is fed the bytes of a streamed answer and gives its chunks.

    Parameters
    ----------
    request : Request
        What was asked, for the error messages.
    chunks : callable
        From an event's data to the chunks it means.
    last : callable
        The chunks that come when the events are over.
    whole : callable
        From a whole answer to the OpenAI shape, for a server that does not stream.
    """

    def __init__(
        self,
        request: Request,
        *,
        chunks: Callable[[AttrDict], Iterable[Chunk]],
        last: Callable[[], Iterable[Chunk]] = tuple,
        whole: Callable[[AttrDict], AttrDict],
    ) -> None:
        self._request = request
        self._chunks = chunks
        self._last = last
        self._whole = whole
        self._decoder = sse.Decoder()
        self._assembly = Assembly()
        self._no_event: list[bytes] | None = []  # what came as long as no event has
        self.done = False

    def partial(self) -> str:
        """Text so far."""
        return self._assembly.text

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete."""
        if self._no_event is not None:
            self._no_event.append(piece)
        for name, data in self._decoder.feed(piece):
            self._no_event = None
            if self.done:
                return
            self.done = data == "[DONE]" or name in _LAST_EVENTS
            if data == "[DONE]":
                return
            for chunk in self._chunks(parsed(data, self._request, partial=self.partial)):
                self._assembly.add(chunk)
                yield chunk

    def end(self) -> Iterator[Chunk]:
        """The last chunks, when all bytes have come.

        Raises
        ------
        IncompleteError
            When the stream has ended and the answer has not.
        """
        body = b"".join(self._no_event or ()).strip()
        if body:
            whole = checked(self._whole(parsed(body, self._request)), self._request)
            yield from pieces(whole)
            return
        if not self._assembly.complete:
            raise _incomplete(self._request, self.partial())
        yield from self._last()


def _start(text: str | bytes) -> str:
    start = text[:_SHOWN].decode("utf-8", "replace") if isinstance(text, bytes) else text[:_SHOWN]
    return repr(redact(start)) + ("..." if len(text) > _SHOWN else "")


def _not_an_answer(message: str, request: Request, partial: str = "") -> ProviderError:
    return ProviderError(
        f"{request.reference} {message}; is the base URL the one of an API?",
        provider=request.provider,
        model=request.model,
        partial=partial,
        billed=None,
    )


def _incomplete(request: Request, partial: str) -> IncompleteError:
    return IncompleteError(
        f"{request.reference} ended its answer after {len(partial)} characters without a finish"
        " reason, so it is not whole and was not stored; ask again",
        provider=request.provider,
        model=request.model,
        partial=partial,
        billed=None,
    )
