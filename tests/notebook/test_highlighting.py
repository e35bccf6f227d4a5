"""Code is shown letter for letter, with its words marked where the language is known."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.notebook import highlighting
from llm_magic.notebook.highlighting import LANGUAGES, STYLE, to_html

CODE = 'def f(x):\n\treturn "<b>" + x  # a & b\n'


def shown(code, language):
    """The text that a browser shows, once only spans were taken out of it."""
    return html.unescape(
        re.sub(r'<span class="[a-z]{1,2}">|</?(?:span|pre|code).*?>', "", to_html(code, language))
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_known_language_has_its_words_marked(language):
    samples = [
        CODE,
        "<!-- x --><b>1</b>",
        "# x\na: 1",
        "- a\n+ b\n",
        "$ echo 1\n1",
        "-- x\nselect 1",
        "<?php return 1;",
        "$ if true # x\n",
    ]

    assert any("<span" in to_html(sample, language) for sample in samples)
    assert [shown(sample, language) for sample in samples] == samples


@given(st.text(), st.sampled_from(LANGUAGES))
def test_any_text_is_shown_letter_for_letter(text, language):
    assert shown(text, language) == text


@pytest.mark.parametrize(
    ("code", "language"), [("x", ""), ("x", "klingon"), ("1\n" * 10_001, "python")]
)
def test_unknown_and_very_long_code_is_shown_plain(code, language):
    assert "<span" not in to_html(code, language)
    assert shown(code, language) == code


def test_code_that_a_lexer_trips_over_is_shown_plain(monkeypatch):
    def broken(language):
        raise RecursionError

    monkeypatch.setattr(highlighting, "_lexer", broken)

    assert to_html("a<b", "python").endswith('<code class="language-python">a&lt;b</code></pre>')


def test_every_mark_has_a_colour():
    marks = {
        mark
        for language in LANGUAGES
        for mark in re.findall(r'class="(\w+)">', to_html(CODE, language))
    }

    assert {"k", "s", "c"} <= marks
    assert all(f".{mark} {{ color: var(--jp-" in STYLE for mark in marks)
