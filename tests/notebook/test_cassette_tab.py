"""The cassette's tab: recordings, misses, save, verify."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

import pytest

import llm_magic
from llm_magic.exceptions import ReplayMissError
from llm_magic.notebook.cassette_tab import CassetteTab

LOAD = "%load_ext llm_magic"


@pytest.fixture
def notebook_file(monkeypatch, write_notebook):
    """A saved notebook, which this process says it is."""
    path = write_notebook("analysis.ipynb", LOAD, "%complete -m echo/echo Hello")
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(path))
    return path


@pytest.fixture
def tab(notebook_file, wait_for):
    llm_magic.complete("Hello", model="echo/echo")
    tab = CassetteTab()
    tab.refresh()
    yield tab
    tab.close()


def test_it_lists_what_is_recorded(tab):
    assert len(tab.rows.lines) == 1
    assert "Hello" in tab.rows.lines[0]
    assert "1 recording, 1 not saved · analysis.cassette.jsonl" in tab.state


def test_a_recording_is_opened(tab):
    tab.rows.pick(tab.rows.identities[0])

    assert "answering without a model" in tab.shown.value


def test_save_writes_the_cassette(tab):
    tab.save.click()

    assert "Hello" in Path("analysis.cassette.jsonl").read_text()
    assert "1 recording, 0 not saved" in tab.state


def test_misses_of_this_session_are_shown(tab):
    with pytest.raises(ReplayMissError):
        llm_magic.complete("Never <b>asked</b>", model="echo/echo", mode="REPLAY")

    tab.refresh()

    assert "Never &lt;b&gt;asked&lt;/b&gt;" in tab.misses.value


def test_verify_runs_the_notebook_beside_the_kernel(tab):
    tab.save.click()

    tab.verify.click()
    assert tab.verify.disabled
    tab.join()

    assert "analysis.ipynb" in tab.shown.value
    assert not tab.verify.disabled


def test_closing_ends_a_verification(notebook_file, write_notebook, wait_for, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    write_notebook("analysis.ipynb", f"open({str(pipe)!r}, 'w').write('it runs')\nwhile True: pass")
    tab = CassetteTab()
    # Open for both, so that a notebook that never gets there fails the test.
    listening = os.open(pipe, os.O_RDWR)
    tab.verify.click()
    assert select.select([listening], [], [], 60)[0], tab.told

    tab.close()
    os.close(listening)

    assert [one.name for one in threading.enumerate() if "verify" in one.name] == []


def test_without_a_notebook_it_says_what_to_do(wait_for):
    tab = CassetteTab()

    tab.save.click()
    assert "%llm cassette save NOTEBOOK.ipynb" in tab.told

    tab.verify.click()
    assert "%llm cassette verify NOTEBOOK.ipynb" in tab.told
    tab.close()


def test_a_notebook_that_is_not_saved_is_told(monkeypatch, wait_for):
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "never.ipynb")
    tab = CassetteTab()

    tab.verify.click()

    assert "there is no file never.ipynb; save the notebook" in tab.told
    tab.close()
