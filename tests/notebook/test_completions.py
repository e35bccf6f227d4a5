"""The Tab key: options, models, names, in a terminal and in a front end."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_magic.notebook import completions

NAMES = {"frame": 1, "figure": 2, "_hidden": 3, "fetch": print, "In": []}


def offered(line):
    found = completions.complete(line, NAMES)
    return [] if found is None else found.words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%complete --temp", ["--temperature", "--template"]),
        ("%%complete -T 0 --re", ["--refresh", "--retries"]),
        ("answer = %complete --dry", ["--dry-run"]),
        ("    x = %complete --dry", ["--dry-run"]),
        ("%%complete -m op", ["openai/", "openrouter/"]),
        ("%%complete --model=ech", ["echo/"]),
        ("%%complete -m echo/", ["echo/echo"]),
        ("%%complete -m echo/echo,openai/gpt-5-mini-2025", []),
        ("%%complete -m echo/echo,ech", ["echo/"]),
        ("%%complete --fallbacks ech", ["echo/"]),
        ("%%complete --mode RE", ["REPLAY"]),
        ("%%complete --format j", ["json"]),
        ("%%complete --format=j", ["json"]),
        ("%%complete --tools f", ["fetch"]),
        ("%%complete --tools fetch,f", ["fetch"]),
        ("%%complete --file f", ["fetch", "figure", "frame"]),
        ("%%complete --map fr", ["frame"]),
        ("%%complete -o see", ["seed"]),
        ("%%complete -o seed s", []),
        ("%%complete -t gr", ["greet"]),
        ("%%complete --chat t", ["talk"]),
        ("%%complete -s so", []),
        ("%%complete Why --te", ["--temperature", "--template"]),
        ("%llm ch", ["chats"]),
        ("%llm chats s", ["show"]),
        ("%llm chats show t", ["talk"]),
        ("%llm template show gr", ["greet"]),
        ("%llm mode DIS", ["DISABLED"]),
        ("%llm config conf", ["confirm_above="]),
        ("%llm config model=ech", ["echo/"]),
        ("%llm config mode=RE", ["REPLAY"]),
        ("%llm config timeout=1", []),
        ("%llm budget 1 --per da", ["day"]),
        ("%llm nonsense x", []),
        ("print(x) --te", []),
        ("%completely --te", []),
    ],
)
def test_what_is_offered(notebook, server, line, words):
    Path("prompts").mkdir()
    Path("prompts/greet.md").write_text("Hi")
    notebook.run("%complete --chat talk Hi")

    assert offered(line) == words


def test_models_of_the_price_list_and_the_users_own_words_are_offered(notebook):
    notebook.run("%llm alias fast=openai/gpt-5-mini")

    assert "openai/gpt-5-mini" in offered("%%complete -m openai/gpt-5")
    assert offered("%%complete -m fas") == ["fast"]


def tab(shell, text):
    """What IPython itself offers at the end of a text."""
    return [found.text for found in shell.Completer.completions(text, len(text))]


@pytest.mark.filterwarnings("ignore::IPython.core.completer.ProvisionalCompleterWarning")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%%complete --temp", ["--temperature", "--template"]),
        ("x = 1\nanswer = %complete -m ech", ["echo/"]),
        ("%%complete -m=ech", ["echo/"]),
        ("%llm config mode=RE", ["REPLAY"]),
    ],
)
def test_the_tab_key_offers_ours_alone(notebook, text, words):
    assert tab(notebook.shell, text) == words


@pytest.mark.filterwarnings("ignore::IPython.core.completer.ProvisionalCompleterWarning")
def test_the_tab_key_offers_files_beside_variables(notebook):
    Path("figures.png").write_bytes(b"x")
    notebook.names["figure"] = 1

    assert {"figure", "figures.png"} <= set(tab(notebook.shell, "%%complete --file fig"))


def test_the_tab_key_answers_at_once_and_loads_no_sdk(run_python):
    done = run_python(
        "import sys, time\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'llm_magic')\n"
        "from llm_magic.notebook import completions\n"
        "lines = ['%%complete --', '%%complete -m openai/', '%llm ', '%llm config ']\n"
        "for line in lines: assert completions.complete(line, {}).words\n"
        "began = time.perf_counter()\n"
        "for line in lines: completions.complete(line, {})\n"
        "print((time.perf_counter() - began) / len(lines))\n"
        "print(sorted({'openai', 'anthropic', 'pandas', 'nbformat'} & set(sys.modules)))\n"
    )

    seconds, loaded = done.stdout.splitlines()[-2:]
    assert float(seconds) < 0.05, done.stdout
    assert loaded == "[]"
