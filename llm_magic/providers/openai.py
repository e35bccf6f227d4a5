"""Providers that speak OpenAI's chat completions API.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing

from llm_magic.providers.catalog import Entry
from llm_magic.providers.reading import Reader, checked, parsed
from llm_magic.providers.sdk import Question, aexchange, connection, exchange
from llm_magic.types import AttrDict, Chunk, Request, Transport

__all__ = ["OpenAIProvider"]


class OpenAIProvider:
    """Asks a server that speaks OpenAI's dialect; parameters go out as they are."""

    def __init__(self, row: Entry) -> None:
        self.name = row.name
        self._row = row

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer."""
        question = self._question(request, transport, stream=False)
        body = b"".join(exchange(question))
        return checked(parsed(body, request), request)

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        question = self._question(request, transport, stream=False)
        body = b"".join([piece async for piece in aexchange(question)])
        return checked(parsed(body, request), request)

    def stream(self, request: Request, transport: Transport) -> Generator[Chunk, None, None]:
        """The answer in pieces."""
        question = self._question(request, transport, stream=True)
        reader = _reader(request)
        with closing(exchange(question, reader)) as pieces:
            for piece in pieces:
                yield from reader.feed(piece)
        yield from reader.end()

    async def astream(self, request: Request, transport: Transport) -> AsyncGenerator[Chunk, None]:
        """As :meth:`stream`, awaited."""
        question = self._question(request, transport, stream=True)
        reader = _reader(request)
        async with aclosing(aexchange(question, reader)) as pieces:
            async for piece in pieces:
                for chunk in reader.feed(piece):
                    yield chunk
        for chunk in reader.end():
            yield chunk

    def notes(self, request: Request) -> list[str]:
        """Nothing: the API says itself what it does not take."""
        return []

    def _question(self, request: Request, transport: Transport, *, stream: bool) -> Question:
        body = {"model": request.model, "messages": request.messages, **request.parameters}
        if stream:
            body["stream"] = True
            body.setdefault("stream_options", {"include_usage": True})
        else:
            # They say how the answer travels, and that is not up to the parameters.
            body.pop("stream", None)
            body.pop("stream_options", None)
        return Question(
            request=request,
            connection=connection(self._row, transport),
            path="/chat/completions",
            body=body,
            timeout=transport.timeout,
        )


def _reader(request: Request) -> Reader:
    return Reader(request, chunks=_chunks, whole=lambda answer: answer)


def _chunks(event: AttrDict) -> tuple[Chunk]:
    """The event as a chunk whose choices all have a delta, and every delta a content."""
    choices = event.get("choices")
    if choices is None:
        choices = event["choices"] = []
    for choice in choices:
        delta = choice.get("delta")
        if delta is None:
            delta = choice["delta"] = AttrDict()
        # dict's own method: it does not look at the value, which is None.
        delta.setdefault("content", None)
    return (Chunk(event),)
