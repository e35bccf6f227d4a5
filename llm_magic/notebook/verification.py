"""``%llm cassette verify``: the report of ``llm-magic verify`` in the notebook it is about.

It runs in a process of its own, so that nothing of this kernel changes, and an interrupt ends it.
"""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import printable
from llm_magic.verify import Finding, Report
from llm_magic.verify.text import heading, place, summary, to_text

__all__ = ["ReportView", "verify"]

# A kernel that runs no cell ignores interrupts, and so would what it starts. Nobody ignores
# SIGTERM; once there are a kernel and files to remove, it does here what Ctrl-C does.
_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
from llm_magic.cli import main
sys.exit(main())
"""


def verify(
    path: Path, *, started: Callable[[Callable[[], None]], None] | None = None
) -> ReportView:
    """Verify a saved notebook.

    Parameters
    ----------
    path : pathlib.Path
        The notebook.
    started : callable, optional
        Is given a function that ends it, for a caller on another thread.

    Raises
    ------
    LLMMagicError
        When it cannot be verified.
    """
    # -P: a folder called llm_magic beside the notebook is not us.
    command = [sys.executable, "-P", "-c", _PROGRAM, "verify", "--json", str(path)]
    with subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # An interrupt of this kernel is for its whole group; one is enough.
        start_new_session=True,
    ) as process:
        if started is not None:
            started(process.terminate)
        try:
            out, errors = process.communicate()
        except KeyboardInterrupt:
            # As Ctrl-C in a terminal does: it ends its kernel and removes its files.
            process.terminate()
            process.communicate()
            raise
    try:
        document = json.loads(out)
    except ValueError:
        raise LLMMagicError(f"verify ended without a report: {errors.strip()[-500:]}") from None
    for error in document["errors"]:
        raise LLMMagicError(error["message"])
    return ReportView(Report.from_dict(document["reports"][0]))


class ReportView:
    """A report as text, or as escaped HTML.

    Parameters
    ----------
    report : Report
        What was found.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def __repr__(self) -> str:
        return to_text(self.report)

    def _repr_html_(self) -> str:
        report = self.report
        rows = "".join(map(self._row, report.findings))
        table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
        return printable(
            '<div class="llm-magic-report tex2jax_ignore mathjax_ignore">'
            f"<div><b>{html.escape(heading(report))}</b></div>"
            f"<div>{html.escape(summary(report))}</div>{table}</div>"
        )

    def _row(self, finding: Finding) -> str:
        detail = f'<pre style="{_WRAP}">{html.escape(finding.detail)}</pre>'
        where = html.escape(place(self.report, finding))
        return (
            f'<tr><th scope="row" style="{_TOP}">{html.escape(finding.kind)}</th>'
            f'<td style="{_TOP}">{where}</td>'
            f'<td style="{_TOP}">{html.escape(finding.message)}{detail if finding.detail else ""}'
            "</td></tr>"
        )


_TOP = "text-align: left; vertical-align: top"
_WRAP = "white-space: pre-wrap; overflow-wrap: anywhere"
