"""What tests of several modules use; what every test starts from is in ``../conftest.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_magic import cli
from llm_magic.client import Client


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
