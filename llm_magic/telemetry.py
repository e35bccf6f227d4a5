"""OpenTelemetry: a span for every call, live or replayed, by the conventions for generative AI.

``pip install "llm-magic[otel]"``, and switch it on for a process, or for a project with
``telemetry = true`` under ``[tool.llm_magic]`` (or ``LLM_MAGIC_TELEMETRY=true``)::

    from llm_magic import telemetry

    telemetry.enable()                        # spans go to the tracer provider that is set
    telemetry.enable(capture_content=True)    # with prompts and answers
    telemetry.disable()

Where no tracer provider is set, and ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector, spans go
there by OTLP/HTTP; not where REPLAY is imposed from outside, as that opens no connection.

A call is one CLIENT span, however often it was tried: a child span for each attempt would count its
tokens twice wherever spans are summed, and those who want the requests themselves have the
instrumentation of their HTTP library. An attempt that failed is an event ``llm_magic.attempt``. The
span's parent is the span that is current where the call is made; a stream's span ends when the
stream does, whether it was read, closed, broken or dropped. A call that raised has the status ERROR
and the name of its exception (see :mod:`llm_magic.exceptions`) as ``error.type``. Prompts, answers
and messages of errors, which may quote them, are in a span only with ``capture_content``.

Names and attributes: :mod:`llm_magic.conventions`. While it is off, none of opentelemetry is
imported.
"""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import llm_magic
from llm_magic import conventions
from llm_magic.config import Settings
from llm_magic.conventions import Told
from llm_magic.exceptions import ConfigError
from llm_magic.secrets import redact
from llm_magic.types import Mode

__all__ = ["CallSpan", "begin", "disable", "enable"]

_MISSING = 'telemetry needs the OpenTelemetry SDK: pip install "llm-magic[otel]"'
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class _Beginning(Told, Protocol):
    """A call with the settings that it is made under."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class _Tracing:
    """Where spans go; ``own`` is the tracer provider that we made and have to close."""

    tracer: Any
    capture_content: bool = False
    own: Any = None

    def close(self) -> None:
        if self.own is not None:
            self.own.shutdown()


@dataclass(slots=True)
class _State:
    """What was said to this process; until something is, the setting decides for each call."""

    said: bool = False
    tracing: _Tracing | None = None
    by_setting: _Tracing | None = None
    unavailable: str = ""
    told: bool = False


_state = _State()
_lock = threading.Lock()


def enable(tracer_provider: Any = None, *, capture_content: bool = False) -> None:
    """Make a span of every call from now on.

    Parameters
    ----------
    tracer_provider : opentelemetry.trace.TracerProvider, optional
        Where spans go; by default the one that is set for this process.
    capture_content : bool
        Whether spans have prompts and answers; known API keys are replaced in them.

    Raises
    ------
    ConfigError
        Without OpenTelemetry.
    """
    tracing = _tracing(tracer_provider, capture_content=capture_content, export=True)
    _switch(tracing)


def disable() -> None:
    """Make no more spans, whatever the setting says; what is on its way is sent first."""
    _switch(None)


def _switch(tracing: _Tracing | None) -> None:
    with _lock:
        before = [_state.tracing, _state.by_setting]
        _state.said, _state.tracing, _state.by_setting = True, tracing, None
    for old in before:
        if old is not None:
            old.close()


def begin(call: _Beginning) -> CallSpan | None:
    """The span of a call that begins now; None while telemetry is off."""
    tracing = _state.tracing if _state.said else _by_setting(call)
    return None if tracing is None else CallSpan(tracing, call)


def _by_setting(call: _Beginning) -> _Tracing | None:
    if not call.settings.get("telemetry"):
        return None
    with _lock:
        if _state.by_setting is None and not _state.unavailable:
            try:
                _state.by_setting = _tracing(None, export=not call.settings.imposed)
            except ConfigError as error:
                _state.unavailable = str(error)
    # A project's setting must not keep its notebooks from replaying, nor change what they print.
    if _state.unavailable and not _state.told and call.mode is not Mode.REPLAY:
        _state.told = True
        warnings.warn(f"no spans are made: {_state.unavailable}", RuntimeWarning, stacklevel=2)
    return _state.by_setting


def _tracing(provider: Any, *, capture_content: bool = False, export: bool) -> _Tracing:
    # The API alone comes with the anthropic SDK; without the SDK of OpenTelemetry it does nothing.
    if provider is None and not _has_sdk():
        raise ConfigError(_MISSING)
    try:
        from opentelemetry import trace
    except ImportError:
        raise ConfigError(_MISSING) from None
    own = None
    if provider is None:
        provider = trace.get_tracer_provider()
        if export and isinstance(provider, trace.ProxyTracerProvider) and _has_collector():
            provider = own = _exporting()
    tracer = provider.get_tracer("llm_magic", llm_magic.__version__)
    return _Tracing(tracer, capture_content, own)


def _has_sdk() -> bool:
    try:
        return find_spec("opentelemetry.sdk.trace") is not None
    except ModuleNotFoundError:
        return False


def _has_collector() -> bool:
    """Whether the environment names a collector, and nothing else than OTLP/HTTP to reach it by."""
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    wanted = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    return any(map(os.environ.get, _ENDPOINTS)) and "http" in protocol and "otlp" in wanted


def _exporting() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(_MISSING) from None
    # It sends what is left when the process ends.
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class CallSpan:
    """The span of one call."""

    def __init__(self, tracing: _Tracing, call: Told) -> None:
        from opentelemetry.trace import SpanKind

        self._content = tracing.capture_content
        self._error: BaseException | None = None
        self._failed_after_answer = False
        self._span = tracing.tracer.start_span(
            conventions.span_name(call.candidate.request),
            kind=SpanKind.CLIENT,
            attributes=conventions.begun(call),
        )

    def failed(self, call: Told, error: BaseException, *, sent: bool) -> None:
        """Note an error: the last one before the end is that of the call.

        Parameters
        ----------
        sent : bool
            Whether it ended a request on its way, which may be tried again.
        """
        self._error = error
        self._failed_after_answer = call.completion is not None
        if sent:
            self._span.add_event("llm_magic.attempt", conventions.attempted(call, error))

    def end(self, call: Told) -> None:
        """Tell what came of the call. Ending again changes nothing."""
        if not self._span.is_recording():
            return
        try:
            # Another model than the first may have answered.
            self._span.update_name(conventions.span_name(call.candidate.request))
            self._span.set_attributes(conventions.ended(call))
            if self._content:
                self._span.set_attributes(conventions.content(call))
            if self._error is not None and (call.completion is None or self._failed_after_answer):
                self._set_error(self._error)
        finally:
            self._span.end()

    def _set_error(self, error: BaseException) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", type(error).__name__)
        message = redact(str(error)) if self._content else None
        self._span.set_status(Status(StatusCode.ERROR, message))
