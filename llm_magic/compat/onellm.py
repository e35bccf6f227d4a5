"""OneLLM's client: change ``from onellm import OpenAI`` to
``from llm_magic.compat.onellm import OpenAI``.

>>> from llm_magic.compat.onellm import OpenAI
>>> client = OpenAI()
>>> hello = [{"role": "user", "content": "Hello"}]
>>> response = client.chat.completions.create(model="echo/echo", messages=hello)
>>> response.choices[0].message["content"] == response.choices[0].message.content
True

What is otherwise than there, on purpose:

- What the constructor is given is used. A key belongs to the ``base_url`` that it comes with; one
  without goes to the models of openai alone, as the client is named. For others, pass
  ``api_key={"anthropic": ..., "groq": ...}``, or ``api_key=`` with a call, or set their variables.
- A bare name is OpenAI's only where nothing better is known: ``claude-...`` is Anthropic's. With a
  ``base_url`` it is the server's.
- Texts are given as the model wrote them, and messages are never changed.
- All of :func:`llm_magic.complete`'s arguments, such as ``mode=``, are understood too.

Errors are of OneLLM's classes and of ours: both ``except onellm.RateLimitError`` and ``except
llm_magic.exceptions.RateLimitError`` catch a 429.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from llm_magic import client, exceptions, modelinfo, routing, secrets
from llm_magic.compat.shapes import (
    AsyncPieces,
    Pieces,
    also,
    as_embedding,
    as_text_completion,
    as_text_piece,
    joined,
    with_choice,
)
from llm_magic.exceptions import LLMMagicError, ParameterError, ParameterWarning, did_you_mean
from llm_magic.types import AttrDict, Chunk
from llm_magic.types import Completion as Answer

__all__ = [
    "APIError",
    "AsyncOpenAI",
    "AuthenticationError",
    "BadGatewayError",
    "ChatCompletion",
    "Client",
    "Completion",
    "Embedding",
    "FallbackExhaustionError",
    "InvalidConfigurationError",
    "InvalidModelError",
    "InvalidRequestError",
    "OneLLMError",
    "OpenAI",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResourceNotFoundError",
    "ServiceUnavailableError",
]

_logger = logging.getLogger(__name__)

Resource = TypeVar("Resource")


# Errors


class OneLLMError(Exception):
    """The base of OneLLM's errors.

    Attributes
    ----------
    message : str
        What happened.
    provider : str or None
        Who was asked.
    status_code : int or None
        HTTP status, when there was an HTTP answer.
    request_id : str or None
        The provider's name for the request.
    error_data : dict
        More about it.
    """

    provider: str | None = None
    request_id: str | None = None
    error_data: Mapping[str, Any] = {}

    def __init__(
        self,
        message: str,
        provider: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
        error_data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.status_code = status_code
        self.request_id = request_id
        self.error_data = error_data or {}


class APIError(OneLLMError):
    """The provider failed in a way that has no name of its own."""


class AuthenticationError(OneLLMError):
    """No API key, or one that the provider does not know."""


class RateLimitError(OneLLMError):
    """Too many requests or tokens, or no credit left."""


class InvalidRequestError(OneLLMError):
    """A request that cannot be sent, or that the provider cannot use."""


class InvalidModelError(InvalidRequestError):
    """A model whose provider is unknown."""


class ServiceUnavailableError(OneLLMError):
    """The provider is down, has too much to do, or cannot be reached."""


class RequestTimeoutError(OneLLMError):
    """The provider did not answer in time."""


class BadGatewayError(OneLLMError):
    """What stands before the provider could not reach it."""


class PermissionDeniedError(OneLLMError):
    """The API key may not do this."""


class ResourceNotFoundError(OneLLMError):
    """The provider has no such model or address."""


class InvalidConfigurationError(OneLLMError):
    """A setting that cannot be used."""


class FallbackExhaustionError(OneLLMError):
    """The model and all its fallbacks failed. It is of the first failure's class, too.

    Attributes
    ----------
    primary_model : str
        The model that was asked for.
    fallback_models : list of str
        The ones that stood by.
    models_tried : list of str
        ``provider/model`` of all that were asked, in order.
    original_error : Exception
        The first failure.
    """

    primary_model: str
    fallback_models: list[str]
    models_tried: list[str]
    original_error: Exception

    def __init__(
        self,
        message: str,
        primary_model: str,
        fallback_models: list[str],
        models_tried: list[str],
        original_error: Exception,
        **about: Any,
    ) -> None:
        super().__init__(message, **about)
        self.primary_model = primary_model
        self.fallback_models = fallback_models
        self.models_tried = models_tried
        self.original_error = original_error


_BY_STATUS: Mapping[int | None, type[OneLLMError]] = {
    408: RequestTimeoutError,
    502: BadGatewayError,
    504: RequestTimeoutError,
}

# The first class that fits decides; subclasses stand before their parents.
_KINDS: tuple[tuple[type[LLMMagicError], type[OneLLMError]], ...] = (
    (exceptions.MissingKeyError, AuthenticationError),
    (exceptions.ModelNameError, InvalidModelError),
    (exceptions.ParameterError, InvalidRequestError),
    (exceptions.ConfigError, InvalidConfigurationError),
    (exceptions.BadRequestError, InvalidRequestError),
    (exceptions.AuthenticationError, AuthenticationError),
    (exceptions.PermissionDeniedError, PermissionDeniedError),
    (exceptions.NotFoundError, ResourceNotFoundError),
    (exceptions.QuotaError, RateLimitError),
    (exceptions.RateLimitError, RateLimitError),
    (exceptions.ServerError, ServiceUnavailableError),
    (exceptions.RequestTimeoutError, RequestTimeoutError),
    (exceptions.ConnectionFailedError, ServiceUnavailableError),
    (exceptions.ProviderError, APIError),
    (LLMMagicError, OneLLMError),
)


def _dressed(error: LLMMagicError) -> LLMMagicError:
    """The same error, which is now one of OneLLM's as well."""
    by_class = next(theirs for ours, theirs in _KINDS if isinstance(error, ours))
    also(error, _BY_STATUS.get(getattr(error, "status", None), by_class))
    return error


