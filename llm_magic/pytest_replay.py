"""``pytest --llm-replay``: each saved notebook is a test, which fails when it does not replay.

Collected are the notebooks that pytest finds and that have a cassette beside them, or carry one,
and those that are named on the command line. Without the option this costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from llm_magic.verify import Report

__all__ = ["NotReplayedError", "NotebookFile", "NotebookItem"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("llm-magic")
    group.addoption(
        "--llm-replay",
        action="store_true",
        help="verify notebooks: run them in REPLAY without a network, compare their outputs",
    )
    group.addoption(
        "--llm-replay-allow",
        action="append",
        default=[],
        metavar="KIND",
        help="a kind of finding that does not fail the test; see llm-magic verify --help",
    )
    group.addoption(
        "--llm-replay-timeout",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long a cell may take",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse kinds that there are not, and times that are none, before anything runs."""
    seconds = config.getoption("--llm-replay-timeout")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"--llm-replay-timeout {seconds:g}: a number of seconds above 0")
    allowed = config.getoption("--llm-replay-allow")
    if allowed:
        from llm_magic.exceptions import did_you_mean
        from llm_magic.verify import KINDS

        for kind in allowed:
            if kind not in KINDS:
                raise pytest.UsageError(f"--llm-replay-allow {kind}: {did_you_mean(kind, KINDS)}")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> NotebookFile | None:
    """A notebook that replays, when it is asked for."""
    if file_path.suffix != ".ipynb" or not parent.config.getoption("--llm-replay"):
        return None
    if not parent.session.isinitpath(file_path) and not _has_recordings(file_path):
        return None
    collected: NotebookFile = NotebookFile.from_parent(parent, path=file_path)
    return collected


def _has_recordings(path: Path) -> bool:
    from llm_magic import packed
    from llm_magic.config import Workspace

    return Workspace(path.parent).cassette(path.stem).is_file() or packed.is_packed(path)


class NotebookFile(pytest.File):
    """A notebook: one test."""

    def collect(self) -> Iterator[NotebookItem]:
        """The one test."""
        item: NotebookItem = NotebookItem.from_parent(self, name="replay")
        yield item


class NotReplayedError(Exception):
    """A notebook that does not replay; holds the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.notebook)
        self.report = report


class NotebookItem(pytest.Item):
    """A notebook run again in REPLAY."""

    def runtest(self) -> None:
        """Verify the notebook."""
        from llm_magic.verify import TIMEOUT, verify

        timeout = self.config.getoption("--llm-replay-timeout") or TIMEOUT
        report = verify(self.path, timeout=timeout)
        if report.failing(self._allowed):
            raise NotReplayedError(report)

    @property
    def _allowed(self) -> list[str]:
        allowed: list[str] = self.config.getoption("--llm-replay-allow")
        return allowed

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> Any:
        """The report, or one line; a traceback through our own code would tell nothing."""
        from llm_magic.exceptions import LLMMagicError
        from llm_magic.verify.text import to_text

        error = excinfo.value
        if isinstance(error, NotReplayedError):
            return to_text(error.report, self._allowed)
        if isinstance(error, LLMMagicError):
            return str(error)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is, and what to call it."""
        return self.path, None, f"replay of {self.path.name}"
