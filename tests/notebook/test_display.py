"""An answer is one clean output: text, safe HTML, provenance, and a quiet footer."""

from __future__ import annotations

import atexit
import copy
import datetime
import json
import pickle
import re
from decimal import Decimal

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from llm_magic import pricing, replay, secrets
from llm_magic.formats import count, usd
from llm_magic.notebook.display import (
    FORMATS,
    MIME_TYPE,
    Answer,
    AnswerText,
    LiveAnswer,
    footer,
    provenance,
    show,
)
from llm_magic.notebook.lab import Provenance
from llm_magic.types import Completion, Usage

DAY = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC)


def completion(*texts, **about):
    about = {
        "provider": "openai",
        "reference": "openai/gpt-5-mini",
        "cost": Decimal("0.0042"),
        "cost_source": "list",
        "tokens": Usage(uncached_input_tokens=204, cache_read_tokens=1000, output_tokens=380),
        "source": "live",
        "recorded": DAY,
        "latency_ms": 1800.0,
        "key": "ab" * 32,
    } | about
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        for index, text in enumerate(texts or ["hi"])
    ]
    usage = {"prompt_tokens": 1204, "completion_tokens": 380, "total_tokens": 1584}
    return Completion({"model": "gpt-5-mini", "choices": choices, "usage": usage}, **about)


def replayed(*texts, **about):
    about = {"source": "replay", "cost": Decimal(0), "saved": Decimal("0.0042")} | about
    return completion(*texts, **about)


def bundle(text="hi", **options):
    return Answer(text, **options)._repr_mimebundle_()


# Numbers


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "$?"),
        ("NaN", "$?"),
        ("0", "$0.00"),
        ("0E-9", "$0.00"),
        ("0.0042", "$0.0042"),
        ("0.000018", "$0.000018"),
        ("1.8E-5", "$0.000018"),
        ("0.00000000123456", "$0.000000001235"),
        ("0.5", "$0.50"),
        ("0.25", "$0.25"),
        ("0.123456", "$0.1235"),
        ("0.99994", "$0.9999"),
        ("0.99999", "$1.00"),
        ("1", "$1.00"),
        ("12.3456", "$12.35"),
        ("1234.5", "$1,234.50"),
        ("-0.0042", "-$0.0042"),
    ],
)
def test_money_is_precise_where_it_is_small(amount, shown):
    assert usd(None if amount is None else Decimal(amount)) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (1204, "1,204"), (None, "?")])
def test_counts_have_separators(number, shown):
    assert count(number) == shown


# The footer


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (completion(), "openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live 1.8 s"),
        (completion(cost=None), "openai/gpt-5-mini · 1,204 + 380 tokens · $? · live 1.8 s"),
        (completion(tokens=None), "openai/gpt-5-mini · ? tokens · $0.0042 · live 1.8 s"),
        (completion(latency_ms=None), "openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live"),
        (
            replayed(),
            "openai/gpt-5-mini · 1,204 + 380 tokens · $0.00 · replayed from 2026-11-20",
        ),
        (
            replayed(saved=Decimal(0), recorded=None, reference="echo/echo"),
            "echo/echo · 1,204 + 380 tokens · $0.00 · replayed",
        ),
        (
            completion(notes=["seed was not sent", "max_tokens\nis 4096"]),
            "openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live 1.8 s\n"
            "note: seed was not sent\nnote: max_tokens is 4096",
        ),
    ],
)
def test_the_footer_tells_model_tokens_cost_and_source(answer, line):
    assert footer(answer) == line


# What --out binds


def test_an_answer_text_is_a_str_that_knows_its_completion():
    source = completion("hi", parsed={"a": 1})

    text = AnswerText("hi", source)

    assert text == "hi"
    assert text.upper() == "HI"
    assert text.completion is source
    assert text.cost == Decimal("0.0042")
    assert text.usage.total_tokens == 1584
    assert text.parsed == {"a": 1}


