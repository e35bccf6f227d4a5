"""What every test and docstring example starts from: an own empty folder, no key, no network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from llm_magic import cli, config, history, replay, secrets
from llm_magic.client import Client
from llm_magic.client import close as close_shared_client
from llm_magic.testing import FakeServer

OPENAI_KEY = "sk-test-openai-0123456789abcdef"
ANTHROPIC_KEY = "sk-test-anthropic-0123456789abcdef"


# How long an example takes says what else the machine does.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background deaf to Ctrl-C, which many tests press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in ``tmp_path``, with a home there and no settings or keys from outside."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_AUTH_TOKEN")) or name.startswith("LLM_MAGIC_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / ".ipython"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(config, "_default", None)
    monkeypatch.setattr(secrets, "_known", {})
    monkeypatch.setattr(replay, "_runs", [])
    yield
    close_shared_client()
    history.close()


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("127.0.0.1", "::1", "localhost", "local"):
            raise AssertionError(f"a test wanted to connect to {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A provider server for both SDKs, with keys that the environment holds."""
    with FakeServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.anthropic_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC_KEY)
        yield running


@pytest.fixture
def anthropic_server(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server of Anthropic's own, so that a test sees who was asked what, with which key."""
    with FakeServer() as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.anthropic_url)
        yield running


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a process of its own, in the test's folder."""

    def run(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of the test's folder that takes what is recorded and asks for what is not."""
    opened = Client(".", mode="FALLBACK")
    yield opened
    opened.close()


@pytest.fixture
def llm_magic(
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[str | int | None, str, str]]:
    """Run a command in this process; returns its exit code, output and errors."""

    def run(*words: str | Path) -> tuple[str | int | None, str, str]:
        code: str | int | None
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as error:
            code = error.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