# Calls


@dataclass(frozen=True, slots=True)
class _Call:
    """One call in our words: what is asked, with which arguments, and how it fails."""

    prompt: Any
    stream: bool
    model: str | None
    fallback_models: list[str]
    options: Mapping[str, Any]

    def fail(self, error: LLMMagicError) -> NoReturn:
        """Raise it as OneLLM does."""
        _dressed(error)
        # Without attempts it is none of the models' failures, or came after the first token.
        last = error.attempts[-1]["candidate"] if error.attempts else 0
        if not self.fallback_models or last < len(self.fallback_models):
            raise error
        tried = list(dict.fromkeys(attempt["model"] for attempt in error.attempts))
        kind = joined(type(error), FallbackExhaustionError)
        exhausted: Any = kind.__new__(kind)
        exhausted.args = (f"{error}; models tried: {', '.join(tried)}",)
        exhausted.__dict__ |= error.__dict__ | {
            "primary_model": self.model,
            "fallback_models": self.fallback_models,
            "models_tried": tried,
            "original_error": error,
        }
        raise exhausted from error


def _sorted_out(name: str, asked: Sequence[Any], given: dict[str, Any]) -> tuple[Any, str | None]:
    """What is asked and of which model, in either order: of two arguments, a text is the model."""
    left = list(asked)
    if left and "model" not in given:
        places = [place for place, one in enumerate(left) if isinstance(one, str)]
        if places:
            given["model"] = left.pop(places[0])
    if left and name not in given:
        given[name] = left.pop(0)
    if left:
        raise TypeError(f"create() takes {name} and a model; the rest go by their names")
    if name not in given:
        raise TypeError(f"create() needs {name}=")
    return given.pop(name), given.pop("model", None)


_FALLBACK_CONFIG = ("fallback_callback", "log_fallbacks", "max_fallbacks", "retriable_errors")


def _on_fallback(
    model: str | None, config: Mapping[str, Any]
) -> Callable[[LLMMagicError, str], None]:
    kinds = tuple(config.get("retriable_errors") or (Exception,))
    tell = config.get("fallback_callback")

    def on_fallback(error: LLMMagicError, after: str) -> None:
        if not isinstance(_dressed(error), kinds):
            raise error
        if config.get("log_fallbacks", True):
            _logger.info("%s failed, asking %s: %s", model, after, error)
        if tell is not None:
            tell(primary_model=model, fallback_model=after, error=error)

    return on_fallback


