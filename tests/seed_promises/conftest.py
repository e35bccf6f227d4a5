"""What the tests of the promises share."""

from __future__ import annotations

import pytest

from llm_magic import failover


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(failover, "FIRST_WAIT", 0.0)
