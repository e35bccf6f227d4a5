"""The SDKs' clients, kept, and the one exchange with a server that everything goes through.

The SDKs bring authentication, connection pools, proxies and TLS. Their models and retries are not
used: building the models is half of a call's cost and seven times a stream's, and the pipeline has
the one retry layer. So a request goes out by the client's ``post()`` as a plain dict, and its
answer comes back as bytes.

SDK exceptions hold the request with its authorization header. They end here: what is raised is one
of our errors, raised outside the ``except`` block, with neither cause nor context of theirs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from llm_magic import secrets
from llm_magic.exceptions import ConfigError, MissingKeyError, ParameterError
from llm_magic.providers import catalog
from llm_magic.providers.base import provider_error
from llm_magic.providers.catalog import Entry
from llm_magic.types import Request, Transport

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "Connection",
    "Question",
    "aexchange",
    "async_client",
    "client",
    "connection",
    "exchange",
    "extra_body",
    "handled",
    "handling",
]

_CLASSES = {"openai": "OpenAI", "anthropic": "Anthropic"}
_PLACEHOLDER = "none"
_AZURE_VERSION = "2024-10-21"

# A connection is there soon or never; it is the answer that takes its time.
_CONNECT_SECONDS = 20.0


# Whether somebody takes care of the request that is being sent: what watches the transports for
# calls of other libraries (llm_magic.attachment) lets it pass.
handled: ContextVar[bool] = ContextVar("llm_magic_handled", default=False)


@contextmanager
def handling() -> Iterator[None]:
    """Say that what is sent here is recorded already."""
    token = handled.set(True)
    try:
        yield
    finally:
        handled.reset(token)


@dataclass(frozen=True, slots=True)
class Connection:
    """Which server, asked how, as whom.

    `foreign` is a server that is not the provider's own: nothing from the environment goes there.
    An empty key leaves it to the SDK to find credentials. `client` is the class of the SDK's
    client, and `options` are more of its arguments.
    """

    sdk: str
    base_url: str
    api_key: str = field(repr=False)
    foreign: bool = False
    client: str = ""
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A request in the form in which it is sent."""

    request: Request
    connection: Connection
    path: str
    body: Mapping[str, Any]
    timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)


def extra_body(request: Request) -> Mapping[str, Any]:
    """The parameters that the user wants sent as they are, past all that we know better.

    Raises
    ------
    ParameterError
        When there is something in it that would belie the record of what was asked.
    """
    extra = request.parameters.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise ParameterError("extra_body: it takes a dict of parameters")
    for name in ("messages", "model", "stream"):
        if name in extra:
            raise ParameterError(f"extra_body: {name} does not go there; it is an argument")
    return extra


class Answering(Protocol):
    """What an exchange wants to know of the reader of the answer."""

    done: bool

    def partial(self) -> str:
        """Text so far."""


def connection(row: Entry, transport: Transport) -> Connection:
    """Where this provider is reached, and with which key.

    Raises
    ------
    MissingKeyError
        When there is no key. A key variable of the provider counts only for the provider itself: at
        the address in the catalog, or the one that the user gave it in the environment.
    """
    base_url = transport.api_base or catalog.base_url(row)
    foreign = bool(transport.api_base) and not catalog.home(row, base_url)
    variable = row.key_variables[0] if row.key_variables else f"{row.name.upper()}_API_KEY"
    found = None if foreign or transport.api_key else catalog.api_key(row)
    if transport.api_key:
        secrets.register(variable, transport.api_key.strip())
        key = catalog.checked("api_key=", transport.api_key)
    elif found is not None:
        key = found[1]
    elif foreign or row.keyless:
        key = _PLACEHOLDER
    elif row.credential_variables and catalog.has_key(row):
        key = ""
    else:
        raise MissingKeyError(f"No API key for {row.name}. Set {variable} or pass api_key=")
    return _checked(_special(Connection(row.dialect, base_url, key, foreign, row.client)), row)


def _special(connection: Connection) -> Connection:
    """The same connection, with what the SDK's special clients want to know besides."""
    url = connection.base_url.rstrip("/")
    if connection.client == "AzureOpenAI":
        if url.endswith("/v1"):
            # The newer API of Azure is OpenAI's own, without versions and deployments in the path.
            return replace(connection, client="")
        version = os.environ.get("AZURE_OPENAI_API_VERSION", "").strip() or _AZURE_VERSION
        url = url.removesuffix("/openai") + "/openai"
        return replace(connection, base_url=url, options=(("api_version", version),))
    if "Bedrock" in connection.client:
        # Which server it is says the URL; for requests that it signs, the SDK wants the region too.
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return replace(connection, options=(("aws_region", region or "us-east-1"),))
    return connection


def _checked(connection: Connection, row: Entry) -> Connection:
    """The same connection, if what is installed can make it."""
    if connection.client and not hasattr(import_module(connection.sdk), connection.client):
        raise ConfigError(
            f"{row.name} needs a newer {connection.sdk} SDK, one with {connection.client};"
            f" pip install -U {connection.sdk}"
        )
    if not connection.api_key and find_spec("boto3") is None:
        raise ConfigError(
            f"{row.name} with AWS credentials needs boto3: pip install boto3;"
            f" or set {row.key_variables[0]}, an API key of {row.name}, which needs nothing more"
        )
    return connection


