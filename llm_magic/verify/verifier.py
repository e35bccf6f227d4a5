"""Whether a saved notebook runs again, without a network, to the outputs it was saved with."""

from __future__ import annotations

from pathlib import Path

from llm_magic import headless
from llm_magic.exceptions import LLMMagicError
from llm_magic.verify import checks, execution
from llm_magic.verify.findings import Report

__all__ = ["TIMEOUT", "verify"]

# Seconds a cell may take; a replay takes milliseconds, what else the notebook computes may not.
TIMEOUT = 600.0


def verify(path: str | Path, *, timeout: float = TIMEOUT, progress: bool = False) -> Report:
    """What differs when a saved notebook is run again in REPLAY, in a fresh kernel.

    It runs in the notebook's folder, without API keys, and with its cassette alone; connections are
    refused. Neither the notebook nor its cassette nor the working files beside them are written.

    Parameters
    ----------
    path : path
        The notebook.
    timeout : float
        Seconds that a cell may take.
    progress : bool
        Show on a terminal which cell runs.

    Returns
    -------
    Report
        What became of each cell, and the findings.

    Raises
    ------
    LLMMagicError
        When it cannot be run: no notebook, no kernel, a cassette that cannot be read.

    Examples
    --------
    In a test of your own::

        assert not verify("analysis.ipynb").failing(allowed=["stale"])
    """
    path = Path(path)
    if not path.is_file():
        raise LLMMagicError(f"there is no notebook {path}")
    if path.suffix != ".ipynb":
        raise LLMMagicError(f"{path} is not a notebook; name the .ipynb file")
    try:
        return _verified(path, timeout, progress)
    except LLMMagicError:
        raise
    except Exception:
        # Jupyter opens notebooks with small faults, and so do we; one that we stumble over is told.
        _refuse_invalid(path)
        raise


def _refuse_invalid(path: Path) -> None:
    import nbformat

    notebook = headless.read(path)
    try:
        nbformat.validate(notebook, relax_add_props=True)
        nbformat.writes(notebook).encode()
    except (nbformat.ValidationError, UnicodeEncodeError) as error:
        why = str(error).partition("\n")[0]
        raise LLMMagicError(f"{path} is not a valid notebook: {why}") from None


def _verified(path: Path, timeout: float, progress: bool) -> Report:
    done = execution.execute(path, timeout=timeout, progress=progress)
    cells, findings = checks.about_cells(done)
    rows = [row for trace in done.traces.values() for row in trace.rows]
    return Report(
        notebook=str(path),
        cells=cells,
        findings=[*findings, *checks.about_notebook(done)],
        calls=sum(row["status"] != "miss" for row in rows),
        recordings=None if done.cassette is None else len(done.cassette.lines),
    )
