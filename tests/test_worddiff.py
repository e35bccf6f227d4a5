"""Texts compared by words: what a person must see to find the difference."""

from __future__ import annotations

import time

import pytest

from llm_magic.worddiff import compare, to_html, to_text, visible


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("same", "same", ""),
        ("a long poem", "a short poem", "a [-long-]{+short+} poem"),
        ("Why?", "Why ?", "Why{+␣+}?"),
        ("Why?", "Why?\n", "Why?{+⏎+}"),
        ("a\tb", "a b", "a[-⇥-]{+␣+}b"),
        ("Case", "case", "[-Case-]{+case+}"),
        ("", "new", "{+new+}"),
        ("写一首长诗", "写一首短诗", "写一首[-长-]{+短+}诗"),
        ("ab", "a\u200bb", "[-ab-]{+a+}{+<U+200B>b+}"),
    ],
)
def test_what_differs_is_marked(old: str, new: str, shown: str) -> None:
    text = to_text(compare(old, new))

    assert text.replace("+}{+", "") == shown.replace("+}{+", "")


def test_what_is_equal_is_cut_and_what_differs_too() -> None:
    old = "word " * 500 + "x" * 1000 + " word" * 500

    text = to_text(compare(old, old.replace("x", "y")))

    assert len(text) < 700
    assert "[-xxx" in text
    assert "{+yyy" in text


def test_what_cannot_be_seen_is_shown_as_its_code() -> None:
    assert visible("a\x1b[31m\u202eb\nc\td") == "a<U+001B>[31m<U+202E>b\nc\td"


def test_html_is_escaped() -> None:
    shown = to_html(compare("<b>old</b>", "<script>new</script>"))

    assert "<script" not in shown
    assert "<b>" not in shown
    assert "<del" in shown
    assert "<ins" in shown


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a " * 50_000, "b " * 50_000),
        ("a b " * 400, "b a " * 300),
        (" ".join(map(str, range(700))), " ".join(map(str, range(700, 0, -1)))),
    ],
)
def test_texts_that_share_little_take_no_longer(old: str, new: str) -> None:
    began = time.perf_counter()

    compare(old, new)

    assert time.perf_counter() - began < 2
