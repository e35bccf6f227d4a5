"""Providers that speak Anthropic's Messages API.

Answers are always streamed, whole ones too: the API refuses long answers otherwise, and a stream
shows that it is alive.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import replace

from llm_magic.providers import conversion
from llm_magic.providers.answers import Events, to_openai
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.base import not_spoken
from llm_magic.providers.catalog import Entry
from llm_magic.providers.reading import Reader
from llm_magic.providers.sdk import Question, aexchange, connection, exchange, extra_body
from llm_magic.types import AttrDict, Chunk, Request, Transport

__all__ = ["AnthropicProvider", "reader_of"]


class AnthropicProvider:
    """Asks a server that speaks Anthropic's dialect; requests and answers are converted."""

    def __init__(self, row: Entry) -> None:
        self.name = row.name
        self._row = row

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer."""
        assembly = Assembly()
        with closing(self.stream(request, transport)) as chunks:
            for chunk in chunks:
                assembly.add(chunk)
        return assembly.response()

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        assembly = Assembly()
        async with aclosing(self.astream(request, transport)) as chunks:
            async for chunk in chunks:
                assembly.add(chunk)
        return assembly.response()

    def stream(self, request: Request, transport: Transport) -> Generator[Chunk, None, None]:
        """The answer in pieces."""
        question = self._question(request, transport)
        reader = reader_of(request)
        with closing(exchange(question, reader)) as pieces:
            for piece in pieces:
                yield from reader.feed(piece)
        yield from reader.end()

    async def astream(self, request: Request, transport: Transport) -> AsyncGenerator[Chunk, None]:
        """As :meth:`stream`, awaited."""
        question = self._question(request, transport)
        reader = reader_of(request)
        async with aclosing(aexchange(question, reader)) as pieces:
            async for piece in pieces:
                for chunk in reader.feed(piece):
                    yield chunk
        for chunk in reader.end():
            yield chunk

    def notes(self, request: Request) -> list[str]:
        """Parameters that are not sent, because Anthropic has no such thing."""
        return conversion.notes(request)

    def _question(self, request: Request, transport: Transport) -> Question:
        if request.api != "chat":
            raise not_spoken(request)
        place = connection(self._row, transport)
        # The SDK adds /v1 itself; many gateways print their address with it.
        base_url = place.base_url.rstrip("/").removesuffix("/v1")
        return Question(
            request=request,
            connection=replace(place, base_url=base_url),
            path="/v1/messages",
            body={
                **conversion.to_anthropic(request),
                **extra_body(request),
                "stream": self._row.streams,
            },
            timeout=transport.timeout,
            headers=conversion.headers(request),
        )


def reader_of(request: Request) -> Reader:
    """What reads a stream of the Messages API."""
    now = int(time.time())
    events = Events(created=now)
    return Reader(
        request,
        chunks=events.feed,
        last=lambda: [events.usage()],
        whole=lambda message: to_openai(message, created=now),
    )
