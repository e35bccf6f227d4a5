"""What every provider that is asked over HTTP promises, in all four ways of asking."""

import asyncio
import copy
import signal
import threading
import traceback
from contextlib import aclosing

import pytest

from llm_magic import exceptions
from llm_magic.providers import catalog
from llm_magic.providers.assembly import Assembly
from llm_magic.testing import FakeServer
from llm_magic.types import Request, Transport, Usage

KEY = "test-key-0123456789abcdef"
NAMES = ("openai", "anthropic")
WAYS = ("send", "stream", "asend", "astream")


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


class Asker:
    """Asks one provider in one way, and gives the answer whole."""

    def __init__(self, name, way, server):
        self.provider = catalog.provider(name)
        self.name, self.way = name, way
        self.transport = Transport(api_key=KEY, api_base=getattr(server, f"{name}_url"), timeout=10)
        self.assembly = Assembly()

    def __call__(self, *messages, timeout=None, **parameters):
        messages = messages or ({"role": "user", "content": "hi"},)
        request = Request(self.name, "m", messages, parameters)
        before = copy.deepcopy(request)
        transport = self.transport if timeout is None else self.with_timeout(timeout)
        try:
            return getattr(self, self.way)(request, transport)
        finally:
            assert request == before

    def with_timeout(self, timeout):
        return Transport(self.transport.api_key, self.transport.api_base, timeout)

    def send(self, request, transport):
        return self.provider.send(request, transport)

    def asend(self, request, transport):
        return asyncio.run(self.provider.asend(request, transport))

    def stream(self, request, transport):
        for chunk in self.provider.stream(request, transport):
            self.take(chunk)
        assert chunk.usage is not None
        return self.assembly.response()

    def astream(self, request, transport):
        async def all_of_it():
            async for chunk in self.provider.astream(request, transport):
                self.take(chunk)

        asyncio.run(all_of_it())
        return self.assembly.response()

    def take(self, chunk):
        assert chunk.object == "chat.completion.chunk"
        assert all("content" in choice.delta for choice in chunk.choices)
        self.assembly.add(chunk)


@pytest.fixture(params=WAYS)
def ask(request, name, server):
    return Asker(name, request.param, server)


def test_an_answer_has_the_shape_of_a_chat_completion(ask, server):
    server.reply("Hello π\n\n there", usage=(10, 5), model="m-2026")

    response = ask()

    assert response.object == "chat.completion"
    assert response.model == "m-2026"
    assert response.id
    assert isinstance(response.created, int)
    assert response.choices[0].message.role == "assistant"
    assert response.choices[0].message.content == "Hello π\n\n there"
    assert response.choices[0].finish_reason == "stop"
    assert Usage.from_openai(response.usage) == Usage(uncached_input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_finish_reason_is_in_openais_words(ask, server, reason):
    server.reply("a", finish_reason=reason)

    assert ask().choices[0].finish_reason == reason


def test_tool_calls_and_reasoning_are_carried(ask, server):
    calls = [{"name": "f", "arguments": {"x": "π"}, "id": "t1"}, {"name": "g", "id": "t2"}]
    server.reply("so", reasoning="hm hm", tool_calls=calls)

    choice = ask().choices[0]

    assert choice.finish_reason == "tool_calls"
    assert choice.message.reasoning_content == "hm hm"
    assert [(call.id, call.type, call.function.name) for call in choice.message.tool_calls] == [
        ("t1", "function", "f"),
        ("t2", "function", "g"),
    ]
    assert choice.message.tool_calls[0].function.arguments == '{"x": "π"}'


def test_usage_that_was_not_told_is_none(name, server):
    server.reply("a", usage=None)

    assert Asker(name, "send", server)().usage is None


def test_unknown_parameters_are_sent_as_they_are(ask, server):
    ask(some_new_thing={"a": [1]}, max_tokens=7)

    assert server.last.body["some_new_thing"] == {"a": [1]}
    assert server.last.body["max_tokens"] == 7


def test_the_key_is_sent_and_the_messages_are_whole(ask, server):
    ask({"role": "user", "content": "¿π🙂\u2028?"})

    assert KEY in server.last.headers["authorization"]
    assert server.last.body["messages"] == [{"role": "user", "content": "¿π🙂\u2028?"}]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, exceptions.BadRequestError),
        (401, exceptions.AuthenticationError),
        (402, exceptions.QuotaError),
        (403, exceptions.PermissionDeniedError),
        (404, exceptions.NotFoundError),
        (408, exceptions.ConflictError),
        (409, exceptions.ConflictError),
        (422, exceptions.BadRequestError),
        (429, exceptions.RateLimitError),
        (500, exceptions.ServerError),
        (503, exceptions.OverloadedError),
        (529, exceptions.OverloadedError),
    ],
)
def test_a_refusal_is_our_error_and_asked_once(ask, server, status, expected):
    server.fail(status, message="no such luck", retry_after=3)

    with pytest.raises(exceptions.ProviderError, match="no such luck") as caught:
        ask()

    error = caught.value
    assert expected in type(error).__mro__[:2]
    assert (error.provider, error.model, error.status) == (ask.name, "m", status)
    assert (error.retry_after, error.billed, error.partial) == (3, False, "")
    assert server.count == 1


def test_an_error_that_came_as_a_success_is_an_error(ask, server):
    server.error_body("out of service")

    with pytest.raises(exceptions.ProviderError, match="out of service"):
        ask()


def test_an_unfinished_answer_is_incomplete_and_its_text_kept(ask, server):
    server.unfinished("half an answer")

    with pytest.raises(exceptions.IncompleteError, match="finish reason") as caught:
        ask()

    assert (caught.value.partial, caught.value.billed) == ("half an answer", None)


