"""A provider without a model: offline, free, and the same answer to the same request, always.

It is for first steps, demonstrations and tests, so it does what a model can be asked to do: it
streams, ends at stop sequences and limits, gives several choices, calls tools and fills schemas.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from llm_magic.providers.assembly import TOKEN, pieces
from llm_magic.providers.base import not_spoken
from llm_magic.providers.catalog import Entry
from llm_magic.providers.schema import example
from llm_magic.types import AttrDict, Chunk, Request, Transport, attributes, content_text

__all__ = ["EchoProvider"]

_NAME = re.compile(r"(?<=[\w,;] )[A-Z]\w+")

_OPENINGS = (
    "This is **echo**, answering without a model. You said:",
    "**echo** here: no model, no network, no bill. I heard:",
    "You are talking to **echo**, which only repeats. It got:",
    "The **echo** of what you wrote:",
    "Back from **echo**, unchanged:",
)


class EchoProvider:
    """Answers every model name after ``echo/`` by repeating what it was told."""

    def __init__(self, row: Entry) -> None:
        self.name = row.name

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer."""
        if request.api == "embedding":
            raise not_spoken(request)
        answers = _answers(request)
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index, (message, reason) in enumerate(answers)
        ]
        response = attributes(
            {
                "id": f"echo-{_digest(request)[:24]}",
                "object": "chat.completion",
                "created": 0,
                "model": request.model,
                "choices": choices,
                "usage": _usage(request, [message for message, _ in answers]),
            }
        )
        assert isinstance(response, AttrDict)
        return response

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        return self.send(request, transport)

    def stream(self, request: Request, transport: Transport) -> Generator[Chunk, None, None]:
        """The answer word by word."""
        yield from pieces(self.send(request, transport))

    async def astream(self, request: Request, transport: Transport) -> AsyncGenerator[Chunk, None]:
        """As :meth:`stream`, awaited."""
        for chunk in self.stream(request, transport):
            yield chunk

    def notes(self, request: Request) -> list[str]:
        """Nothing: what has no meaning here does no harm."""
        return []


def _answers(request: Request) -> list[tuple[dict[str, Any], str]]:
    """Message and finish reason of every choice."""
    count = int(request.parameters.get("n") or 1)
    seed = request.parameters.get("seed")
    shift = seed if isinstance(seed, int) else 0
    tool = _tool(request)
    answers = []
    for index in range(count):
        if tool is not None:
            answers.append((_call(request, tool, shift + index), "tool_calls"))
        else:
            text, reason = _limited(_text(request, shift + index, index, count), request)
            answers.append(({"role": "assistant", "content": text}, reason))
    return answers


def _text(request: Request, variant: int, index: int, count: int) -> str:
    wanted = request.parameters.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {}
        return _json(example(schema, words=_names(request), variant=variant))
    if wanted.get("type") == "json_object":
        said = request.last_text
        return _json({"echo": said, "words": len(said.split()), "answer": variant + 1})

    results = _tool_results(request)
    opening = "**echo** got this from the tool:" if results else _OPENINGS[variant % len(_OPENINGS)]
    said = "\n".join(results) if results else request.last_text
    quote = "\n".join(f"> {line}".rstrip() for line in said.splitlines()) or "> (nothing)"
    counted = f"\n\n(Answer {index + 1} of {count}.)" if count > 1 else ""
    return f"{opening}\n\n{quote}{counted}"


def _limited(text: str, request: Request) -> tuple[str, str]:
    """The text up to its first stop sequence and no longer than the limit; and why it ended."""
    stop = request.parameters.get("stop") or ()
    ends = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop) if word]
    text = text[: min([end for end in ends if end >= 0], default=len(text))]
    limits = (request.parameters.get(name) for name in ("max_completion_tokens", "max_tokens"))
    limit = next((limit for limit in limits if limit is not None), None)
    tokens = TOKEN.findall(text)
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length"
    return text, "stop"


def _tool(request: Request) -> Mapping[str, Any] | None:
    """The tool to call: one that was asked for, else the one most like the question."""
    tools: list[Mapping[str, Any]] = [
        tool["function"]
        for tool in request.parameters.get("tools") or ()
        if isinstance(tool.get("function"), Mapping)
    ]
    choice = request.parameters.get("tool_choice")
    asked = bool(request.messages) and request.messages[-1].get("role") == "user"
    if not tools or not asked or choice == "none":
        return None
    if isinstance(choice, Mapping):
        wanted = (choice.get("function") or {}).get("name")
        tools = [tool for tool in tools if tool.get("name") == wanted] or tools
    question = _vocabulary(request.last_text)

    def likeness(tool: Mapping[str, Any]) -> int:
        # Long words tell more than short ones.
        return sum(map(len, question & _vocabulary(_json(dict(tool)))))

    return max(tools, key=likeness)


def _vocabulary(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]{3,}", text.lower()))


def _call(request: Request, tool: Mapping[str, Any], variant: int) -> dict[str, Any]:
    arguments = example(
        {"type": "object", **(tool.get("parameters") or {})},
        words=_names(request),
        variant=variant,
    )
    identity = f"call_{_digest(request)[:8]}_{variant}"
    function = {"name": tool.get("name"), "arguments": _json(arguments)}
    calls = [{"id": identity, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _tool_results(request: Request) -> list[str]:
    results: list[str] = []
    for message in reversed(request.messages):
        if message.get("role") != "tool":
            break
        results.insert(0, content_text(message.get("content")))
    return results


def _names(request: Request) -> list[str]:
    # "What is the weather in Oslo?" should ask for the weather in Oslo.
    return _NAME.findall(request.last_text)


def _digest(request: Request) -> str:
    stated = json.dumps(request.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(stated.encode("utf-8", "surrogatepass")).hexdigest()


def _usage(request: Request, messages: list[dict[str, Any]]) -> dict[str, int]:
    prompt = sum(len(content_text(message.get("content")).split()) for message in request.messages)
    texts = [message["content"] or _json(message.get("tool_calls")) for message in messages]
    output = sum(len(TOKEN.findall(text)) for text in texts)
    total = prompt + output
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
