"""``%llm cassette verify``: the report in the notebook it is about."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import nbformat
import pytest
from IPython.core.error import UsageError

from llm_magic import config, history
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.verification import ReportView, verify
from llm_magic.verify import CellResult, Finding, Report


@pytest.fixture
def saved(server, write_notebook, monkeypatch):
    """A notebook whose saved output is not what its cell prints, running in this kernel."""
    path = write_notebook("a.ipynb", "print('<b>')")
    content = nbformat.read(path, as_version=4)
    content.cells[0].outputs = [nbformat.v4.new_output("stream", text="<i>\n")]
    nbformat.write(content, path)
    monkeypatch.setattr(config.default(), "notebook_hint", "a.ipynb")
    return path


def test_the_report_is_text_and_escaped_html(notebook, saved):
    report = notebook.run("%llm cassette verify")

    assert repr(report).startswith("a.ipynb: not clean: cells: 1 drifted")
    assert "    -<i>\n    +<b>" in repr(report)
    shown = report._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>&" not in shown
    assert "<i>" not in shown


def test_nothing_of_the_running_kernel_changes(notebook, saved):
    def state():
        names = [name for name in notebook.names if not name.startswith("_")]
        return names, dict(config.default().session), history.default().rows()

    notebook.run("%%complete --out answer\nWhy?")
    before = state()

    notebook.run("%llm cassette verify a.ipynb")

    assert state() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "%llm cassette verify",
            "the notebook's name is not known here; write %llm cassette verify",
        ),
        ("%llm cassette verify b.ipynb", "there is no file b.ipynb; save the notebook"),
        ("%llm cassette verify a b", "%llm cassette verify NOTEBOOK"),
    ],
)
def test_what_cannot_be_verified_says_what_to_do(notebook, line, told):
    assert told in notebook.fails(line, UsageError)


def test_a_file_that_is_no_notebook_is_one_line(notebook, tmp_path):
    (tmp_path / "work" / "a.ipynb").write_text("{")

    told = notebook.fails("%llm cassette verify a.ipynb", LLMMagicError)

    assert "a.ipynb is not a notebook" in told
    assert "\n" not in told


def test_everything_in_the_html_is_escaped():
    evil = "<script>alert(1)<script>"
    finding = Finding("drifted", evil, 1, evil)
    report = Report(f"{evil}.ipynb", [CellResult(1, "", evil, "drifted")], [finding])

    shown = ReportView(report)._repr_html_()

    assert "<script" not in shown
    assert shown.count("&lt;script") == 8


def test_an_interrupt_ends_it_and_its_kernel(write_notebook, start_kernel, tmp_path):
    fifo = tmp_path / "work" / "started"
    os.mkfifo(fifo)
    code = "import os, time\nprint(os.getpid(), file=open('started', 'w'), flush=True)\n"
    write_notebook("a.ipynb", f"{code}time.sleep(600)")
    kernel = start_kernel()
    kernel.run("%load_ext llm_magic")

    request = kernel.begin("%llm cassette verify a.ipynb")
    verified = int(fifo.read_text())
    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)

    assert reply["ename"] == "KeyboardInterrupt"
    with pytest.raises(ProcessLookupError):
        os.kill(verified, 0)


def test_it_can_be_ended_where_interrupts_are_ignored_as_between_the_cells_of_a_kernel(
    write_notebook, tmp_path
):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = write_notebook("a.ipynb", f"open({str(pipe)!r}, 'w').write('it runs')\nwhile True: pass")
    ends = SimpleQueue()
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ThreadPoolExecutor() as pool:
            report = pool.submit(verify, path, started=ends.put)
            assert pipe.read_text() == "it runs"

            ends.get()()

            with pytest.raises(LLMMagicError, match="without a report"):
                report.result(60)
    finally:
        signal.signal(signal.SIGINT, usual)