def test_an_answer_text_without_a_completion_knows_nothing():
    text = AnswerText("hi")

    assert [text.completion, text.cost, text.usage, text.parsed] == [None] * 4


def test_an_answer_text_pickles_as_a_plain_str():
    text = pickle.loads(pickle.dumps(AnswerText("hi", completion())))

    assert type(text) is str
    assert text == "hi"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_an_answer_text_keeps_its_completion(duplicate):
    text = AnswerText("hi", completion())

    assert duplicate(text).cost == text.cost


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        ' \n{"a": 1}\n',
        '```json\n{"a": 1}\n```',
        'Here:\n\n```python\n1\n```\n```JSON\n{"a": 1}\n```\n```json\n{"b": 1}\n```',
        'Here:\n```\n{"a": 1}\n```',
    ],
)
def test_json_is_found_in_the_text_or_its_first_json_fence(text):
    assert AnswerText(text).json() == {"a": 1}


@pytest.mark.parametrize("text", ["", "no", "```json\nno\n```", "[" * 100_000])
def test_what_is_not_json_is_one_clear_error(text):
    with pytest.raises(ValueError, match="the answer is not JSON") as caught:
        AnswerText(text).json()

    assert "\n" not in str(caught.value)


# The bundle


def test_a_finished_answer_is_text_html_and_provenance():
    data = bundle("**hi**", completion=completion("**hi**"))

    assert list(data) == ["text/plain", "text/html", MIME_TYPE]
    assert data["text/plain"] == f"**hi**\n\n{footer(completion())}"
    assert data["text/html"].startswith('<div class="llm-magic-answer">')
    assert "<strong>hi</strong>" in data["text/html"]
    assert 'class="llm-magic-footer tex2jax_ignore mathjax_ignore"' in data["text/html"]
    assert footer(completion()) in data["text/html"]


def test_provenance_is_json_that_tells_everything_about_the_call():
    told = provenance(completion(notes=["a"], ordinal=2))

    assert json.loads(json.dumps(told)) == {
        "version": 1,
        "model": "openai/gpt-5-mini",
        "provider": "openai",
        "key": "ab" * 32,
        "ordinal": 2,
        "source": "live",
        "recorded": "2026-11-20T12:00:00+00:00",
        "cost": "0.0042",
        "saved": None,
        "cost_source": "list",
        "tokens": {"uncached_input_tokens": 204, "cache_read_tokens": 1000, "output_tokens": 380},
        "prices": None,
        "latency_ms": 1800.0,
        "finish_reason": "stop",
        "notes": ["a"],
        "attempts": [],
        "prompt_crc32": None,
    }


def test_provenance_is_what_lab_is_promised():
    assert provenance(completion()).keys() == Provenance.__annotations__.keys()


PRICES = {"input_mtok": "2", "cache_read_mtok": "0.25", "output_mtok": "8"}


@pytest.mark.parametrize(
    "about",
    [
        {"prices": PRICES},
        {"prices": PRICES, "tokens": Usage(uncached_input_tokens=9, reasoning_tokens=2)},
        {"prices": PRICES | {"output_reasoning_mtok": "3"}},
        {"prices": pricing.FREE, "tokens": Usage(output_tokens=4)},
    ],
)
def test_tokens_times_prices_are_what_a_replay_saved(about):
    answer = replayed(**about)
    answer.saved = pricing.cost(answer.tokens, answer.prices)

    told = provenance(answer)

    products = (
        count * Decimal(told["prices"].get(bucket, 0)) for bucket, count in told["tokens"].items()
    )
    assert sum(products) == Decimal(told["saved"])


