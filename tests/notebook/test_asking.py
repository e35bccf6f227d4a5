"""``--dry-run``: what ``%%complete`` would ask, and nothing asked."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from llm_magic import history
from llm_magic.exceptions import TemplateError
from llm_magic.notebook import asking


def test_a_dry_run_shows_what_would_be_asked_and_asks_nothing(notebook, server):
    notebook.run("topic = 'art'")

    value = notebook.run(
        "%%complete --dry-run --max-tokens 100 --system short --out answer\nWhat is {{ topic }}?"
    )

    first, *_ = lines = notebook.shown.splitlines()
    assert first.startswith("openai/gpt-5-mini · would be asked (FALLBACK) · at most $0.000")
    assert lines[-5:] == ["system:", "short", "", "user:", "What is art?"]
    assert value is None
    assert "answer" not in notebook.names
    assert server.requests == []
    assert history.default().totals().calls == 0


def test_a_dry_run_in_one_line_binds_nothing(notebook, server):
    notebook.run("answer = %complete --dry-run Why?")

    assert notebook.names["answer"] is None
    assert notebook.shown.endswith("user:\nWhy?")
    assert server.requests == []


def test_a_dry_run_tells_a_replay(notebook, server):
    notebook.run("%%complete\nWhy?")
    server.clear()

    notebook.run("%%complete --dry-run\nWhy?")

    assert notebook.shown.startswith("openai/gpt-5-mini · would be replayed (FALLBACK) · $0.00")
    assert server.requests == []


def test_a_dry_run_after_a_dry_run_sees_what_was_recorded_between(notebook, server):
    shown = []
    for options in ("--dry-run", "", "--dry-run"):
        notebook.run(f"%%complete {options}\nWhy?")
        shown.append(notebook.shown)

    assert "would be asked" in shown[0]
    assert "would be replayed" in shown[2]


def test_a_dry_run_with_refresh_would_ask_again(notebook, server):
    notebook.run("%%complete\nWhy?")

    notebook.run("%%complete --dry-run --refresh\nWhy?")

    assert "would be asked (CAPTURE)" in notebook.shown


def test_a_dry_run_in_replay_without_a_recording_tells_the_miss(notebook, server):
    notebook.run("%llm mode REPLAY")

    notebook.run("%%complete --dry-run\nWhy?")

    assert "not recorded, so it would fail (REPLAY)" in notebook.shown


def test_a_dry_run_is_safe_html(notebook, server):
    notebook.run("%%complete --dry-run\n<img src=x onerror=alert(1)>")

    html = notebook.outputs[-1]["data"]["text/html"]
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_a_dry_run_in_a_terminal_is_printed(terminal, server):
    terminal.run("%complete --dry-run -m echo/echo Why?")

    assert terminal.shown.startswith("echo/echo · would be asked (FALLBACK) · at most $0.00")


def test_a_dry_run_fails_where_the_cell_would(notebook, server):
    with pytest.raises(TemplateError):
        notebook.run("%%complete --dry-run\n{{ nothing_here }}")


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        ("", None, "%complete what?"),
        ("-m echo/echo", " \n", "the cell is empty"),
        ("--out for", "Why?", "--out for: that is no name"),
        ("why", "Why?", "unexpected 'why'"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_read(line, cell, message):
    with pytest.raises(UsageError, match=message):
        asking.read(line, cell)
