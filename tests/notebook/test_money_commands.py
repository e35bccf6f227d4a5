"""``%llm cost --by``: the table and the chart in a notebook."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from llm_magic import history
from llm_magic.exceptions import ParameterError
from llm_magic.recordings import now

HOSTILE = '<img src=x onerror="alert(1)">$x^2$'


@pytest.fixture
def calls():
    common = {"started": now(), "source": "live", "status": "ok", "provider": "openai"}
    history.default().record(**common, model="gpt", cost=1, input_tokens=10, cache_read_tokens=4)
    history.default().record(**common, model=HOSTILE, cost=2, tag="x")


def test_costs_by_model_are_a_table_and_a_chart(notebook, calls):
    shown = notebook.run("%llm cost --by model")

    assert "openai/gpt" in repr(shown)
    assert "40%" in repr(shown)
    assert "spent per hour" in repr(shown)
    page = shown._repr_html_()
    assert ">openai/gpt</td>" in page
    assert 'role="img"' in page


def test_a_model_with_html_in_its_name_is_text(notebook, calls):
    page = notebook.run("%llm cost --by model")._repr_html_()

    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "mathjax_ignore" in page


@pytest.mark.parametrize(
    "line", ["--tag x", "--tag=x --by=day", "--since 1h --tag x", "--model *img*"]
)
def test_filters_pick_calls(line, notebook, calls):
    shown = notebook.run(f"%llm cost {line}")

    assert (shown.report.totals.calls, shown.report.totals.spent) == (1, 2)


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("--bye model", UsageError, "no option --bye; did you mean --by"),
        ("model", UsageError, "no option model; did you mean --model"),
        ("--by", UsageError, "--by needs a value"),
        ("--by modle", ParameterError, "did you mean model"),
        ("--tag z", ParameterError, "no call has tag 'z'; use one of: x"),
        ("--since then", ParameterError, "'then' is no time"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_do(line, kind, told, notebook, calls):
    assert told in notebook.fails(f"%llm cost {line}", kind)


def test_at_a_glance_it_tells_how_much_came_from_the_cache(notebook, calls):
    table = notebook.run("%llm cost")

    assert ["of them from the cache", "40%", "40%"] in table.rows


def test_a_meter_that_watches_is_told_when_calls_are_deleted(notebook, calls):
    told = []
    end = history.on_change(lambda: told.append(history.totals().calls))
    history.delete(before="2000-01-01")
    end()

    assert told == [2]
