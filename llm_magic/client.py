"""Entry points: ``complete``, ``stream``, ``acomplete``, ``astream``.

They are functions of the package, which share one client in the folder the process works in, and
methods of :class:`Client` for a folder of your own.
"""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magic import config, environment, history, replay, routing, secrets
from llm_magic.arguments import Arguments, Prompt
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import LLMMagicError, ModelNameError, ParameterError
from llm_magic.history import History
from llm_magic.pipeline import Call, Candidate
from llm_magic.providers import catalog
from llm_magic.providers.base import Provider, Unreachable
from llm_magic.replay import Run
from llm_magic.rounds import Rounds
from llm_magic.shelf import Shelf
from llm_magic.streaming import AsyncCompletionStream, CompletionStream
from llm_magic.types import AttrDict, Completion, Mode, Request, Transport

if TYPE_CHECKING:
    from llm_magic.preview import Preview

__all__ = ["Client", "acomplete", "astream", "complete", "default", "stream"]


class Client:
    """Completions with recordings and a ledger in one folder.

    Parameters
    ----------
    folder : path, optional
        Where the cassettes are; working files go to ``.llm_magic`` in it. By default the folder
        this process works in.
    **settings
        Settings for this client alone, such as ``model="openai/gpt-5-mini"`` or ``mode="REPLAY"``.

    Examples
    --------
    >>> client = Client(model="echo/echo")
    >>> client.complete("Hello").source
    'live'
    >>> client.complete("Hello").source
    'replay'
    """

    def __init__(self, folder: str | Path | None = None, **settings: Any) -> None:
        shared = folder is None and not settings
        self.settings = config.default() if shared else Settings(folder)
        for name, value in settings.items():
            self.settings.set(name, value)
        self._shelf: Shelf | None = None
        self._lock = threading.Lock()

    @property
    def shelf(self) -> Shelf:
        """The recordings of the folder; opened at first use."""
        return self._shelf_at(self.settings.workspace)

    def _shelf_at(self, workspace: Workspace) -> Shelf:
        with self._lock:
            shelf, folder = self._shelf, workspace.folder
            # Nearly always the very same path; two are compared part by part.
            if shelf is not None and shelf.folder is not folder and shelf.folder != folder:
                shelf.close()
                shelf = self._shelf = None
            if shelf is None:
                shelf = self._shelf = Shelf(workspace)
            return shelf

    @property
    def history(self) -> History:
        """The ledger of the folder; opened at first use."""
        return self._ledger_at(self.settings.workspace)

    def _ledger_at(self, workspace: Workspace) -> History:
        return history.at(workspace)

    def complete(self, prompt: Prompt, **options: Any) -> Completion:
        """The answer to a prompt, live or from a recording.

        Parameters
        ----------
        prompt : str or list of dict
            Text, or messages in OpenAI's shape. It is never changed.
        model : str, optional
            ``provider/model``; by default the setting ``model``.
        api : {"chat", "completion", "embedding"}, optional
            With ``completion`` the prompt, or each of several, goes to a model that goes on with a
            text. With ``embedding`` the texts become vectors: ``.data[0].embedding``.
        system : str, optional
            System message, put first.
        mode : str or Mode, optional
            REPLAY, FALLBACK, CAPTURE or DISABLED for this call.
        sample : int, optional
            Which of several answers to the same request, from 0; by default the n-th identical
            call of a run uses the n-th answer.
        cache_seed : int or str, optional
            Keeps otherwise equal requests apart.
        files : path, bytes, URL, image, figure, DataFrame or list of them, optional
            What goes with the prompt; see :func:`llm_magic.media.part`.
        schema : class, dict or str, optional
            What the answer looks like: a pydantic model, a JSON schema, or ``"name, age int"``.
            The answer is then in ``.parsed``.
        tools : list of functions and dicts, optional
            What the model may call: Python functions, or definitions in OpenAI's format.
        max_tool_rounds : int, optional
            How often calls to the functions are run and their results sent back; 0 leaves it to
            you.
        rerun_tools : bool, optional
            Run the functions again where their results are recorded.
        num_retries : int, optional
            How often a model is asked again after a failure that may pass.
        fallbacks : sequence of str, optional
            Models to ask, in order, when the one before failed for good. A dict with ``model``,
            ``api_key`` and ``api_base`` names one with a key or an address of its own.
        on_fallback : callable, optional
            Is called with the error and the next model before that is asked; may raise to end it.
        timeout : float, optional
            Seconds without a sign of life before the call is given up.
        api_key, api_base : str, optional
            Key and base URL for this call; never stored.
        **parameters
            Generation parameters, such as ``temperature`` or ``max_tokens`` (tokens); unknown ones
            are sent as they are.

        Returns
        -------
        Completion
            With ``.text``, ``.cost`` (USD) and all of OpenAI's fields.

        Raises
        ------
        ReplayMissError
            In REPLAY without a recording; nothing was sent.
        ProviderError
            When the provider refused, failed or did not answer.

        Examples
        --------
        >>> from llm_magic import complete
        >>> answer = complete("What is 6 x 7?", model="echo/echo", max_tokens=40)
        >>> answer.source, answer.cost
        ('live', Decimal('0'))
        """
        secrets.hide(options)
        arguments = Arguments(**options)
        messages = arguments.messages(prompt)
        if not arguments.max_tool_rounds:
            return self._complete(messages, arguments)
        from llm_magic import tools  # for those who have some

        rounds = self._rounds(messages, arguments)
        while True:
            completion = self._complete(rounds.messages, arguments)
            calls = rounds.wanted(completion)
            if not calls:
                return rounds.finish(completion)
            results = rounds.recorded(completion)
            if results is None:
                results = [tools.call(rounds.functions[name], text) for name, text in calls]
                rounds.record(completion, results)
            rounds.add(completion, results)

    def _complete(self, messages: list[dict[str, Any]], arguments: Arguments) -> Completion:
        call = self._call(messages, arguments)
        try:
            call.look_up()
            call.wait_for_twin()
            if call.recording is not None:
                return call.replayed()
            return call.answered(self._send(call))
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.release()

    def _send(self, call: Call) -> AttrDict:
        wait = call.first_attempt()
        while True:
            if wait:
                time.sleep(wait)
            call.begin()
            one = call.candidate
            try:
                return one.provider.send(one.sent, one.transport)
            except LLMMagicError as error:
                call.failed(error)
                failure = error
            wait = call.next_attempt(failure)

    async def acomplete(self, prompt: Prompt, **options: Any) -> Completion:
        """As :meth:`complete`, awaited; functions in ``tools`` may be coroutines."""
        secrets.hide(options)
        arguments = Arguments(**options)
        messages = arguments.messages(prompt)
        if not arguments.max_tool_rounds:
            return await self._acomplete(messages, arguments)
        from llm_magic import tools

        rounds = self._rounds(messages, arguments)
        while True:
            completion = await self._acomplete(rounds.messages, arguments)
            calls = rounds.wanted(completion)
            if not calls:
                return rounds.finish(completion)
            results = rounds.recorded(completion)
            if results is None:
                results = [
                    await tools.async_call(rounds.functions[name], text) for name, text in calls
                ]
                rounds.record(completion, results)
            rounds.add(completion, results)

    async def _acomplete(self, messages: list[dict[str, Any]], arguments: Arguments) -> Completion:
        call = self._call(messages, arguments)
        try:
            call.look_up()
            await call.await_twin()
            if call.recording is not None:
                return call.replayed()
            return call.answered(await self._asend(call))
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.release()

    async def _asend(self, call: Call) -> AttrDict:
        import asyncio  # 30 ms that a replay in plain Python does without

        wait = call.first_attempt()
        while True:
            if wait:
                await asyncio.sleep(wait)
            call.begin()
            one = call.candidate
            try:
                return await one.provider.asend(one.sent, one.transport)
            except LLMMagicError as error:
                call.failed(error)
                failure = error
            wait = call.next_attempt(failure)

    def stream(self, prompt: Prompt, **options: Any) -> CompletionStream:
        """As :meth:`complete`, in pieces: iterate the chunks, then read ``.completion``."""
        return CompletionStream(self._stream(prompt, options))

    def astream(self, prompt: Prompt, **options: Any) -> AsyncCompletionStream:
        """As :meth:`stream`, for ``async for``."""
        return AsyncCompletionStream(self._stream(prompt, options))

    def _stream(self, prompt: Prompt, options: dict[str, Any]) -> Call:
        secrets.hide(options)
        arguments = Arguments(**options)
        if arguments.max_tool_rounds:
            raise ParameterError("max_tool_rounds= goes with complete() and acomplete()")
        if arguments.api == "embedding":
            raise ParameterError("an embedding does not come in pieces; use complete()")
        messages = arguments.messages(prompt)
        call = self._call(messages, arguments, stream=True)
        try:
            call.look_up()
        except BaseException as error:
            call.failed(error)
            call.release()
            raise
        return call

    def preview(
        self,
        prompt: Prompt,
        *,
        stream: bool = False,
        shelf: Shelf | None = None,
        run: Run | None = None,
        **options: Any,
    ) -> Preview:
        """What a call would be: what is asked, live or replayed, and what it can cost.

        Nothing is sent and nothing is written: no recording, no row of the ledger, no count of
        identical calls.

        Parameters
        ----------
        prompt, **options
            As :meth:`complete` takes them.
        stream : bool
            It would be a call of :meth:`stream`.
        shelf, run : Shelf and Run, optional
            For a walk over many calls: recordings that stay open, and a run that counts them. By
            default the recordings as they are now, and the number that the call would have now.

        Examples
        --------
        >>> Client(model="echo/echo").preview("Hello").source
        'live'
        """
        secrets.hide(options)
        from llm_magic.preview import look  # nobody waits for it who asks at once

        arguments = Arguments(**options)
        workspace = self.settings.workspace
        with ExitStack() as stack:
            if shelf is None:
                shelf = stack.enter_context(closing(Shelf(workspace, read_only=True)))
            return look(
                self._candidates(arguments.messages(prompt), arguments),
                arguments,
                mode=self.settings.get("mode", arguments.mode),
                shelf=shelf,
                notebook=workspace.notebook,
                settings=self.settings,
                run=run or replay.current_run(),
                counting=run is not None,
                stream=stream,
            )

    def _rounds(self, messages: list[dict[str, Any]], arguments: Arguments) -> Rounds:
        mode = self.settings.get("mode", arguments.mode)
        shelf = None if mode is Mode.DISABLED else self.shelf
        return Rounds(messages, arguments, mode, shelf, self.settings.workspace.notebook)

    def _call(
        self, messages: list[dict[str, Any]], arguments: Arguments, *, stream: bool = False
    ) -> Call:
        secrets.refresh_if_changed()
        settings = self.settings
        workspace = settings.workspace
        mode = settings.get("mode", arguments.mode)
        return Call(
            candidates=self._candidates(messages, arguments),
            mode=mode,
            shelf=None if mode is Mode.DISABLED else self._shelf_at(workspace),
            ledger=self._ledger_at(workspace),
            notebook=workspace.notebook,
            stream=stream,
            sample=arguments.sample,
            num_retries=arguments.num_retries,
            on_fallback=arguments.on_fallback,
            schema=arguments.schema,
            keep_text=settings.get("history_text"),
            settings=settings,
        )

    def _candidates(self, messages: list[dict[str, Any]], arguments: Arguments) -> list[Candidate]:
        settings = self.settings
        timeout = settings.get("timeout", arguments.timeout)
        own = Transport(arguments.api_key, arguments.api_base, timeout)
        # A key and an address belong to the model they were given for, never to another.
        asked = [(settings.get("model", arguments.model), own)]
        for one in arguments.fallbacks:
            asked.append((one["model"], Transport(one["api_key"], one["api_base"], timeout)))
        # All of them before the first request is made, and hashed: what is asked may quote the key
        # of a fallback.
        who = [
            (*self._who(reference, transport, arguments), transport)
            for reference, transport in asked
        ]
        return [self._candidate(*one, messages, arguments) for one in who]

    def _who(
        self, reference: str | None, transport: Transport, arguments: Arguments
    ) -> tuple[str, str, Provider]:
        """Provider, model and what asks it; their keys are known from here on."""
        try:
            provider, model = routing.resolve(reference, self.settings)
            adapter = catalog.provider(provider)
        except ModelNameError as error:
            secrets.register("api_key", transport.api_key)
            if not arguments.fallbacks:
                raise
            # One unknown name must not end the call: it fails when its turn comes.
            return "unknown", str(reference), Unreachable(error)
        # A key that was set since the start must not reach the key or the ledger either.
        if transport.api_key:
            secrets.register(f"{provider.upper()}_API_KEY", transport.api_key)
        for variable in catalog.entry(provider).key_variables:
            if value := environment.look(variable):
                secrets.register(variable, value)
        return provider, model, adapter

    def _candidate(
        self,
        provider: str,
        model: str,
        adapter: Provider,
        transport: Transport,
        messages: list[dict[str, Any]],
        arguments: Arguments,
    ) -> Candidate:
        request = Request(
            provider=provider,
            model=model,
            messages=messages,
            parameters=arguments.parameters,
            endpoint=(
                routing.endpoint_identity(provider, transport.api_base)
                if transport.api_base
                else None
            ),
            cache_seed=arguments.cache_seed,
            api=arguments.api,
        )
        return Candidate(request, transport, adapter)

    def close(self) -> None:
        """Close the recordings' store; the next call opens it again."""
        with self._lock:
            if self._shelf is not None:
                self._shelf.close()
                self._shelf = None


_default: Client | None = None
_default_lock = threading.Lock()


def default() -> Client:
    """The client that the module's functions and the magics share."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Client()
        return _default


def close() -> None:
    """Close the shared client; the next call opens it again."""
    global _default
    with _default_lock:
        if _default is not None:
            _default.close()
            _default = None


atexit.register(close)


def complete(prompt: Prompt, **options: Any) -> Completion:
    """The answer to a prompt; see :meth:`Client.complete` for the arguments."""
    secrets.hide(options)
    return default().complete(prompt, **options)


def stream(prompt: Prompt, **options: Any) -> CompletionStream:
    """The answer in pieces; see :meth:`Client.stream`."""
    secrets.hide(options)
    return default().stream(prompt, **options)


async def acomplete(prompt: Prompt, **options: Any) -> Completion:
    """As :func:`complete`, awaited."""
    secrets.hide(options)
    return await default().acomplete(prompt, **options)


def astream(prompt: Prompt, **options: Any) -> AsyncCompletionStream:
    """As :func:`stream`, for ``async for``."""
    secrets.hide(options)
    return default().astream(prompt, **options)
