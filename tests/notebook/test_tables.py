"""A table is text for a terminal and escaped HTML for a notebook."""

from __future__ import annotations

import re

import pytest

from llm_magic.notebook.tables import Table


def cells(table):
    """Side and text of every cell of the HTML."""
    found = r"<t[hd][^>]*text-align: (\w+)[^>]*>(.*?)</t[hd]>"
    return re.findall(found, table._repr_html_())


def test_a_table_is_text_and_escaped_html():
    table = Table(["a", "b<"], [("<script>", 1), ("x", None)], "under & below")

    assert repr(table) == "a         b<\n<script>  1\nx         None\nunder & below"
    assert [text for _, text in cells(table)] == ["a", "b&lt;", "&lt;script&gt;", "1", "x", "None"]
    assert "under &amp; below" in table._repr_html_()


def test_each_line_of_a_caption_stays_a_line():
    table = Table(["a"], [("b",)], "and 10 more\n30 answers")

    assert ">and 10 more<br>30 answers</caption>" in table._repr_html_()


def test_a_table_may_be_without_header_and_caption():
    table = Table([], [("a", "b")])

    assert repr(table) == "a  b"
    assert "<thead>" not in table._repr_html_()
    assert "<caption" not in table._repr_html_()
    assert repr(Table([], [])) == ""


def test_a_table_may_be_without_rows():
    assert cells(Table(["a"], [])) == [("left", "a")]


@pytest.mark.parametrize(
    ("column", "side"),
    [
        (["1,204", "?", ""], "right"),
        (["$0.00", "$?", "-$1.20"], "right"),
        (["1", "one"], "left"),
        (["", ""], "left"),
        (["gpt-5"], "left"),
    ],
)
def test_numbers_stand_under_each_other_by_their_ends(column, side):
    table = Table(["it"], [[text] for text in column])

    assert {found for found, _ in cells(table)} == {side}


def test_what_cannot_be_seen_is_shown_as_its_code():
    table = Table(["\x1b"], [["\u202e"]], "\x00")

    assert repr(table) == "<U+001B>\n<U+202E>\n<U+0000>"