def test_the_attempts_before_the_answer_are_told_in_one_line_each(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwxyz")
    secrets.refresh()
    failed = {"model": "openai/gpt-5", "candidate": 0, "latency_ms": 12.5}
    failed["error"] = "bad key\nsk-abcdefghijklmnopqrstuvwxyz \x1b[31m"
    answered = {"model": "openai/gpt-5-mini", "candidate": 1, "error": None, "latency_ms": 9.0}

    told = provenance(completion(attempts=[failed, answered]))["attempts"]

    assert [one["model"] for one in told] == ["openai/gpt-5", "openai/gpt-5-mini"]
    assert [one["latency_ms"] for one in told] == [12.5, 9.0]
    assert told[0]["error"].startswith("bad key ")
    assert "abcdefgh" not in told[0]["error"]
    assert "\x1b" not in told[0]["error"]
    assert told[1]["error"] is None
    assert provenance(completion(attempts=[answered]))["attempts"] == []


def test_provenance_of_little_is_null_where_nothing_is_known():
    told = provenance(Completion({"choices": []}, source="replay", cost=Decimal("1E-7")))

    assert told["cost"] == "0.0000001"
    assert [told[name] for name in ("recorded", "saved", "tokens", "finish_reason")] == [None] * 4


def test_nothing_differs_from_one_replay_to_the_next():
    first, second = (bundle(completion=replayed(latency_ms=ms)) for ms in (0.1, 7.0))

    assert first == second


def test_an_answer_that_is_not_finished_shows_text_without_provenance():
    data = bundle("so far", done=False)

    assert data["text/plain"] == "so far\n\n…"
    assert "so far" in data["text/html"]
    assert MIME_TYPE not in data


def test_a_partial_answer_says_why_it_is_incomplete():
    data = bundle("so far", error=ConnectionError("lost\n<b>"))

    assert data["text/plain"] == "so far\n\nincomplete: lost <b>"
    assert "incomplete: lost &lt;b&gt;" in data["text/html"]


@pytest.mark.parametrize(
    ("format", "text", "html"),
    [
        ("md", "*a*", "<p><em>a</em></p>"),
        ("text", "*a* <b>\nc", ">*a* &lt;b&gt;\nc</pre>"),
        ("html", "<b>a</b>", ">&lt;b&gt;a&lt;/b&gt;</pre>"),
        ("code", "x\n```py\na<b\n```\ny\n```\nc\n```", ">a&lt;b\n</code></pre>\n<pre "),
        ("code", "a<b", "<code>a&lt;b</code></pre>"),
        ("json", '{"a":"<é>"}', '<span class="s">"&lt;é&gt;"</span>\n}</code></pre>'),
        ("json", "no <json>", ">no &lt;json&gt;</pre>"),
    ],
)
def test_every_format_shows_its_html(format, text, html):
    assert html in bundle(text, format=format)["text/html"]


def test_an_answer_that_is_not_json_says_so():
    note = "note: the answer is not JSON"

    assert note in bundle("no", format="json")["text/plain"]
    assert note in bundle("no", format="json")["text/html"]
    assert note not in bundle("{}", format="json")["text/html"]
    assert note not in bundle("{", format="json", done=False)["text/html"]


def test_format_none_displays_nothing():
    assert bundle(format="none", completion=completion()) == {}


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'pdf' \(formats: md, text, code, json, html, none\)"):
        Answer("", format="pdf")


def test_choices_are_blocks_in_text_and_tabs_in_html():
    data = bundle("a", completion=completion("a", "b"))

    assert data["text/plain"].startswith("choice 1:\na\n\nchoice 2:\nb\n\nopenai/")
    tabs = re.findall(
        r'<details name="(\S+)"( open)?><summary>(.*?)</summary>.*?<p>(.*?)</p>',
        data["text/html"],
        re.DOTALL,
    )
    group = tabs[0][0]
    assert tabs == [(group, " open", "choice 1", "a"), (group, "", "choice 2", "b")]


def test_the_tabs_of_two_cells_are_apart_and_those_of_one_cell_stay():
    def group(line):
        run = replay.begin_run(cell={"line": line})
        shown = bundle(completion=completion("a", "b"))["text/html"]
        replay.end_run(run, ok=True)
        return re.search(r'name="(\S+)"', shown)[1]

    assert group("%%complete") == group("%%complete") != group("answer")


def test_reasoning_and_calls_are_folded_away_below_the_text():
    calls = [{"function": {"name": "weather", "arguments": '{"city": "<Oslo>"}'}}]
    source = completion("Rain.")
    source.choices[0].message.update(reasoning_content="They ask of <Oslo>.", tool_calls=calls)

    data = bundle("Rain.", completion=source)

    assert data["text/plain"].startswith(
        "Rain.\n\nreasoning:\nThey ask of <Oslo>.\n\n"
        'called weather:\nweather({"city": "<Oslo>"})\n\nopenai/'
    )
    folded = re.findall(r"<summary[^>]*>(.*?)</summary><pre[^>]*>(.*?)</pre>", data["text/html"])
    assert folded == [
        ("reasoning", "They ask of &lt;Oslo&gt;."),
        ("called weather", 'weather({"city": "&lt;Oslo&gt;"})'),
    ]
    assert data["text/html"].index("Rain.") < data["text/html"].index("<summary")
    assert " open>" not in data["text/html"]


def test_an_answer_that_is_only_a_call_shows_it_unfolded():
    source = completion("")
    source.choices[0].message["tool_calls"] = [{"function": {"name": "f", "arguments": "{}"}}]

    data = bundle("", completion=source)

    assert data["text/plain"].startswith("called f:\nf({})\n\nopenai/")
    assert " open><summary" in data["text/html"]


def test_a_style_comes_only_with_what_needs_it():
    assert "<style>" not in bundle("```\nx\n``` and `y`")["text/html"]
    assert "<style>" in bundle("```python\nx = 1\n```")["text/html"]
    assert "<style>" in bundle(completion=completion("a", "b"))["text/html"]


def test_a_name_that_turns_its_line_around_shows_its_code():
    name = "openai/\u202egpt"

    assert footer(completion(reference=name)).startswith("openai/<U+202E>gpt · 1,204")


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "none"])
def test_nothing_of_an_answer_is_live_html(format):
    attack = "<script>alert(1)</script>"
    source = completion(attack, attack, reference=attack, notes=[attack])

    html = bundle(attack, format=format, completion=source)["text/html"]

    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_characters_that_drive_a_terminal_are_shown_as_unknown():
    data = bundle("a\x1b]0;title\x07\r\nb\rc\ud800")

    assert data["text/plain"] == "a\ufffd]0;title\ufffd\nb\ufffdc\ufffd"
    assert json.dumps(data, ensure_ascii=False).encode()


