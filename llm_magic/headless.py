"""Notebooks run without a browser: a fresh kernel, cell by cell, in the notebook's own folder."""

from __future__ import annotations

import asyncio
import atexit
import functools
import math
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llm_magic.exceptions import LLMMagicError

__all__ = ["Error", "Watcher", "execute", "read", "run"]

# Name and message of what a cell raised.
Error = tuple[str, str]


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

    notebook = read(path)
    watcher = Watcher() if show is None else _Show(notebook, show)
    try:
        return run(notebook, path, environment, watcher=watcher, progress=show is None)
    finally:
        if output is not None:
            nbformat.write(notebook, output)


def read(path: Path) -> Any:
    """The notebook in the file.

    Raises
    ------
    LLMMagicError
        When it is no notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        # nbformat stumbles over what is no notebook in many ways: AttributeError, KeyError, ...
        raise LLMMagicError(f"{path} is not a notebook: {error}") from None


class Watcher:
    """Is told of every code cell; one that raises ends the run."""

    def begins(self, index: int) -> None:
        """The cell at this index of the notebook is about to run."""

    def ran(self, index: int, error: Error | None) -> None:
        """It has run; its outputs are in the notebook.

        The error is what the kernel replied: not every error is among the outputs.
        """


class _Show(Watcher):
    def __init__(self, notebook: Any, show: Callable[[Any], None]) -> None:
        self._notebook = notebook
        self._show = show

    def ran(self, index: int, error: Error | None) -> None:
        self._show(self._notebook.cells[index])


def run(
    notebook: Any,
    path: Path,
    environment: dict[str, str],
    *,
    watcher: Watcher | None = None,
    progress: bool = False,
    allow_errors: bool = False,
    timeout: float | None = None,
    arguments: Sequence[str] = (),
    graceful: bool = True,
) -> tuple[str, int]:
    """Run the cells of a notebook in a fresh kernel, and put their outputs into it.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        As :func:`read` returns it; gets the outputs.
    path : pathlib.Path
        Where it is: the kernel works in that folder.
    environment : dict
        Environment of the kernel.
    watcher : Watcher, optional
        Is told of every code cell.
    progress : bool
        Show on a terminal which cell runs.
    allow_errors : bool
        Go on after a cell that fails.
    timeout : float, optional
        Seconds that a cell may take; by default as long as it likes.
    arguments : sequence of str
        More arguments for the kernel.
    graceful : bool
        Let the kernel end by itself; otherwise it is killed, and what it would write at its end is
        not written.

    Returns
    -------
    error, cells
        As :func:`execute` does.

    Raises
    ------
    LLMMagicError
        When it asks for a kernel that there is not, or that does not start.
    KeyboardInterrupt
        On Ctrl-C.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    shown = _Progress(notebook, watcher or Watcher(), progress)
    client = functools.partial(
        NotebookClient,
        notebook,
        # Whole seconds only.
        timeout=None if timeout is None else math.ceil(timeout),
        allow_errors=allow_errors,
        kernel_name=notebook.metadata.get("kernelspec", {}).get("name", "python3"),
        resources={"metadata": {"path": str(path.resolve().parent)}},
        on_cell_execute=shown.begins,
        on_cell_executed=shown.executed,
        shutdown_kernel="graceful" if graceful else "immediate",
        # ipykernel 7 warns of every headless kernel that its loopback ports are not encrypted.
        extra_arguments=["--IPKernelApp.log_level=40", *arguments],
    )
    error = ""
    try:
        with shown:
            _execute(client, _without_page(environment))
    except CellTimeoutError:
        error = f"{shown.place()}: it took longer than {timeout:g} s"
    except CellExecutionError as failure:
        if shown.stopped:
            # The kernel may say that it was interrupted before it is shut down.
            raise KeyboardInterrupt from None
        error = f"{shown.place()}: {failure.ename}: {failure.evalue}"
    except (AssertionError, DeadKernelError):
        # On Ctrl-C nbclient shuts the kernel down, and then stumbles over its absence.
        if shown.stopped:
            raise KeyboardInterrupt from None
        error = f"{shown.place()}: the kernel died"
    except NoSuchKernel as failure:
        raise LLMMagicError(
            f"there is no kernel {failure.name}, which {path.name} asks for; jupyter kernelspec"
            " list"
        ) from None
    except RuntimeError as failure:
        if shown.done or _DEAD_AT_ONCE not in str(failure):
            raise
        raise LLMMagicError(f"the kernel that {path.name} asks for does not start") from None
    finally:
        # Not sooner: nbclient finds displays that a later cell updates by their places.
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = _with_whole_streams(cell.outputs)
    return error, shown.done


