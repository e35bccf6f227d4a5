"""What a provider is to the rest of the package, and how its failures become ours.

A provider turns a :class:`~llm_magic.types.Request` into an answer in OpenAI's shape. It does not
retry, store, price or log: those are the pipeline's work, once, for all providers.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol

from llm_magic import exceptions
from llm_magic.exceptions import LLMMagicError, ProviderError
from llm_magic.secrets import redact
from llm_magic.types import AttrDict, Chunk, Request, Transport

__all__ = ["Provider", "Unreachable", "error_for_status", "not_spoken", "provider_error"]


class Provider(Protocol):
    """Four ways to ask: at once or in pieces, waiting or awaited."""

    name: str

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer, as a dict in the shape of OpenAI's ``chat.completion``.

        Raises
        ------
        ProviderError
            Any failure, mapped; an answer without a finish reason is an ``IncompleteError``.
        """

    def stream(self, request: Request, transport: Transport) -> Iterator[Chunk]:
        """The answer in pieces. Closing the iterator closes the connection."""

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""

    def astream(self, request: Request, transport: Transport) -> AsyncIterator[Chunk]:
        """As :meth:`stream`, awaited."""

    def notes(self, request: Request) -> list[str]:
        """What of the request this provider cannot take, for the user and the ledger."""


_BY_STATUS: Mapping[int, type[ProviderError]] = {
    400: exceptions.BadRequestError,
    401: exceptions.AuthenticationError,
    402: exceptions.QuotaError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.NotFoundError,
    408: exceptions.ConflictError,
    409: exceptions.ConflictError,
    413: exceptions.BadRequestError,
    422: exceptions.BadRequestError,
    425: exceptions.ConflictError,
    429: exceptions.RateLimitError,
    503: exceptions.OverloadedError,
    529: exceptions.OverloadedError,
}

# Anthropic sends errors inside a stream with a type instead of a status.
_STATUS_OF_TYPE = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "request_too_large": 413,
    "timeout_error": 504,
}

# Sent with 429 like a rate limit, but waiting does not help.
_QUOTA_CODES = frozenset(
    {"contract_spend_limit_reached", "enforced_spend_limit_reached", "insufficient_quota"}
)

_LONGEST = 1000

_ADVICE = {
    exceptions.AuthenticationError: "check the API key",
    exceptions.NotFoundError: "check the model name (%llm models)",
    exceptions.QuotaError: "the account has no credit left",
    exceptions.RateLimitError: "wait a little, or ask for fewer tokens",
    exceptions.OverloadedError: "try again later, or another model",
}


def error_for_status(
    status: int | None,
    body: Any,
    *,
    request: Request,
    retry_after: float | None = None,
    partial: str = "",
    error: Exception | None = None,
) -> ProviderError:
    """Our error for an error answer of a provider.

    Parameters
    ----------
    status : int or None
        HTTP status; None for an error object inside an answer of status 200.
    body : object
        The parsed body; OpenAI's ``{"error": {...}}`` and Anthropic's are understood.
    error : Exception, optional
        The SDK's exception for it, if there is one.
    """
    detail = body.get("error", body) if isinstance(body, Mapping) else body
    code = kind = None
    message = str(detail or "no message")
    if isinstance(detail, Mapping):
        code, kind = detail.get("code"), detail.get("type")
        message = str(detail.get("message") or detail)
        details = detail.get("details")
        if code is None and isinstance(details, Mapping):
            code = details.get("error_code")  # Anthropic's place for it
    # A proxy's error page is a whole HTML document.
    message = textwrap.shorten(message, _LONGEST) if len(message) > _LONGEST else message
    if status is None:
        status = _STATUS_OF_TYPE.get(str(code)) or _STATUS_OF_TYPE.get(str(kind)) or 500
    family = _BY_STATUS.get(status)
    if family is None:
        refused = 400 <= status < 500
        family = exceptions.BadRequestError if refused else exceptions.ServerError
    # Anthropic says with 400 that the credit is used up, and has no code for it.
    if {str(code), str(kind)} & _QUOTA_CODES or "credit balance is too low" in message:
        family = exceptions.QuotaError
    advice = _ADVICE.get(family)
    return _made(
        family,
        redact(f"{request.reference} answered {status}: {message}")
        + (f" ({advice})" if advice else ""),
        request,
        error,
        status=status,
        code=str(code or kind) if code or kind else None,
        retry_after=retry_after,
        partial=partial,
        # An HTTP error is not billed; an error after text has come may be.
        billed=None if partial else False,
    )


def not_spoken(request: Request) -> ProviderError:
    """Our error for a kind of API that this provider does not have; another one may."""
    return _made(
        exceptions.BadRequestError,
        f"{request.provider} does not support api={request.api!r}; ask another provider",
        request,
        None,
    )


