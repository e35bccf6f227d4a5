"""Providers that speak OpenAI's APIs: chat, the older completions, and embeddings.

Whatever was asked, the answer has the shape of ``chat.completion``: a completion's text is the
content of a message, and embeddings are an answer without choices, in ``data``.

Sources: https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/api-reference/completions and
https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

from llm_magic.providers.catalog import Entry
from llm_magic.providers.reading import Reader, checked, checked_vectors, parsed
from llm_magic.providers.sdk import Question, aexchange, connection, exchange, extra_body
from llm_magic.types import AttrDict, Chunk, Request, Transport, as_mapping, token_count

__all__ = ["OpenAIProvider", "as_openai", "reader_of", "sent_and_notes", "whole_answer"]

# Values that ask for what happens anyway: leaving them out changes nothing.
_ASKS_NOTHING: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "stop": ("", []),
    "stream_options": ({"include_usage": True},),
    "temperature": (1,),
    "tool_choice": ("auto",),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
}
_USAGE = {"include_usage": True}


class OpenAIProvider:
    """Asks a server that speaks OpenAI's dialect; parameters go out as they are, but for quirks."""

    def __init__(self, row: Entry) -> None:
        self.name = row.name
        self._row = row

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer."""
        question = self._question(request, transport, stream=False)
        body = b"".join(exchange(question))
        return whole_answer(self._row, parsed(body, request), request)

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        question = self._question(request, transport, stream=False)
        body = b"".join([piece async for piece in aexchange(question)])
        return whole_answer(self._row, parsed(body, request), request)

    def stream(self, request: Request, transport: Transport) -> Generator[Chunk, None, None]:
        """The answer in pieces."""
        question = self._question(request, transport, stream=True)
        reader = reader_of(self._row, request)
        with closing(exchange(question, reader)) as pieces:
            for piece in pieces:
                yield from reader.feed(piece)
        yield from reader.end()

    async def astream(self, request: Request, transport: Transport) -> AsyncGenerator[Chunk, None]:
        """As :meth:`stream`, awaited."""
        question = self._question(request, transport, stream=True)
        reader = reader_of(self._row, request)
        async with aclosing(aexchange(question, reader)) as pieces:
            async for piece in pieces:
                for chunk in reader.feed(piece):
                    yield chunk
        for chunk in reader.end():
            yield chunk

    def notes(self, request: Request) -> list[str]:
        """Parameters that are not sent, because this provider or model does not take them."""
        return sent_and_notes(self._row, request)[1] if request.parameters else []

    def _question(self, request: Request, transport: Transport, *, stream: bool) -> Question:
        parameters = sent_and_notes(self._row, request)[0]
        api = _APIS[request.api]
        body = {"model": request.model, **api.asked(request), **parameters}
        if stream:
            body["stream"] = True
            if not _refuses(self._row, request.model, "stream_options"):
                body.setdefault("stream_options", _USAGE)
        else:
            # They say how the answer travels, and that is not up to the parameters.
            body.pop("stream", None)
            body.pop("stream_options", None)
        return Question(
            request=request,
            connection=connection(self._row, transport),
            path=api.path,
            body=body,
            timeout=transport.timeout,
        )


def reader_of(row: Entry, request: Request) -> Reader:
    """What reads a stream of this provider."""
    piece = _APIS[request.api].piece
    return Reader(
        request,
        chunks=lambda event: _chunks(row, piece(event)),
        whole=lambda answer: whole_answer(row, answer, request),
    )


def whole_answer(row: Entry, answer: AttrDict, request: Request) -> AttrDict:
    """The answer in the chat API's shape, once it is sure that nothing of it is missing."""
    return as_openai(row, _APIS[request.api].whole(answer, request))


def _prompt(request: Request) -> Any:
    texts = [message["content"] for message in request.messages]
    return texts[0] if len(texts) == 1 else texts


def _completion(answer: AttrDict, request: Request) -> AttrDict:
    for choice in answer.get("choices") or ():
        choice["message"] = AttrDict(role="assistant", content=choice.pop("text", None))
    answer["object"] = "chat.completion"
    return checked(answer, request)


def _completion_piece(event: AttrDict) -> AttrDict:
    for choice in event.get("choices") or ():
        choice["delta"] = AttrDict(content=choice.pop("text", None))
    event["object"] = "chat.completion.chunk"
    return event


def _embedding(answer: AttrDict, request: Request) -> AttrDict:
    checked_vectors(answer, request)
    answer["choices"] = []
    return answer