class _Resource:
    """A kind of API of a client; the subclasses ask it, at once or awaited."""

    api = "chat"
    asked = "messages"

    def __init__(self, owner: _Base) -> None:
        self._owner = owner

    def _answer(self, completion: Answer) -> Answer:
        return completion

    def _piece(self, chunk: Chunk) -> Chunk:
        return with_choice(chunk)

    def _call(self, asked: Sequence[Any], given: dict[str, Any]) -> _Call:
        stream = bool(given.pop("stream", None))
        prompt, model = _sorted_out(self.asked, asked, given)
        config = given.pop("fallback_config", None) or {}
        for name in config:
            if name not in _FALLBACK_CONFIG:
                hint = did_you_mean(str(name), _FALLBACK_CONFIG)
                raise _dressed(ParameterError(f"fallback_config: {name!r}; {hint}"))
        models = given.pop("fallback_models", None) or ()
        if isinstance(models, str):
            raise _dressed(ParameterError(f"fallback_models={models!r}: a list of models"))
        fallbacks = list(models)[: config.get("max_fallbacks")]
        options = self._owner._options(model, given.pop("retries", None), given)
        options["api"] = self.api
        if fallbacks:
            options["fallbacks"] = fallbacks
            options["on_fallback"] = _on_fallback(model, config)
        return _Call(prompt, stream, model, fallbacks, options)

    def _ask(self, asked: Sequence[Any], given: dict[str, Any]) -> Any:
        secrets.hide(given)
        call = self._call(asked, given)
        try:
            if call.stream:
                stream = client.stream(call.prompt, **call.options)
                return Pieces(stream, call.fail, self._piece)
            return self._answer(client.complete(call.prompt, **call.options))
        except LLMMagicError as error:
            call.fail(error)

    async def _aask(self, asked: Sequence[Any], given: dict[str, Any]) -> Any:
        secrets.hide(given)
        call = self._call(asked, given)
        try:
            if call.stream:
                stream = client.astream(call.prompt, **call.options)
                return AsyncPieces(stream, call.fail, self._piece)
            return self._answer(await client.acomplete(call.prompt, **call.options))
        except LLMMagicError as error:
            call.fail(error)


class _Waiting(_Resource):
    def create(self, *asked: Any, **parameters: Any) -> Any:
        """The answer; with ``stream=True`` an iterator of its pieces.

        Parameters
        ----------
        *asked
            What is asked, and the model, in either order. They have names, too: ``messages``,
            ``prompt`` or ``input``, and ``model``.
        **parameters
            Generation parameters, which go to the model, and ``stream``, ``timeout`` (seconds),
            ``retries``, ``fallback_models``, ``fallback_config`` (``max_fallbacks``,
            ``retriable_errors``, ``log_fallbacks``, ``fallback_callback``).
        """
        return self._ask(asked, parameters)

    async def acreate(self, *asked: Any, **parameters: Any) -> Any:
        """As :meth:`create`, awaited; a stream is then for ``async for``."""
        return await self._aask(asked, parameters)


class _Awaited(_Resource):
    async def create(self, *asked: Any, **parameters: Any) -> Any:
        """As ``OpenAI``'s, awaited; with ``stream=True`` it gives an iterator for ``async for``."""
        return await self._aask(asked, parameters)

    acreate = create


class _Text(_Resource):
    """The older API, of prompts and texts."""

    api = "completion"
    asked = "prompt"

    def _answer(self, completion: Answer) -> Answer:
        return as_text_completion(completion)

    def _piece(self, chunk: Chunk) -> Chunk:
        return as_text_piece(chunk)


class _Vectors(_Resource):
    """The API that makes vectors of texts."""

    api = "embedding"
    asked = "input"

    def _answer(self, completion: Answer) -> Answer:
        return as_embedding(completion)


class _ChatCompletions(_Waiting):
    pass


class _Completions(_Text, _Waiting):
    pass


