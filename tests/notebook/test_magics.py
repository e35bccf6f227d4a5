"""``%%complete`` and ``%complete``: what is asked, what is shown, and how it fails."""

from __future__ import annotations

import re
import threading
from decimal import Decimal

import comm
import pytest
from IPython.core.error import UsageError

import llm_magic
from llm_magic import chats, history
from llm_magic.exceptions import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    IncompleteError,
    LLMMagicError,
    MissingKeyError,
    ModeError,
    ModelNameError,
    ReplayMissError,
    ServerError,
    TemplateError,
)
from llm_magic.notebook import changes, display, magics
from llm_magic.notebook.display import FORMATS, MIME_TYPE, AnswerText
from llm_magic.notebook.questions import Question

QUESTION = [{"role": "user", "content": "Why?"}]


def sent(server):
    """Texts of the prompts that reached the server."""
    return [request.body["messages"][-1]["content"] for request in server.requests]


# What is asked


def test_the_cell_is_the_prompt(notebook, server):
    notebook.run("%%complete\nFirst line,\n\n  second.\n")

    assert sent(server) == ["First line,\n\n  second."]
    assert server.last.body["model"] == "gpt-5-mini"


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ("-m openai/gpt-5", {"model": "gpt-5"}),
        ("--model=gpt-5", {"model": "gpt-5"}),
        ("-s short", {"messages": [{"role": "system", "content": "short"}, *QUESTION]}),
        (
            "--system \"It's a 'test'.\"",
            {"messages": [{"role": "system", "content": "It's a 'test'."}, *QUESTION]},
        ),
        ("-s -brief", {"messages": [{"role": "system", "content": "-brief"}, *QUESTION]}),
        ("-T 0.5", {"temperature": 0.5}),
        ("-T0", {"temperature": 0}),
        ("--temperature 1", {"temperature": 1}),
        ("--max-tokens 7", {"max_tokens": 7}),
        ("", {"messages": QUESTION}),
    ],
)
def test_options_reach_the_provider(notebook, server, options, body):
    notebook.run("%llm config model=openai/gpt-4.1-mini")

    notebook.run(f"%%complete {options}\nWhy?")

    assert {name: server.last.body[name] for name in body} == body


def test_what_is_not_asked_for_is_not_sent(notebook, server):
    notebook.run("%%complete\nWhy?")

    assert set(server.last.body) == {"model", "messages", "stream", "stream_options"}


def test_an_option_that_the_model_does_not_take_is_told_below_the_answer(notebook, server):
    notebook.run("%%complete -m openai/gpt-5-mini -T 0.5\nWhy?")

    assert "temperature" not in server.last.body
    assert "note: temperature was not sent" in notebook.shown


def test_another_provider_is_one_word(notebook, server):
    notebook.run("%%complete -m anthropic/claude-sonnet-4-6\nWhy?")

    assert server.last.body["messages"][0]["role"] == "user"
    assert "claude-sonnet-4-6 · " in notebook.shown


PROMPT = r"""
Return {"a": {"b": 1}} and \frac{1}{2}, ${{2}}$ for $5.
print(f"{x!r} {x}")  # 100 % sure
{% if x %} {x} $x {# no comment #} {% endif %} {{#each}}
It's "so"?	end
""".strip("\n")


@pytest.mark.parametrize("raw", ["", "--raw"])
def test_text_reaches_the_model_byte_for_byte(notebook, server, raw):
    notebook.names["x"] = "WRONG"

    notebook.run(f"%%complete {raw}\n{PROMPT}")

    assert sent(server) == [PROMPT]


def test_expressions_are_expanded(notebook, server):
    notebook.run('rows = ["a", "{{ rows }}"]')

    notebook.run('%%complete\n{{ rows[0].upper() }} of {{len(rows)}}: {"n": {{ rows }}}')

    assert sent(server) == ["A of 2: {\"n\": ['a', '{{ rows }}']}"]


