"""From pieces to the whole answer, and back.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llm_magic.types import AttrDict, Chunk, attributes, content_text

__all__ = ["TOKEN", "Assembly", "pieces"]

# Texts that come whole: a server that repeats them does not mean to lengthen them.
_WHOLE = frozenset({"id", "index", "name", "role", "type"})


class Assembly:
    """Collects the chunks of a stream into the answer they are pieces of.

    Choices and tool calls may come interleaved in any way. Fields that the OpenAI shapes do not
    know are kept: texts are joined, lists extended, anything else is replaced.

    >>> assembly = Assembly()
    >>> for word in ("Hello", " there"):
    ...     assembly.add({"choices": [{"index": 0, "delta": {"content": word}}]})
    >>> assembly.text, assembly.complete
    ('Hello there', False)
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take in the next chunk; it is not kept, so it may be changed afterwards."""
        for name, value in chunk.items():
            if name == "choices":
                for choice in value or ():
                    self._choice(choice.get("index") or 0).add(choice)
            elif value or name not in self._head:
                # The last word counts, but an empty one takes nothing back: some servers end
                # with a chunk that has no id and no usage.
                self._head[name] = value

    def _choice(self, index: int) -> _Choice:
        try:
            return self._choices[index]
        except KeyError:
            return self._choices.setdefault(index, _Choice())

    @property
    def text(self) -> str:
        """Text so far, of the first choice that has any."""
        texts = ("".join(choice.content) for _, choice in sorted(self._choices.items()))
        return next(filter(None, texts), "")

    @property
    def complete(self) -> bool:
        """Whether there are choices and every one has said why it ended."""
        return bool(self._choices) and all(
            choice.fields.get("finish_reason") for choice in self._choices.values()
        )

    def response(self) -> AttrDict:
        """The answer so far, in the shape of ``chat.completion``."""
        head = {name: value for name, value in self._head.items() if name != "usage"}
        response = attributes(
            {
                **head,
                "object": "chat.completion",
                "choices": [choice.whole(i) for i, choice in sorted(self._choices.items())],
                "usage": self._head.get("usage"),
            }
        )
        assert isinstance(response, AttrDict)
        return response


class _Choice:
    """One of the answers of a stream, growing."""

    __slots__ = ("content", "fields", "message", "silent")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.silent = True  # no content came at all, not even an empty one
        self.message: dict[str, Any] = {"role": "assistant"}
        self.fields: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        for name, value in choice.items():
            if name == "delta":
                for part, piece in (value or {}).items():
                    if piece is None:
                        continue
                    if part == "content":
                        self.silent = False
                        self.content.append(
                            piece if isinstance(piece, str) else content_text(piece)
                        )
                    else:
                        _merge(self.message, part, piece)
            elif value is None or name == "index":
                continue
            elif name == "logprobs":
                _merge(self.fields, name, value)
            else:
                self.fields[name] = value

    def whole(self, index: int) -> dict[str, Any]:
        content: str | None = "".join(self.content)
        if self.silent or (not content and "tool_calls" in self.message):
            content = None  # as the API says it when it does not stream
        role, *rest = self.message.items()
        message = {role[0]: role[1], "content": content, **dict(rest)}
        if "tool_calls" in message:
            calls: list[dict[str, Any]] = message["tool_calls"]
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"} for call in calls
            ]
        known = {"logprobs": None, "finish_reason": None, **self.fields}
        return {"index": index, "message": message, **known}


def _merge(into: dict[str, Any], name: str, piece: Any) -> None:
    """Add a piece of a field to what has come of it."""
    if name == "tool_calls":
        for call in piece:
            _merge_call(into.setdefault(name, []), call)
        return
    before = into.get(name)
    if isinstance(piece, Mapping):
        part: dict[str, Any] = into.setdefault(name, {}) if isinstance(before, dict) else {}
        into[name] = part
        for key, value in piece.items():
            if value is not None:
                _merge(part, key, value)
    elif isinstance(piece, list):
        into[name] = [*before, *piece] if isinstance(before, list) else list(piece)
    elif isinstance(piece, str) and isinstance(before, str) and name not in _WHOLE:
        into[name] = before + piece
    elif piece != "" or before is None:
        into[name] = piece


def _merge_call(calls: list[dict[str, Any]], delta: Mapping[str, Any]) -> None:
    """Find the tool call that this is a piece of, else begin one.

    Some servers leave the index out, or give every call index 0: then a new id is a new call.
    """
    index, identity = delta.get("index"), delta.get("id")
    same = [call for call in calls if index is None or call["index"] == index]
    call = same[-1] if same else None
    if call is None or (identity and call.get("id") and call["id"] != identity):
        call = {"index": index if index is not None else len(calls)}
        calls.append(call)
    for name, value in delta.items():
        if value is not None and name != "index":
            _merge(call, name, value)


def pieces(response: Mapping[str, Any]) -> Iterator[Chunk]:
    """The chunks of a whole answer, word by word: assembled again they are that answer.

    The text is cut, never joined anew, so it is the same byte for byte.
    """
    head = {name: value for name, value in response.items() if name not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"

    def chunk(index: int, delta: Mapping[str, Any], **rest: Any) -> Chunk:
        choice = {"finish_reason": None, **rest, "index": index}
        choice["delta"] = {"content": None, **delta}
        return Chunk({**head, "choices": [attributes(choice)]})

    for position, choice in enumerate(response["choices"]):
        index = choice.get("index", position)
        rest = {name: value for name, value in choice.items() if name not in ("index", "message")}
        for delta in _deltas(choice["message"]):
            yield chunk(index, delta)
        yield chunk(index, {}, **rest)
    yield Chunk({**head, "choices": [], "usage": response.get("usage")})


# A word with the white space before it.
TOKEN = re.compile(r"\s*\S+|\s+\Z")


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content, calls = message.get("content"), message.get("tool_calls") or []
    yield {name: item for name, item in message.items() if name not in ("content", "tool_calls")}
    if isinstance(content, str):
        for word in TOKEN.findall(content) or [""]:
            yield {"content": word}
    for index, call in enumerate(calls):
        function = call.get("function") or {}
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            yield {"tool_calls": [{**call, "index": index}]}
            continue
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for word in TOKEN.findall(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": word}}]}
