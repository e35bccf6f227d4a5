"""Named templates: prompts in ``prompts/NAME.md``, with what they are asked with in front.

The front matter is YAML between two lines of ``---``; all of it may be left out::

    ---
    model: openai/gpt-5-mini
    system: You are an editor.
    parameters: {temperature: 0, max_tokens: 300}
    schema: title, year int
    defaults: {language: English}
    ---
    Summarise in {{ language }}:

    {{ input }}

A placeholder is a name; it is replaced once, and what replaces it is not looked at again. Nothing
in a template is ever evaluated. ``input`` is the body of the cell; a template without it has the
body after its own text. The folder ``prompts`` lies beside the notebook or above it, up to the
project.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_magic import jinja_templates
from llm_magic.exceptions import TemplateError, did_you_mean

__all__ = ["INPUT", "NamedTemplate", "as_text", "find", "save", "templates"]

FOLDER = "prompts"
INPUT = "input"

_ENDING = ".md"
_LARGEST = 1_000_000
_FIELDS = ("model", "system", "parameters", "schema", "defaults")
_PLACEHOLDER = re.compile(r"(\\?)\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A prompt and what it is asked with.

    Attributes
    ----------
    name : str
        Its file's name without the ending.
    text : str
        The prompt, with ``{{ name }}`` for what is filled in.
    model, system, schema : str or None
        Used where the cell does not say otherwise.
    parameters : dict
        Generation parameters.
    defaults : dict
        Values of placeholders that need not be given.
    """

    name: str
    text: str
    model: str | None = None
    system: str | None = None
    schema: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def placeholders(self) -> list[str]:
        """The names to fill in, in the order of their first places."""
        found = _PLACEHOLDER.finditer(f"{self.system or ''}\n{self.text}")
        return list(dict.fromkeys(match[2] for match in found if not match[1]))

    def fill(
        self, values: Mapping[str, Any], body: str = "", *, jinja: bool = False
    ) -> tuple[str, str | None]:
        r"""The prompt and the system message with everything filled in.

        Parameters
        ----------
        values : mapping
            What ``-p NAME VALUE`` gave.
        body : str
            What the cell says.
        jinja : bool
            Text and system message are Jinja templates, which see the values and nothing else.

        Raises
        ------
        TemplateError
            For a placeholder without a value, or a value without a placeholder.

        Examples
        --------
        >>> NamedTemplate("greet", "Greet {{ who }} in {{ language }}.",
        ...               defaults={"language": "Dutch"}).fill({"who": "{{ you }}"})
        ('Greet {{ you }} in Dutch.', None)
        """
        texts = (self.text, self.system or "")
        known = jinja_templates.variables(self.name, *texts) if jinja else self.placeholders
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known) if known else "it has none"
                raise TemplateError(f"template {self.name} has no {{{{ {name} }}}}; {hint}")
        given = {**self.defaults, **values}
        body = body.removesuffix("\n")
        if INPUT in known and (body.strip() or INPUT not in given):
            given[INPUT] = body
        # Jinja has defaults of its own, and tells what is missing itself.
        missing = [name for name in known if name not in given and not jinja]
        if missing:
            raise TemplateError(f"template {self.name} needs -p {missing[0]} VALUE")
        prompt, system = (
            jinja_templates.render(self.name, text, given) if jinja else _filled(text, given)
            for text in texts
        )
        if INPUT not in known and body.strip():
            prompt = f"{prompt}\n\n{body}" if prompt.strip() else body
        return prompt, system if self.system is not None else None

    def to_text(self) -> str:
        """The template as its file says it."""
        import yaml

        front = {name: getattr(self, name) for name in _FIELDS if getattr(self, name)}
        if not front:
            return f"{self.text}\n"
        plain = {k: dict(v) if isinstance(v, Mapping) else v for k, v in front.items()}
        written = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        return f"---\n{written}---\n{self.text}\n"


def as_text(text: str) -> str:
    r"""A text as a template that says just that.

    >>> NamedTemplate("t", as_text("a {{ b }} c")).fill({})
    ('a {{ b }} c', None)
    """
    return _PLACEHOLDER.sub(lambda match: f"\\{match[0]}", text)


def _filled(text: str, values: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        return match[0][1:] if match[1] else str(values[match[2]])

    return _PLACEHOLDER.sub(value, text)


def folders(start: Path) -> Iterator[Path]:
    """Where templates may lie: beside the notebook, and above it up to the project's own folder."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            yield folder / FOLDER
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return


def templates(start: Path) -> dict[str, Path]:
    """The files of all templates by name; the nearest one counts."""
    found: dict[str, Path] = {}
    for folder in folders(start):
        for path in sorted(folder.glob(f"*{_ENDING}")):
            if _NAME.fullmatch(path.stem):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(name: str, start: Path) -> NamedTemplate:
    """A template by name.

    Parameters
    ----------
    name : str
        As in ``-t NAME``.
    start : pathlib.Path
        Folder of the notebook.

    Raises
    ------
    TemplateError
        When there is none of that name, or it cannot be read.
    """
    known = templates(start)
    if name not in known:
        hint = did_you_mean(name, known) if known else f"put it in {FOLDER}/{name}{_ENDING}"
        raise TemplateError(f"no template {name!r}; {hint}")
    return _read(known[name])


def save(template: NamedTemplate, start: Path, *, replace: bool = False) -> Path:
    """Write a template beside the notebook; returns its file.

    Raises
    ------
    TemplateError
        For a name that is none, or one that is there already.
    """
    if not _NAME.fullmatch(template.name):
        raise TemplateError(f"{template.name!r} is no name for a template: one word")
    path = start / FOLDER / f"{template.name}{_ENDING}"
    try:
        path.parent.mkdir(exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8", newline="\n") as file:
            file.write(template.to_text())
    except FileExistsError:
        raise TemplateError(f"{path.name} is there already; --force replaces it") from None
    except OSError as error:
        raise TemplateError(f"{path} cannot be written: {error}") from None
    return path


def _read(path: Path) -> NamedTemplate:
    try:
        if path.stat().st_size > _LARGEST:
            raise TemplateError(f"{path} is no template: it is larger than {_LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise TemplateError(f"{path} cannot be read: {error}") from None
    front, body = _split(text, path)
    for name in front:
        if name not in _FIELDS:
            raise TemplateError(f"{path}: no {name!r} in front; {did_you_mean(name, _FIELDS)}")
    for name in ("parameters", "defaults"):
        if not isinstance(front.setdefault(name, {}), dict):
            raise TemplateError(f"{path}: {name} takes names and values")
    for name in ("model", "system"):
        if not isinstance(front.get(name, ""), str):
            raise TemplateError(f"{path}: {name} takes text")
    return NamedTemplate(path.stem, body, **front)


def _split(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """The front matter and the prompt."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---":
        return {}, text.replace("\r\n", "\n").strip("\n")
    try:
        end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == "---")
    except StopIteration:
        raise TemplateError(f"{path}: the front matter has no end; close it with ---") from None
    import yaml

    try:
        front = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise TemplateError(f"{path}: the front matter is not YAML: {told}") from None
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise TemplateError(f"{path}: the front matter takes names and values")
    return front, "\n".join(lines[end + 1 :]).strip("\n")