def test_raw_leaves_expressions_alone(notebook, server):
    notebook.run("%%complete --raw\n{{ nope }}")

    assert sent(server) == ["{{ nope }}"]


def test_python_variables_are_not_expanded_in_the_options(notebook, server):
    notebook.names["x"] = "WRONG"

    notebook.run("%%complete -s '$x {x} {{ x }}'\nWhy?")

    assert server.last.body["messages"][0]["content"] == "$x {x} {{ x }}"


# Modes


def test_a_second_run_replays(notebook, server):
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete\nWhy?")

    assert server.count == 1
    assert notebook.outputs[-1]["data"][MIME_TYPE]["source"] == "replay"


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", 0),
        ("--mode REPLAY", 0),
        ("--mode fallback", 0),
        ("--mode CAPTURE", 1),
        ("--mode DISABLED", 1),
        ("--refresh", 1),
    ],
)
def test_the_mode_of_a_cell(notebook, server, options, asked):
    notebook.run("%%complete\nWhy?")
    server.clear()

    notebook.run(f"%%complete {options}\nWhy?")

    assert server.count == asked


def test_refresh_replaces_the_answer(notebook, server):
    server.reply("old")
    server.reply("new")

    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete --refresh\nWhy?")
    notebook.run("%%complete --mode REPLAY\nWhy?")

    assert notebook.shown.startswith("new\n")


def test_a_missing_recording_is_told_in_one_line(notebook, server):
    message = notebook.fails("%%complete --mode REPLAY\nWhy?", ReplayMissError)

    assert message.count("\n") == 0
    assert "no recording" in message
    assert "--mode CAPTURE" in message
    assert notebook.outputs == []
    assert server.count == 0


def test_an_imposed_replay_is_not_loosened_by_a_cell(server, shell, monkeypatch, request):
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")
    notebook = request.getfixturevalue("notebook")

    for options in ("--mode CAPTURE", "--refresh", "--mode DISABLED"):
        notebook.fails(f"%%complete {options}\nWhy?", ReplayMissError)

    assert server.count == 0


# What is shown


def test_a_live_answer_is_one_output_with_its_cost(notebook, server):
    server.reply("A **bold** answer.", usage=(1000, 500))

    notebook.run("%%complete\nWhy?")

    ids = {output["transient"]["display_id"] for output in notebook.outputs}
    assert len(ids) == 1
    assert [output["update"] for output in notebook.outputs] == [False] + [True] * (
        len(notebook.outputs) - 1
    )
    data = notebook.outputs[-1]["data"]
    assert set(data) == {"text/plain", "text/html", MIME_TYPE}
    assert "<strong>bold</strong>" in data["text/html"]
    assert "A **bold** answer.\n\nopenai/gpt-5-mini · 1,000 + 500 tokens" in data["text/plain"]
    assert data[MIME_TYPE]["model"] == "openai/gpt-5-mini"
    assert data[MIME_TYPE]["source"] == "live"
    assert Decimal(data[MIME_TYPE]["cost"]) > 0
    assert notebook.printed == ""


def test_the_cell_has_no_value_of_its_own(notebook, server):
    assert notebook.run("%%complete\nWhy?") is None


def test_a_replay_is_displayed_once_and_is_the_same_every_time(notebook, server):
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete\nWhy?")
    first = list(notebook.outputs)

    notebook.run("%%complete\nWhy?")

    assert notebook.outputs == first
    assert len(first) == 1
    assert not first[0]["update"]
    assert not first[0]["transient"]


HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(1)>

