"""Jinja templates: sandboxed, strict, and with the given values alone."""

from __future__ import annotations

import sys

import pytest

from llm_magic.exceptions import TemplateError
from llm_magic.jinja_templates import render, variables
from llm_magic.named_templates import NamedTemplate


def test_values_go_in_as_they_are() -> None:
    assert render("t", "<{{ a }}>\n", {"a": "<b>{{ c }}</b>"}) == "<<b>{{ c }}</b>>\n"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ a.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ (lambda: 1)() }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ a.append(1) }}",
    ],
)
def test_a_template_reaches_nothing_beyond_its_values(text: str) -> None:
    values = {"a": [0]}

    with pytest.raises(TemplateError, match="template t"):
        render("t", text, values)

    assert values == {"a": [0]}


def test_a_named_template_may_be_jinja() -> None:
    template = NamedTemplate(
        "t",
        "{% for x in names %}{{ x }};{% endfor %}{{ input }}",
        system="{{ tone|default('-') }}",
        defaults={"names": ["a", "b"]},
    )

    assert template.fill({}, "body\n", jinja=True) == ("a;b;body", "-")
    with pytest.raises(TemplateError, match=r"no \{\{ tnoe \}\}; did you mean tone"):
        template.fill({"tnoe": "x"}, jinja=True)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(TemplateError, match="'a' is undefined; -p NAME VALUE gives it one"):
        render("t", "{{ a }}", {})


def test_without_jinja_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)

    with pytest.raises(TemplateError, match="llm-magic\\[jinja\\]"):
        variables("t", "{{ a }}")
