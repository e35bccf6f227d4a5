"""From requests in the OpenAI shape, which the rest of the package speaks, to Anthropic's.

Everything here is a function from data to data. :func:`to_anthropic` says the same in the other
shape; what it cannot take along is named by :func:`notes`. The way back is in
:mod:`llm_magic.providers.answers`.

Sources: https://platform.claude.com/docs/en/api/messages and
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magic.exceptions import ParameterError
from llm_magic.types import Request, content_text

__all__ = ["headers", "notes", "takes_sampling", "to_anthropic"]

Block = dict[str, Any]

# The API requires a bound; callers who need a longer answer say so.
_MAX_TOKENS = 4096

_SAMPLING = ("temperature", "top_p", "top_k")

# Parameters of OpenAI that the Messages API has no word for, and the values that ask for nothing.
_UNSENT: Mapping[str, tuple[object, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": (),
    "functions": (),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "safety_identifier": (),
    "seed": (),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}

_TOOL_CHOICES: Mapping[str, str] = {"required": "any"}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


def to_anthropic(request: Request) -> dict[str, Any]:
    """The body of ``POST /v1/messages`` that asks the same; the request is left as it is."""
    given = {name: value for name, value in request.parameters.items() if value is not None}
    system, messages = _messages(request.messages)
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if system:
        body["system"] = system

    limits = [given.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
    body["max_tokens"] = next((limit for limit in limits if limit is not None), _MAX_TOKENS)
    stop = given.pop("stop", None)
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if "user" in given:
        body["metadata"] = {**given.pop("metadata", {}), "user_id": given.pop("user")}
    body |= _tools(given)
    body |= _output(given)

    if not takes_sampling(request.model):
        for name in _SAMPLING:
            given.pop(name, None)
    # What is in extra_body goes past all conversion.
    for name in (*_UNSENT, "stream_options", "extra_body"):
        given.pop(name, None)
    return {**body, **given}


def headers(request: Request) -> dict[str, str]:
    """Headers that this request needs."""
    # Since version 2026-10-21 of the API, sampling parameters are an error even at their defaults.
    sampling = any(request.parameters.get(name) is not None for name in _SAMPLING)
    if sampling and takes_sampling(request.model):
        return {"anthropic-version": "2023-06-01"}
    return {}


def notes(request: Request) -> list[str]:
    """What of the request is not sent, one sentence each."""
    given = {name: value for name, value in request.parameters.items() if value is not None}
    found = []
    unsent = [name for name in _UNSENT if name in given and given[name] not in _UNSENT[name]]
    for name in unsent:
        found.append(f"{name} was not sent: Anthropic's API has no such parameter")
    if not takes_sampling(request.model):
        for name in _SAMPLING:
            if name in given:
                found.append(f"{name} was not sent: {request.model} takes no sampling parameters")
    kind = (given.get("response_format") or {}).get("type")
    if kind == "json_object":
        found.append(
            "response_format json_object was not sent: Anthropic's API has no JSON mode without a"
            " schema; give a schema, or ask for JSON in the prompt"
        )
    if given.get("reasoning_effort") not in (None, *_EFFORTS):
        found.append(
            f"reasoning_effort {given['reasoning_effort']!r} was not sent: Anthropic's efforts are "
            "low, medium, high, xhigh, max"
        )
    roles = [message.get("role") for message in request.messages]
    first = next((i for i, role in enumerate(roles) if role not in _SYSTEM), len(roles))
    if any(role in _SYSTEM for role in roles[first:]):
        found.append("a later system message was moved to the beginning: Anthropic takes one")
    if any(message.get("name") and message.get("role") != "tool" for message in request.messages):
        found.append("the name of a message was not sent: Anthropic's messages have none")
    if any(_detail(part) not in (None, "auto") for part in _parts(request.messages)):
        found.append("the detail of an image was not sent: Anthropic's images have none")
    return found


def _parts(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    contents = [message.get("content") for message in messages]
    return [part for content in contents if isinstance(content, list) for part in content]


def _detail(part: Any) -> str | None:
    image = part.get("image_url") if isinstance(part, Mapping) else None
    return image.get("detail") if isinstance(image, Mapping) else None


_VERSION = re.compile(r"claude-(?:[a-z]+-)*(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


def takes_sampling(model: str) -> bool:
    """Whether the model takes temperature, top_p and top_k: Claude did before 4.7.

    >>> takes_sampling("claude-sonnet-4-20250514"), takes_sampling("claude-opus-4-7")
    (True, False)

    A Claude without a version that we can read counts as a new one; another model that speaks
    Anthropic's dialect takes them.
    """
    if "claude" not in model:
        return True
    version = _VERSION.search(model)
    if version is None:
        return "claude-instant" in model
    return (int(version[1]), int(version[2] or 0)) < (4, 7)


_SYSTEM = ("system", "developer")


def _messages(messages: Sequence[Mapping[str, Any]]) -> tuple[str | list[Block], list[Block]]:
    """The system prompt, and turns that alternate between user and assistant."""
    system: list[Mapping[str, Any]] = []
    turns: list[Block] = []
    for position, message in enumerate(messages):
        role = message.get("role")
        where = f"messages[{position}]"
        if role in _SYSTEM:
            system.append(message)
            continue
        if role == "user":
            turn = {"role": "user", "content": _content(message.get("content"), where)}
        elif role == "assistant":
            turn = {"role": "assistant", "content": _assistant(message, where)}
            if not turn["content"]:
                continue  # an empty turn is an error there, and says nothing
        elif role == "tool":
            turn = {"role": "user", "content": [_tool_result(message, where)]}
        else:
            raise ParameterError(
                f"{where}: role {role!r} cannot be sent to Anthropic;"
                " use system, user, assistant or tool"
            )
        if turns and turns[-1]["role"] == turn["role"]:
            before = turns[-1]["content"] = _blocks(turns[-1]["content"])
            before += _blocks(turn["content"])
        else:
            turns.append(turn)
    return _system(system), turns


def _system(messages: Sequence[Mapping[str, Any]]) -> str | list[Block]:
    parts = [
        part
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    ]
    if any(set(part) - {"type", "text"} for part in parts):
        # Something like cache_control hangs on a part, so the parts have to stay apart.
        return [
            dict(part) for message in messages for part in _blocks(message.get("content") or "")
        ]
    return "\n\n".join(filter(None, (content_text(message.get("content")) for message in messages)))


def _blocks(content: str | list[Any]) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _content(content: Any, where: str) -> str | list[Block]:
    if isinstance(content, list):
        return [_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
    return content or ""


def _part(part: Any, where: str) -> Block:
    """A part of a message as a content block; what is Anthropic's already stays as it is."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type")
    extra = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
    if kind == "image_url":
        image = part["image_url"]
        url = image if isinstance(image, str) else image["url"]
        return {"type": "image", "source": _source(url), **extra}
    if kind == "file":
        file = part["file"]
        if file.get("file_id"):
            source: Block = {"type": "file", "file_id": file["file_id"]}
        else:
            source = _source(file.get("file_data", ""))
        title = {"title": file["filename"]} if file.get("filename") else {}
        return {"type": "document", "source": source, **title, **extra}
    if kind == "input_audio":
        raise ParameterError(f"{where}: Anthropic takes no audio; send text, images or PDF files")
    if kind == "refusal":
        return {"type": "text", "text": part["refusal"]}
    return dict(part)