[click](javascript:alert(1)) ![pixel](https://evil.example/x.png) [fine](https://fine.example)

<a href="javascript:alert(1)">x</a> `</code><script>alert(1)</script>`
"""


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "none"])
def test_what_a_model_says_is_inert(notebook, server, format):
    server.reply(HOSTILE)

    notebook.run(f"%%complete --format {format}\nWhy?")
    notebook.run(f"%%complete --format {format}\nWhy?")

    # Whether a browser runs it is decided by tags; text in between is text.
    tags = re.findall(r"<[a-z!/][^>]*>", notebook.outputs[0]["data"]["text/html"])
    assert not [tag for tag in tags if re.search("script|img|onerror|javascript", tag, re.I)]
    assert set(notebook.outputs[0]["data"]) == {"text/plain", "text/html", MIME_TYPE}
    assert HOSTILE.strip() not in str(notebook.outputs[0]["data"][MIME_TYPE])
    assert (format == "md") == ('href="https://fine.example"' in "".join(tags))


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("md", "<strong>x</strong>"),
        ("text", "**x** &lt;b&gt;"),
        ("code", "<code>**x** &lt;b&gt;"),
        ("html", "**x** &lt;b&gt;"),
        ("json", "**x** &lt;b&gt;"),
    ],
)
def test_each_format_has_its_form(notebook, server, format, shown):
    server.reply("**x** <b>")

    notebook.run(f"%%complete --format {format}\nWhy?")

    assert shown in notebook.outputs[-1]["data"]["text/html"]


def test_format_code_shows_the_code_alone(notebook, server):
    server.reply("Here it is:\n\n```python\nx = 1 < 2\n```\n\nAnything else?")

    notebook.run("%%complete --format code\nWhy?")

    shown = re.sub(r"<[^>]*>", "", notebook.outputs[-1]["data"]["text/html"])
    assert "x = 1 &lt; 2\n" in shown
    assert "Here it is" not in shown


def test_format_none_shows_nothing(notebook, server):
    notebook.run("%%complete --format none --out answer\nWhy?")

    assert notebook.outputs == []
    assert notebook.printed == ""
    assert notebook.names["answer"] == "You said: Why?"


# --out


def test_out_binds_the_text_with_its_completion(notebook, server):
    notebook.run("%%complete --out answer\nWhy?")

    answer = notebook.names["answer"]
    assert isinstance(answer, AnswerText)
    assert answer == answer.completion.text == "You said: Why?"
    assert answer.completion.source == "live"


def test_out_binds_data_where_json_was_asked_for(notebook, server):
    server.reply('```json\n{"a": [1, {"b": null}]}\n```')

    notebook.run("%%complete --format json --out data\nWhy?")

    assert notebook.names["data"] == {"a": [1, {"b": None}]}


def test_out_binds_the_text_when_it_is_not_json(notebook, server):
    server.reply("Sorry, no.")

    notebook.run("%%complete --format json --out data\nWhy?")

    assert notebook.names["data"] == "Sorry, no."
    assert "not JSON" in notebook.shown


def test_a_failed_cell_leaves_the_variable_as_it_was(notebook, server):
    notebook.names["answer"] = "before"
    server.fail(500)

    notebook.fails("%%complete --out answer\nWhy?", ServerError)

    assert notebook.names["answer"] == "before"


# In one line


def test_a_line_gives_its_text_and_shows_nothing(notebook, server):
    notebook.run("answer = %complete why is the sky blue")

    assert notebook.names["answer"] == "You said: why is the sky blue"
    assert notebook.names["answer"].completion.cost > 0
    assert notebook.outputs == []


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("what is love?", "what is love?"),
        ("what's new?", "what's new?"),
        ("it's John's", "it's John's"),
        ('say "hi"', 'say "hi"'),
        ('"all of it"', "all of it"),
        ("'all of it?'", "all of it?"),
        ("{{ x }} $x {x}", "{{ x }} $x {x}"),
        ("really??", "really??"),
        ("# no comment", "# no comment"),
        ("-T 0 -- -5 degrees?", "-5 degrees?"),
        ("a - b", "a - b"),
    ],
)
def test_a_line_is_sent_as_it_stands(notebook, server, line, prompt):
    notebook.names["x"] = "WRONG"

    notebook.run(f"answer = %complete {line}")
    notebook.run(f"%complete --refresh {line}")

    assert sent(server) == [prompt, prompt]


def test_a_line_in_a_loop_has_an_answer_for_each_round(notebook, server):
    cell = "answers = []\nfor _ in range(5):\n    x = %complete {}once more?\n    answers.append(x)"
    for number in "12345":
        server.reply(number)

    notebook.run(cell.format("--refresh "))
    assert notebook.names["answers"] == list("12345")
    notebook.run(cell.format(""))

    assert notebook.names["answers"] == list("12345")
    assert server.count == 5


def test_a_line_binds_out_too(notebook, server):
    notebook.run("%complete --out answer why")

    assert notebook.names["answer"] == "You said: why"


# Misuse: one line that says what to do, and the cell fails


@pytest.mark.parametrize(
    ("cell", "kind", "told"),
    [
        ("%%complete --tempature 1\nWhy?", UsageError, "did you mean --temperature or"),
        ("%%complete --temp 1\nWhy?", UsageError, "did you mean --template or --temperature?"),
        ("%%complete -x\nWhy?", UsageError, "no option -x"),
        ("%%complete -m\nWhy?", UsageError, "-m needs a value: -m MODEL"),
        ("%%complete --out\nWhy?", UsageError, "--out needs a value: --out NAME"),
        ("%%complete -T warm\nWhy?", UsageError, "invalid float value: 'warm'"),
        ("%%complete --max-tokens 1.5\nWhy?", UsageError, "invalid int value: '1.5'"),
        ("%%complete --format pdf\nWhy?", UsageError, "--format pdf: use one of: code"),
        ("%%complete --out 1x\nWhy?", UsageError, "--out 1x: that is no name"),
        ("%%complete --out class\nWhy?", UsageError, "--out class: that is no name"),
        ("%%complete --out a.b\nWhy?", UsageError, "--out a.b: that is no name"),
        ("%%complete -s it's\nWhy?", UsageError, "a quote is open in: it's"),
        ('%%complete -s "be brief\nWhy?', UsageError, 'a quote is open in: "be'),
        ("%%complete why not?\nWhy?", UsageError, "unexpected 'why' in the first line"),
        ("%%complete -T 0 why\nWhy?", UsageError, "unexpected 'why' in the first line"),
        ("%%complete\n", UsageError, "the cell body is empty"),
        ("%%complete\n  \n\n", UsageError, "the cell is empty"),
        ("%complete", UsageError, "write the prompt"),
        ("%complete -T 0", UsageError, "write the prompt"),
        ("%complete --refrsh why?", UsageError, "did you mean --refresh or"),
        ("%%complete --mode REPLY\nWhy?", ModeError, "did you mean REPLAY?"),
        ("%%complete --mode x\nWhy?", ModeError, "REPLAY, FALLBACK, CAPTURE, DISABLED"),
        ("%%complete\n{{ nmae }}", TemplateError, "did you mean name?"),
        ("%%complete\n{{ 1 / 0 }}", TemplateError, "ZeroDivisionError"),
        ("%%complete -m opnai/x\nWhy?", ModelNameError, "did you mean openai?"),
        ("%%complete -m my-model\nWhy?", ModelNameError, "provider/model"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_do(notebook, server, cell, kind, told):
    notebook.names["name"] = "x"

    message = notebook.fails(cell, kind)

    assert message.startswith(f"{kind.__name__}: ")
    assert told in message
    assert message.count("\n") == 0
    assert notebook.outputs == []
    assert server.count == 0


def test_without_a_model_it_says_how_to_name_one(terminal):
    message = terminal.fails("%%complete\nWhy?", ConfigError)

    assert message.count("\n") == 0
    assert "-m provider/model" in message
    assert "%llm config model=" in message


def test_without_a_key_it_says_which_variable_to_set(terminal):
    message = terminal.fails("%%complete -m openai/gpt-5-mini\nWhy?", MissingKeyError)

    assert message.count("\n") == 0
    assert "OPENAI_API_KEY" in message
    assert history.totals().spent == 0


@pytest.mark.parametrize("style", ["Plain", "Context", "Verbose", "Minimal"])
@pytest.mark.parametrize(
    "cell",
    [
        "%%complete\nWhy?",
        "answer = %complete why?",
        "import llm_magic; llm_magic.complete('x', model='openai/gpt-5-mini')",
        "import llm_magic; list(llm_magic.stream('x', model='openai/gpt-5-mini'))",
        "import llm_magic; await llm_magic.acomplete('x', model='openai/gpt-5-mini')",
    ],
)
def test_no_traceback_holds_the_key(notebook, server, monkeypatch, style, cell):
    key = "sk-proj-SECRET-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    notebook.run(f"%xmode {style}")
    server.fail(401, message=f"Incorrect API key provided: {key}")

    told = notebook.fails(cell, AuthenticationError)
    with pytest.raises(AuthenticationError):
        notebook.run(cell + "\n" if server.fail(401, message=f"Bad {key}") else cell)

    assert "AuthenticationError" in told
    assert "SECRET" not in told + notebook.printed + str(notebook.outputs)
    assert "SECRET" not in str(history.default().rows())
    if cell.startswith("%%"):
        assert told.count("\n") == 0


def test_an_expression_that_fails_does_not_tell_the_key(notebook, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-SECRET-0123456789abcdef")
    notebook.run("import os\nknown = {}")

    with pytest.raises(TemplateError) as caught:
        notebook.run("%%complete\n{{ known[os.environ['OPENAI_API_KEY']] }}")

    assert "KeyError" in notebook.printed
    assert "SECRET" not in notebook.printed + str(caught.value)


# Answers that do not come to their end


@pytest.mark.parametrize("how", ["cut", "unfinished"])
def test_a_broken_stream_fails_and_leaves_nothing_but_its_text(notebook, server, how):
    kind = {"cut": ConnectionFailedError, "unfinished": IncompleteError}[how]
    getattr(server, how)("one two three", **({"after": 2} if how == "cut" else {}))

    message = notebook.fails("%%complete --out answer\nWhy?", kind)

    assert message.count("\n") == 0
    assert notebook.shown.startswith("one two")
    assert "incomplete: " in notebook.shown
    assert MIME_TYPE not in notebook.outputs[-1]["data"]
    assert "answer" not in notebook.names
    (row,) = history.default().rows()
    assert (row["status"], row["cost"], row["source"]) == ("incomplete", None, "live")
    assert row["answer"].startswith("one two")
    notebook.fails("%%complete --mode REPLAY\nWhy?", ReplayMissError)


def test_a_provider_that_refuses_is_told_in_one_line(notebook, server):
    server.fail(429, message="Slow\ndown")

    message = notebook.fails("%%complete\nWhy?", LLMMagicError)

    assert message.startswith("RateLimitError: ")
    assert notebook.outputs == []
    assert [row["status"] for row in history.default().rows()] == ["error"]


def test_an_interrupt_fails_the_cell_and_keeps_its_text(notebook, server, monkeypatch):
    """A kernel's real interrupt is in test_kernel.py."""
    text = display.LiveAnswer.add

    def interrupted(self, piece):
        text(self, piece)
        if self.text == "one two":
            raise KeyboardInterrupt

    monkeypatch.setattr(display.LiveAnswer, "add", interrupted)
    server.reply("one two three")

    message = notebook.fails("%%complete\nWhy?", KeyboardInterrupt)

    assert message == "KeyboardInterrupt: stopped; nothing of this answer was stored"
    assert notebook.shown == "one two\n\nincomplete: interrupted"
    assert [row["status"] for row in history.default().rows()] == ["interrupted"]


# Terminal


def test_a_terminal_prints_an_answer_once(terminal, server):
    server.reply("A long answer, in pieces.")

    terminal.run("%%complete -m openai/gpt-5-mini\nWhy?")
    live = terminal.printed
    terminal.run("%%complete -m openai/gpt-5-mini\nWhy?")

    assert live.startswith("A long answer, in pieces.\n\nopenai/gpt-5-mini · ")
    assert live.count("A long answer") == terminal.printed.count("A long answer") == 1
    assert "replayed" in terminal.printed
    assert terminal.outputs == []


# Loading


@pytest.fixture
def traces(shell):
    """What an extension may leave in a shell."""

    def look():
        return {
            "events": {name: list(found) for name, found in shell.events.callbacks.items()},
            "line": set(shell.magics_manager.magics["line"]),
            "cell": set(shell.magics_manager.magics["cell"]),
            "registry": set(shell.magics_manager.registry),
            "transformers": list(shell.input_transformer_manager.token_transformers),
            "configurables": list(shell.configurables),
            "variables": {name for name in shell.user_ns if not name.startswith("_")},
            "loaded": dict(magics._loaded),
            "matchers": list(shell.Completer.custom_matchers),
            "threads": {one.name for one in threading.enumerate() if "llm-magic" in one.name},
            "closers": list(changes._closers),
            "comms": list(comm.get_comm_manager().targets),
            "chats": list(chats.default()),
        }

    return look


def test_loading_says_nothing(shell, capsys):
    shell.run_cell("%load_ext llm_magic").raise_error()

    printed = capsys.readouterr()
    assert (printed.out, printed.err, shell.display_pub.outputs) == ("", "", [])
    assert "complete" in shell.magics_manager.magics["cell"]
    assert "llm" in shell.magics_manager.magics["line"]


def test_unloading_leaves_nothing_behind(shell, traces):
    before = traces()

    assert shell.extension_manager.load_extension("llm_magic") is None
    assert traces() != before
    assert shell.extension_manager.unload_extension("llm_magic") is None

    assert traces() == before


def test_reloading_changes_nothing(notebook, server, traces):
    before = traces()
    llm_magic.load_ipython_extension(notebook.shell)
    notebook.run("%reload_ext llm_magic")
    notebook.run("%reload_ext llm_magic")
    after = traces()

    assert {name: len(found) for name, found in after.items()} == {
        name: len(found) for name, found in before.items()
    }
    assert after["transformers"].count(Question) == 1
    notebook.run("%%complete\nWhy?")
    assert len(notebook.outputs) >= 1


def test_unloading_twice_does_no_harm(shell):
    llm_magic.unload_ipython_extension(shell)
    shell.run_cell("%load_ext llm_magic").raise_error()
    llm_magic.unload_ipython_extension(shell)
    llm_magic.unload_ipython_extension(shell)

    assert "complete" not in shell.magics_manager.magics["cell"]


def test_the_cell_that_loads_us_is_a_run_too(shell, server):
    server.reply("1")
    server.reply("2")
    shell.kernel = object()

    shell.run_cell(
        "%load_ext llm_magic\n"
        "import llm_magic\n"
        "ask = lambda: llm_magic.complete('x', model='openai/gpt-5-mini', mode='CAPTURE').text\n"
        "answers = [ask(), ask()]"
    ).raise_error()

    assert shell.user_ns["answers"] == ["1", "2"]


@pytest.mark.parametrize("call", ["%%complete?", "%complete?", "?%%complete"])
def test_the_manual_lists_all_options(notebook, call):
    pages = []
    notebook.shell.set_hook("show_in_pager", lambda self, data, **_: pages.append(data), 0)

    notebook.run(call)

    manual = pages[0]["text/plain"]
    for action in magics.CompleteMagics.complete.parser._actions:
        assert action.option_strings[-1] in manual
        assert " ".join(action.help.split())[:20] in " ".join(manual.split())
    for format in FORMATS:
        assert format in manual
