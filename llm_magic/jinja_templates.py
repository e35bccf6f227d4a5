"""Jinja templates, for those who have the extra: sandboxed, strict, and without your variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magic.exceptions import TemplateError

__all__ = ["render", "variables"]


def _environment() -> Any:
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise TemplateError("--jinja needs Jinja: pip install 'llm-magic[jinja]'") from None
    # A prompt is no HTML: escaping it would change what is asked.
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )


def variables(name: str, *texts: str) -> list[str]:
    """The names that the texts of a template ask for, sorted.

    >>> variables("t", "{% for x in names %}{{ x }} {{ end }}{% endfor %}")
    ['end', 'names']

    Raises
    ------
    TemplateError
        For what is no Jinja, and where Jinja is not installed.
    """
    environment = _environment()
    from jinja2 import TemplateSyntaxError, meta

    try:
        found = [meta.find_undeclared_variables(environment.parse(text)) for text in texts]
    except TemplateSyntaxError as error:
        raise _failed(name, error) from None
    return sorted(set().union(*found))


def render(name: str, text: str, values: Mapping[str, Any]) -> str:
    """The text of a template with its values.

    Raises
    ------
    TemplateError
        For a variable without a value, for what the sandbox refuses, and for whatever else fails
        in it; one line.
    """
    try:
        return str(_environment().from_string(text).render(values))
    except TemplateError:
        raise
    # What a template says decides what it raises: filters and arithmetic, too.
    except Exception as error:
        raise _failed(name, error) from None


def _failed(name: str, error: Exception) -> TemplateError:
    line = getattr(error, "lineno", None)
    place = f"template {name}, line {line}" if line else f"template {name}"
    reason = " ".join(str(error).split()) or type(error).__name__
    hint = "; -p NAME VALUE gives it one" if reason.endswith("is undefined") else ""
    return TemplateError(f"{place}: {reason}{hint}")
