"""What a ``%%complete`` cell sends: values in their places, and everything else as it stands."""

from __future__ import annotations

import contextlib
import sys
from collections import ChainMap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import TemplateError
from llm_magic.templates import expand

NAMES = {"x": 3, "name": "Ada", "d": {"}}": "found", "a": 1}, "__builtins__": __builtins__}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("{{ x }}", "3"),
        ("{{x}}{{name}}", "3Ada"),
        ("{{ name.upper() }}!", "ADA!"),
        ("{{ x + 1 }}", "4"),
        ("{{ -x }}", "-3"),
        ("{{ x, name }}", "(3, 'Ada')"),
        ('{{ {"a": 1}["a"] }}', "1"),
        ('{{ {"a": {"b": x}}["a"]["b"]}}', "3"),
        ('{{ f"{x}" }}', "3"),
        ("{{ f'{x}}}{{' }}", "3}{"),
        ('{{ d["}}"] }}', "found"),
        ("{{ d['}}']}}", "found"),
        ("{{ '''}}''' + name }}", "}}Ada"),
        ("{{ [\n  x,\n  x,\n][0] }}", "3"),
        ("{{ max(\n  x,  # isn't {this\n  1) }}", "3"),
        ("{{ x # isn't it }}", "3"),
        ("{{ max(\n  x,  # {not} ]\n  1) }}", "3"),
        ("{{ {x} }}", "{3}"),
        ("{{ [i * x for i in range(x)] }}", "[0, 3, 6]"),
        ("{{ (lambda y: x + y)(1) }}", "4"),
        ("{{ len(name) }}", "3"),
        ("style={{color: 'red'}} {{ x }}", "style={{color: 'red'}} 3"),
        ("$5 \\frac{{{ x }}}{2}", "$5 \\frac{3}{2}"),
    ],
)
def test_an_expression_becomes_its_value(text, sent):
    assert expand(text, NAMES) == sent


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"a": {"b": 1}}',
        '{"a":{"b":{"c":{}}}}',
        r"\frac{1}{2} and \sqrt{x}",
        "x^{{2}}",
        '{{"a"}}',
        "{{-1}}",
        "{{ None }}",
        "{{ {'a': 1} }}",
        "{{ '{{ x }}' }}",
        "{{}}",
        "{{   }}",
        "$5 and ${x}",
        'f"{x!r:>{width}}"',
        "{% if x %}{# note #}",
        "{{#if x}}yes{{/if}}",
        "{{#if x}}\nx }}",
        "{{/if}} {{> partial}} {{! x }}",
        "{{ .Values.x }} {{ range $i, $x }} {{- end -}}",
        'style={{color: "red"}}',
        "{{ x",
        "x }}",
        "{{ x } }",
        "{{ (x }}",
        "{{ it's }}",
        "{{ x\x00 }}",
        "{{ x y }}",
        "a\\b",
    ],
)
def test_what_is_no_expression_stays_as_it_stands(text):
    assert expand(text, NAMES) == text


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (r"\{{ x }}", "{{ x }}"),
        (r"\{{", "{{"),
        (r"\{{ x }} {{ x }}", "{{ x }} 3"),
        (r"a\{{b}}c", "a{{b}}c"),
        (r"{{ x }}\{{ x }}", "3{{ x }}"),
    ],
)
def test_a_backslash_sends_the_braces_themselves(text, sent):
    assert expand(text, NAMES) == sent


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_an_opening_is_unchanged(text):
    assert expand(text, {}) == text


@given(st.text(), st.text(alphabet="{}\\ x"))
def test_a_value_comes_out_verbatim_and_is_not_expanded_again(start, middle):
    value = start + middle + "{{ x }}"

    assert expand("a {{ x }} b {{ x }}", {"x": value}) == f"a {value} b {value}"


@given(st.text(alphabet="{}\\ x1'\"#f()[],.:\n"))
def test_any_text_is_sent_or_refused_with_our_error(text):
    with contextlib.suppress(TemplateError):
        expand(text, {"x": 1})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="f-strings of Python 3.12")
def test_quotes_come_again_in_the_braces_of_an_f_string():
    assert expand("""{{ f"{d["a"]}" }}""", NAMES) == "1"


def test_an_unknown_name_is_told_with_the_nearest_and_how_to_send_it():
    with pytest.raises(TemplateError) as caught:
        expand("Sum up {{ sumary + 1 }}", {"summary": "", "_summary": "", "x": 1})

    message = str(caught.value)
    assert message == (
        "no variable sumary for {{ sumary + 1 }}; did you mean summary? "
        r"(write \{{ to send it as it is, or use --raw)"
    )


def test_names_that_start_with_an_underscore_are_not_suggested():
    with pytest.raises(TemplateError) as caught:
        expand("{{ i1 }}", {"_i1": 1, "_i2": 1})

    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ 1 / zero }}", "ZeroDivisionError: division by zero"),
        ("{{ d['b'] }}", "KeyError: 'b'"),
        ("{{ bad }}", "RuntimeError: no str here"),
        ("{{ fails() }}", "NameError: name 'inner' is not defined"),
        ("{{ await zero }}", "SyntaxError"),
        ("{{ {{zero}} }}", "TypeError"),
    ],
)
def test_an_expression_that_fails_is_one_line_with_its_reason(text, told):
    class Bad:
        def __str__(self):
            raise RuntimeError("no\nstr\nhere")

    def fails():
        return inner  # noqa: F821

    with pytest.raises(TemplateError) as caught:
        expand(text, {"zero": 0, "d": {}, "bad": Bad(), "fails": fails})

    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("kind", [dict, ChainMap])
def test_nothing_is_added_to_the_namespace(kind):
    namespace = kind({"x": 1})

    assert expand("{{ [x for _ in [1]] }}", namespace) == "[1]"

    assert dict(namespace) == {"x": 1}


def test_text_that_is_no_code_gives_no_syntax_warning(recwarn):
    text = r'{{ "\d" is x: }} {{ 1 if 2else 3 }}'

    expand(text, {})

    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 20_000,
        "{{(" * 9_000,
        "{{ a: " * 5_000 + "}}" * 5_000,
        "{{ a b }}" * 5_000,
        "{{ 'a" * 5_000,
        '{{ f"{a ' * 100 + "}} " * 5_000,
    ],
)
@pytest.mark.timeout(20)
def test_text_full_of_braces_is_done_in_time(text):
    assert expand(text, {}) == text
