"""One question through any of the four entry points, for tests that run with each of them."""

from __future__ import annotations

import asyncio
from typing import Any

from llm_magic.client import Client
from llm_magic.types import Chunk, Completion

HOWS = ["complete", "stream", "acomplete", "astream"]


def ask(
    client: Client, how: str, prompt: Any, chunks: list[Chunk] | None = None, **options: Any
) -> Completion:
    """The completion; ``chunks`` gets those of a stream, whose texts are that of the completion."""
    came: list[Chunk] = [] if chunks is None else chunks
    if how == "complete":
        return client.complete(prompt, **options)
    if how == "stream":
        with client.stream(prompt, **options) as stream:
            came.extend(stream)
        completion = stream.completion
    else:
        completion = asyncio.run(_awaited(client, how, prompt, came, options))
        if how == "acomplete":
            return completion
    assert "".join(chunk.text for chunk in came) == completion.text
    return completion


async def _awaited(
    client: Client, how: str, prompt: Any, chunks: list[Chunk], options: dict[str, Any]
) -> Completion:
    if how == "acomplete":
        return await client.acomplete(prompt, **options)
    async with client.astream(prompt, **options) as stream:
        chunks.extend([chunk async for chunk in stream])
    return stream.completion
