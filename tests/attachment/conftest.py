"""Programs of other libraries, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_magic import attachment

# Programs are run, not searched for tests.
collect_ignore_glob = ["programs/*"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OTHERS = ROOT / ".venv-others" / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.fixture(autouse=True)
def _detached() -> Iterator[None]:
    """Nothing stays hooked after a test."""
    yield
    attachment.detach_all()


@pytest.fixture
def run_program():
    """Run one of the programs in the test's folder; returns what it printed."""

    def run(name, mode, python, keys=True):
        settings = {
            "LLM_MAGIC_MODE": mode,
            "PYTHONPATH": str(ROOT / "tests" / "offline"),
            # LiteLLM fetches prices, LangChain reports to its maker.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
        }
        kept = {name: text for name, text in os.environ.items() if keys or "_API_KEY" not in name}
        done = subprocess.run(
            [python, HERE / "programs" / f"{name}.py"],
            env={**kept, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def others() -> Path:
    """The Python that has the other libraries."""
    if not OTHERS.exists():
        missing = "no environment with LiteLLM, LangChain and pydantic-ai: make test"
        assert "CI" not in os.environ, missing
        pytest.skip(missing)
    return OTHERS


class RawServer(ThreadingHTTPServer):
    """Answers POSTs with bytes as they stand, for what the fake provider does not speak."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = []
        self.seen = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, body, content_type="application/json", **headers):
        """Answer the next request with these bytes."""
        self.answers.append((body, {"content-type": content_type, **headers}))


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.seen.append(self.rfile.read(int(self.headers["content-length"])))
        body, headers = self.server.answers.pop(0)
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def raw_server():
    """A server whose answers are written byte by byte."""
    with RawServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
