"""The fake provider: a loopback HTTP server that speaks OpenAI and Anthropic."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Condition, Event
from typing import Any, Self

from llm_magic.testing import anthropic_wire, completions_wire, embeddings_wire, openai_wire
from llm_magic.testing.connection import Connection, HangUpError, HTTPRequest
from llm_magic.testing.dialect import Dialect
from llm_magic.testing.exchange import Exchange
from llm_magic.testing.listener import Listener
from llm_magic.testing.scripts import (
    Failure,
    Hang,
    ModelList,
    Reply,
    Script,
    Usage,
    UsagePlace,
    last_user_text,
)
from llm_magic.testing.seen import SeenRequest, note

Default = str | Callable[[dict[str, Any]], str]

_logger = logging.getLogger(__name__)

# By the end of the path: what comes before it differs from provider to provider.
_COMPLETIONS: dict[str, Dialect] = {
    "/chat/completions": openai_wire,
    "/completions": completions_wire,
    "/embeddings": embeddings_wire,
    "/messages": anthropic_wire,
    "/invoke": anthropic_wire,
}
_MODELS = "/models"


class FakeServer:
    """A provider on 127.0.0.1 that answers what a test scripts, and remembers what it was asked.

    Answers are used up in the order requests arrive, whatever their dialect; when none is left,
    `default` answers. Every word is a token, for the usage and, where OpenAI's `logprobs` are asked
    for, for those.

    Parameters
    ----------
    default
        The text, or a function from the request's body to the text, for a request that nothing
        was scripted for. By default `You said: ` and the last user message. Embeddings are made
        of the words of their text.
    latency
        Seconds before every answer, for benchmarks. Tests wait on a `gate` instead.
    models
        The names that `GET /v1/models` lists; any path that ends so will do, as for the others.

    Examples
    --------
    >>> from openai import OpenAI
    >>> question = [{"role": "user", "content": "The capital of Norway?"}]
    >>> with FakeServer() as server:
    ...     server.reply("Oslo")
    ...     server.fail(429, retry_after=2)
    ...     with OpenAI(base_url=server.openai_url, api_key="fake", max_retries=0) as client:
    ...         completion = client.chat.completions.create(model="m", messages=question)
    >>> completion.choices[0].message.content
    'Oslo'
    >>> server.last.body["model"]
    'm'
    """

    def __init__(
        self,
        *,
        default: Default | None = None,
        latency: float = 0.0,
        models: Sequence[str] = ("fake-model",),
    ) -> None:
        self._default = _echo if default is None else default
        self._latency = latency
        self._models = tuple(models)
        self._scripts: deque[Script] = deque()
        self._requests: list[SeenRequest] = []
        self._numbers = itertools.count(1)
        # Guards scripts, requests and numbers, and tells `wait_for` of new requests.
        self._changed = Condition()
        self._listener: Listener | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen on a free port; `with FakeServer() as server:` does this for you."""
        if self._listener is not None:
            raise RuntimeError("this server runs already")
        self._listener = Listener(self._handle)

    def close(self) -> None:
        """Stop at once, whoever still waits for an answer. Closing again does no harm."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def url(self) -> str:
        """The address of the server, `http://127.0.0.1:PORT`."""
        if self._listener is None:
            raise RuntimeError("the server does not run; use `with FakeServer() as server:`")
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def openai_url(self) -> str:
        """The address for `OPENAI_BASE_URL` or `OpenAI(base_url=...)`."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The address for `ANTHROPIC_BASE_URL` or `Anthropic(base_url=...)`."""
        return self.url

    def reply(
        self,
        text: str | Iterable[str] = "",
        *,
        model: str | None = None,
        usage: Usage | None = "counted",
        usage_place: UsagePlace = "own chunk",
        service_tier: str | None = None,
        finish_reason: str | None = None,
        tool_calls: Iterable[Mapping[str, Any]] = (),
        reasoning: str | None = None,
        headers: Mapping[str, str] | None = None,
        gate: Event | None = None,
    ) -> None:
        """Answer the next request.

        Parameters
        ----------
        text
            The answer. A list gives one choice for each text; a single text is repeated `n` times
            if `n` choices are asked for. (Anthropic has one choice: the first text.)
        model
            The model that says it answered; by default the one that was asked.
        usage
            `(input tokens, output tokens)`, or a dict in the words of the provider that is laid
            over the default usage (words counted), or `None` to send no usage.
        usage_place
            Where a stream of OpenAI's dialect tells it: in its "own chunk", when that is asked for;
            or unasked in the "last chunk", in "every chunk", or in the last one's "x_groq" or
            "choice".
        service_tier
            The tier that OpenAI's dialect says it was answered by.
        finish_reason
            In OpenAI's words, translated for Anthropic; other words are sent as they are. By
            default `stop`, or `tool_calls` when there are any.
        tool_calls
            `{"name": ..., "arguments": {...}}` and, if you like, `"id"`. Arguments given as a
            string go out as they stand, valid JSON or not.
        reasoning
            Thinking that comes before the text.
        headers
            Sent with the answer.
        gate
            A stream waits after its first word, any other answer before it begins, until this
            event is set (at most 30 seconds, then the connection is dropped).

        Examples
        --------
        >>> server = FakeServer()
        >>> server.reply("Oslo", model="gpt-x-2026-01-01", usage=(12, 1))
        >>> server.reply(["heads", "tails"], usage={"prompt_tokens_details": {"cached_tokens": 5}})
        >>> server.reply(tool_calls=[{"name": "weather", "arguments": {"city": "Oslo"}}])
        """
        self._script(
            Reply(
                text=text if isinstance(text, str) else tuple(text),
                model=model,
                usage=usage,
                usage_place=usage_place,
                service_tier=service_tier,
                finish_reason=finish_reason,
                tool_calls=tuple(tool_calls),
                reasoning=reasoning,
                headers=headers,
                gate=gate,
            )
        )

    def fail(
        self,
        status: int,
        *,
        message: str | None = None,
        code: str | None = None,
        type: str | None = None,
        retry_after: float | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next request with an error, in the shape of the provider it asks.

        What you leave out is what the provider says with this status, as far as it is known.
        """
        wait = {} if retry_after is None else {"retry-after": str(retry_after)}
        headers = {**wait, **(headers or {})}
        self._script(Failure(status=status, message=message, code=code, type=type, headers=headers))

    def error_body(self, message: str, *, code: str | None = None, type: str | None = None) -> None:
        """Answer the next request with HTTP 200 and an error inside, as some proxies do."""
        self._script(Failure(status=200, message=message, code=code, type=type))

    def hang(self) -> None:
        """Never answer the next request (for 30 seconds, then the connection is dropped)."""
        self._script(Hang())

    def cut(self, text: str, *, after: int = 1) -> None:
        """Drop the connection within the next answer.

        A stream breaks off after so many words, any other answer in the middle of its body.
        """
        self._script(Reply(text=text, ending="cut", cut_after=after))

    def unfinished(self, text: str) -> None:
        """Give the next answer no finish reason; a stream just ends, with nothing to mark it."""
        self._script(Reply(text=text, ending="unfinished"))

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request since the start or `clear()`, in the order they came; a new list."""
        with self._changed:
            return list(self._requests)

    @property
    def count(self) -> int:
        """How many requests came."""
        return len(self._requests)

    @property
    def last(self) -> SeenRequest:
        """The newest request."""
        with self._changed:
            if not self._requests:
                raise IndexError("no request has come yet; wait_for(1) waits for one")
            return self._requests[-1]

    def clear(self) -> None:
        """Forget the requests and everything that was scripted."""
        with self._changed:
            self._requests.clear()
            self._scripts.clear()

    def wait_for(self, count: int, timeout: float = 10.0) -> None:
        """Wait until so many requests have come; `TimeoutError` if they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._requests) >= count, timeout):
                came = len(self._requests)
                raise TimeoutError(f"{came} of {count} requests came within {timeout} s")

    def _script(self, script: Script) -> None:
        with self._changed:
            self._scripts.append(script)

    def _handle(self, connection: Connection, request: HTTPRequest) -> None:
        seen = note(request)
        scripted, number = self._remember(seen)
        exchange = Exchange(connection, _dialect(seen), number, seen.body)
        try:
            connection.wait(self._latency)
            self._play(exchange, seen, scripted)
        except HangUpError:
            if not connection.dropped:
                seen.closed_early.set()

    def _remember(self, seen: SeenRequest) -> tuple[Script | None, int]:
        # In one step, so that the n-th request takes the n-th script.
        with self._changed:
            self._requests.append(seen)
            self._changed.notify_all()
            takes_script = _completions(seen) and seen.body and self._scripts
            return self._scripts.popleft() if takes_script else None, next(self._numbers)

    def _play(self, exchange: Exchange, seen: SeenRequest, scripted: Script | None) -> None:
        try:
            exchange.play(scripted or self._unscripted(seen))
        except HangUpError:
            raise
        except Exception as error:
            # A mistake in the script, such as a default that raises. The test sees it as an
            # answer, and pytest shows the traceback among the captured logs.
            _logger.exception("the fake server cannot play this script")
            message = f"the fake server cannot play this script: {error!r}"
            exchange.play(Failure(status=500, message=message))

    def _unscripted(self, seen: SeenRequest) -> Script:
        if seen.method == "GET" and seen.route.endswith(_MODELS):
            return ModelList(self._models)
        if _completions(seen) is None:
            known = ", ".join([*(f"POST …{path}" for path in _COMPLETIONS), f"GET …{_MODELS}"])
            return Failure(status=404, message=f"no {seen.route} here; there are {known}")
        if not seen.body:
            return Failure(status=400, message="the body is not a JSON object")
        if callable(self._default):
            return Reply(text=self._default(seen.body))
        return Reply(text=self._default)


def _completions(seen: SeenRequest) -> Dialect | None:
    """The dialect of a request for an answer; None for any other request."""
    if seen.method != "POST":
        return None
    return next((d for path, d in _COMPLETIONS.items() if seen.route.endswith(path)), None)


def _dialect(seen: SeenRequest) -> Dialect:
    fallback = anthropic_wire if "anthropic-version" in seen.headers else openai_wire
    return _completions(seen) or fallback


def _echo(body: dict[str, Any]) -> str:
    return f"You said: {last_user_text(body)}"