# What jupyter_client says of a kernel that ended before it was ready.
_DEAD_AT_ONCE = "before replying"


def _execute(client: Callable[[], Any], environment: dict[str, str]) -> None:
    """Run the notebook, in the third kernel if need be.

    jupyter_client looks for ports that are free and lets go of them again: where much is going on,
    another process may have one of them when the kernel wants it, which then ends at once.
    """
    for is_last in (False, False, True):
        made = client()
        try:
            made.execute(env=environment)
        except RuntimeError as failure:
            if _DEAD_AT_ONCE not in str(failure):
                raise
            # It would stumble at the end of this process over the kernel that is not there.
            atexit.unregister(made._cleanup_kernel)
            if is_last:
                raise
        else:
            return


def _with_whole_streams(outputs: list[Any]) -> list[Any]:
    """As front ends keep them: what is printed comes in as many pieces as the kernel flushed."""
    whole: list[Any] = []
    for output in outputs:
        before: Any = whole[-1] if whole else {}
        # Only streams have a name.
        if "name" in output and output.name == before.get("name"):
            before.text += output.text
        else:
            whole.append(output)
    return whole


def _without_page(environment: dict[str, str]) -> dict[str, str]:
    """The environment without the page that it may come from, as of ``%llm cassette verify``."""
    return {name: value for name, value in environment.items() if name != "JPY_SESSION_NAME"}


# At both of these nbclient ends its kernel.
_STOPS = (signal.SIGINT, signal.SIGTERM)


class _Progress:
    """Which cell runs, how many have run, and whether somebody pressed Ctrl-C or ended us."""

    def __init__(self, notebook: Any, watcher: Watcher, shown: bool) -> None:
        cells = enumerate(notebook.cells)
        self._notebook = notebook
        self._code = [index for index, cell in cells if cell.cell_type == "code"]
        self._watcher = watcher
        self._in_terminal = shown and sys.stderr.isatty()
        self._current = 0
        self.done = 0
        self.stopped = False

    def __enter__(self) -> None:
        if _on_main_thread():
            self._usual = {number: signal.getsignal(number) for number in _STOPS}

    def __exit__(self, *_: object) -> None:
        if self._in_terminal:
            print(file=sys.stderr)
        if _on_main_thread():
            for number, usual in self._usual.items():
                signal.signal(number, usual)

    def begins(self, cell: Any, cell_index: int) -> None:
        """A cell begins."""
        self._current = cell_index
        if _on_main_thread():
            # asyncio notices signals by another way; this one only tells us that there was one.
            for number in _STOPS:
                signal.signal(number, self._stop)
        asyncio.get_running_loop().set_exception_handler(self._left_behind)
        self._watcher.begins(cell_index)

    def executed(self, cell: Any, cell_index: int, execute_reply: Any, **_: Any) -> None:
        """A cell has run."""
        if cell.cell_type != "code":
            return
        self.done += 1
        reply = execute_reply["content"]
        failed = reply["status"] == "error"
        self._watcher.ran(cell_index, (reply["ename"], reply["evalue"]) if failed else None)
        if self._in_terminal:
            text = f"\rcell {self.done} of {len(self._code)}"
            print(text, end="", file=sys.stderr, flush=True)

    def place(self) -> str:
        """Where the cell that runs stands among the code cells, and its first line."""
        lines = self._notebook.cells[self._current].source.strip().splitlines()
        number = self._code.index(self._current) + 1
        return f"cell {number} of {len(self._code)} ({lines[0]})"

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def _left_behind(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody awaits any more, such as nbclient's look at a kernel that it has ended."""
        if not self.stopped:
            loop.default_exception_handler(context)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
