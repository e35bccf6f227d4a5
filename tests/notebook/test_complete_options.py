"""The options of ``%%complete``, each through a real shell, and how each is misused."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import pytest
from IPython.core.error import UsageError

from llm_magic import history
from llm_magic.exceptions import LLMMagicError, ParameterError, ServerError, TemplateError
from llm_magic.notebook.display import MIME_TYPE, AnswerText

PICTURE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x06\0\0\0\x1f\x15\xc4\x89"
    b"\0\0\0\nIDATx\x9cc\0\1\0\0\5\0\1\r\n-\xb4\0\0\0\0IEND\xaeB`\x82"
)


def bodies(server):
    return [request.body for request in server.requests]


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


# -o, --n, --fallbacks, --retries, --no-cache


@pytest.mark.parametrize(
    ("option", "sent"),
    [
        ("-o seed 7", {"seed": 7}),
        ("-o top_p 0.5", {"top_p": 0.5}),
        ("-o stop END", {"stop": "END"}),
        ('-o stop "[\\"a b\\", \\"c\\"]"', {"stop": ["a b", "c"]}),
        ("-o user -x", {"user": "-x"}),
        ("-o user NaN", {"user": "NaN"}),
        ("-o seed 1 -o top_p 1", {"seed": 1, "top_p": 1}),
        ("-o temperature 0.5", {"temperature": 0.5}),
        ("--n 2", {"n": 2}),
    ],
)
def test_any_parameter_reaches_the_provider(notebook, server, option, sent):
    notebook.run(f"%%complete -m openai/gpt-4.1-mini {option}\nWhy?")

    assert {name: server.last.body[name] for name in sent} == sent


def test_several_answers_are_choices(notebook, server):
    notebook.run("%%complete --n 2 --out answer\nWhy?")

    assert len(notebook.names["answer"].completion.texts) == 2
    assert "choice 2:" in notebook.shown


def test_without_the_cache_it_neither_replays_nor_records(notebook, server):
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete --no-cache\nWhy?")
    notebook.run("%%complete --no-cache\nWhat?")
    notebook.run("%%complete\nWhat?")

    assert server.count == 4


def test_a_fallback_answers_where_the_model_fails(notebook, server, anthropic_server):
    server.fail(404)

    notebook.run("%%complete --fallbacks anthropic/claude-sonnet-4-6\nWhy?")

    assert (server.count, anthropic_server.count) == (1, 1)
    assert "claude-sonnet-4-6 · " in notebook.shown


def test_a_retry_asks_again(notebook, server):
    server.fail(500, headers={"retry-after": "0"})

    notebook.run("%%complete --retries 1\nWhy?")

    assert server.count == 2


# --tools


ADD = """
seen = []
def add(a: int, b: int) -> int:
    "Add."
    seen.append((a, b))
    return a + b
