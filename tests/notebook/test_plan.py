"""``llm-magic plan``: what running a notebook would ask and cost, told without running it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from llm_magic import Client, cli, history
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.plan import VERSION, plan

MODEL = "%llm config model=openai/gpt-5-mini"
AMOUNT = re.compile(r"\$[\d.]+(?<!\.)")
LIVE = "at most $ (≈ $)"
OPEN = "at most $ under a budget (≈ $)"


@pytest.fixture
def planned(write_notebook):
    """Write a notebook and plan it."""

    def make(*cells, **options):
        return plan(write_notebook("analysis.ipynb", *cells), **options)

    return make


def told(found):
    """Each call as its cell and what is told of it, without the amounts."""
    return [(call.cell, AMOUNT.sub("$", str(call))) for call in found.calls]


def record(prompt, answer, server, **options):
    server.reply(answer)
    client = Client(".", model="openai/gpt-5-mini")
    client.complete(prompt, **options)
    client.close()
    server.clear()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param([], [], id="no cells"),
        pytest.param(["1 + 1", "%load_ext llm_magic", "%%bash\nls"], [], id="nothing asks"),
        pytest.param(["%%complete --max-tokens 9\nWhy?"], [(1, LIVE)], id="live"),
        pytest.param(["%%complete\nWhy?"], [(1, OPEN)], id="no limit"),
        pytest.param(["\n\n%%complete --max-tokens 9\nWhy?"], [(1, LIVE)], id="empty lines first"),
        pytest.param(["%complete --max-tokens 9 Why?"], [(1, LIVE)], id="in one line"),
        pytest.param(["x = %complete --max-tokens 9 Why?"], [(1, LIVE)], id="assigned"),
        pytest.param(["%%time\n%complete --max-tokens 9 Why?"], [(1, LIVE)], id="timed"),
        pytest.param(["%%complete --dry-run\nWhy?"], [], id="a dry run"),
        pytest.param(
            ["%%complete -m openai/my-own\nWhy?"], [(1, "unknown price")], id="unknown price"
        ),
        pytest.param(["%%complete -m echo/echo\nWhy?"], [(1, "at most $")], id="free"),
        pytest.param(
            ["%%complete --mode REPLAY\nWhy?"],
            [(1, "fails: not recorded, and the mode is REPLAY")],
            id="a miss",
        ),
        pytest.param(
            ["%%complete --refesh\nWhy?"],
            [(1, "fails: no option --refesh; did you mean --refresh or --retries or --yes?")],
            id="a wrong option",
        ),
        pytest.param(
            ["%%complete -m nobody/x\nWhy?", "%llm mode REPLY"],
            [
                (1, "fails: Unknown provider: nobody"),
                (2, "fails: unknown mode 'REPLY'; did you mean REPLAY?"),
            ],
            id="a wrong name",
        ),
        pytest.param(
            ["%complete --max-tokens 9 Why?\n%complete --max-tokens 9 How?"],
            [(1, LIVE), (1, LIVE)],
            id="two in a cell",
        ),
    ],
)
def test_what_is_told_of_a_notebook(planned, server, cells, expected):
    found = planned(MODEL, *cells)

    heard = [(cell - 1, text) for cell, text in told(found)]
    assert [cell for cell, _ in heard] == [cell for cell, _ in expected]
    for (_, text), (_, beginning) in zip(heard, expected, strict=True):
        # The rest of a failure is advice.
        assert text == beginning or (text.startswith("fails: ") and text.startswith(beginning))
    assert server.requests == []


# What is known without running a cell


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param(["a = 'x'", "{{ a }}"], LIVE, id="text"),
        pytest.param(["a: int = 3", "{{ a }}"], LIVE, id="annotated"),
        pytest.param(["a = b = ['x']", "{{ a[0].upper() }} {{ len(b) }}"], LIVE, id="a list"),
        pytest.param(["a = {'k': ['x']}", "{{ ', '.join(i for i in a['k']) }}"], LIVE, id="a dict"),
        pytest.param(["", 'x^{{2}} {{#if}} {"n": {}}'], LIVE, id="no expression"),
        pytest.param(["", "{{ a }}"], "cannot know (needs a)", id="bound nowhere"),
        pytest.param(["a = open('x').read()", "{{ a }}"], "cannot know (needs cell 2)", id="code"),
        pytest.param(["a = 'x'\na += 'y'", "{{ a }}"], "cannot know (needs cell 2)", id="changed"),
        pytest.param(["a = ['x']\na.append(1)", "{{ a }}"], "cannot know (needs cell 2)", id="add"),
        pytest.param(["a = ['x']\na[0] = 1", "{{ a }}"], "cannot know (needs cell 2)", id="item"),
        pytest.param(["a = ['x']\nf(a)", "{{ a }}"], "cannot know (needs cell 2)", id="handed on"),
        pytest.param(["a = ['x']\nprint(a, a[0])", "{{ a }}"], LIVE, id="looked at"),
        pytest.param(["a = ['x']\nfor i in a: print(i)", "{{ a }}"], LIVE, id="walked through"),
        pytest.param(["a = 'x'\nf(a)", "{{ a }}"], LIVE, id="text does not change"),
        pytest.param(["import a", "{{ a }}"], "cannot know (needs cell 2)", id="a module"),
        pytest.param(["def a(): pass", "{{ a }}"], "cannot know (needs cell 2)", id="a function"),
        pytest.param(["for a in 'x': pass", "{{ a }}"], "cannot know (needs cell 2)", id="a loop"),
        pytest.param(
            ["a = 'x'\nexec('a = 2')", "{{ a }}"], "cannot know (needs cell 2)", id="exec"
        ),
        pytest.param(
            ["a = 'x'\nfrom m import *", "{{ a }}"], "cannot know (needs cell 2)", id="a star"
        ),
        pytest.param(
            ["def f():\n    global a\n    a = 1\na = 'x'\nf()", "{{ a }}"],
            "cannot know (needs cell 2)",
            id="bound from inside",
        ),
        pytest.param(["a = 'x'\n%store -r", "{{ a }}"], "cannot know (needs cell 2)", id="store"),
        pytest.param(
            ["a = 'x'\nget_ipython().push({'a': 1})", "{{ a }}"],
            "cannot know (needs cell 2)",
            id="the shell itself",
        ),
        pytest.param(["a = 'x'\nb = [a for a in 'yz']", "{{ a }}"], LIVE, id="a name of its own"),
        pytest.param(
            ["", "{{ open('secret').read() }}"], "cannot know (needs open)", id="a function of code"
        ),
        pytest.param(
            ["a = 'x'", "{{ a.__class__ }}"],
            "cannot know ({{ a.__class__ }} runs code)",
            id="dunder",
        ),
        pytest.param(
            ["a = 'x'", "{{ a * 10**12 }}"],
            "cannot know ({{ a * 10 ** 12 }} runs code)",
            id="endless",
        ),
        pytest.param(
            ["a = 'x' * 9\na = 'xy'", "{{ a.join(a) }}"],
            "cannot know ({{ a.join(a) }} runs code)",
            id="a very long text",
        ),
        pytest.param(
            ["a = 'xy'", "{{ [i for i in a for j in a] }}"],
            "cannot know ({{ [i for i in a for j in a] }} runs code)",
            id="loops in loops",
        ),
        pytest.param(
            [f"a = '{'x' * 20_000}'", "{{ [a for i in a] }}"],
            "cannot know ({{ [a for i in a] }} runs code)",
            id="a long loop",
        ),
        pytest.param(["a = ['x']", "{{ a[1] }}"], "fails: {{ a[1] }} failed", id="it fails"),
    ],
)
def test_what_a_prompt_needs(planned, server, cells, expected):
    code, prompt = cells

    found = planned(MODEL, code, f"%%complete --max-tokens 9\n{prompt}")

    ((cell, text),) = told(found)
    assert (cell, text[: len(expected)]) == (3, expected)


def test_the_prompt_is_that_which_the_cell_would_send(planned, server):
    found = planned(MODEL, "a = ['x', 'y']", "%%complete\n{{ ', '.join(a) }} or {{ len(a) }}?")

    assert found.calls[0].preview.request.last_text == "x, y or 2?"


def test_raw_and_one_line_are_sent_as_they_stand(planned, server):
    found = planned(MODEL, "%%complete --raw\n{{ a }}", "%complete {{ a }}")

    assert [call.preview.request.last_text for call in found.calls] == ["{{ a }}", "{{ a }}"]


# Answers


def test_a_recorded_answer_is_known_to_the_cells_below(planned, server):
    record("Name a fruit.", "Kiwi", server)

    found = planned(
        MODEL,
        "%%complete --out fruit\nName a fruit.",
        "%%complete --max-tokens 9\nIs {{ fruit.lower() }} sweet?",
    )

    assert told(found) == [(2, "replay"), (3, LIVE)]
    assert found.calls[1].preview.request.last_text == "Is kiwi sweet?"


def test_an_assigned_answer_is_known_too(planned, server):
    record("Name a fruit.", "Kiwi", server)

    found = planned(MODEL, "fruit = %complete Name a fruit.", "%%complete\nIs {{ fruit }} sweet?")

    assert found.calls[1].preview.request.last_text == "Is Kiwi sweet?"


@pytest.mark.parametrize("options", ["--schema 'name, sweet bool'", "--format json"])
def test_recorded_data_are_known_as_data(planned, server, options):
    schema = {"schema": "name, sweet bool"} if "schema" in options else {}
    record("A fruit?", '{"name": "Kiwi", "sweet": true}', server, **schema)

    found = planned(
        MODEL, f"%%complete {options} --out fruit\nA fruit?", "%%complete\n{{ fruit['name'] }}?"
    )

    assert found.calls[1].preview.request.last_text == "Kiwi?"


@pytest.mark.parametrize("options", ["--refresh", "--mode DISABLED", "--mode CAPTURE"])
def test_a_new_answer_is_not_the_recorded_one(planned, server, options):
    record("Name a fruit.", "Kiwi", server)

    found = planned(
        MODEL, f"%%complete {options} --out fruit\nName a fruit.", "%%complete\n{{ fruit }}?"
    )

    assert told(found) == [(2, OPEN), (3, "cannot know (needs cell 2)")]


def test_an_answer_that_is_not_recorded_needs_its_cell(planned, server):
    found = planned(
        MODEL,
        "%%complete --out a\nWhy?",
        "%%complete --out b\nOf {{ a }}?",
        "%%complete\nOf {{ b }}?",
    )

    assert told(found)[1:] == [(3, "cannot know (needs cell 2)"), (4, "cannot know (needs cell 3)")]


def test_a_cell_that_asks_the_same_replays_the_answer_to_come(planned, server):
    found = planned(MODEL, *["%%complete --max-tokens 9 --out a\nWhy?"] * 2, "%%complete\n{{ a }}")

    assert told(found) == [
        (2, LIVE),
        (3, "replay (of the answer to cell 2)"),
        (4, "cannot know (needs cell 2)"),
    ]


def test_what_a_budget_may_cut_short_is_asked_again(planned, server):
    found = planned(MODEL, "%llm budget 1", *["%%complete\nWhy?"] * 2)

    assert told(found) == [(3, LIVE), (4, LIVE)]


def test_captured_calls_in_one_cell_are_all_asked(planned, server):
    found = planned(MODEL, "\n".join(["%complete --refresh --max-tokens 9 Why?"] * 3))

    assert told(found) == [(2, LIVE)] * 3
    assert [call.preview.ordinal for call in found.calls] == [0, 1, 2]


# Settings of the notebook


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%llm mode REPLAY", "fails: not recorded, and the mode is REPLAY"),
        ("%llm config mode=REPLAY", "fails: not recorded, and the mode is REPLAY"),
        ("%llm config model=echo/echo", "at most $"),
        ("%llm budget 0.5", LIVE),
        ("%llm budget 0.5 --per day", LIVE),
        ("%llm status", OPEN),
        ("%env LLM_MAGIC_MODE=REPLAY", "cannot know (needs cell 2)"),
        ("import os; os.environ['LLM_MAGIC_MODE'] = 'REPLAY'", "cannot know (needs cell 2)"),
        ("if 1:\n    %llm mode REPLAY", "cannot know (needs cell 2)"),
        ("llm mode REPLAY", "cannot know (needs cell 2)"),
    ],
)
def test_what_a_line_sets_counts_below_it(planned, server, line, expected):
    found = planned(MODEL, line, "%%complete\nWhy?")

    assert told(found)[-1] == (3, expected)


def test_an_alias_of_the_notebook_is_understood(planned, server):
    found = planned("%llm alias fast=openai/gpt-5-nano", "%%complete -m fast\nWhy?")

    assert found.calls[0].preview.reference == "openai/gpt-5-nano"


def test_a_plan_changes_no_settings_of_the_process(planned, server):
    planned(MODEL, "%llm mode REPLAY", "%llm budget 1")

    assert Client().settings.session == {}


def test_replay_from_outside_is_not_loosened(planned, server, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")

    found = planned(MODEL, "%llm mode CAPTURE", "%%complete\nWhy?")

    assert told(found) == [(3, "fails: not recorded, and the mode is REPLAY")]


# Python that asks a model


@pytest.mark.parametrize(
    "code",
    [
        "from llm_magic import complete\ncomplete('Why?')",
        "from llm_magic import complete as ask\nx = ask('Why?').text",
        "import llm_magic\nllm_magic.complete('Why?')",
        "import llm_magic as lm\nx = [lm.complete(p) for p in 'ab']",
        "from llm_magic import *\nprint(complete('Why?'))",
        "from llm_magic import acomplete\nawait acomplete('Why?')",
        "from llm_magic import Client\nc = Client('.')\nc.complete('Why?')",
        "from llm_magic import complete\nlist(map(complete, 'ab'))",
        "from llm_magic import complete\ndef f(p): return complete(p)\nf('Why?')",
        "from llm_magic import complete\nf = lambda p: complete(p)\nf('Why?')",
        "from llm_magic import complete\nclass A:\n    def f(self): complete('?')\na = A()\na.f()",
        "from llm_magic import complete\nif 1:\n    for p in 'ab':\n        complete(p)",
        "from llm_magic.compat.hopenai import get_completion\nget_completion('Why?')",
        "import llm_magic.compat.onellm\nllm_magic.compat.onellm.ChatCompletion.create()",
        "import openai\nopenai.OpenAI().responses.create()",
        "from openai import OpenAI\nclient = OpenAI()\nclient.chat.completions.create()",
        "from anthropic import Anthropic\nwith Anthropic() as c:\n    c.messages.create()",
        "import litellm\nlitellm.completion('Why?')",
        "import openai\nagent = Agent(model=openai.OpenAI())\nagent.run('Why?')",
        "import openai\nchain = Chain.of(llm=openai.OpenAI())\nchain('Why?')",
        "import openai\nThread(target=openai.chat).start()",
        "%time __import__('x'); from llm_magic import complete; complete('Why?')",
    ],
)
def test_code_that_asks_is_told(planned, server, code):
    assert told(planned(code)) == [(1, "cannot know (Python code asks a model)")]


@pytest.mark.parametrize(
    "code",
    [
        "from llm_magic import complete",
        "from llm_magic import complete\ndef f(p): return complete(p)",
        "import llm_magic\nllm_magic.history.to_pandas()",
        "from llm_magic import Client\nc = Client('.')\nc.history.totals()\nc.preview('Why?')",
        "from llm_magic import budget, run\nwith budget(1), run('x'):\n    pass",
        "from openai import OpenAI\nclient = OpenAI(api_key='x')",
        "from openai import OpenAI\nagent = Agent(model=OpenAI())",
        "import openai\ntry:\n    f()\nexcept openai.OpenAIError as error:\n    show(error)",
        "import openai\nprint(openai.__version__)\nopenai.api_key = 'x'",
        "complete = str\ncomplete('Why?')",
        "from llm_magic import complete\ncomplete = str\ncomplete('Why?')",
    ],
)
def test_code_that_asks_nothing_is_not_listed(planned, server, code):
    assert planned(code).calls == ()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("for p in 'ab':\n    %complete Why?", "a loop, function or condition asks"),
        ("def f():\n    %complete Why?", "a loop, function or condition asks"),
        ("%%timeit\n%complete Why?", "it runs many times"),
        ("%run other.ipynb", "it runs another file"),
        ("x = = 1", "it is no Python that is understood here"),
        ("x = " + " + ".join(["'a'"] * 5000), "it is no Python that is understood here"),
    ],
)
def test_cells_that_nobody_can_know_say_why(planned, server, code, reason):
    assert told(planned(MODEL, code)) == [(2, f"cannot know ({reason})")]


# In a running kernel


def test_a_kernel_helps_out_with_plain_values_and_it_is_said(planned, server):
    cells = [MODEL, "a = load()", "%%complete --max-tokens 9\n{{ a }} {{ b }}"]

    found = planned(*cells, namespace={"a": ["x"], "b": 2, "c": 3})

    assert found.calls[0].preview.request.last_text == "['x'] 2"
    assert found.remarks() == ["with values of this kernel: a, b"]


def test_a_kernels_objects_are_left_alone(planned, server):
    class Loud:
        def __str__(self):
            raise AssertionError("code of the user ran")

    found = planned(MODEL, "%%complete\n{{ a }}", namespace={"a": Loud()})

    assert told(found) == [(2, "cannot know (needs a)")]


def test_an_older_answer_in_the_kernel_is_not_the_one_to_come(planned, server):
    cells = [MODEL, "%%complete --out a\nWhy?", "b = a.upper()", "%%complete\n{{ a }} {{ b }}"]

    found = planned(*cells, namespace={"a": "old", "b": "OLD"})

    assert told(found)[1][0] == 4
    assert told(found)[1][1].startswith("cannot know (needs cell ")


def test_the_magic_plans_with_the_kernels_settings_and_values(notebook, server, write_notebook):
    write_notebook("analysis.ipynb", "%%complete --max-tokens 9\n{{ a }}?")
    notebook.run("a = 'x'")

    found = notebook.run("%llm plan analysis.ipynb")

    assert told(found) == [(1, LIVE)]
    assert found.calls[0].preview.request.last_text == "x?"
    assert "with values of this kernel: a" in repr(found)
    assert server.requests == []


def test_the_magic_knows_the_notebook_that_runs(notebook, server, write_notebook, monkeypatch):
    path = write_notebook("analysis.ipynb", "%%complete -m echo/echo\nWhy?")
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(path))

    assert notebook.run("%llm plan").notebook == "analysis.ipynb"


# Totals and budgets


def test_the_total_is_the_sum_of_the_calls(planned, server):
    record("Known?", "Yes", server)
    found = planned(
        MODEL,
        "%%complete\nKnown?",
        "%%complete --max-tokens 9\nWhy?",
        "%%complete --max-tokens 900\nHow?",
        "%%complete -m openai/my-own\nWho?",
        "%%complete\n{{ x }}",
        "%%complete --mode REPLAY\nWhen?",
    )

    first, second = (call.preview for call in found.calls[1:3])
    assert found.most == first.most + second.most > found.least == first.least + second.least > 0
    assert AMOUNT.sub("$", found.total) == (
        "at most $ for 2 calls, 1 replay, 1 cell that nobody can know, 1 call of unknown price,"
        " 1 call that would fail"
    )


def test_a_total_leaves_out_what_there_is_none_of(planned, server):
    found = planned(MODEL, "%%complete --max-tokens 9\nWhy?")

    assert AMOUNT.sub("$", found.total) == "at most $ for 1 call, 0 replays"


def test_a_total_that_holds_under_a_budget_only_says_so(planned, server):
    found = planned(MODEL, "%%complete\nWhy?")

    assert AMOUNT.sub("$", found.total).startswith("at most $ under a budget for 1 call,")
    assert found.remarks() == [
        "nothing limits an answer without --max-tokens and a budget: %llm budget USD sets one"
    ]
    assert found.to_dict()["total"]["most"] is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%llm budget 1", "budget per session: $1.00 of $1.00 left, which is enough"),
        (
            "%llm budget 0.00001",
            "budget per session: $0.00001 of $0.00001 left, which is not enough: what could go over"
            " it is refused",
        ),
        ("%llm budget 0.003 --per call", "budget per call: $0.003 of $0.003 left, which is enough"),
        ("%llm budget 0.003 --per cell", "budget per cell: $0.003 of $0.003 left, which is enough"),
    ],
)
def test_a_budget_is_compared_with_what_it_is_for(planned, server, line, told):
    found = planned(
        MODEL, line, *["%%complete --max-tokens 1000\nWhy?", "%%complete --max-tokens 999\n?"]
    )

    assert found.most > Decimal("0.003")
    assert found.remarks() == [told]


def test_a_budget_is_not_said_to_be_enough_for_what_nobody_knows(planned, server):
    found = planned("%llm budget 1", "%%complete\n{{ x }}")

    assert found.remarks() == [
        "budget per session: $1.00 of $1.00 left, which is enough for these, and nobody knows of"
        " the others"
    ]


def test_planning_writes_nothing(planned, server):
    planned(MODEL, "%llm budget 1 --per day", "%%complete\nWhy?")

    assert [path.name for path in Path.cwd().iterdir()] == ["analysis.ipynb"]


@pytest.mark.parametrize(
    "cells",
    [
        ["%%complete --max-tokens 50\nWhy?", "%complete --max-tokens 7 How?"],
        ["%llm budget 1", "%%complete\nWhy?", "%%complete\nWhy?"],
        [
            "a = ['x'] * 1\na = ['x', 'y']",
            "%%complete --max-tokens 9 -s short\n{{ a }} ümläut 漢字?",
        ],
        ["%%complete --max-tokens 9 --schema 'name, age int'\nWho?"],
        [
            "\n".join(["%complete --refresh --max-tokens 30 Why?"] * 3),
            "%complete --max-tokens 30 Why?",
        ],
        ["%%complete -m anthropic/claude-sonnet-4-6 --max-tokens 50\nWhy?"],
        [
            "%%complete --max-tokens 5 --out a\nWhy?",
            "%%complete --max-tokens 5 --mode DISABLED\nWhy?",
        ],
    ],
)
def test_a_run_never_costs_more_than_was_planned(planned, notebook, server, cells):
    found = planned(MODEL, *cells)
    live = [call.preview for call in found.calls if call.status == "live"]
    for one in live:
        output = one.bound.output_tokens or one.limit
        # An answer in the shape that a schema asks for, with all the tokens that it may have.
        text = '{"name": "Ada", "age": 36}'
        server.reply(text, usage=(one.bound.input_tokens, output), finish_reason="length")

    for cell in cells:
        notebook.run(cell)

    assert len(server.requests) == len(live) > 0
    assert 0 < history.default().totals().spent <= found.most


# The command


def test_the_command_prints_a_table_and_the_total(write_notebook, server, capsys):
    path = write_notebook(
        "a.ipynb", MODEL, "%%complete --max-tokens 9\nWhy?", "%%complete\n{{ x }}"
    )

    assert cli.main(["plan", str(path)]) == 0

    lines = AMOUNT.sub("$", capsys.readouterr().out).splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["cell", "2", "3"]
    assert lines[3] == ("a.ipynb: at most $ for 1 call, 0 replays, 1 cell that nobody can know")
    assert server.requests == []


def test_the_command_takes_the_mode_and_the_budget_of_a_run(write_notebook, server, capsys):
    record("Why?", "So.", server)
    path = write_notebook("a.ipynb", MODEL, "%%complete\nWhy?")

    assert cli.main(["plan", str(path), "--mode", "CAPTURE", "--budget", "1"]) == 0

    told = AMOUNT.sub("$", capsys.readouterr().out)
    assert LIVE in told
    assert "budget per session: $ of $ left, which is enough" in told


def test_json_is_one_document_of_a_fixed_shape(write_notebook, server, capsys):
    path = write_notebook(
        "a.ipynb", MODEL, "%%complete --max-tokens 9\nWhy?", "%%complete\n{{ x }}"
    )

    assert cli.main(["plan", "--json", str(path)]) == 0

    document = json.loads(capsys.readouterr().out)
    assert set(document) == {
        "version",
        "notebook",
        "cells",
        "total",
        "budgets",
        "from_kernel",
        "calls",
    }
    assert (document["version"], document["notebook"], document["cells"]) == (VERSION, "a.ipynb", 3)
    live, unknown = document["calls"]
    assert live["most"] == document["total"]["most"] == document["total"]["most_under_budget"]
    assert (live["cell"], live["status"], live["model"]) == (2, "live", "openai/gpt-5-mini")
    assert unknown == {
        "cell": 3,
        "line": "%%complete",
        "status": "unknown",
        "reason": "needs x",
    }


def test_without_a_notebook_it_ends_with_1(capsys):
    assert cli.main(["plan", "none.ipynb"]) == 1

    assert capsys.readouterr().err == "llm-magic: there is no notebook none.ipynb\n"


def test_what_is_no_notebook_is_an_error(capsys):
    Path("a.ipynb").write_text("{}")

    assert cli.main(["plan", "a.ipynb"]) == 1
    with pytest.raises(LLMMagicError, match="is not a notebook"):
        plan(Path("a.ipynb"))


def test_a_plan_is_safe_to_show(planned, server):
    found = planned(MODEL, "%%complete -m openai/<script>alert(1)</script>\nWhy? \x1b[31m")

    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%complete --max-tokens 9 -m openai/gpt-5-mini,openai/gpt-5\nWhy?", [LIVE, LIVE]),
        ("%%complete --max-tokens 9 -o seed 7 --n 2\nWhy?", [LIVE]),
        ("%%complete -t greet -p who Ada -o max_tokens 9\nmore", [LIVE]),
        ("%%complete --max-tokens 9 --background --out x\nWhy?", [LIVE]),
        ("%%complete --chat talk\nWhy?", ["cannot know (it goes on with a chat)"]),
        ("%%complete --map items\n{{ item }}", ["cannot know (it asks once for each item)"]),
        ("%%complete --tools double\nWhy?", ["cannot know (needs cell 2)"]),
        ("%%complete --file frame\nWhy?", ["cannot know (needs cell 2)"]),
        ("%%complete -t gret\nWhy?", ["fails: no template 'gret'; did you mean greet?"]),
        ("%%complete --tools nope\nWhy?", ["fails: --tools nope: no such function"]),
        ("%%complete --yes\nWhy?", ["fails: --yes goes with --map"]),
    ],
)
def test_every_option_is_seen_or_told_to_be_unknown(planned, server, cell, expected):
    Path("prompts").mkdir()
    Path("prompts/greet.md").write_text("Greet {{ who }}")
    made = "import pandas\nframe = pandas.DataFrame()\ndef double(n): return 2 * n"

    found = planned(MODEL, made, cell)

    assert told(found) == [(3, one) for one in expected]


def test_what_waits_for_a_background_answer_is_unknown(planned, server):
    record("Why?", "Because.", server)

    found = planned(MODEL, "%%complete --background --out later\nWhy?", "%%complete\n{{ later }}?")

    assert [text for _, text in told(found)] == ["replay", "cannot know (needs cell 2)"]
