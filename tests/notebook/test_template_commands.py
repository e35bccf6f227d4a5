"""``%llm template``: templates are listed, shown, and saved from what was just asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.error import UsageError

from llm_magic.exceptions import TemplateError


def write(text, name="greet"):
    Path("prompts").mkdir(exist_ok=True)
    Path("prompts", f"{name}.md").write_text(text)


def test_templates_are_listed_with_what_they_take(notebook):
    assert "none: put one in prompts/NAME.md" in repr(notebook.run("%llm template"))
    write("---\nmodel: openai/gpt-5\n---\nGreet {{ who }}")
    write("---\nmodel: [\n---\n", "broken")

    table = repr(notebook.run("%llm template list"))

    assert "greet" in table
    assert "who" in table
    assert "openai/gpt-5" in table
    assert "not YAML" in table


def test_a_template_is_shown_as_its_file_says_it(notebook, active):
    write("Greet {{ who }} <img src=x onerror=alert(1)>")

    shown = notebook.run("%llm template show greet")

    assert repr(shown) == "Greet {{ who }} <img src=x onerror=alert(1)>\n"
    assert active(shown._repr_html_()) == []


def test_what_a_cell_asked_is_saved_and_asks_the_same(notebook, server):
    notebook.run("who = 'Ada'")
    notebook.run("%%complete -s short -T 1 -o user me -m openai/gpt-4.1-mini\nGreet {{ who }}.")
    first = server.last.body

    notebook.run("%llm template save greeting")
    notebook.run("%%complete --refresh -t greeting -p who Ada\n \n")

    assert server.last.body == first


@pytest.mark.parametrize("cell", ["%%complete --raw\nSay {{ who }}", "%complete Say {{ who }}"])
def test_text_that_was_sent_as_it_stands_is_saved_as_text(notebook, server, cell):
    notebook.run(cell)

    notebook.run("%llm template save verbatim")
    notebook.run("%complete -t verbatim")

    assert server.count == 1
    assert server.last.body["messages"][0]["content"] == "Say {{ who }}"


def test_a_template_is_written_over_only_when_it_is_said(notebook, server):
    notebook.run("%%complete\nOne")
    notebook.run("%llm template save mine")
    notebook.run("%%complete\nTwo")

    assert "--force replaces it" in notebook.fails("%llm template save mine", TemplateError)
    notebook.run("%llm template save mine --force")

    assert Path("prompts/mine.md").read_text() == "Two\n"


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ("lst", UsageError, "did you mean list?"),
        ("list more", UsageError, "takes nothing more"),
        ("show", UsageError, "template show NAME"),
        ("show gret", TemplateError, "did you mean greet?"),
        ("save", UsageError, "template save NAME [--force]"),
        ("save mine", UsageError, "no cell has asked anything yet"),
    ],
)
def test_misuse_is_one_line(notebook, words, kind, told):
    write("Greet {{ who }}")

    message = notebook.fails(f"%llm template {words}", kind)

    assert told in message
    assert message.count("\n") == 0


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%complete --dry-run\n{{ len(rows) }}", "{{ len(rows) }} is more than a name"),
        ("%%complete --dry-run -t greet -p who x\nmore", "asked with -t greet; copy its file"),
    ],
)
def test_what_makes_no_template_is_told(notebook, cell, told):
    write("Greet {{ who }}")
    notebook.run("rows = []")
    notebook.run(cell)

    assert told in notebook.fails("%llm template save mine", UsageError)
