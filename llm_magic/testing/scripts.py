"""What a test can script the fake server to do next, and the answer a reply turns into."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Literal

# Input and output tokens, or the fields of the provider that are laid over what we count.
Usage = tuple[int, int] | Mapping[str, Any] | Literal["counted"]

# Where a stream of OpenAI's dialect tells its usage: in a chunk of its own, when it is asked for
# (OpenAI), or unasked in the last chunk (Mistral), in every chunk (Gemini, Perplexity), in the last
# chunk's `x_groq`, or in its choice (Moonshot).
UsagePlace = Literal["own chunk", "last chunk", "every chunk", "x_groq", "choice"]

_WORD = re.compile(r"\s*\S+|\s+\Z")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, and the way it ends: whole, cut off, or without a finish reason."""

    text: str | tuple[str, ...] = ""
    model: str | None = None
    usage: Usage | None = "counted"
    usage_place: UsagePlace = "own chunk"
    service_tier: str | None = None
    finish_reason: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    reasoning: str | None = None
    headers: Mapping[str, str] | None = None
    gate: Event | None = None
    ending: Literal["whole", "cut", "unfinished"] = "whole"
    cut_after: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error in the body; status 200 is the error that comes dressed as a success."""

    status: int
    message: str | None = None
    code: str | None = None
    type: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Hang:
    """No answer at all."""


@dataclass(frozen=True)
class ModelList:
    """The models of the provider."""

    names: tuple[str, ...]


Script = Reply | Failure | Hang | ModelList


@dataclass(frozen=True)
class Answer:
    """A reply to one request: the script and the request, seen together by a dialect."""

    number: int
    body: Mapping[str, Any]
    reply: Reply

    @property
    def model(self) -> str:
        """The model that says it answered."""
        return self.reply.model or str(self.body.get("model") or "fake-model")

    @property
    def texts(self) -> tuple[str, ...]:
        """One text for each choice: those of the script, or its one text `n` times."""
        if isinstance(self.reply.text, tuple):
            return self.reply.text
        asked = self.body.get("n")
        return (self.reply.text,) * (asked if isinstance(asked, int) and asked > 0 else 1)

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ends, in OpenAI's words; `None` if it just ends."""
        if self.reply.ending == "unfinished":
            return None
        return self.reply.finish_reason or ("tool_calls" if self.reply.tool_calls else "stop")

    @property
    def reasoning_tokens(self) -> int:
        """The words of the reasoning."""
        return len((self.reply.reasoning or "").split())

    def tokens(self, texts: Sequence[str]) -> tuple[int, int]:
        """The input and output tokens: those of the script, or one for each word."""
        if isinstance(self.reply.usage, tuple):
            return self.reply.usage
        output = sum(len(text.split()) for text in texts)
        return len(_prompt_text(self.body).split()), output + self.reasoning_tokens

    def extra_usage(self) -> Mapping[str, Any]:
        """The usage fields that the script states in the words of its provider."""
        return self.reply.usage if isinstance(self.reply.usage, Mapping) else {}


def words(text: str) -> list[str]:
    r"""Split a text into words that keep their white space, so that they join to the same text.

    >>> words(" one  two\n")
    [' one', '  two', '\n']
    """
    return _WORD.findall(text)


def last_user_text(body: Mapping[str, Any]) -> str:
    """The text of the newest user message of a request, or of its prompt; "" if there is none."""
    for message in reversed(_messages(body)):
        if message.get("role") == "user":
            return _content_text(message.get("content"))
    return "\n".join(prompts(body))


def prompts(body: Mapping[str, Any]) -> list[str]:
    """The texts that a request for completions or embeddings is about."""
    given = body.get("prompt", body.get("input", []))
    return [given] if isinstance(given, str) else [str(text) for text in given]


def _prompt_text(body: Mapping[str, Any]) -> str:
    contents = [body.get("system"), *(message.get("content") for message in _messages(body))]
    return "\n".join([*map(_content_text, contents), *prompts(body)])


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, dict)]


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
