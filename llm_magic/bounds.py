"""How many tokens a request can cost at most: what a budget must set aside before it is sent.

A byte-level tokenizer never makes more tokens of a text than it has bytes, so the bytes of the
request bound its input; a picture is bounded by what the vendors count for the largest one. What
has no bound (a file the provider unpacks, a picture it fetches, a search it does) is named, so that
its user can say one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_magic.types import Request

__all__ = ["OUTPUT_LIMITS", "Bound", "bound"]

# Words by which a request limits its answer, in tokens.
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")

# What providers add on their own: marks around messages, and instructions for the use of tools or
# for an answer in a schema. Anthropic's are the largest (up to 804 tokens,
# https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview#pricing).
_MARGIN = 100
_INSTRUCTIONS = 1_000
_INSTRUCTED_BY = ("tools", "functions", "response_format", "output_config", "output_format")

# The most that an inline picture counts. OpenAI's 4o-mini is the worst of its models: 2,833 tokens
# and 5,667 for each of at most 8 tiles (https://platform.openai.com/docs/guides/images-vision);
# Anthropic scales pictures down to 4,784 tokens (https://docs.claude.com/en/docs/build-with-claude/vision).
_IMAGE_TOKENS = {"anthropic": 5_000, "bedrock": 5_000}
_OTHER_IMAGE_TOKENS = 50_000

_IMAGES = ("image_url", "input_image", "image")
_TOOLS = ("function", "custom")
# Parameters that let the provider do what costs more than tokens.
_SEARCHES = ("web_search_options", "search_parameters", "plugins", "mcp_servers")
# Parameters by which the provider adds what it keeps: a conversation, a prompt, a cached context.
_KEPT = ("previous_response_id", "conversation", "cachedContent", "cached_content")


@dataclass(frozen=True, slots=True)
class Bound:
    """The most tokens that one request can use.

    Attributes
    ----------
    input_tokens : int
        Input, for all its answers together.
    output_tokens : int or None
        Output, for all its answers together; None when the request sets no limit.
    answers : int
        How many answers it asks for.
    unbounded : tuple of str
        What in it has no bound, in words; each may add any number of input tokens.
    audio : bool
        Whether audio is among the input.
    """

    input_tokens: int
    output_tokens: int | None
    answers: int = 1
    unbounded: tuple[str, ...] = ()
    audio: bool = False


def bound(request: Request) -> Bound:
    """The most tokens that a request can use.

    >>> bound(Request("openai", "gpt-5-mini", [{"role": "user", "content": "Why?"}],
    ...               {"max_tokens": 100}))
    Bound(input_tokens=156, output_tokens=100, answers=1, unbounded=(), audio=False)
    """
    parameters = _sent(request)
    parts = [*_parts(request.messages), *_parts(parameters)]
    unbounded = [*filter(None, map(_unbounded, parts)), *_server_side(parameters)]
    images = [part for part in parts if _is_inline_image(part)]
    size = _size(request.messages) + _size(parameters) + _MARGIN
    size += len(images) * _IMAGE_TOKENS.get(request.provider, _OTHER_IMAGE_TOKENS)
    if any(parameters.get(name) for name in _INSTRUCTED_BY):
        size += _INSTRUCTIONS
    answers = max(_whole(parameters.get("n")) or 1, _whole(parameters.get("best_of")) or 1)
    return Bound(
        # Providers without "n" are asked several times.
        input_tokens=size * answers,
        output_tokens=_output(request, parameters, answers),
        answers=answers,
        unbounded=tuple(dict.fromkeys(unbounded)),
        audio=any(part.get("type") == "input_audio" for part in parts),
    )


def _sent(request: Request) -> Mapping[str, Any]:
    """The parameters as they are sent: what stands in ``extra_body`` wins over the others."""
    extra = request.parameters.get("extra_body")
    return {**request.parameters, **extra} if isinstance(extra, Mapping) else request.parameters


def _output(request: Request, parameters: Mapping[str, Any], answers: int) -> int | None:
    # What another library sent: llm_magic.attachment.
    sent = request.parameters.get("http") or {}
    if request.api == "embedding" or str(sent.get("path")).endswith("/embeddings"):
        return 0
    limits = [_whole(parameters.get(name)) for name in OUTPUT_LIMITS]
    told = [limit for limit in limits if limit is not None]
    if not told:
        return None
    # What was predicted and rejected is billed as output too.
    predicted = parameters.get("prediction")
    each = max(told) + (_size(predicted) if predicted else 0)
    return each * answers * _prompts(request, parameters)


def _prompts(request: Request, parameters: Mapping[str, Any]) -> int:
    """How many texts are gone on with, each up to the limit."""
    asked = parameters.get("prompt")
    if isinstance(asked, list) and asked and isinstance(asked[0], (str, list)):
        return len(asked)
    return max(1, len(request.messages)) if _takes_texts(request, parameters) else 1


def _takes_texts(request: Request, parameters: Mapping[str, Any]) -> bool:
    told = parameters.get("http")
    form = told.get("form") if isinstance(told, Mapping) else None
    return request.api == "completion" or form == "texts"


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in the messages that has a type, wherever it is."""
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            yield value
        elif value.get("fileData") or value.get("file_data"):
            yield {"type": "file"}
        elif isinstance(value.get("audio"), Mapping) and value["audio"].get("id"):
            # What an assistant said before, by the name that the provider gave it.
            yield {"type": "kept_audio"}
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _parts(inner)


def _is_inline_image(part: Mapping[str, Any]) -> bool:
    return part["type"] in _IMAGES and not _unbounded(part)


def _unbounded(part: Mapping[str, Any]) -> str:
    """What has no bound in a part, in words; empty when all of it has one."""
    kind = part["type"]
    if kind in _IMAGES:
        source = part.get("image_url") or part.get("source") or {}
        url = source.get("url", "") if isinstance(source, Mapping) else source
        inline = str(url).startswith("data:") or (
            isinstance(source, Mapping) and source.get("type") == "base64"
        )
        return "" if inline else "an image that the provider fetches"
    if kind in ("file", "input_file", "document", "container_upload"):
        return "a file that the provider unpacks"
    if kind == "video_url":
        return "a video"
    if kind == "kept_audio":
        return "audio that the provider keeps"
    return ""


def _server_side(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name in _SEARCHES:
        if parameters.get(name):
            yield f"{name}, which has fees of its own"
    for name in _KEPT:
        if parameters.get(name):
            yield f"{name}, which stands for what the provider keeps"
    if isinstance(parameters.get("prompt"), Mapping):
        yield "a prompt that the provider keeps"
    for tool in parameters.get("tools") or ():
        kind = tool.get("type", "function") if isinstance(tool, Mapping) else "function"
        if kind not in _TOOLS:
            yield f"the tool {kind!r}, which the provider runs"


def _size(value: Any) -> int:
    """Bytes of a value as JSON, without the bytes of pictures."""
    text = json.dumps(_without_images(value), ensure_ascii=False, default=str)
    # Half of a surrogate pair has no UTF-8 of its own, and three bytes at most.
    return len(text.encode(errors="surrogatepass"))


def _without_images(value: Any) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str) and _is_inline_image(value):
            return {"type": value["type"]}
        return {name: _without_images(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_images(inner) for inner in value]
    return value