# Clients are kept because a new one costs 23 ms and a new connection. An async client belongs to
# the event loop it was made in.
_lock = threading.Lock()
_clients: dict[Connection, Any] = {}
_async_clients: dict[asyncio.AbstractEventLoop, dict[Connection, Any]] = {}
_keepers: dict[Any, AsyncGenerator[None, None]] = {}
_MOST = 32


def client(connection: Connection) -> Any:
    """The SDK's client for this connection; threads share it."""
    found = _clients.get(connection)
    if found is None:
        with _lock:
            found = _clients.get(connection)
            if found is None:
                # The oldest one goes; who still uses it holds it, and it closes when dropped.
                while len(_clients) >= _MOST:
                    del _clients[next(iter(_clients))]
                found = _clients[connection] = _made(connection, "")
    return found


async def async_client(connection: Connection) -> Any:
    """The SDK's async client for this connection in the running event loop; it closes with it."""
    from asyncio import get_running_loop  # 30 ms that a replay in plain Python does without

    loop = get_running_loop()
    clients = _async_clients.get(loop)
    if clients is None:
        with _lock:
            for other in [other for other in _async_clients if other.is_closed()]:
                del _async_clients[other]
            clients = _async_clients[loop] = {}
    found = clients.get(connection)
    if found is None:
        found = clients[connection] = _made(connection, "Async")
        _keepers[found] = _keep(found, clients, connection)
        await anext(_keepers[found])
    return found


async def _keep(
    client: Any, clients: dict[Connection, Any], connection: Connection
) -> AsyncGenerator[None, None]:
    """Close the client when the event loop ends.

    A loop has no hook for its end, but ``asyncio.run`` closes every asynchronous generator that is
    still suspended, and this one always is.
    """
    try:
        yield
    finally:
        clients.pop(connection, None)
        _keepers.pop(client, None)
        await client.close()


def _made(connection: Connection, prefix: str) -> Any:
    sdk = import_module(connection.sdk)
    made = getattr(sdk, prefix + (connection.client or _CLASSES[connection.sdk]))(
        api_key=connection.api_key or None,
        base_url=connection.base_url,
        max_retries=0,
        **dict(connection.options),
    )
    # Older SDKs of Anthropic send a token from the environment beside the key they are given.
    if getattr(made, "auth_token", None) is not None:
        made.auth_token = None
    if connection.foreign:
        # OPENAI_ORG_ID, OPENAI_PROJECT_ID, ..._CUSTOM_HEADERS: they say who the user is to the
        # provider, and may hold a token. There is no argument that keeps them out.
        made.organization = made.project = None
        made._custom_headers = {}
    return made


def _forget_after_fork() -> None:
    """A child process must neither use the connections of its parent nor close them."""
    global _lock
    _lock = threading.Lock()
    _inherited.append((dict(_clients), dict(_async_clients), dict(_keepers)))
    for kept in (_clients, _async_clients, _keepers):
        kept.clear()


_inherited: list[Any] = []

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_after_fork)


def exchange(question: Question, reader: Answering | None = None) -> Generator[bytes, None, None]:
    """Ask, and give the bytes of the answer as they come. Closing it hangs up.

    Parameters
    ----------
    question : Question
        What to send.
    reader : Answering, optional
        Who reads the answer: knows the text so far, for the error, and whether all has come.

    Raises
    ------
    ProviderError
        For anything that goes wrong.
    """
    failure: Exception | None = None
    try:
        sdk_client = client(question.connection)
        with handling():
            response = sdk_client.post(question.path, **_arguments(question)).http_response
    except Exception as error:
        failure = provider_error(error, request=question.request)
    if failure is not None:
        raise failure

    try:
        pieces = response.iter_bytes()
        while True:
            try:
                piece = next(pieces, None)
            except Exception as error:
                failure = _lost(error, question, reader)
                piece = None
            if failure is not None:
                raise failure
            if piece is None:
                return
            yield piece
    finally:
        response.close()


async def aexchange(
    question: Question, reader: Answering | None = None
) -> AsyncGenerator[bytes, None]:
    """As :func:`exchange`, awaited."""
    failure: Exception | None = None
    try:
        sdk_client = await async_client(question.connection)
        with handling():
            answer = await sdk_client.post(question.path, **_arguments(question))
        response = answer.http_response
    except Exception as error:
        failure = provider_error(error, request=question.request)
    if failure is not None:
        raise failure

    try:
        pieces: AsyncIterator[bytes] = response.aiter_bytes()
        while True:
            try:
                piece = await anext(pieces, None)
            except Exception as error:
                failure = _lost(error, question, reader)
                piece = None
            if failure is not None:
                raise failure
            if piece is None:
                return
            yield piece
    finally:
        await response.aclose()


def _arguments(question: Question) -> dict[str, Any]:
    # With this header the SDK hands out the response unread and unparsed.
    headers = {**question.headers, "X-Stainless-Raw-Response": "stream"}
    connect = min(question.timeout, _CONNECT_SECONDS)
    timeout = import_module(question.connection.sdk).Timeout(question.timeout, connect=connect)
    options = {"headers": headers, "timeout": timeout}
    return {"cast_to": object, "body": question.body, "options": options}


def _lost(error: Exception, question: Question, reader: Answering | None) -> Exception | None:
    """Our error for a connection that was lost while the answer came; None if all had come.

    Reading goes on after the last event because only a response read to its end leaves the
    connection fit for the next request; if that fails, nothing is missing.
    """
    if reader is not None and reader.done:
        return None
    partial = reader.partial() if reader is not None else ""
    return provider_error(error, request=question.request, partial=partial)
