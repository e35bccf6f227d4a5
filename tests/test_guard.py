"""The guard refuses what leaves this process, and writes down what it refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from llm_magic.guard import Guard

ADDRESS = ("192.0.2.1", 443)


@pytest.fixture
def protected(tmp_path):
    path = tmp_path / "a.cassette.jsonl"
    path.write_text("{}\n")
    return path


@pytest.fixture
def guard(tmp_path, protected):
    return Guard(tmp_path / "events.jsonl", protected)


@pytest.fixture
def told(tmp_path):
    def read():
        lines = (tmp_path / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return read


@pytest.mark.parametrize(
    ("event", "arguments", "what"),
    [
        ("socket.connect", (None, ADDRESS), "a connection to 192.0.2.1:443"),
        ("socket.connect", (None, ("127.0.0.1", 11434)), "a connection to 127.0.0.1:11434"),
        ("socket.connect", (None, ("::1", 80, 0, 0)), "a connection to ::1:80"),
        ("socket.sendto", (None, ADDRESS), "a connection to 192.0.2.1:443"),
        ("socket.sendmsg", (None, ADDRESS), "a connection to 192.0.2.1:443"),
        ("socket.getaddrinfo", ("api.openai.com", 443, 0, 0, 0), "a look-up of api.openai.com"),
        ("socket.getaddrinfo", (b"api.openai.com", 443, 0, 0, 0), "a look-up of api.openai.com"),
        ("socket.gethostbyname", ("example.org",), "a look-up of example.org"),
        ("socket.gethostbyaddr", ("example.org",), "a look-up of example.org"),
    ],
)
def test_what_leaves_the_process_is_refused_and_told(guard, told, event, arguments, what):
    with pytest.raises(PermissionError, match=f"without a network; {what} was refused"):
        guard.audit(event, arguments)

    assert told() == [{"event": "network", "what": what}]


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, "/run/user/socket")),
        ("socket.sendmsg", (None, None)),
        ("socket.getaddrinfo", (None, 80, 0, 0, 0)),
        ("socket.getaddrinfo", ("localhost", 80, 0, 0, 0)),
        ("socket.getaddrinfo", ("fe80::1%eth0", 80, 0, 0, 0)),
        ("socket.gethostbyaddr", (socket.gethostname(),)),
        ("socket.bind", (None, ("127.0.0.1", 0))),
        ("open", ("other.txt", "w", os.O_WRONLY)),
        ("open", (3, "w", os.O_WRONLY)),
        ("os.remove", ("other.txt", -1)),
        ("import", ("os",)),
    ],
)
def test_what_stays_in_the_process_passes(guard, told, event, arguments):
    guard.audit(event, arguments)

    assert told() == []


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("open", ("{}", "w", os.O_WRONLY)),
        ("open", ("{}", "r+", os.O_RDWR)),
        ("os.remove", ("{}", -1)),
        ("os.rename", ("x", "{}", -1, -1)),
        ("os.rename", ("{}", "x", -1, -1)),
        ("os.truncate", ("{}", 0)),
        ("os.link", ("{}", "x", -1, -1)),
    ],
)
def test_what_is_verified_is_not_changed(guard, protected, event, arguments):
    given = tuple(str(protected) if one == "{}" else one for one in arguments)

    with pytest.raises(PermissionError, match=r"a\.cassette\.jsonl is being verified"):
        guard.audit(event, given)

    guard.audit("open", (str(protected), "r", os.O_RDONLY))


@pytest.mark.parametrize(
    ("event", "rest"), [("os.rename", ("x", -1, -1)), ("shutil.rmtree", (None,))]
)
def test_the_folder_of_what_is_verified_stays(guard, protected, event, rest):
    with pytest.raises(PermissionError, match="is being verified"):
        guard.audit(event, (str(protected.parent), *rest))


CLIENTS = {
    "openai": (
        "from openai import OpenAI\n"
        "OpenAI(api_key='x', base_url='http://192.0.2.1/', max_retries=0).models.list()"
    ),
    "urllib": "import urllib.request as r; r.urlopen('http://192.0.2.1/')",
    "by name": "import urllib.request as r; r.urlopen('http://api.openai.com/')",
    "raw": "import _socket; _socket.socket().connect(('192.0.2.1', 443))",
    "asyncio": "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 443))",
    "udp": "import socket as s; s.socket(type=s.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
}


@pytest.mark.parametrize("code", CLIENTS.values(), ids=CLIENTS)
def test_clients_of_all_kinds_are_met(tmp_path, told, code):
    start = (
        "import sys; from pathlib import Path; from llm_magic.guard import Guard\n"
        "sys.addaudithook(Guard(Path(sys.argv[1])).audit)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", start + code, str(tmp_path / "events.jsonl")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "a saved notebook runs without a network" in done.stderr
    assert told()
    assert {event["event"] for event in told()} == {"network"}
