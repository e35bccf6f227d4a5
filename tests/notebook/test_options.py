"""The first line of a magic: words, quotes, values, and the text after them."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from llm_magic.notebook.magics import CompleteMagics
from llm_magic.notebook.options import parse_cell_line, parse_line

PARSER = CompleteMagics.complete.parser


def parse(line):
    """Only the options that the line sets, and the rest."""
    options, rest = parse_line(PARSER, line)
    unset = {action.dest: action.default for action in PARSER._actions}
    return {name: value for name, value in vars(options).items() if value != unset.get(name)}, rest


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("", {}, ""),
        ("   ", {}, ""),
        ("hello", {}, "hello"),
        ("  hello   there ", {}, "hello   there"),
        ("-m a/b hello", {"model": "a/b"}, "hello"),
        ("-m=a/b hello", {"model": "a/b"}, "hello"),
        ("--model=a/b hello", {"model": "a/b"}, "hello"),
        ("--model   a/b    hello", {"model": "a/b"}, "hello"),
        ("-T.5 hello", {"temperature": 0.5}, "hello"),
        ("-T -1 hello", {"temperature": -1.0}, "hello"),
        ('-s "two words" hello', {"system": "two words"}, "hello"),
        ("-s 'two words' hello", {"system": "two words"}, "hello"),
        ("--system='two words' hello", {"system": "two words"}, "hello"),
        ("""-s "it's" hello""", {"system": "it's"}, "hello"),
        (r'-s "say \"hi\"" hello', {"system": 'say "hi"'}, "hello"),
        (r"-s two\ words hello", {"system": "two words"}, "hello"),
        (r"-s it\'s hello", {"system": "it's"}, "hello"),
        ('-s "" hello', {"system": ""}, "hello"),
        ("--system= hello", {"system": ""}, "hello"),
        ("-s a=b hello", {"system": "a=b"}, "hello"),
        ("-s -x hello", {"system": "-x"}, "hello"),
        ("-s --raw hello", {"system": "--raw"}, "hello"),
        ("--raw --refresh hello", {"raw": True, "refresh": True}, "hello"),
        ("-- --raw", {}, "--raw"),
        ("--raw -- -x", {"raw": True}, "-x"),
        ("hello --raw", {}, "hello --raw"),
        ("what's new", {}, "what's new"),
        ("'tis", {}, "'tis"),
        ('"hello"', {}, "hello"),
        ("'hello there'", {}, "hello there"),
        ('"a" and "b"', {}, '"a" and "b"'),
        ("'", {}, "'"),
    ],
)
def test_options_come_first_and_the_rest_is_text(line, options, rest):
    assert parse(line) == (options, rest)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--modle a/b", "no option --modle; did you mean --mode"),
        ("--temp 1", "no option --temp; did you mean --template or --temperature?"),
        ("--max 1", "no option --max; use one of: --max-tokens"),
        ("-q 1", "no option -q; use one of: "),
        ("-", "no option -"),
        ("--raw=1 x", "--raw stands without '1'"),
        ("-m", "-m needs a value: -m MODEL"),
        ("--format", "--format needs a value: --format md|text|code|json|html|none"),
        ("-s it's brief", "a quote is open in: it's"),
        ("-s 'brief", "a quote is open in: 'brief"),
        ("-T x", "-T: invalid float value: 'x'"),
    ],
)
def test_a_mistake_is_one_line(line, told):
    with pytest.raises(UsageError) as caught:
        parse_line(PARSER, line)

    assert told in str(caught.value).replace("argument -T/--temperature", "-T")
    assert "\n" not in str(caught.value)


def test_the_line_of_a_cell_takes_nothing_but_options():
    assert parse_cell_line(PARSER, "-T 0").temperature == 0
    with pytest.raises(UsageError, match="unexpected 'why' in the first line"):
        parse_cell_line(PARSER, "-T 0 why not")
