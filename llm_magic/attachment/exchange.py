"""One request of another library on its way: replayed, or sent, watched, stored, written down.

It is a :class:`~llm_magic.pipeline.Call` with one candidate and no retries of ours, as the other
library has its own; each of them is a row of the ledger.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from llm_magic import budgets, client, doctor, dropped, history, notices, replay, secrets
from llm_magic.attachment import answers, asked, keys, wire
from llm_magic.attachment.endpoints import Endpoint
from llm_magic.attachment.library import Library
from llm_magic.attachment.wire import Answer
from llm_magic.exceptions import (
    BudgetExceededError,
    LLMMagicError,
    MissingKeyError,
    ParameterError,
    ProviderError,
    ReplayMissError,
    UnboundedCostError,
)
from llm_magic.pipeline import Call, Candidate
from llm_magic.providers.base import Unreachable, error_for_status, provider_error
from llm_magic.providers.sdk import handling
from llm_magic.types import AttrDict, Mode, Transport

__all__ = ["asend", "refuse", "send"]

# Statuses of the answers with which requests are refused that were not sent: no library asks again.
_REFUSALS: Mapping[type[LLMMagicError], int] = {
    BudgetExceededError: 402,
    MissingKeyError: 401,
    ReplayMissError: 404,
}


def send(
    library: Library,
    endpoint: Endpoint,
    request: Any,
    body: Mapping[str, Any] | None,
    ask: Callable[[Any], Any],
) -> Any:
    """The response to a request, live or from a recording.

    Parameters
    ----------
    library : Library
        Whose request it is.
    endpoint : Endpoint
        Where it goes.
    request : object
        The library's request.
    body : mapping or None
        Its parsed body; None for one that cannot be read.
    ask : callable
        Sends it.
    """
    exchange = None
    try:
        exchange = _Exchange.of(library, endpoint, request, body)
        if exchange is None:
            return ask(request)
        call = exchange.call
        call.look_up()
        call.wait_for_twin()
        if call.recording is not None:
            return exchange.replayed()
        if wait := exchange.allowed():
            time.sleep(wait)
        call.begin()
    except LLMMagicError as error:
        return refuse(library, request, error, exchange)
    except BaseException as error:
        if exchange is not None:
            exchange.ended_with(error)
        raise
    try:
        with handling():
            response = ask(request)
    except BaseException as error:
        exchange.broke(error)
        raise
    return exchange.watched(response, awaited=False)


async def asend(
    library: Library,
    endpoint: Endpoint,
    request: Any,
    body: Mapping[str, Any] | None,
    ask: Callable[[Any], Awaitable[Any]],
) -> Any:
    """As :func:`send`, awaited."""
    exchange = None
    try:
        exchange = _Exchange.of(library, endpoint, request, body)
        if exchange is None:
            return await ask(request)
        call = exchange.call
        call.look_up()
        if _in_asyncio():
            await call.await_twin()
        if call.recording is not None:
            return exchange.replayed()
        if wait := exchange.allowed():
            import anyio  # comes with both libraries, and knows whose loop runs

            await anyio.sleep(wait)
        call.begin()
    except LLMMagicError as error:
        return refuse(library, request, error, exchange)
    except BaseException as error:
        if exchange is not None:
            exchange.ended_with(error)
        raise
    try:
        with handling():
            response = await ask(request)
    except BaseException as error:
        exchange.broke(error)
        raise
    return exchange.watched(response, awaited=True)


class _Exchange:
    """A request, and what comes of it."""

    def __init__(
        self, library: Library, endpoint: Endpoint, request: Any, body: Mapping[str, Any]
    ) -> None:
        settings = client.default().settings
        mode = settings.get("mode")
        question = asked.request_of(endpoint, str(request.url), request.headers, body)
        self._library = library
        self._endpoint = endpoint
        self._placeholder = keys.carries_placeholder(request.headers, str(request.url))
        self.call = Call(
            candidates=[Candidate(question, Transport(timeout=settings.get("timeout")), _NOT_OURS)],
            mode=mode,
            shelf=None if mode is Mode.DISABLED else client.default().shelf,
            ledger=history.at(settings.workspace),
            notebook=settings.workspace.notebook,
            stream=asked.is_stream(endpoint, body),
            keep_text=settings.get("history_text"),
        )
        self._number = self.call.candidate.ordinal
        # Not the response: that holds its stream, and the stream holds us.
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        self._process = os.getpid()
        # Taken by whoever is the first to tell how it ends; nobody ever waits for it.
        self._end = threading.Lock()

    @classmethod
    def of(
        cls, library: Library, endpoint: Endpoint, request: Any, body: Mapping[str, Any] | None
    ) -> _Exchange | None:
        """The exchange; None for a request that has no key, and is sent without being recorded.

        Raises
        ------
        ParameterError
            For such a request in REPLAY.
        UnboundedCostError
            For such a request where there is a budget.
        """
        secrets.refresh_if_changed()
        query = dict(parse_qsl(urlsplit(str(request.url)).query))
        keys.register(endpoint.row, request.headers, query)
        try:
            if body is None:
                no_object = "its body is no JSON object that is there before it is sent"
                raise ParameterError(endpoint.unread or no_object)
            return cls(library, endpoint, request, body)
        except (ParameterError, RecursionError) as error:
            why = str(error)
        settings = client.default().settings
        if settings.get("mode") is Mode.REPLAY:
            raise ParameterError(f"not sent, because nothing like it is recorded: {why}")
        if budgets.caps(settings, replay.current_run()):
            raise UnboundedCostError(
                f"not sent: nobody can say what it costs at most, and there is a budget: {why}"
            )
        notices.warn(f"a request to {request.url.host} is not recorded: {why}")
        return None

    # Without a server

    def replayed(self) -> Any:
        """The response that was recorded."""
        assert self.call.recording is not None
        answer = wire.recorded(self.call.recording)
        self.call.replayed()
        self._finish(lambda: None)
        headers = {"content-type": answer.content_type}
        at_end = self._tell_of_rest if self.call.recording.closed else lambda: None
        return self._library.response(answer.status, headers, answer.body, at_end=at_end)

    def _tell_of_rest(self) -> None:
        """Tell that what was recorded is a part: whoever reads it takes it for all there was."""
        notices.tell(
            f"the recording {self.call.key[:12]}… ends here: its stream was left early when it was"
            " recorded. Capture it again to have the rest (mode CAPTURE)"
        )

    def allowed(self) -> float:
        """The seconds to wait before it is sent.

        Raises
        ------
        MissingKeyError
            When it would be sent without a key.
        """
        if self._placeholder:
            row = self._endpoint.row
            variable = row.key_variables[0] if row.key_variables else "its key variable"
            raise MissingKeyError(
                f"No API key for {row.name}: this client was built in REPLAY, where none is needed,"
                f" and the mode is {self.call.mode} now. Set {variable} and build the client again"
            )
        return self.call.first_attempt()

    # What comes of it

    def watched(self, response: Any, *, awaited: bool) -> Any:
        """The response, whose bytes we see as the caller reads them."""
        self._status, self._headers = response.status_code, response.headers
        if response.is_stream_consumed:
            # It was made of bytes, and has them uncompressed; nobody will read its stream.
            self._finish(lambda: self._read(response.content))
        else:
            _unfinished.add(self)
            if self.call.run is not None:
                self.call.run.at_end(_finish_what_is_left)
            self._library.watch(response, self, awaited=awaited)
        return response

    def came(self, piece: bytes) -> None:
        """Keep a copy of bytes that the caller is about to get."""
        if self.call.stream:
            self.call.token_arrived()
        self._pieces.append(piece)

    def ended(self) -> None:
        """All bytes have come: store them, if they are a whole answer."""
        self._finish(lambda: self._read(self._body()))

    def broke(self, error: BaseException) -> None:
        """The connection was lost, or the caller interrupted."""
        if isinstance(error, Exception):
            error = provider_error(error, request=self.call.request)
        self._finish(lambda: self._read_broken(error))

    def closed(self, why: BaseException | None = None) -> None:
        """The caller wants no more. After the last event that is how an SDK ends a stream.

        So it is where its reader fails: what came is paid for, and in REPLAY the reader fails at
        the same place. An interrupt says nothing of the answer.
        """
        if why is None or isinstance(why, Exception):
            self._finish(lambda: self._read_closed(why))
        else:
            self._finish(lambda: self._read_broken(why))

    @property
    def over(self) -> bool:
        """Whether somebody has told how it ends."""
        return self._end.locked()

    def ended_with(self, error: BaseException) -> None:
        """There is no answer, because of this."""
        self._finish(lambda: self._failed(error))

    def _finish(self, read: Callable[[], None]) -> None:
        if not self._take_end():
            return
        try:
            read()
        except Exception as error:
            self._failed(self._as_ours(error))
        finally:
            _unfinished.discard(self)
            self.call.release()

    def _take_end(self) -> bool:
        """Whether nobody has told how it ends; false for all who ask after that.

        A stream may be closed, read and collected in several threads, and while its end is written.
        A forked child leaves it to its parent.
        """
        return self._process == os.getpid() and self._end.acquire(blocking=False)

    def _failed(self, error: BaseException, partial: str = "") -> None:
        """There is no answer, because of this; of one that broke off, its text."""
        self.call.failed(error, partial)
        if self.call.run is not None:
            # The other library may ask again: that is the same call, with the same number.
            self.call.run.give_back(self.call.key, self._number)

    def _read(self, body: bytes) -> None:
        if self._status != 200:
            raise error_for_status(self._status, _parsed(body), request=self.call.request)
        if self._in_pieces:
            self._answered(self._heard(body).whole(), body)
        else:
            self._answered(answers.whole(self._endpoint, self.call.request, body), body)

    def _read_broken(self, error: BaseException) -> None:
        heard = self._heard(self._body()) if self._in_pieces else None
        if heard is not None and heard.done:
            # Only the end of the connection is missing.
            self._answered(heard.whole(), self._body())
            return
        partial = heard.text if heard is not None else ""
        if isinstance(error, ProviderError):
            error.partial = partial
        self._failed(error, partial)

    def _read_closed(self, why: BaseException | None) -> None:
        body = self._body()
        if not self._in_pieces:
            if self._status != 200:
                self._read(body)
            self._failed(why or GeneratorExit("the answer was not read"))
            return
        heard = self._heard(body)
        if heard.done:
            self._answered(heard.whole(), body)
            return
        events = _whole_events(body)
        if heard.error is not None or not events:
            self._failed(heard.error or why or GeneratorExit("the stream was closed at once"))
            return
        self._answered(self._heard(events).so_far(), events, closed=True)

    def _answered(self, response: AttrDict, body: bytes, *, closed: bool = False) -> None:
        sent = Answer(200, self._headers.get("content-type", ""), body)
        response["http"] = wire.to_dict(sent)
        self.call.answered(response, closed=closed)

    @property
    def _in_pieces(self) -> bool:
        kind = self._headers.get("content-type", "")
        return self._status == 200 and kind.startswith("text/event-stream")

    def _heard(self, body: bytes) -> answers.Pieces:
        return answers.Pieces(self._endpoint, self.call.request, body)

    def _body(self) -> bytes:
        return self._library.decoded(self._headers, b"".join(self._pieces))

    def _as_ours(self, error: Exception) -> LLMMagicError:
        if isinstance(error, LLMMagicError):
            return error
        return provider_error(error, request=self.call.request)


def _in_asyncio() -> bool:
    """Whether asyncio runs us; trio does not wait for calls under way in other tasks."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# What is watched and has not ended. They hold no stream, so that Python collects those as ever.
