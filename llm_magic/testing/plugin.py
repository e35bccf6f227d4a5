"""A pytest plugin with one fixture, `fake_llm`, for tests of code that calls LLMs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llm_magic.testing import FakeServer

# Long enough to pass for a key where keys are looked at, plain enough never to be taken for one.
_KEYS = {
    "OPENAI_API_KEY": "fake-openai-key-for-tests",
    "ANTHROPIC_API_KEY": "fake-anthropic-key-for-tests",
}


@pytest.fixture
def fake_llm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    """A fake OpenAI and Anthropic, found by their SDKs: no network, no key, no bill.

    The test says what the model answers, and looks at what it was asked::

        def test_the_summary_is_shown(fake_llm):
            fake_llm.reply("Two lines about fjords.")

            page = my_app.summarize("fjords.txt")

            assert "Two lines" in page
            assert "fjords" in fake_llm.last.body["messages"][-1]["content"]

    All it can do is in `llm_magic.testing.FakeServer`. The environment points to it, so programs
    that the test starts find it too; an SDK client made before the test does not. What llm-magic
    records goes to `tmp_path`, so that each test asks anew.
    """
    from llm_magic.testing import FakeServer

    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
        for name, key in _KEYS.items():
            monkeypatch.setenv(name, key)
        monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(tmp_path / "fake_llm.ipynb"))
        for name in ("NO_PROXY", "no_proxy"):
            # Otherwise a proxy from the environment would be asked for our own machine.
            monkeypatch.setenv(name, "127.0.0.1", prepend=",")
        yield server
