"""Rows in columns, to pick one."""

from __future__ import annotations

import pytest

from llm_magic.notebook.lists import Rows, short

COLUMNS = [("name", 6, False), ("price", 5, True)]


@pytest.fixture
def rows():
    rows = Rows("things", COLUMNS, height=3)
    rows.show([("a", ["apple", "1.00"]), ("b", ["banana split", "12.00"])])
    yield rows
    rows.close()


def box(rows):
    return rows.children[1]


def test_cells_stand_in_columns_cut_where_they_are_too_long(rows):
    assert rows.lines == ["apple    1.00", "banan…  12.00"]


def test_a_click_picks_the_row(rows):
    box(rows).index = 1

    assert rows.value == "b"


def test_a_picked_row_stays_picked_when_others_come(rows):
    rows.pick("b")

    rows.show([("c", ["cherry", "2.00"]), ("b", ["banana", "12.00"])])

    assert (rows.value, box(rows).value) == ("b", "b")


def test_a_picked_row_that_is_gone_is_picked_no_more(rows):
    rows.pick("b")

    rows.show([("a", ["apple", "1.00"])])

    assert rows.value is None


def test_a_click_that_was_on_its_way_to_the_old_rows_picks_nothing(rows):
    old = box(rows)
    rows.show([("c", ["cherry", "2.00"]), ("d", ["date", "3.00"])])

    old.index = 1

    assert rows.value is None
    assert old.comm is None


def test_the_same_rows_again_change_nothing(rows):
    before = box(rows)

    rows.show([("a", ["apple", "1.00"]), ("b", ["banana split", "12.00"])])

    assert box(rows) is before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\tthree", "one two three"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("<script>x</script>", "<script>x</script>"),
        ("", ""),
    ],
)
def test_a_cell_is_one_line_of_visible_text(text, shown):
    assert short(text, 40) == shown
