"""What ``%%complete`` and ``%complete`` ask: from line and cell to a call of ``complete()``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from llm_magic import config, media, named_templates
from llm_magic.arguments import messages_of
from llm_magic.chats import Chat
from llm_magic.config import Settings
from llm_magic.exceptions import did_you_mean
from llm_magic.named_templates import NamedTemplate
from llm_magic.notebook import markdown
from llm_magic.notebook.complete_options import parser
from llm_magic.notebook.contradictions import check
from llm_magic.notebook.display import AnswerText
from llm_magic.notebook.options import parse_cell_line, parse_line
from llm_magic.templates import expand
from llm_magic.types import Mode

__all__ = ["Asked", "code_in", "read"]

# How often functions of --tools are run and their results sent back, for one answer.
_TOOL_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What one magic asks.

    Attributes
    ----------
    options : argparse.Namespace
        Those of its line.
    text : str
        The prompt as it is written.
    in_line : bool
        It is ``%complete``, whose prompt is sent as it stands.
    settings : Settings
        What counts where the line says nothing.
    template : NamedTemplate or None
        What ``-t`` names.
    chat : Chat or None
        What was said before; see :meth:`after`.
    """

    options: argparse.Namespace
    text: str
    in_line: bool
    settings: Settings
    template: NamedTemplate | None = None
    chat: Chat | None = None

    @property
    def expands(self) -> bool:
        """Whether ``{{ expressions }}`` in the prompt are expanded."""
        given = self.options
        return not (given.raw or self.in_line or (given.jinja and self.template is None))

    @property
    def format(self) -> str:
        """How the answer is shown."""
        format: str = self.settings.get("format", self.options.format)
        return format

    @property
    def models(self) -> list[str | None]:
        """The models that ``-m`` names; one None where the default is asked."""
        return [*_listed(self.options.model)] or [None]

    @property
    def parameters(self) -> dict[str, Any]:
        """What ``-o`` says."""
        return {name: _json_or_text(value) for name, value in self.options.option or ()}

    @property
    def values(self) -> dict[str, str]:
        """What ``-p`` says."""
        return dict(self.options.param or ())

    @property
    def variables(self) -> list[str]:
        """The names of variables that the options may mean, beside those in the prompt."""
        given = self.options
        named = [self._schema, *_listed(given.tools), *(given.image or ()), *(given.file or ())]
        return [name for name in named if isinstance(name, str) and name.isidentifier()]

    def after(self, chat: Chat) -> Asked:
        """The same, as the next turn of a chat."""
        return replace(self, chat=chat)

    def call(
        self, namespace: Mapping[str, Any], model: str | None = None
    ) -> tuple[str | list[dict[str, Any]], dict[str, Any]]:
        """The prompt, with its ``{{ expressions }}`` expanded, and arguments of ``complete()``.

        Parameters
        ----------
        namespace : mapping
            The user's variables.
        model : str, optional
            Which of the models is asked; by default the first one.

        Raises
        ------
        UsageError
            For a name that means nothing.
        LLMMagicError
            For what cannot be filled in, or cannot be sent.
        """
        text, system = self._filled(namespace)
        arguments = self._arguments(namespace, model or self.models[0], system)
        if self.chat is None:
            return text, arguments
        question = messages_of(text, None, arguments.pop("files"))
        return [*self.chat.messages(), *question], arguments

    def _filled(self, namespace: Mapping[str, Any]) -> tuple[str, str | None]:
        """The prompt, and the template's system message."""
        text = expand(self.text, namespace) if self.expands else self.text
        given = self.options
        if self.template is not None:
            return self.template.fill(self.values, text, jinja=given.jinja)
        if given.jinja:
            return NamedTemplate("of the cell", text).fill(self.values, jinja=True)
        return text, None

    def _arguments(
        self, namespace: Mapping[str, Any], model: str | None, system: str | None
    ) -> dict[str, Any]:
        given, chat = self.options, self.chat
        front = self.template or NamedTemplate("", "")
        said = {**front.parameters, **self.parameters}
        for name in ("temperature", "max_tokens"):
            said[name] = self._setting(name, getattr(given, name), said.get(name))
        said["n"] = given.n or said.get("n")
        tools = [_function(name, namespace) for name in _listed(given.tools)]
        return {
            **said,
            "model": model or front.model or (chat.model if chat else None),
            "system": self._setting("system", given.system, system, chat.system if chat else None),
            "schema": self._named_schema(namespace),
            "tools": tools or None,
            "max_tool_rounds": _TOOL_ROUNDS if tools else 0,
            "files": tuple(self._files(namespace)),
            "fallbacks": tuple(_listed(given.fallbacks)),
            "num_retries": given.retries or 0,
            "mode": self._mode,
        }

    def _setting(self, name: str, *said: Any) -> Any:
        """The first of what was said, else the setting."""
        return next((value for value in said if value is not None), self.settings.get(name))

    @property
    def _mode(self) -> str | Mode | None:
        given = self.options
        if given.refresh:
            return Mode.CAPTURE
        mode: str | None = given.mode
        return Mode.DISABLED if given.no_cache else mode

    @property
    def _schema(self) -> Any:
        if self.options.schema is not None:
            return self.options.schema
        return self.template.schema if self.template is not None else None

    def _named_schema(self, namespace: Mapping[str, Any]) -> Any:
        schema = self._schema
        named = isinstance(schema, str) and schema.isidentifier()
        return namespace.get(schema, schema) if named else schema

    def _files(self, namespace: Mapping[str, Any]) -> Iterable[Any]:
        for name in self.options.image or ():
            part = media.part(_value("--image", name, namespace))
            if part["type"] != "image_url":
                raise UsageError(f"--image {name}: that is no picture; use --file {name}")
            yield part
        for name in self.options.file or ():
            yield _value("--file", name, namespace)

    def value(self, answer: AnswerText) -> Any:
        """What ``--out`` binds: data or code where it was asked for; else the text."""
        if self._schema is not None:
            return answer.parsed
        if self.format == "code":
            return AnswerText(code_in(answer), answer.completion, "text")
        if self.format != "json":
            return answer
        try:
            return answer.json()
        except ValueError:
            return answer


