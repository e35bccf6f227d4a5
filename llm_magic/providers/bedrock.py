"""Amazon Bedrock, which speaks two dialects: Claude's own, and OpenAI's for all other models.

The SDKs' own clients ask it. With an API key of Bedrock they need nothing more; with credentials
of AWS, which sign every request, they need boto3.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from llm_magic.providers.anthropic import AnthropicProvider
from llm_magic.providers.base import Provider
from llm_magic.providers.catalog import Entry
from llm_magic.providers.openai import OpenAIProvider
from llm_magic.types import AttrDict, Chunk, Request, Transport

__all__ = ["BedrockProvider"]

_CLAUDE = re.compile(r"([a-z]+\.)?anthropic\.")

# An inference profile (us.anthropic.…) or a version (…-v1:0) is a name of the older API. Its
# streams are binary frames of AWS; so its answers are asked for whole, and given in pieces here.
_OLDER = re.compile(r"[a-z]+\.anthropic\.|.*:\d+$")


class BedrockProvider:
    """Asks Bedrock in the dialect of the model."""

    def __init__(self, row: Entry) -> None:
        self.name = row.name
        self._openai = OpenAIProvider(replace(row, dialect="openai"))
        self._claude = AnthropicProvider(
            replace(
                row,
                dialect="anthropic",
                client="AnthropicBedrockMantle",
                base_url="https://bedrock-mantle.{region}.api.aws/anthropic",
                base_url_variable="ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
            )
        )
        self._older = AnthropicProvider(
            replace(
                row,
                dialect="anthropic",
                client="AnthropicBedrock",
                base_url="https://bedrock-runtime.{region}.amazonaws.com",
                base_url_variable="ANTHROPIC_BEDROCK_BASE_URL",
                streams=False,
            )
        )

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer."""
        return self._for(request).send(request, transport)

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        return await self._for(request).asend(request, transport)

    def stream(self, request: Request, transport: Transport) -> Iterator[Chunk]:
        """The answer in pieces."""
        return self._for(request).stream(request, transport)

    def astream(self, request: Request, transport: Transport) -> AsyncIterator[Chunk]:
        """As :meth:`stream`, awaited."""
        return self._for(request).astream(request, transport)

    def notes(self, request: Request) -> list[str]:
        """What of the request the model cannot take."""
        return self._for(request).notes(request)

    def _for(self, request: Request) -> Provider:
        if not _CLAUDE.match(request.model):
            return self._openai
        return self._older if _OLDER.match(request.model) else self._claude
