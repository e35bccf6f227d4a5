"""The keyword arguments of the entry points, checked and sorted into ours and the provider's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_magic import media, secrets
from llm_magic.exceptions import LLMMagicError, ParameterError, did_you_mean
from llm_magic.types import Mode, plain

if TYPE_CHECKING:
    from llm_magic.schemas import Schema

__all__ = ["Arguments", "Prompt", "messages_of", "texts_of"]

# Text, messages in OpenAI's shape, or texts for the other two kinds of API.
Prompt = str | Sequence[Mapping[str, Any]] | Sequence[str]

# Kinds of API, and what the prompt is called there.
_APIS = {"chat": "messages", "completion": "prompts", "embedding": "texts to embed"}

# Travel decisions are arguments of their own or made by us; sent along they would change nothing
# for the model and break the record of what was asked.
_NOT_PARAMETERS = {
    "messages": "pass the messages as the first argument",
    "stream": "use stream() or astream()",
    "max_retries": "retries are ours: num_retries=",
    "extra_headers": "headers are not part of a request",
    "extra_query": "queries are not part of a request",
    "default_headers": "headers are not part of a request",
}


class Arguments:
    """What :meth:`Client.complete` and its siblings take, beside the prompt."""

    def __init__(
        self,
        *,
        model: str | None = None,
        api: str = "chat",
        system: str | None = None,
        mode: str | Mode | None = None,
        sample: int | None = None,
        cache_seed: int | str | None = None,
        files: Any = (),
        schema: Any = None,
        tools: Sequence[Any] | None = None,
        max_tool_rounds: int = 0,
        rerun_tools: bool = False,
        num_retries: int = 0,
        fallbacks: Sequence[str | Mapping[str, Any]] | None = None,
        on_fallback: Callable[[LLMMagicError, str], object] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        api_base: str | None = None,
        **parameters: Any,
    ) -> None:
        for name, count in (("num_retries", num_retries), ("max_tool_rounds", max_tool_rounds)):
            if not isinstance(count, int) or count < 0:
                raise ParameterError(f"{name}={count!r}: a number from 0")
        if sample is not None and (not isinstance(sample, int) or sample < 0):
            raise ParameterError(f"sample={sample!r}: it counts answers from 0")
        if isinstance(fallbacks, str):
            raise ParameterError(f"fallbacks={fallbacks!r}: a list of models, not one text")
        for name in parameters:
            if name in _NOT_PARAMETERS:
                raise ParameterError(f"{name}= is not a parameter: {_NOT_PARAMETERS[name]}")
        if api not in _APIS:
            raise ParameterError(f"api={api!r}: {did_you_mean(str(api), _APIS)}")
        self.model = model
        self.api = api
        self.system = system
        self.mode = mode
        self.sample = sample
        self.cache_seed = cache_seed
        self.files = files
        self.max_tool_rounds = max_tool_rounds
        self.rerun_tools = rerun_tools
        self.num_retries = num_retries
        self.fallbacks = [_fallback(one) for one in fallbacks] if fallbacks else []
        self.on_fallback = on_fallback
        self.timeout = timeout
        self.api_key = api_key
        self.api_base = api_base
        self.schema = _compiled(schema) if schema is not None else None
        self.functions = _functions(tools) if tools else {}
        if max_tool_rounds and not self.functions:
            raise ParameterError("max_tool_rounds= needs a Python function in tools=")
        if self.schema is not None:
            parameters.setdefault("response_format", self.schema.response_format)
        if tools:
            parameters["tools"] = _definitions(tools)
        self.parameters: dict[str, Any] = {}
        if parameters:
            given = {name: value for name, value in parameters.items() if value is not None}
            self.parameters = plain(given, "parameters")
        if api != "chat":
            self._refuse_what_is_for_chat()

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """What is asked, as messages; texts for the other APIs are a message each."""
        if self.api == "chat":
            return messages_of(prompt, self.system, self.files)
        return texts_of(prompt, _APIS[self.api])

    def _refuse_what_is_for_chat(self) -> None:
        given = {
            "system": self.system is not None,
            "files": not isinstance(self.files, tuple) or bool(self.files),
            "schema": self.schema is not None,
            "tools": "tools" in self.parameters,
        }
        for name in (name for name, there in given.items() if there):
            raise ParameterError(f"{name}= goes with api='chat', not with api={self.api!r}")


# What a fallback with a key or an address of its own says.
_FALLBACK = ("model", "api_key", "api_base")


def _fallback(given: str | Mapping[str, Any]) -> dict[str, Any]:
    fallback = {"model": given} if isinstance(given, str) else given
    if not isinstance(fallback, Mapping) or not isinstance(fallback.get("model"), str):
        raise ParameterError("fallbacks: each is a model, or a dict with model=")
    for name in fallback:
        if name not in _FALLBACK:
            raise ParameterError(f"fallbacks: {name!r}; {did_you_mean(str(name), _FALLBACK)}")
    known = {name: fallback.get(name) for name in _FALLBACK}
    secrets.hide(known)
    return known


# Schemas and tools cost as much to load as a replay in a fresh process: only who uses them pays.


def _compiled(given: Any) -> Schema:
    from llm_magic import schemas

    return schemas.compile(given)


def _definitions(given: Sequence[Any]) -> list[dict[str, Any]]:
    from llm_magic import tools

    return [tools.definition(tool) for tool in given]


def _functions(given: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    from llm_magic import tools

    return tools.functions([tool for tool in given if callable(tool)])


def messages_of(prompt: Prompt, system: str | None, files: Any = ()) -> list[dict[str, Any]]:
    """The messages that are sent: a copy, in plain JSON, with files as content parts.

    Parameters
    ----------
    prompt : str or list of dict
        Text becomes one message of the user. In a message's content list, what is no part yet (a
        path, bytes, an image, a figure, a DataFrame) is made one.
    system : str, optional
        Put first.
    files : object or list
        Goes into the last message of the user.

    Raises
    ------
    ParameterError
        For what is no prompt.
    """
    if isinstance(prompt, str):
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    elif isinstance(prompt, Sequence) and not isinstance(prompt, (bytes, bytearray)):
        messages = [_message(message, index) for index, message in enumerate(prompt)]
    else:
        raise ParameterError(f"a prompt is text or a list of messages, not {type(prompt).__name__}")
    if system is not None:
        messages = [{"role": "system", "content": system}, *messages]
    if not isinstance(files, tuple) or files:
        _attach(messages, files)
    if not any(message.get("content") or message.get("tool_calls") for message in messages):
        raise ParameterError("the prompt is empty; there is nothing to ask")
    return messages


def texts_of(prompt: Prompt, name: str) -> list[dict[str, Any]]:
    """One text or several, as a message each.

    Raises
    ------
    ParameterError
        For what is no text, such as numbers of tokens, or an empty one.
    """
    many = isinstance(prompt, Iterable) and not isinstance(prompt, (str, bytes, Mapping))
    texts = list(prompt) if many else [prompt]
    if not all(isinstance(text, str) for text in texts):
        raise ParameterError(f"{name}: pass a text or a list of texts")
    if not texts or not all(texts):
        raise ParameterError(f"{name}: an empty one cannot be sent")
    return [{"role": "user", "content": plain(text)} for text in texts]


def _message(message: Any, index: int) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ParameterError(
            f'messages[{index}] is no message; it looks like {{"role": "user", "content": ...}}'
        )
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        parts = [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else part
            if isinstance(part, Mapping)
            else media.part(part)
            for part in content
        ]
        message = {**message, "content": parts}
    copied: dict[str, Any] = plain(message, f"messages[{index}]")
    return copied


def _attach(messages: list[dict[str, Any]], files: Any) -> None:
    for message in reversed(messages):
        if message["role"] == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                message["content"] = media.content(content, files)
            else:
                message["content"] = [*content, *media.content("", files)]
            return
    raise ParameterError("files= needs a message of the user to go with")