def code_in(text: str) -> str:
    """The code of the fenced blocks in a text; the text where it has none."""
    blocks = [code for _, code in markdown.code_blocks(text)]
    return "\n".join(blocks) or text


def read(line: str, cell: str | None, settings: Settings | None = None) -> Asked:
    """What a magic asks.

    Parameters
    ----------
    line : str
        What stands after its name.
    cell : str or None
        The rest of the cell; None for ``%complete``.
    settings : Settings, optional
        What counts where the line says nothing; by default those of this process.

    Raises
    ------
    UsageError
        For options that make no sense, and without a prompt.
    TemplateError
        For a template that is not there, or cannot be read.
    """
    settings = config.default() if settings is None else settings
    if cell is None:
        given, text = parse_line(parser(), line)
        if not text and given.template is None:
            raise UsageError("%complete what? write the prompt after the options")
    else:
        given, text = parse_cell_line(parser(), line), cell.removesuffix("\n")
        if not text.strip() and given.template is None:
            raise UsageError("%%complete: the cell is empty; write the prompt below")
    check(given, in_line=cell is None)
    asked = Asked(given, text, in_line=cell is None, settings=settings)
    if given.template is None:
        return asked
    folder = settings.workspace.folder
    return replace(asked, template=named_templates.find(given.template, folder))


def _listed(words: str | None) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in (words or "").split(",") if word.strip()]


def _json_or_text(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text


def _function(name: str, namespace: Mapping[str, Any]) -> Callable[..., Any]:
    if name not in namespace:
        raise UsageError(f"--tools {name}: no such function{_nearest(name, namespace, callable)}")
    function = namespace[name]
    if not callable(function):
        raise UsageError(f"--tools {name}: that is {type(function).__name__}, no function")
    found: Callable[..., Any] = function
    return found


def _value(option: str, name: str, namespace: Mapping[str, Any]) -> Any:
    """The variable of that name, else the path or URL that it is."""
    if name in namespace:
        return namespace[name]
    if name.isidentifier() and not Path(name).exists():
        raise UsageError(f"{option} {name}: no such variable or file{_nearest(name, namespace)}")
    return name


def _nearest(
    name: str, namespace: Mapping[str, Any], wanted: Callable[[Any], bool] = lambda value: True
) -> str:
    known = [key for key, value in namespace.items() if not key.startswith("_") and wanted(value)]
    hint = did_you_mean(name, known, show_all=False)
    return f"; {hint}" if hint else ""