"""


def test_functions_of_the_notebook_run_and_replay_without_running(notebook, server):
    notebook.run(ADD)
    server.reply(tool_calls=[{"name": "add", "arguments": {"a": 2, "b": 3}}])
    server.reply("It is 5.")

    notebook.run("%%complete --tools add --out answer\nWhat is 2 + 3?")
    notebook.run("%%complete --tools add --mode REPLAY --out again\nWhat is 2 + 3?")

    assert notebook.names["answer"] == notebook.names["again"] == "It is 5."
    assert notebook.names["seen"] == [(2, 3)]
    assert server.last.body["messages"][-1]["content"] == "5"
    assert "note: 1 call before it ran functions: $0.0" in notebook.shown


# --image, --file


def test_a_picture_goes_with_the_prompt(notebook, server, work):
    (work / "dot.png").write_bytes(PICTURE)
    notebook.names["dot"] = PICTURE

    for name in ("dot.png", "dot"):
        notebook.run(f"%%complete --refresh --image {name}\nWhat is it?")

    first, second = (body["messages"][0]["content"] for body in bodies(server))
    assert first == second
    assert [part["type"] for part in first] == ["text", "image_url"]


def test_files_and_frames_go_with_the_prompt(notebook, server, work):
    (work / "note.txt").write_text("A note.")
    notebook.run("import pandas\nframe = pandas.DataFrame({'a': [1]})")

    notebook.run("%%complete --file note.txt --file frame\nWhat is it?")

    texts = [part["text"] for part in server.last.body["messages"][0]["content"]]
    assert texts[0] == "What is it?"
    assert "A note." in texts[1]
    assert "a\n1" in texts[2]


# -t, -p, --jinja


@pytest.fixture
def template(work):
    def write(text, name="greet"):
        (work / "prompts").mkdir(exist_ok=True)
        (work / "prompts" / f"{name}.md").write_text(text)

    return write


def test_a_template_brings_its_prompt_and_what_it_is_asked_with(notebook, server, template):
    template(
        "---\nmodel: openai/gpt-4.1-mini\nsystem: Be {{ tone }}.\nparameters: {temperature: 0}\n"
        "defaults: {tone: kind}\n---\nGreet {{ who }}: {{ input }}"
    )

    notebook.run("name = 'Ada'\nx = 'WRONG'")
    notebook.run("%%complete -t greet -p who {{x}}\nat {{ name }}'s")

    body = server.last.body
    assert [one["content"] for one in body["messages"]] == ["Be kind.", "Greet {{x}}: at Ada's"]
    assert (body["model"], body["temperature"]) == ("gpt-4.1-mini", 0)


def test_the_cell_wins_over_its_template(notebook, server, template):
    template("---\nmodel: openai/a\nparameters: {temperature: 0}\n---\nHi")

    notebook.run("%complete -t greet -m openai/gpt-4.1-mini -T 1 -o temperature_x 2")

    body = server.last.body
    assert (body["model"], body["temperature"], body["temperature_x"]) == ("gpt-4.1-mini", 1, 2)
    assert body["messages"][-1]["content"] == "Hi"


def test_jinja_sees_the_values_and_nothing_else(notebook, server):
    notebook.names["secret"] = "WRONG"

    notebook.run(
        "%%complete --jinja -p n 2\n{% if n == '2' %}two{% endif %} {{ secret|default('-') }}"
    )

    assert server.last.body["messages"][-1]["content"] == "two -"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("{{ nope }}", "'nope' is undefined; -p NAME VALUE gives it one"),
        ("{% if %}", "template of the cell, line 1: "),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{{ range(10 ** 9) }}", "Range too big"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_jinja_that_fails_is_one_line(notebook, server, cell, told):
    message = notebook.fails(f"%%complete --jinja\n{cell}", TemplateError)

    assert told in message
    assert message.count("\n") == 0
    assert server.count == 0


def test_without_jinja_it_says_how_to_get_it(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)

    message = notebook.fails("%%complete --jinja\nWhy?", TemplateError)

    assert message == "TemplateError: --jinja needs Jinja: pip install 'llm-magic[jinja]'"


# -m a,b


def test_models_answer_side_by_side(notebook, server, anthropic_server):
    server.reply("**one**", usage=(1000, 10))
    anthropic_server.reply("<b>two</b>", usage=(2000, 20))

    notebook.run("%%complete -m openai/gpt-5-mini,anthropic/claude-sonnet-4-6 --out answers\nWhy?")

    assert notebook.names["answers"] == ["**one**", "<b>two</b>"]
    assert notebook.names["answers"][1].cost > 0
    html = notebook.outputs[-1]["data"]["text/html"]
    assert "<strong>one</strong>" in html
    assert "&lt;b&gt;two&lt;/b&gt;" in html
    assert "1,000 + 10" in html
    assert "openai/gpt-5-mini:\n**one**\n\nopenai/gpt-5-mini · 1,000 + 10 tokens" in notebook.shown


def test_models_side_by_side_replay_as_one_output(notebook, server, anthropic_server, active):
    cell = "%%complete -m openai/gpt-5-mini,anthropic/claude-sonnet-4-6 --out answers\nWhy?"
    notebook.run(cell)
    live = notebook.names["answers"]
    notebook.run(cell)
    first = list(notebook.outputs)

    notebook.run(cell)

    assert notebook.names["answers"] == live
    assert notebook.outputs == first
    assert len(first) == 1
    assert (server.count, anthropic_server.count) == (1, 1)
    assert active(first[0]["data"]["text/html"]) == []


def test_a_model_that_fails_stands_in_the_table_and_fails_the_cell(
    notebook, server, anthropic_server
):
    server.fail(500, message="<b>broken</b>")

    with pytest.raises(ServerError):
        notebook.run(
            "%%complete -m openai/gpt-5-mini,anthropic/claude-sonnet-4-6 --out answers\nWhy?"
        )

    assert "incomplete: " in notebook.shown
    assert "You said: Why?" in notebook.shown
    assert "<b>broken" not in notebook.outputs[-1]["data"]["text/html"]
    assert "answers" not in notebook.names


def test_models_in_one_line_give_a_list(notebook, server):
    notebook.run("answers = %complete -m openai/gpt-5-mini,openai/gpt-5 Why?")

    assert notebook.names["answers"] == ["You said: Why?"] * 2
    assert notebook.outputs == []


# --format, --out


def test_new_code_goes_into_the_next_cell_and_is_not_run(notebook, server):
    server.reply("Here:\n\n```python\nx = 1\n```\n")

    notebook.run("%%complete --format code\nWrite it.")

    assert notebook.shell.rl_next_input == "x = 1\n"
    assert "x" not in notebook.names
    notebook.shell.rl_next_input = None
    notebook.run("%%complete --format code\nWrite it.")
    assert notebook.shell.rl_next_input is None


def test_code_goes_into_the_variable(notebook, server):
    server.reply("Here:\n\n```python\nx = 1\n```\n")

    notebook.run("%%complete --format code --out code\nWrite it.")

    assert notebook.names["code"] == "x = 1\n"
    assert notebook.names["code"].cost > 0
    assert getattr(notebook.shell, "rl_next_input", None) is None


def test_a_schema_binds_the_data(notebook, server):
    server.reply(json.dumps({"name": "Ada", "age": 36}))

    notebook.run("%%complete --schema 'name, age int' --out person\nWho?")

    assert notebook.names["person"]["age"] == 36


def test_an_answer_knows_what_it_cost(notebook, server):
    server.reply('{"a": 1}', usage=(10, 20))

    notebook.run("%%complete --out answer\nWhy?")

    answer = notebook.names["answer"]
    assert isinstance(answer, AnswerText)
    assert answer.json() == {"a": 1}
    assert answer.usage.completion_tokens == 20
    assert answer.cost == answer.completion.cost > 0
    assert answer.parsed is None


# In code


def test_a_line_works_in_functions_and_comprehensions(notebook, server):
    notebook.run(
        "def ask(text):\n    answer = %complete -o user {text} Why?\n    return answer.upper()"
    )

    notebook.run("answers = [ask(text) for text in 'ab']")

    assert notebook.names["answers"] == ["YOU SAID: WHY?"] * 2


# --dry-run


def test_a_dry_run_sees_every_option(notebook, server, template):
    template("Greet {{ who }}")
    notebook.run(ADD)

    notebook.run(
        "%%complete --dry-run -t greet -p who Ada --tools add -o seed 7 --n 2 --retries 1"
        " -m openai/gpt-5-mini,openai/gpt-5\nnow"
    )

    assert len(notebook.outputs) == 2
    assert "Greet Ada\n\nnow" in notebook.shown
    assert "seed: 7" in notebook.shown
    assert server.count == 0
    assert history.default().totals().calls == 0


# Misuse


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("-o seed", UsageError, "-o needs a value: -o KEY VALUE"),
        ("-o model x", UsageError, "-o model is no parameter of a provider; -m says it"),
        ("-o api_key x", UsageError, "a key belongs into the environment"),
        ("-o stream true", UsageError, "answers stream on their own"),
        ("-o shelf 1", UsageError, "no provider takes it"),
        ("-T 1 -o temperature 0", UsageError, "-o temperature and --temperature say the same"),
        ("--tools ad", UsageError, "--tools ad: no such function; did you mean add?"),
        ("--tools name", UsageError, "--tools name: that is str, no function"),
        ("--image nam", UsageError, "--image nam: no such variable or file; did you mean name?"),
        ("--image note.txt", UsageError, "--image note.txt: that is no picture"),
        ("--image no.png", ParameterError, "no.png"),
        ("--file no.txt", ParameterError, "no.txt"),
        ("--mode REPLAY --refresh", UsageError, "--mode with --refresh: both say the mode"),
        ("--no-cache --refresh", UsageError, "--refresh with --no-cache: one records"),
        ("--retries -1", UsageError, "invalid whole number value: '-1'"),
        ("--n 0", UsageError, "invalid number from 1 value: '0'"),
        ("-t gret", TemplateError, "no template 'gret'; did you mean greet?"),
        ("-t greet", TemplateError, "template greet needs -p who VALUE"),
        ("-t greet -p woh x", TemplateError, "did you mean who?"),
        ("-p who x", UsageError, "-p goes with -t or --jinja"),
        ("--raw --jinja", UsageError, "--raw with --jinja"),
        ("-m a/b,c/d --chat x", UsageError, "-m a/b,c/d with --chat: a chat goes on with one"),
        ("-m a/b,c/d --map x", UsageError, "--map asks one model"),
        ("-m a/b,c/d --background", UsageError, "models side by side wait"),
        ("-m a/b,c/d --fallbacks e/f", UsageError, "every model answers for itself"),
        ("-m openai/a,opnai/b", LLMMagicError, "did you mean openai?"),
        ("--chat x --n 2", UsageError, "--chat with --n"),
        ("--chat x --background", UsageError, "--chat with --background"),
        ("--chat 'two words'", LLMMagicError, "'two words' is no name for a chat"),
        ("--map name", UsageError, "the prompt has no {{ item }}"),
        ("--map name --background", UsageError, "--map with --background"),
        ("--yes", UsageError, "--yes goes with --map"),
        ("--at-once 3", UsageError, "--at-once goes with --map"),
        ("--at-once 0 --map x", UsageError, "invalid number from 1 value: '0'"),
        ("--format mdd", UsageError, "--format mdd: did you mean md?"),
        ("--tols add", UsageError, "no option --tols; did you mean --tools or"),
    ],
)
def test_misuse_of_an_option_is_one_line(notebook, server, template, work, line, kind, told):
    template("Greet {{ who }}")
    (work / "note.txt").write_text("A note.")
    notebook.run("name = 'x'\ndef add(a: int) -> int: return a")

    message = notebook.fails(f"%%complete {line}\nWhy?", kind)

    assert told in message
    assert message.count("\n") == 0
    assert notebook.outputs == []
    assert server.count == 0


@pytest.mark.parametrize("line", ["--map names Why?"])
def test_what_needs_a_cell_is_refused_in_a_line(notebook, server, line):
    assert "--map needs %%complete" in notebook.fails(f"%complete {line}", UsageError)


def test_provenance_stays_with_every_answer(notebook, server):
    notebook.run("%%complete -o seed 7\nWhy?")

    assert notebook.outputs[-1]["data"][MIME_TYPE]["model"] == "openai/gpt-5-mini"


def test_provenance_has_the_arithmetic_of_the_cost_live_and_replayed(notebook, server):
    server.reply("so", usage=(1200, 380))

    for amount in ("cost", "saved"):
        notebook.run("%%complete\nWhy?")

        told = notebook.outputs[-1]["data"][MIME_TYPE]
        products = (
            count * Decimal(told["prices"].get(bucket, 0))
            for bucket, count in told["tokens"].items()
        )
        assert sum(products) == Decimal(told[amount]) > 0


def test_provenance_tells_the_attempts_before_the_answer_and_a_replay_none(notebook, server):
    server.fail(500, message="the model is down")
    cell = "%%complete --fallbacks openai/gpt-5-nano\nWhy?"

    notebook.run(cell)
    live = notebook.outputs[-1]["data"][MIME_TYPE]["attempts"]
    notebook.run(cell)
    replayed = notebook.outputs[-1]["data"][MIME_TYPE]["attempts"]

    assert [one["model"] for one in live] == ["openai/gpt-5-mini", "openai/gpt-5-nano"]
    assert "the model is down" in live[0]["error"]
    assert live[1]["error"] is None
    assert replayed == []
