"""``%llm template``: named templates, and what the last cell asked as a new one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.error import UsageError

from llm_magic import config, named_templates, templates
from llm_magic.exceptions import TemplateError, did_you_mean
from llm_magic.named_templates import NamedTemplate
from llm_magic.notebook import display
from llm_magic.notebook.asking import Asked
from llm_magic.notebook.options import no_words, one_word
from llm_magic.notebook.tables import Table

__all__ = ["COMMANDS", "Source", "command", "remember"]

_last: Asked | None = None


def remember(asked: Asked | None) -> None:
    """Keep what a cell asked, for ``%llm template save``."""
    global _last
    _last = asked


class Source:
    """The text of a file, as it stands there."""

    def __init__(self, text: str) -> None:
        self._text = display.visible(text)

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return display.Answer(self._text, format="text").html()


def command(words: Sequence[str]) -> Any:
    """``%llm template [list]``, ``show NAME``, ``save NAME [--force]``."""
    name, *rest = words or ["list"]
    if name not in COMMANDS:
        raise UsageError(f"%llm template {name}: {did_you_mean(name, COMMANDS)}")
    return COMMANDS[name](rest)


def _list(words: Sequence[str]) -> Table:
    no_words(words, "template list")
    folder = config.default().workspace.folder
    rows = []
    for name, path in named_templates.templates(folder).items():
        try:
            found = named_templates.find(name, folder)
            told = ", ".join(found.placeholders), found.model or ""
        except TemplateError as error:
            told = str(error), ""
        rows.append((name, *told, _below(path, folder)))
    caption = "" if rows else f"none: put one in {named_templates.FOLDER}/NAME.md"
    return Table(["template", "takes", "model", "file"], rows, caption)


def _below(path: Any, folder: Any) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _show(words: Sequence[str]) -> Source:
    name = one_word(words, "template show NAME")
    return Source(named_templates.find(name, config.default().workspace.folder).to_text())


def _save(words: Sequence[str]) -> str:
    rest = [word for word in words if word != "--force"]
    name = one_word(rest, "template save NAME [--force]")
    if _last is None:
        raise UsageError("%llm template save: no cell has asked anything yet")
    folder = config.default().workspace.folder
    path = named_templates.save(_as_template(name, _last), folder, replace="--force" in words)
    return f"saved: {_below(path, folder)}; ask with -t {name}"


def _as_template(name: str, asked: Asked) -> NamedTemplate:
    given = asked.options
    if asked.template is not None:
        raise UsageError(
            f"%llm template save: the last cell asked with -t {asked.template.name}; copy its file"
        )
    for tree in templates.expressions(asked.text) if asked.expands else []:
        if not isinstance(tree.body, ast.Name):
            source = " ".join(ast.unparse(tree).split())
            raise UsageError(
                f"%llm template save: {{{{ {source} }}}} is more than a name; give it one first"
            )
    verbatim = not (asked.expands or given.jinja)
    parameters = {
        "temperature": given.temperature,
        "max_tokens": given.max_tokens,
        "n": given.n,
        **asked.parameters,
    }
    return NamedTemplate(
        name,
        named_templates.as_text(asked.text) if verbatim else asked.text,
        asked.models[0] if len(asked.models) == 1 else None,
        given.system,
        given.schema,
        {key: value for key, value in parameters.items() if value is not None},
    )


COMMANDS: dict[str, Callable[[Sequence[str]], Any]] = {"list": _list, "save": _save, "show": _show}