_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)


def _source(url: str) -> Block:
    # RFC 2397; the payload is not copied through a pattern, as it may be megabytes.
    header = _DATA_URL.match(url)
    if header is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": header[1].lower(), "data": url[header.end() :]}


def _assistant(message: Mapping[str, Any], where: str) -> str | list[Block]:
    text = message.get("content") or message.get("refusal") or ""
    content = _content(text, where)
    thinking = [dict(block) for block in message.get("thinking_blocks") or ()]
    calls = message.get("tool_calls") or ()
    if not thinking and not calls:
        return content
    uses = [_tool_use(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]
    return [*thinking, *_blocks(content), *uses]


def _tool_use(call: Mapping[str, Any], where: str) -> Block:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ParameterError(
            f"{where}: the arguments of {function.get('name')} are not a JSON object, and Anthropic"
            " takes nothing else; repair them or leave the call out"
        )
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": value}


def _tool_result(message: Mapping[str, Any], where: str) -> Block:
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": _content(message.get("content"), where),
    }


def _tools(given: dict[str, Any]) -> Block:
    """Take the tools out of the parameters, and say them Anthropic's way."""
    body: Block = {}
    tools, choice = given.pop("tools", None), given.pop("tool_choice", None)
    parallel = given.pop("parallel_tool_calls", None)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        body["tool_choice"] = {"type": "tool", "name": choice["function"]["name"]}
    elif isinstance(choice, str):
        body["tool_choice"] = {"type": _TOOL_CHOICES.get(choice, choice)}
    elif choice:
        body["tool_choice"] = choice
    if parallel is False and tools and choice != "none":
        body["tool_choice"] = {
            **body.get("tool_choice", {"type": "auto"}),
            "disable_parallel_tool_use": True,
        }
    return body


def _tool(tool: Mapping[str, Any]) -> Block:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        return dict(tool)
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    named = {"name": function["name"], "input_schema": schema}
    extra = {name: function[name] for name in ("description", "strict") if function.get(name)}
    return {**named, **extra}


def _output(given: dict[str, Any]) -> Block:
    """Take the form of the answer out of the parameters, and say it Anthropic's way."""
    config: Block = dict(given.pop("output_config", {}))
    wanted = given.pop("response_format", None) or {}
    effort = given.pop("reasoning_effort", None)
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        if schema is None:
            raise ParameterError("response_format: a json_schema needs a schema in it")
        config["format"] = {"type": "json_schema", "schema": schema}
    if effort in _EFFORTS:
        config["effort"] = effort
    return {"output_config": config} if config else {}
