"""n choices from a provider that gives one a call."""

import asyncio
import threading

import pytest

from llm_magic.exceptions import AuthenticationError, ParameterError
from llm_magic.providers import catalog
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.choices import joined, summed
from llm_magic.testing import FakeServer
from llm_magic.types import Request, Transport, Usage, attributes

KEY = "test-key-0123456789abcdef"
NAMES = ("anthropic", "groq")
WAYS = ("send", "stream", "asend", "astream")


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


class Asker:
    def __init__(self, name, way, server):
        self.provider, self.name, self.way = catalog.provider(name), name, way
        url = server.anthropic_url if name == "anthropic" else server.openai_url
        self.transport = Transport(api_key=KEY, api_base=url, timeout=10)
        self.chunks = []

    def __call__(self, **parameters):
        request = Request(self.name, "m", [{"role": "user", "content": "hi"}], parameters)
        if self.way == "send":
            return self.provider.send(request, self.transport)
        if self.way == "asend":
            return asyncio.run(self.provider.asend(request, self.transport))
        if self.way == "stream":
            self.chunks.extend(self.provider.stream(request, self.transport))
        else:
            asyncio.run(self.collect(request))
        assembly = Assembly()
        for chunk in self.chunks:
            assembly.add(chunk)
        return assembly.response()

    async def collect(self, request):
        async for chunk in self.provider.astream(request, self.transport):
            self.chunks.append(chunk)


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture(params=NAMES)
def ask(request, way, server):
    return Asker(request.param, way, server)


def test_n_choices_are_n_calls_and_their_usage_is_summed(ask, server):
    for text in ("one", "two", "three"):
        server.reply(text, usage=(10, 5))

    response = ask(n=3, temperature=0.5)

    assert server.count == 3
    assert not any("n" in request.body for request in server.requests)
    assert [choice.index for choice in response.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in response.choices]
    assert sorted(texts) == ["one", "three", "two"]
    if ask.way != "asend":
        assert texts == ["one", "two", "three"]
    assert all(choice.finish_reason == "stop" for choice in response.choices)
    usage = Usage.from_openai(response.usage)
    assert usage == Usage(uncached_input_tokens=30, output_tokens=15)
    assert response.usage.total_tokens == 45
    assert response.usage.requests == 3


@pytest.mark.parametrize("parameters", [{}, {"n": 1}])
def test_one_choice_is_one_call_and_left_as_it_came(ask, server, parameters):
    response = ask(**parameters)

    assert server.count == 1
    assert "requests" not in response.usage
    assert "n" not in server.last.body


def test_nothing_is_noted_of_n_but_all_else_is(ask):
    request = Request(ask.name, "m", [], {"n": 3, "logprobs": True})

    (note,) = ask.provider.notes(request)

    assert note.startswith("logprobs was not sent")


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_is_one_answer_with_its_usage_at_the_end(ask, server):
    ask(n=2)

    assert len({chunk["id"] for chunk in ask.chunks}) == 1
    assert [bool(chunk.get("usage")) for chunk in ask.chunks].index(True) == len(ask.chunks) - 1
    order = [choice.index for chunk in ask.chunks for choice in chunk.choices]
    assert order == sorted(order)


def test_usage_that_one_call_did_not_tell_is_unknown(ask, server):
    if ask.name == "anthropic":
        pytest.skip("Anthropic's streams always tell")
    server.reply("a", usage=(10, 5))
    server.reply("b", usage=None)

    assert ask(n=2).usage is None


def test_a_failure_after_an_answer_may_have_cost_something(ask, server):
    server.reply("one")
    server.fail(401)

    with pytest.raises(AuthenticationError) as caught:
        ask(n=2)

    assert caught.value.billed is None
    assert caught.value.__context__ is None


def test_a_failure_at_once_is_free_and_ends_it(server):
    server.fail(401)

    with pytest.raises(AuthenticationError) as caught:
        Asker("groq", "send", server)(n=3)

    assert caught.value.billed is False
    assert server.count == 1


def test_awaited_calls_are_made_together_and_end_together(server):
    gate = threading.Event()
    for _ in range(2):
        server.reply("a", gate=gate)
    server.fail(401)

    with pytest.raises(AuthenticationError):
        Asker("groq", "asend", server)(n=3)

    waiting = [request for request in server.requests if "authorization" in request.headers]
    assert len(waiting) == 3
    assert sum(request.closed_early.wait(5) for request in server.requests[:2]) == 2


def test_closing_a_stream_hangs_up_and_asks_no_more(server):
    server.reply("one two", gate=threading.Event())
    asker = Asker("anthropic", "stream", server)

    chunks = asker.provider.stream(Request("anthropic", "m", [], {"n": 3}), asker.transport)
    while not next(chunks).text:
        pass
    chunks.close()

    assert server.last.closed_early.wait(10)
    assert server.count == 1


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", True])
def test_a_number_that_is_none_is_an_error(ask, server, count):
    with pytest.raises(ParameterError, match="from 1"):
        ask(n=count)

    assert server.count == 0


def test_a_sum_keeps_what_cannot_be_summed():
    usages = [
        {"cost": 0.1, "service_tier": "standard", "details": {"a": 1, "b": None}},
        {"cost": 0.2, "service_tier": "standard", "details": {"a": 2, "c": 4}, "is_byok": False},
    ]

    assert summed(usages) == {
        "cost": 0.3,
        "service_tier": "standard",
        "details": {"a": 3, "b": None, "c": 4},
        "is_byok": False,
        "requests": 2,
    }
    assert summed([{"a": 1}, None]) is None


def test_answers_are_joined_without_being_changed():
    answers = [
        attributes({"id": name, "choices": [{"index": 0, "message": {"content": name}}]})
        for name in "ab"
    ]

    whole = joined(answers)

    assert [choice.message.content for choice in whole.choices] == ["a", "b"]
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert [answer.choices[0]["index"] for answer in answers] == [0, 0]
    assert whole.id == "a"
