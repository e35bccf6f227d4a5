"""``Client.preview()``: what a call would be, with nothing sent and nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import llm_magic
from conftest import OPENAI_KEY
from llm_magic import Client
from llm_magic.exceptions import BudgetExceededError, ModelNameError, ParameterError
from llm_magic.preview import cost_range
from llm_magic.replay import Run
from llm_magic.types import Mode

MODEL = "openai/gpt-5-mini"


@pytest.fixture
def client(server):
    made = Client(".", model=MODEL)
    yield made
    made.close()


def test_nothing_is_sent_and_nothing_is_written(client, server):
    client.preview("Why?", max_tokens=100)

    assert server.requests == []
    assert list(Path.cwd().iterdir()) == []


def test_it_tells_what_would_be_sent(client):
    preview = client.preview("Why?", system="Be short.", max_tokens=100)

    assert preview.reference == MODEL
    assert preview.request.messages == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Why?"},
    ]
    assert preview.request.parameters == {"max_tokens": 100}


def test_its_key_is_that_of_the_call(client):
    preview = client.preview("Why?", max_tokens=100)

    assert preview.key == client.complete("Why?", max_tokens=100).key


@pytest.mark.parametrize(
    ("mode", "recorded", "source"),
    [
        ("REPLAY", True, "replay"),
        ("REPLAY", False, "miss"),
        ("FALLBACK", True, "replay"),
        ("FALLBACK", False, "live"),
        ("CAPTURE", True, "live"),
        ("CAPTURE", False, "live"),
        ("DISABLED", True, "live"),
        ("DISABLED", False, "live"),
    ],
)
def test_the_mode_and_what_is_recorded_say_where_the_answer_comes_from(
    client, mode, recorded, source
):
    if recorded:
        client.complete("Why?")

    preview = client.preview("Why?", mode=mode)

    assert (preview.source, preview.mode) == (source, Mode(mode))


@pytest.mark.parametrize("mode", ["REPLAY", "FALLBACK"])
def test_what_is_not_asked_costs_nothing(client, mode):
    client.complete("Why?")

    preview = client.preview("Why?", mode=mode)

    assert (preview.least, preview.most, preview.most_under_budget) == (0, 0, 0)
    assert preview.recording.response.choices[0].message.content


def test_the_most_is_what_a_budget_sets_aside(client):
    preview = client.preview("Why?", max_tokens=100)

    with llm_magic.budget(0), pytest.raises(BudgetExceededError) as refused:
        client.complete("Why?", max_tokens=100)
    assert preview.most == preview.most_under_budget == refused.value.asked
    assert 0 < preview.least < preview.most
    assert preview.bound.output_tokens == 100


def test_without_a_limit_nobody_knows_the_most_except_under_a_budget(client):
    free = client.preview("Why?")
    with llm_magic.budget(1):
        kept = client.preview("Why?")

    assert free.most is None
    assert "nothing limits the answer: it has no max_tokens, and there is no budget" in free.notes
    assert kept.most == kept.most_under_budget == free.most_under_budget > 0
    assert "no max_tokens: the budget ends the answer after 4,096 tokens" in kept.notes


def test_the_least_is_that_of_the_service_tier_that_is_asked_for(client):
    plain, priority = (
        client.preview("Why?", model="openai/gpt-5-mini", max_tokens=5, **options).least
        for options in ({}, {"service_tier": "priority"})
    )

    assert priority > plain > 0


def test_a_price_that_nobody_knows_is_none(client):
    preview = client.preview("Why?", model="openai/my-own", max_tokens=9)

    assert (preview.least, preview.most, preview.most_under_budget) == (None, None, None)
    assert "llm_magic.prices.set('openai/my-own'" in preview.notes[0]
    assert cost_range(preview) == "unknown price"


def test_a_price_that_nobody_knows_is_refused_under_a_budget(client):
    with llm_magic.budget(1):
        preview = client.preview("Why?", model="openai/my-own", max_tokens=9)

    assert preview.notes[-1] == "it would be refused, because there is a budget"


def test_a_model_of_ones_own_machine_is_free(client):
    preview = client.preview("Why?", model="echo/echo")

    assert (preview.least, preview.most) == (0, 0)


def test_a_budget_that_does_not_admit_it_is_told(client):
    client.settings.set("budget", "0.0001")

    preview = client.preview("Why?", max_tokens=100)

    assert preview.notes == ("it would be refused: of the budget per session, $0.0001 are left",)


def test_what_was_spent_of_a_budget_counts(client):
    client.settings.set("budget", "0.001")
    spent = client.complete("Why?", max_tokens=400).cost

    preview = client.preview("How?", max_tokens=500)

    assert spent > 0
    assert preview.notes[0].startswith("it would be refused: of the budget per session, $0.0009")


def test_identical_calls_of_a_run_are_not_counted_by_it(client):
    with llm_magic.run("cell"):
        first = [client.preview("Why?", mode="CAPTURE").ordinal for _ in range(3)]
        client.complete("Why?", mode="CAPTURE")
        second = client.preview("Why?", mode="CAPTURE").ordinal

    assert (first, second) == ([0, 0, 0], 1)


def test_a_run_of_ones_own_counts_them(client):
    run = Run()

    ordinals = [client.preview("Why?", mode="CAPTURE", run=run).ordinal for _ in range(3)]

    assert ordinals == [0, 1, 2]


def test_a_sample_is_looked_up_as_stated(client):
    client.complete("Why?")

    assert client.preview("Why?", sample=0).source == "replay"
    assert client.preview("Why?", sample=2).source == "live"


def test_a_fallback_that_is_recorded_replays(client):
    client.complete("Why?", model="openai/gpt-5")

    preview = client.preview("Why?", fallbacks=["openai/gpt-5"])

    assert (preview.source, preview.reference) == ("replay", "openai/gpt-5")


def test_without_a_recording_the_first_model_counts(client):
    preview = client.preview("Why?", fallbacks=["openai/gpt-5"], num_retries=2)

    assert (preview.source, preview.reference) == ("live", MODEL)
    assert preview.notes[-2:] == (
        "up to 2 more attempts after a failure may cost as much each",
        "the cost is that of the first model; after a failure it is asked: openai/gpt-5",
    )


def test_rounds_with_functions_have_no_bound(client):
    def now() -> str:
        """Tell the time."""
        return "noon"

    preview = client.preview("When?", max_tokens=9, tools=[now], max_tool_rounds=2)

    assert preview.most is preview.most_under_budget is None
    assert preview.least > 0
    assert "up to 2 more rounds with results of functions" in preview.notes[-1]
    assert cost_range(preview) == "no limit"


def test_a_parameter_that_is_not_sent_is_told(client):
    preview = client.preview("Why?", temperature=0.5, max_tokens=9)

    assert preview.notes == (f"temperature was not sent: {MODEL} does not take it",)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "nobody/x"}, ModelNameError),
        ({"stream_options": {}, "messages": []}, ParameterError),
    ],
)
def test_what_cannot_be_asked_is_an_error_here_too(client, options, error):
    with pytest.raises(error):
        client.preview("Why?", **options)


def test_a_cassette_is_read_and_not_taken_over(client):
    client.complete("Why?")
    client.shelf.adopt("analysis")
    client.shelf.save("analysis")
    client.close()
    llm_magic.history.close()
    shutil.rmtree(".llm_magic")

    preview = Client(".", model=MODEL).preview("Why?")

    assert preview.source == "replay"
    assert [path.name for path in Path.cwd().iterdir()] == ["analysis.cassette.jsonl"]


def test_its_text_shows_all_of_it(client):
    client.settings.set("mode", "CAPTURE")

    shown = repr(client.preview("Why?", system="Be short.", max_tokens=100, temperature=1))

    assert shown.splitlines()[0].startswith(f"{MODEL} · would be asked (CAPTURE) · at most $0.000")
    assert "output at most 100\n" in shown
    assert "max_tokens: 100\n" in shown
    assert shown.endswith("system:\nBe short.\n\nuser:\nWhy?")


def test_parts_that_are_no_text_are_named(client):
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    content = [{"type": "text", "text": "What is it?"}, image]

    preview = client.preview([{"role": "user", "content": content}], max_tokens=9)

    assert repr(preview).endswith("user:\nWhat is it?\n[image_url]")
    assert preview.most is None
    assert "an image that the provider fetches" in preview.notes[0]


def test_its_html_is_escaped_and_drives_no_terminal(client):
    preview = client.preview("<script>alert(1)</script> \x1b[31m")

    assert "<script>" not in preview._repr_html_()
    assert "&lt;script&gt;" in preview._repr_html_()
    assert "\x1b" not in repr(preview)


def test_it_shows_no_key(client):
    assert OPENAI_KEY not in repr(client.preview(f"My key is {OPENAI_KEY}."))