def test_a_lost_connection_keeps_what_had_come(ask, server):
    server.cut("one two three four", after=2)

    with pytest.raises(exceptions.ConnectionFailedError, match="was lost") as caught:
        ask()

    streamed = ask.name == "anthropic" or "stream" in ask.way
    assert caught.value.partial == ("one two" if streamed else "")
    assert caught.value.billed is None
    if "stream" in ask.way:
        assert ask.assembly.text == "one two"


def test_silence_ends_in_a_timeout(ask, server):
    server.hang()

    with pytest.raises(exceptions.RequestTimeoutError, match="timeout=") as caught:
        ask(timeout=0.2)

    assert caught.value.billed is None


def test_nobody_there_is_told_and_not_billed(ask, server):
    server.close()

    with pytest.raises(exceptions.ConnectionFailedError, match="no connection to") as caught:
        ask()

    assert caught.value.billed is False


def everything_in(error):
    """Text of all that can be reached from an error without reading frames."""
    seen, todo, texts = set(), [error], []
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        texts.append(repr(thing))
        if isinstance(thing, BaseException):
            todo += [thing.__cause__, thing.__context__, thing.args, vars(thing)]
            todo += getattr(thing, "__notes__", [])
        elif isinstance(thing, dict):
            todo += [*thing.keys(), *thing.values()]
        elif isinstance(thing, (list, tuple)):
            todo += thing
        elif hasattr(thing, "__dict__"):
            todo.append(vars(thing))
    return "\n".join(texts)


@pytest.mark.parametrize(
    "script",
    [
        lambda server: server.fail(401, message=f"Incorrect API key: {KEY}"),
        lambda server: server.error_body(f"bad key {KEY}"),
        lambda server: server.cut("one two three", after=1),
        lambda server: server.unfinished(f"your key is {KEY}"),
        lambda server: server.close(),
    ],
    ids=["401", "error body", "cut", "unfinished", "nobody there"],
)
def test_no_error_holds_the_key(ask, server, script):
    script(server)

    with pytest.raises(exceptions.ProviderError) as caught:
        ask()

    error = caught.value
    error.partial = ""  # the model's words are the caller's, byte for byte
    assert KEY not in everything_in(error)
    assert KEY not in "".join(traceback.format_exception(error))
    assert error.__context__ is None


@pytest.mark.parametrize(
    "script",
    [
        lambda server: server.fail(401),
        lambda server: server.cut("one two three", after=1),
        lambda server: server.unfinished("one"),
        lambda server: server.close(),
    ],
    ids=["401", "cut", "unfinished", "nobody there"],
)
def test_a_traceback_that_shows_variables_does_not_show_the_key(ask, server, script):
    script(server)

    with pytest.raises(exceptions.ProviderError) as caught:
        ask()

    shown = [
        repr(value)
        for frame, _ in traceback.walk_tb(caught.value.__traceback__)
        for value in frame.f_locals.values()
    ]
    assert not [text for text in shown if KEY in text]


@pytest.mark.parametrize("name", NAMES)
def test_an_unusable_base_url_is_our_error(name):
    request, transport = Request(name, "m", []), Transport(KEY, "not a url://")

    with pytest.raises(exceptions.ProviderError) as caught:
        catalog.provider(name).send(request, transport)

    assert KEY not in everything_in(caught.value)


def test_closing_a_stream_hangs_up(name, server):
    gate = threading.Event()
    server.reply("one two three", gate=gate)
    asker = Asker(name, "stream", server)

    chunks = asker.provider.stream(Request(name, "m", []), asker.transport)
    text = ""
    while not text:
        text = next(chunks).text
    chunks.close()

    assert text == "one"
    assert server.last.closed_early.wait(10)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals on this system")
@pytest.mark.parametrize("way", ["send", "stream"])
def test_an_interrupt_hangs_up(name, server, way):
    server.reply("one two three", gate=threading.Event())
    asker = Asker(name, way, server)

    def interrupt():
        server.wait_for(1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def ask():
        threading.Thread(target=interrupt).start()
        asker()

    with pytest.raises(KeyboardInterrupt):
        ask()

    assert server.last.closed_early.wait(10)


def test_closing_an_async_stream_hangs_up(name, server):
    gate = threading.Event()
    server.reply("one two three", gate=gate)
    asker = Asker(name, "astream", server)

    async def begin():
        chunks = asker.provider.astream(Request(name, "m", []), asker.transport)
        async with aclosing(chunks):
            async for chunk in chunks:
                if chunk.text:
                    return chunk.text

    assert asyncio.run(begin()) == "one"
    assert server.last.closed_early.wait(10)


@pytest.mark.parametrize("way", ["asend", "astream"])
def test_cancelling_hangs_up(name, server, way):
    server.reply("one two three", gate=threading.Event())
    asker = Asker(name, way, server)
    request = Request(name, "m", [])

    async def cancelled():
        asked = (
            asker.provider.asend(request, asker.transport)
            if way == "asend"
            else anext_forever(asker.provider.astream(request, asker.transport))
        )
        task = asyncio.create_task(asked)
        await asyncio.to_thread(server.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def anext_forever(chunks):
        async with aclosing(chunks):
            async for _ in chunks:
                pass

    asyncio.run(cancelled())
    assert server.last.closed_early.wait(10)


def test_a_connection_is_used_again_after_a_stream(name, server):
    asker = Asker(name, "stream", server)
    ports = []
    for _ in range(3):
        asker()
        pool = pool_of(name, asker.transport)
        ports.append(id(pool.connections[0]))
        assert len(pool.connections) == 1

    assert len(set(ports)) == 1


def pool_of(name, transport):
    from llm_magic.providers import sdk

    return sdk.client(sdk.connection(catalog.entry(name), transport))._client._transport._pool
