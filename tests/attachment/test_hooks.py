"""Hooks are on every transport that sends, once, and leave no trace."""

from __future__ import annotations

import asyncio
import sys

import httpx2
import pytest

from llm_magic import attach, history
from llm_magic.attachment import status

CLASSES = (
    (httpx2.HTTPTransport, "handle_request"),
    (httpx2.AsyncHTTPTransport, "handle_async_request"),
)
BODY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Why?"}]}


def ask(client=None):
    return (client or httpx2).post("chat/completions", json=BODY)


@pytest.fixture
def make_client(server):
    """Make a client of the fake provider."""

    def make(transport=None):
        return httpx2.Client(base_url=server.openai_url, transport=transport)

    return make


def traces():
    return (
        [owner.__dict__[method] for owner, method in CLASSES],
        ["__init_subclass__" in vars(base) for base in _bases()],
        list(sys.meta_path),
    )


def _bases():
    return httpx2.BaseTransport, httpx2.AsyncBaseTransport


def test_detach_restores_the_very_same_functions():
    before = traces()

    with attach():
        assert traces() != before

    assert traces() == before


def test_the_last_of_several_attachments_detaches():
    before = traces()
    one, other = attach(), attach()

    one.detach()
    one.detach()
    assert traces() != before
    other.detach()

    assert traces() == before


def test_a_client_that_was_there_before_is_watched(make_client):
    with make_client() as client, attach():
        ask(client)

    assert history.totals().calls == 1


def test_a_client_is_left_alone_after_detach(make_client, server):
    with make_client() as client:
        with attach():
            ask(client)
        ask(client)

    assert (history.totals().calls, server.count) == (1, 2)


def test_what_was_hooked_in_after_us_stays_and_we_do_nothing_below_it(make_client, monkeypatch):
    seen = []
    attached = attach()
    ours = httpx2.HTTPTransport.handle_request

    def theirs(transport, request):
        seen.append(request.method)
        return ours(transport, request)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", theirs)
    attached.detach()
    with make_client() as client:
        ask(client)

    assert httpx2.HTTPTransport.handle_request is theirs
    assert (seen, history.totals().calls) == (["POST"], 0)
    # monkeypatch puts back what it found, which is ours.
    monkeypatch.undo()
    httpx2.HTTPTransport.handle_request = ours.__wrapped__


def test_a_transport_that_is_made_of_another_is_recorded_once(make_client):
    class Wrapping(httpx2.BaseTransport):
        def __init__(self):
            self.inner = httpx2.HTTPTransport()

        def handle_request(self, request):
            return self.inner.handle_request(request)

        def close(self):
            self.inner.close()

    with attach(), make_client(Wrapping()) as client:
        ask(client)

    assert history.totals().calls == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_transport_of_another_library_is_watched_whenever_it_is_defined(server, when):
    attached = attach() if when == "after" else None

    class Own(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request):
            answer = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
            return httpx2.Response(
                200, headers={"content-type": "application/json"}, content=answer
            )

    attached = attached or attach()

    async def twice():
        async with httpx2.AsyncClient(base_url=server.openai_url, transport=Own()) as client:
            return [(await client.post("chat/completions", json=BODY)).json() for _ in range(2)]

    one, other = asyncio.run(twice())
    attached.detach()

    assert one == other
    assert [row["source"] for row in history.default().rows()] == ["live", "replay"]


def test_a_stream_that_can_be_read_both_ways_is_read_as_it_was_asked_for(make_client):
    answer = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'

    class Cache(httpx2.BaseTransport):
        def handle_request(self, request):
            return httpx2.Response(200, stream=httpx2.ByteStream(answer))

    with attach(), make_client(Cache()) as client:
        assert [ask(client).content for _ in range(2)] == [answer, answer]

    assert [row["source"] for row in history.default().rows()] == ["live", "replay"]


def test_the_answers_of_a_users_own_test_are_left_alone(make_client):
    mock = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"mine": True}))

    with attach(), make_client(mock) as client:
        assert ask(client).json() == {"mine": True}

    assert history.totals().calls == 0


def test_a_library_that_is_imported_later_is_watched_from_then_on(run_python, server):
    done = run_python(
        "import sys, os, llm_magic\n"
        "from llm_magic.attachment import status\n"
        "attached = llm_magic.attach()\n"
        "before = status().libraries\n"
        "import httpx2\n"
        "print(before, status().libraries)\n"
        "url = os.environ['OPENAI_BASE_URL'] + '/chat/completions'\n"
        f"httpx2.post(url, json={BODY!r})\n"
        "print(llm_magic.history.totals().calls)\n"
        "attached.detach()\n"
        "print(hasattr(httpx2.HTTPTransport.handle_request, '__wrapped__'))\n"
    )

    assert done.stdout == "() ('httpx2',)\n1\nFalse\n", done.stderr


def test_attaching_loads_no_sdk_and_no_http_client(run_python):
    done = run_python(
        "import sys, llm_magic\n"
        "llm_magic.attach()\n"
        "print([name for name in ('openai', 'anthropic', 'httpx', 'httpx2', 'pandas', 'asyncio')"
        " if name in sys.modules])\n"
    )

    assert done.stdout == "[]\n", done.stderr


def test_a_module_with_both_names_is_hooked_once(run_python):
    done = run_python(
        "import httpx2, llm_magic\n"
        "httpx2.alias_httpx()\n"
        "import httpx\n"
        "from llm_magic.attachment import status\n"
        "original = httpx.HTTPTransport.handle_request\n"
        "with llm_magic.attach():\n"
        "    print(status().libraries)\n"
        "print(httpx.HTTPTransport.handle_request is original)\n"
    )

    assert done.stdout == "('httpx2',)\nTrue\n", done.stderr


def test_the_status_tells_what_is_watched():
    with attach(hosts=["llm.example.org"]), attach():
        now = status()

    assert (now.attachments, now.libraries, now.hosts) == (2, ("httpx2",), ("llm.example.org",))
    assert status().hosts == ()