_unfinished: set[_Exchange] = set()


def _finish_what_is_left() -> None:
    """Have those streams ended that nobody can read any more.

    Those of many SDKs refer to themselves: they would be open until Python happens to collect them,
    and what a cell left would not be in the cassette that is saved after it.
    """
    if _unfinished:
        gc.collect()
    dropped.wait()


def _finish_all() -> None:
    """End every stream with the process, as long as ledger and store are open."""
    dropped.wait()
    for exchange in list(_unfinished):
        exchange.closed()


# Later than those of ledger and store, which are imported above, and so called before them.
atexit.register(_finish_all)

_NOT_OURS = Unreachable(ProviderError("another library asks; we only watch"))


def _whole_events(body: bytes) -> bytes:
    """The body up to the end of its last event: half a one would be an error to its reader."""
    ends = [body.rfind(mark) + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if mark in body]
    return body[: max(ends, default=0)]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def refuse(
    library: Library, request: Any, error: LLMMagicError, exchange: _Exchange | None = None
) -> Any:
    """Tell the other library that its request was not sent.

    The SDKs of OpenAI and Anthropic take any exception of their transport for a lost connection:
    they ask again after a while, and then say ``Connection error.`` and nothing else. So they get
    what they show at once and word for word, an answer with an error. All others get the exception.

    Raises
    ------
    LLMMagicError
        The error, with what the doctor says of a miss.
    """
    if exchange is not None:
        exchange.ended_with(error)
    if isinstance(error, ReplayMissError):
        text = doctor.diagnose(error, shelf=client.default().shelf).to_text()
        error.args = (text, *error.args[1:])
    if not any(name.startswith("x-stainless-") for name in request.headers):
        raise error
    told = "; ".join(" ".join(line.split()) for line in str(error).splitlines())
    body = {"type": "error", "error": {"type": type(error).__name__, "message": told}}
    status = next((_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS), 400)
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    return library.response(status, headers, json.dumps(body).encode())