def provider_error(error: Exception, *, request: Request, partial: str = "") -> ProviderError:
    """Our error for an exception of the openai or anthropic SDK, or of the HTTP client under it.

    The exception itself is not kept: it holds the request with its authorization header. Raise the
    result outside the ``except`` block, so that it does not become its context.
    """
    if isinstance(error, ProviderError):
        return error
    names = {cls.__name__ for cls in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        ours = error_for_status(
            status,
            getattr(error, "body", None) or str(error),
            request=request,
            retry_after=_seconds(headers.get("retry-after")),
            partial=partial,
            error=error,
        )
    elif names & {"APITimeoutError", "TimeoutException", "TimeoutError"}:
        reached = type(error.__cause__ or error).__name__ not in ("ConnectTimeout", "PoolTimeout")
        ours = _made(
            exceptions.RequestTimeoutError,
            f"{request.reference} did not answer in time; raise timeout=, or try again",
            request,
            error,
            partial=partial,
            billed=None if reached else False,
        )
    elif names & {"APIConnectionError", "TransportError", "NetworkError", "OSError"}:
        cause = error.__cause__ or error
        reason = redact(str(cause)) or type(cause).__name__
        connecting = any(cls.__name__ == "ConnectError" for cls in type(cause).__mro__)
        ours = _made(
            exceptions.ConnectionFailedError,
            f"no connection to {request.reference}: {reason}; check the network and the base URL"
            if connecting
            else f"the connection to {request.reference} was lost: {reason}",
            request,
            error,
            partial=partial,
            billed=False if connecting else None,
        )
    else:
        ours = _made(
            ProviderError,
            redact(f"{request.reference} failed: {type(error).__name__}: {error}"),
            request,
            error,
            partial=partial,
            billed=None,
        )
    ours.__cause__ = _scrubbed(error)
    return ours


# What the SDKs call the same failures, for those that reach us without an exception of theirs.
_SDK_NAMES = {
    "ConnectionFailedError": "APIConnectionError",
    "OverloadedError": "InternalServerError",
    "QuotaError": "RateLimitError",
    "RequestTimeoutError": "APITimeoutError",
    "ServerError": "InternalServerError",
}


def _made(
    family: type[ProviderError],
    message: str,
    request: Request,
    error: Exception | None,
    **fields: Any,
) -> ProviderError:
    """An error of ours that is the SDK's as well, so that ``except openai.RateLimitError`` works.

    It has the SDK's ``status_code``, ``message`` and ``body``, and no ``request`` or ``response``:
    those hold the key.
    """
    sdk = sys.modules.get("anthropic" if request.provider == "anthropic" else "openai")
    theirs: type[Exception] | None = None
    if error is not None and type(error).__module__.partition(".")[0] in ("openai", "anthropic"):
        theirs = type(error)
    elif sdk is not None:
        theirs = getattr(sdk, _SDK_NAMES.get(family.__name__, family.__name__), None)
    cls = _joined(family, theirs) if theirs is not None else family
    return cls(message, provider=request.provider, model=request.model, **fields)


_joins: dict[tuple[type, type], type[ProviderError]] = {}


def _joined(family: type[ProviderError], theirs: type[Exception]) -> type[ProviderError]:
    if found := _joins.get((family, theirs)):
        return found
    about = {
        "__module__": family.__module__,
        "__doc__": family.__doc__,
        "body": None,
        "message": property(str),
        "request_id": None,
        "status_code": property(lambda error: error.status),
    }
    return _joins.setdefault((family, theirs), type(family.__name__, (family, theirs), about))


class SDKError(Exception):
    """A copy of an SDK's exception: its class name and message, without the request it held."""


def _scrubbed(error: Exception) -> SDKError:
    module = type(error).__module__.partition(".")[0]
    return SDKError(redact(f"{module}.{type(error).__qualname__}: {error}"))


def _seconds(value: str | None) -> float | None:
    # Retry-After may also be a date (RFC 9110 §10.2.3); providers of models send seconds.
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None


class Unreachable:
    """Stands in for a provider that there is not: fails when it is asked."""

    name = "unknown"

    def __init__(self, error: LLMMagicError) -> None:
        self._error = error

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """Raise the error."""
        raise self._error

    def stream(self, request: Request, transport: Transport) -> Iterator[Chunk]:
        """Raise the error."""
        raise self._error

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """Raise the error."""
        raise self._error

    def astream(self, request: Request, transport: Transport) -> AsyncIterator[Chunk]:
        """Raise the error."""
        raise self._error

    def notes(self, request: Request) -> list[str]:
        """Nothing."""
        return []