# Streaming, in a real shell


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """An IPython shell without a kernel, as in a terminal."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    InteractiveShell.clear_instance()
    instance = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    instance.display_pub = CapturingDisplayPublisher()
    yield instance
    atexit.unregister(instance.atexit_operations)
    instance.atexit_operations()
    InteractiveShell.clear_instance()


@pytest.fixture
def outputs(shell):
    """What a notebook would get: the shell has a kernel."""
    shell.kernel = object()
    return shell.display_pub.outputs


def kinds(outputs):
    return ["update" if output["update"] else "display" for output in outputs]


def test_a_stream_displays_at_once_updates_now_and_then_and_ends_with_one_update(outputs):
    clock = Clock()
    live = LiveAnswer(clock=clock, interval=0.1)

    for _ in range(10):
        live.add("a")
        clock.now += 0.04
    live.finish(completion("a" * 10))

    assert kinds(outputs) == ["display", "update", "update", "update", "update"]
    assert outputs[0]["data"]["text/plain"] == "a\n\n…"
    assert outputs[-1]["data"]["text/plain"].startswith("a" * 10 + "\n\nopenai/")
    assert [MIME_TYPE in output["data"] for output in outputs] == [False] * 4 + [True]
    assert len({output["transient"]["display_id"] for output in outputs}) == 1


def test_updates_leave_time_to_the_stream_when_rendering_is_slow(outputs, monkeypatch):
    clock = Clock()
    live = LiveAnswer(clock=clock, interval=0.1)
    slow = outputs.append

    def publish(data, metadata=None, *, transient=None, update=False):
        clock.now += 1
        slow({"data": data, "update": update})

    monkeypatch.setattr(InteractiveShell.instance().display_pub, "publish", publish)
    for _ in range(8):
        live.add("a")
        clock.now += 1

    assert kinds(outputs) == ["display", "update"]


def test_a_stream_that_ends_before_it_was_shown_is_displayed_once(outputs):
    live = LiveAnswer(clock=Clock())

    live.add("")
    live.finish(completion())

    assert kinds(outputs) == ["display"]
    assert not outputs[0]["transient"]


def test_a_failed_stream_keeps_its_text_and_says_that_it_is_incomplete(outputs):
    live = LiveAnswer(clock=Clock())

    live.add("so ")
    live.add("far")
    live.fail(TimeoutError("no answer in 120 s"))

    assert kinds(outputs) == ["display", "update"]
    assert outputs[-1]["data"]["text/plain"] == "so far\n\nincomplete: no answer in 120 s"
    assert live.text == "so far"


def test_a_stream_that_fails_before_its_first_word_shows_nothing(outputs):
    LiveAnswer().fail("no connection")

    assert outputs == []


def test_a_stream_ends_once(outputs):
    live = LiveAnswer(clock=Clock())

    live.add("a")
    live.finish(completion("a"))
    live.fail("late")
    live.add("late")
    live.finish(completion("late"))

    assert kinds(outputs) == ["display", "update"]


def test_a_replayed_answer_is_displayed_once_without_an_id(outputs):
    show(replayed("a"), "text")

    assert kinds(outputs) == ["display"]
    assert not outputs[0]["transient"]
    assert list(outputs[0]["data"]) == ["text/plain", "text/html", MIME_TYPE]


def test_format_none_shows_nothing_at_all(outputs, capsys):
    live = LiveAnswer("none")

    live.add("a")
    live.finish(completion("a"))
    show(completion("a"), "none")

    assert outputs == []
    assert capsys.readouterr().out == ""
    assert live.text == "a"


def test_an_unknown_format_is_refused_before_anything_is_paid():
    with pytest.raises(ValueError, match="unknown format"):
        LiveAnswer("pdf")


def test_a_terminal_prints_the_text_as_it_comes_and_then_the_footer(shell, capsys):
    live = LiveAnswer("md", clock=Clock())

    live.add("so ")
    assert capsys.readouterr().out == "so "
    live.add("far")
    live.finish(completion("so far"))

    assert capsys.readouterr().out == f"far\n\n{footer(completion())}\n"
    assert shell.display_pub.outputs == []


def test_a_terminal_prints_the_choices_that_it_has_not_seen(shell, capsys):
    live = LiveAnswer()

    live.add("a")
    live.finish(completion("a", "b"))

    assert capsys.readouterr().out == f"a\n\nchoice 2:\nb\n\n{footer(completion())}\n"


def test_a_terminal_prints_an_answer_that_did_not_stream(shell, capsys):
    LiveAnswer().finish(completion("a"))
    show(replayed("b"))

    printed = capsys.readouterr().out
    assert printed == f"a\n\n{footer(completion())}\nb\n\n{footer(replayed())}\n"
    assert shell.display_pub.outputs == []


def test_a_terminal_is_told_of_a_failure(shell, capsys):
    live = LiveAnswer()

    live.add("a\x1b[2J")
    live.fail("lost")

    assert capsys.readouterr().out == "a\ufffd[2J\n\nincomplete: lost\n"


def test_plain_python_is_a_terminal(capsys):
    InteractiveShell.clear_instance()

    show(completion("a"))

    assert capsys.readouterr().out.startswith("a\n")