@dataclass(frozen=True, slots=True)
class _API:
    """One kind of API.

    Attributes
    ----------
    path : str
        Where it is.
    asked : callable
        What of the body says what is asked.
    whole : callable
        The answer in the chat API's shape, once it is sure that nothing of it is missing.
    piece : callable
        The same for a piece of a stream.
    """

    path: str
    asked: Callable[[Request], Mapping[str, Any]]
    whole: Callable[[AttrDict, Request], AttrDict]
    piece: Callable[[AttrDict], AttrDict] = lambda event: event


_APIS: Mapping[str, _API] = {
    "chat": _API("/chat/completions", lambda asked: {"messages": asked.messages}, checked),
    "completion": _API(
        "/completions", lambda asked: {"prompt": _prompt(asked)}, _completion, _completion_piece
    ),
    "embedding": _API("/embeddings", lambda asked: {"input": _prompt(asked)}, _embedding),
}


def _refuses(row: Entry, model: str, parameter: str) -> bool:
    return any(parameter in quirk.refused and quirk.fits(model) for quirk in row.quirks)


def sent_and_notes(row: Entry, request: Request) -> tuple[dict[str, Any], list[str]]:
    """The parameters as this provider knows them, and a sentence for each that it does not.

    What stands in ``extra_body`` is sent as it is, past all quirks.
    """
    sent = dict(request.parameters)
    sent.pop("extra_body", None)
    notes = []
    # What is odd about a provider is known of its chat API alone.
    for quirk in row.quirks if sent and request.api == "chat" else ():
        if not quirk.fits(request.model):
            continue
        who = request.reference if quirk.models else row.name
        for name in quirk.refused:
            if name in sent:
                value = sent.pop(name)
                if value not in _ASKS_NOTHING.get(name, ()):
                    notes.append(f"{name} was not sent: {who} does not take it")
        for name, other in quirk.renamed.items():
            if name in sent:
                value = sent.pop(name)
                if sent.setdefault(other, value) != value:
                    notes.append(f"{name} was not sent: {other} says otherwise")
    return {**sent, **extra_body(request)}, notes


def _chunks(row: Entry, event: AttrDict) -> tuple[Chunk]:
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
    return (Chunk(as_openai(row, event)),)


# Where DeepSeek, Moonshot or Together, and Mistral say how much of the prompt was in their cache.
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")


def as_openai(row: Entry, answer: AttrDict) -> AttrDict:
    """The same answer, or piece of one, with its usage where OpenAI has it and counted alike.

    Sources: https://api-docs.deepseek.com/api/create-chat-completion and
    https://console.groq.com/docs/api-reference (``x_groq``) and
    https://platform.kimi.ai/docs/api/chat (usage inside a choice) and
    https://openrouter.ai/docs/use-cases/usage-accounting
    """
    told = answer.get("usage") or _told_elsewhere(answer)
    if not told:
        return answer
    answer["usage"] = told if isinstance(told, Mapping) else None
    usage = answer["usage"]
    if usage is None:
        return answer
    inside = as_mapping(usage.get("prompt_tokens_details"))
    if inside.get("cached_tokens") is None:
        for name in _CACHED:
            if usage.get(name):
                usage["prompt_tokens_details"] = {**inside, "cached_tokens": usage[name]}
                break
    if row.thinking_apart:
        _count_thinking(usage)
    # Prices depend on it, and they are told the usage alone.
    if answer.get("service_tier") is not None:
        usage.setdefault("service_tier", answer["service_tier"])
    return answer


def _told_elsewhere(answer: AttrDict) -> Any:
    """The usage of a stream that ends without a chunk for it: Groq's and Moonshot's."""
    if "x_groq" in answer:
        return as_mapping(answer["x_groq"]).get("usage")
    for choice in answer.get("choices") or ():
        # That of a first choice is all only where there is no second one.
        if "usage" in choice and not choice.get("index"):
            return choice.pop("usage")
    return None


def _count_thinking(usage: AttrDict) -> None:
    """Count the tokens of thinking as output, which they are billed as."""
    prompt, written, total = (
        token_count(usage.get(name)) or 0
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    thought = total - prompt - written
    if thought > 0:
        outside = as_mapping(usage.get("completion_tokens_details"))
        known = token_count(outside.get("reasoning_tokens")) or 0
        usage["completion_tokens"] = written + thought
        usage["completion_tokens_details"] = {**outside, "reasoning_tokens": max(thought, known)}
