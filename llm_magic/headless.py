"""Notebooks run without a browser: a fresh kernel, cell by cell, in the notebook's own folder."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_magic.exceptions import LLMMagicError

__all__ = ["execute"]


def execute(
    path: Path,
    environment: dict[str, str],
    *,
    output: Path | None = None,
    show: Callable[[Any], None] | None = None,
) -> tuple[str, int]:
    """Run a notebook in a fresh kernel, in its own folder.

    Parameters
    ----------
    path : pathlib.Path
        The notebook; it is not changed.
    environment : dict
        Environment of the kernel.
    output : pathlib.Path, optional
        Where to write the notebook with its outputs, also when a cell fails.
    show : callable, optional
        Called with each code cell when it has run; without it, a terminal shows the progress.

    Returns
    -------
    error : str
        The error of the cell that failed, with its number and first line; empty when all ran.
    cells : int
        How many code cells ran.

    Raises
    ------
    LLMMagicError
        When it is no notebook, or asks for a kernel that there is not.
    KeyboardInterrupt
        On Ctrl-C; what ran is written to ``output``.
    """
    import nbformat

    notebook = _read(path)
    progress = _Progress(notebook, show)
    try:
        with progress:
            failure = _failure(notebook, path, environment, progress)
    finally:
        if output is not None:
            nbformat.write(notebook, output)
    return failure, progress.done


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        # nbformat stumbles over what is no notebook in many ways: AttributeError, KeyError, ...
        raise LLMMagicError(f"{path} is not a notebook: {error}") from None


def _failure(notebook: Any, path: Path, environment: dict[str, str], progress: _Progress) -> str:
    """Run all cells; what went wrong, or nothing."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name=notebook.metadata.get("kernelspec", {}).get("name", "python3"),
        resources={"metadata": {"path": str(path.resolve().parent)}},
        on_cell_execute=progress.begins,
        on_cell_executed=progress.executed,
        # ipykernel 7 warns of every headless kernel that its loopback ports are not encrypted.
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        return f"{progress.place()}: {error.ename}: {error.evalue}"
    except (AssertionError, DeadKernelError):
        # On Ctrl-C nbclient shuts the kernel down, and then stumbles over its absence.
        if progress.stopped:
            raise KeyboardInterrupt from None
        return f"{progress.place()}: the kernel died"
    except NoSuchKernel as error:
        raise LLMMagicError(
            f"there is no kernel {error.name}, which {path.name} asks for; jupyter kernelspec list"
        ) from None
    return ""


class _Progress:
    """Which cell runs, how many have run, and whether somebody pressed Ctrl-C."""

    def __init__(self, notebook: Any, show: Callable[[Any], None] | None) -> None:
        cells = enumerate(notebook.cells)
        self._notebook = notebook
        self._code = [index for index, cell in cells if cell.cell_type == "code"]
        self._show = show
        self._in_terminal = show is None and sys.stderr.isatty()
        self._current = 0
        self.done = 0
        self.stopped = False

    def __enter__(self) -> None:
        if _on_main_thread():
            self._usual = signal.getsignal(signal.SIGINT)

    def __exit__(self, *_: object) -> None:
        if self._in_terminal:
            print(file=sys.stderr)
        if _on_main_thread():
            signal.signal(signal.SIGINT, self._usual)

    def begins(self, cell: Any, cell_index: int) -> None:
        """A cell begins."""
        self._current = cell_index
        if _on_main_thread():
            # asyncio notices signals by another way; this one only tells us that there was one.
            signal.signal(signal.SIGINT, self._stop)

    def executed(self, cell: Any, cell_index: int, **_: Any) -> None:
        """A cell has run."""
        if cell.cell_type != "code":
            return
        self.done += 1
        if self._show is not None:
            self._show(cell)
        elif self._in_terminal:
            text = f"\rcell {self.done} of {len(self._code)}"
            print(text, end="", file=sys.stderr, flush=True)

    def place(self) -> str:
        """Where the cell that runs stands among the code cells, and its first line."""
        lines = self._notebook.cells[self._current].source.strip().splitlines()
        number = self._code.index(self._current) + 1
        return f"cell {number} of {len(self._code)} ({lines[0]})"

    def _stop(self, *_: object) -> None:
        self.stopped = True


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
