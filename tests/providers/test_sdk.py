import asyncio
import os
import subprocess
import sys
import threading

import pytest

from llm_magic import secrets
from llm_magic.exceptions import MissingKeyError
from llm_magic.providers import catalog, sdk
from llm_magic.testing import FakeServer
from llm_magic.types import Request, Transport

KEY = "test-key-0123456789abcdef"
OTHER_KEY = "other-key-0123456789abcdef"
NAMES = ("openai", "anthropic")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for variable in os.environ:
        if variable.startswith(("OPENAI_", "ANTHROPIC_")):
            monkeypatch.delenv(variable)


def place(name, **transport):
    return sdk.connection(catalog.entry(name), Transport(**transport))


@pytest.mark.parametrize("name", NAMES)
def test_without_a_key_the_message_says_what_to_set(name):
    with pytest.raises(MissingKeyError) as caught:
        place(name)

    variable = f"{name.upper()}_API_KEY"
    assert str(caught.value) == f"No API key for {name}. Set {variable} or pass api_key="


@pytest.mark.parametrize("name", NAMES)
def test_a_key_variable_never_goes_to_another_host(monkeypatch, name):
    monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
    own = catalog.entry(name).base_url

    assert place(name).api_key == KEY
    assert place(name, api_base=own + "/").api_key == KEY
    assert place(name, api_base="http://localhost:8000/v1").api_key == "none"
    assert place(name, api_base=own.replace("https", "http")).api_key == "none"
    assert place(name, api_base=own.replace(".com", ".com@evil.example")).api_key == "none"
    assert place(name, api_base=own.replace(".com", ".com.evil.example")).api_key == "none"
    assert place(name, api_base="http://localhost/", api_key=OTHER_KEY).api_key == OTHER_KEY


@pytest.mark.parametrize("name", NAMES)
def test_the_base_url_is_the_arguments_then_the_environments_then_the_providers(monkeypatch, name):
    monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
    assert place(name).base_url == catalog.entry(name).base_url

    monkeypatch.setenv(f"{name.upper()}_BASE_URL", "https://proxy.example/v1")
    assert place(name).base_url == "https://proxy.example/v1"
    assert place(name).api_key == KEY

    assert place(name, api_base="http://localhost/v1").base_url == "http://localhost/v1"


def test_a_key_is_in_no_repr_and_a_known_secret():
    connection = place("openai", api_key=f" {OTHER_KEY} ")

    assert OTHER_KEY not in repr(connection)
    assert connection.api_key == OTHER_KEY
    assert OTHER_KEY not in secrets.redact(f"Bearer {OTHER_KEY}")


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_one_client_for_a_connection(name):
    connection = place(name, api_base="http://localhost:1", api_key=KEY)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(sdk.client(connection))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1
    assert sdk.client(place(name, api_base="http://localhost:2", api_key=KEY)) is not found[0]


def test_not_more_clients_are_kept_than_anyone_uses():
    for number in range(40):
        sdk.client(place("openai", api_base=f"http://localhost:{number + 1}"))

    assert len(sdk._clients) <= 32


@pytest.mark.parametrize("name", NAMES)
def test_an_async_client_belongs_to_its_loop_and_closes_with_it(name):
    connection = place(name, api_base="http://localhost:1", api_key=KEY)

    async def two():
        first = await sdk.async_client(connection)
        assert await sdk.async_client(connection) is first
        assert not first.is_closed()
        return first

    one, other = asyncio.run(two()), asyncio.run(two())

    assert one is not other
    assert one.is_closed()
    assert other.is_closed()


PROGRAM = """
import asyncio, sys
from llm_magic.providers import catalog
from llm_magic.testing import FakeServer
from llm_magic.types import Request, Transport

async def main(provider, request, transport):
    # Else the loop tells of what took long: a machine that is slow, and no leak.
    asyncio.get_running_loop().slow_callback_duration = 60
    answers = await asyncio.gather(*[provider.asend(request, transport) for _ in range(3)])
    chunks = [chunk async for chunk in provider.astream(request, transport)]
    async for chunk in provider.astream(request, transport):
        break
    return len(answers), len(chunks)

name = sys.argv[1]
with FakeServer() as server:
    provider = catalog.provider(name)
    request = Request(name, "m", [{"role": "user", "content": "a b c"}])
    transport = Transport(api_base=getattr(server, name + "_url"))
    provider.send(request, transport)
    for _ in range(2):
        print(asyncio.run(main(provider, request, transport)))
"""


@pytest.mark.parametrize("name", NAMES)
def test_no_connection_is_left_open_when_a_loop_or_the_process_ends(name):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, name]
    path = os.pathsep.join(filter(None, sys.path))

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )

    assert done.stderr == ""
    assert done.stdout == "(3, 8)\n(3, 8)\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_makes_its_own_clients():
    connection = place("openai", api_base="http://localhost:1", api_key=KEY)
    sdk.client(connection)
    before = dict(sdk._clients)

    sdk._forget_after_fork()

    try:
        assert sdk._clients == {}
        assert sdk._inherited[-1][0] == before
    finally:
        sdk._clients.update(before)
        sdk._inherited.clear()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_environment_goes_to_another_host(monkeypatch, name):
    upper = name.upper()
    monkeypatch.setenv(f"{upper}_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-user")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-user")
    monkeypatch.setenv(f"{upper}_CUSTOM_HEADERS", f"authorization: {KEY}\nx-gateway: {KEY}")

    with FakeServer() as server:
        transport = Transport(api_base=getattr(server, f"{name}_url"))
        catalog.provider(name).send(Request(name, "m", []), transport)

        sent = " ".join(server.last.headers.values())

    assert KEY not in sent
    assert "of-the-user" not in sent
    assert server.last.headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_environment_says_goes_to_the_users_own_gateway(monkeypatch, name):
    monkeypatch.setenv(f"{name.upper()}_API_KEY", KEY)
    monkeypatch.setenv(f"{name.upper()}_CUSTOM_HEADERS", "x-gateway: team")

    with FakeServer() as server:
        monkeypatch.setenv(f"{name.upper()}_BASE_URL", getattr(server, f"{name}_url"))
        catalog.provider(name).send(Request(name, "m", []), Transport())

        headers = server.last.headers

    assert headers["x-gateway"] == "team"
    assert KEY in headers["authorization"] + headers.get("x-api-key", "")
