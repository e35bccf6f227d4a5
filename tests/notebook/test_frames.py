"""A frame shows texts as they are, and is a DataFrame in all other respects."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest

from llm_magic.notebook.frames import InertFrame

FRAME = InertFrame({"answer": ["$5 and $6 <b>", "\x1b[2J\u202e"], "cost": [1, 2]})


@pytest.mark.parametrize("frame", [FRAME, FRAME[FRAME.cost > 0], FRAME.sort_values("cost").head(1)])
def test_mathjax_and_markup_are_kept_out(frame):
    shown = frame._repr_html_()

    assert shown.startswith('<div class="tex2jax_ignore mathjax_ignore">')
    assert "$5 and $6 &lt;b&gt;" in shown


def test_characters_that_drive_a_terminal_are_shown():
    assert "<U+001B>[2J<U+202E>" in repr(FRAME)
    assert "\x1b" not in FRAME._repr_html_()


def test_a_user_who_wants_text_gets_text():
    with pd.option_context("display.notebook_repr_html", False):
        assert FRAME._repr_html_() is None


def test_it_pickles_as_a_plain_frame():
    loaded = pickle.loads(pickle.dumps(FRAME))

    assert type(loaded) is pd.DataFrame
    assert loaded.equals(pd.DataFrame(FRAME))