class _Embeddings(_Vectors, _Waiting):
    pass


class _AsyncChatCompletions(_Awaited):
    pass


class _AsyncCompletions(_Text, _Awaited):
    pass


class _AsyncEmbeddings(_Vectors, _Awaited):
    pass


class _ModelList(list[AttrDict]):
    """Models, to iterate over; also in ``data``, as the API has them."""

    object = "list"

    @property
    def data(self) -> list[AttrDict]:
        return self


def _models() -> _ModelList:
    frame = modelinfo.models()
    return _ModelList(
        AttrDict(id=f"{provider}/{model}", object="model", owned_by=provider)
        for provider, model in zip(frame["provider"], frame["model"], strict=True)
    )


class _Models:
    def list(self) -> _ModelList:
        """The models one can ask: those of the price table, and what local servers offer."""
        return _models()


class _AsyncModels:
    async def list(self) -> _ModelList:
        """As ``OpenAI``'s, awaited."""
        import asyncio

        return await asyncio.to_thread(_models)


# Clients


class _Base:
    def __init__(
        self,
        api_key: str | Mapping[str, str] | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> None:
        for name, value in options.items():
            if value is not None:
                warnings.warn(f"{name}= has no meaning here", ParameterWarning, stacklevel=3)
        keys = {"openai": api_key} if isinstance(api_key, str) else api_key or {}
        self._keys = {provider: secrets.Hidden(key) for provider, key in keys.items()}
        self._one_key = isinstance(api_key, str)
        self.base_url = base_url
        self.timeout = timeout
        self.max_retries = max_retries

    def _options(
        self, model: str | None, retries: int | None, given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of our own entry points for a call."""
        bare = model is not None and "/" not in model
        reference = f"openai/{model}" if bare and self.base_url else model
        options = {
            "model": reference,
            "num_retries": (self.max_retries or 0) if retries is None else retries,
            "timeout": self.timeout,
            "api_key": self._key_for(reference),
            "api_base": self.base_url,
        }
        return options | {name: value for name, value in given.items() if value is not None}

    def _key_for(self, reference: str | None) -> str | None:
        """The key that goes with a call: that of the server, or of the model's provider."""
        if self.base_url and self._one_key:
            return self._keys["openai"]
        try:
            provider, _ = routing.resolve(reference) if self._keys else ("", "")
        except LLMMagicError:
            return None  # it will be said when the call is made
        return self._keys.get(provider)


class OpenAI(_Base):
    """A client as OneLLM's, and so as OpenAI's: ``client.chat.completions.create(...)``.

    Parameters
    ----------
    api_key : str or dict, optional
        A key of OpenAI, or of the server at `base_url`; or keys by provider.
    base_url : str, optional
        Where to ask instead of where the provider is.
    timeout : float, optional
        Seconds without a sign of life before a call is given up.
    max_retries : int, optional
        How often a model is asked again after an error that may pass, where the call does not say
        ``retries=``.
    """

    def __init__(
        self,
        api_key: str | Mapping[str, str] | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(api_key, base_url, timeout, max_retries, **options)
        self.chat = _Chat(_ChatCompletions(self))
        self.completions = _Completions(self)
        self.embeddings = _Embeddings(self)
        self.models = _Models()

    def close(self) -> None:
        """Do nothing: connections are shared, and close with the process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncOpenAI(_Base):
    """As :class:`OpenAI`, with ``await client.chat.completions.create(...)``."""

    def __init__(
        self,
        api_key: str | Mapping[str, str] | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(api_key, base_url, timeout, max_retries, **options)
        self.chat = _Chat(_AsyncChatCompletions(self))
        self.completions = _AsyncCompletions(self)
        self.embeddings = _AsyncEmbeddings(self)
        self.models = _AsyncModels()

    async def close(self) -> None:
        """Do nothing: connections are shared, and close with their event loop."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Chat(Generic[Resource]):
    def __init__(self, completions: Resource) -> None:
        self.completions = completions


Client = OpenAI

# OneLLM's other way to ask, without a client: ChatCompletion.create(model=..., messages=...).
ChatCompletion = OpenAI().chat.completions
Completion = OpenAI().completions
Embedding = OpenAI().embeddings
