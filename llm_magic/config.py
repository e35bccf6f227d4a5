"""Settings, and where this process works: one order of precedence for everything.

    argument > magic option > %llm config > environment LLM_MAGIC_* > [tool.llm_magic] > default

An argument and a magic option reach :meth:`Settings.get` as ``argument``; the rest is looked up
here. ``[tool.llm_magic]`` is read from the nearest pyproject.toml at or above the folder.

The mode alone has a ceiling: REPLAY that was in the environment when the process started (set by a
CI job, ``llm-magic run`` or ``verify``) is not loosened by anything in the notebook.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llm_magic
from llm_magic.exceptions import ConfigError, did_you_mean
from llm_magic.types import Mode

__all__ = ["Option", "Settings", "Workspace", "default"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: how to read it, what it is without one, and what it is for."""

    read: Callable[[Any], Any]
    default: Any
    help: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it takes text")
    return value.strip()


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 < seconds < float("inf"):
        raise ValueError("it takes a number of seconds above 0")
    return seconds


def _switch(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _SWITCHES:
        raise ValueError("it takes true or false")
    return _SWITCHES[word]


_SWITCHES = {"true": True, "1": True, "yes": True, "on": True}
_SWITCHES |= {"false": False, "0": False, "no": False, "off": False}

OPTIONS: Mapping[str, Option] = {
    "mode": Option(Mode.parse, Mode.FALLBACK, "REPLAY, FALLBACK, CAPTURE or DISABLED"),
    "model": Option(_text, None, "model to ask when none is named, as provider/model"),
    "timeout": Option(_seconds, 120.0, "seconds without a sign of life before a call is given up"),
    "history_text": Option(_switch, True, "keep prompts and answers in the ledger"),
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where recordings and the ledger live: a folder, and the notebook that is running, if known.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the notebook.
    notebook : str or None
        File name of the notebook without its ending; a label, never part of a key.
    """

    folder: Path
    notebook: str | None = None

    @property
    def working(self) -> Path:
        """Folder of the working files, git-ignored."""
        return self.folder / ".llm_magic"

    def cassette(self, notebook: str) -> Path:
        """The cassette of a notebook in this folder."""
        return self.folder / f"{notebook}.cassette.jsonl"


class Settings:
    """The settings of one process, or of one client.

    Parameters
    ----------
    folder : path, optional
        Folder to work in; by default that of ``LLM_MAGIC_NOTEBOOK``, else the current one.
    environ : mapping, optional
        Stands in for ``os.environ``.

    Examples
    --------
    >>> settings = Settings(environ={"LLM_MAGIC_TIMEOUT": "5"})
    >>> settings.get("timeout"), settings.origin("timeout")
    (5.0, 'LLM_MAGIC_TIMEOUT')
    >>> settings.session["timeout"] = 2.0
    >>> settings.get("timeout"), settings.get("timeout", 1.0)
    (2.0, 1.0)
    """

    def __init__(
        self, folder: str | Path | None = None, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        # The folder the kernel started in: a later os.chdir() must not move the recordings.
        self._start = Path.cwd()
        self._folder = Path(folder).resolve() if folder is not None else None
        self._project: dict[str, Any] | None = None
        self._project_file: Path | None = None
        self.session: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}
        self.notebook_hint: str | None = None
        self._workspace: tuple[Any, Workspace] | None = None
        told = [self._environ.get("LLM_MAGIC_MODE", "")]
        if environ is None:
            told += _modes_at_start()
        self._imposed = any(word.strip() and Mode.parse(word) is Mode.REPLAY for word in told)

    def get(self, name: str, argument: Any = None) -> Any:
        """The value of a setting.

        Parameters
        ----------
        name : str
            One of ``OPTIONS``.
        argument : object, optional
            What the caller asked for; wins over all others.

        Raises
        ------
        ConfigError
            Unknown name, or a value that cannot be used; says where it stands.
        ModeError
            Not a mode.
        """
        value = self._find(name, argument)[0]
        if name == "mode" and self.imposed:
            return Mode.REPLAY
        return value

    @property
    def imposed(self) -> bool:
        """Whether REPLAY was set from outside, so that nothing in the notebook loosens it."""
        return self._imposed

    def origin(self, name: str) -> str:
        """Where the value of a setting comes from."""
        if name == "mode" and self.imposed:
            return "LLM_MAGIC_MODE (imposed)"
        return self._find(name)[1]

    def set(self, name: str, value: Any) -> Any:
        """Set for this session, as ``%llm config`` does; returns the value as it was understood."""
        self.session[name] = self._read(name, value, "%llm config")
        return self.session[name]

    def _find(self, name: str, argument: Any = None) -> tuple[Any, str]:
        option = _option(name)
        if argument is not None:
            return self._read(name, argument, "argument"), "argument"
        if name in self.session:
            return self.session[name], "%llm config"
        variable = f"LLM_MAGIC_{name.upper()}"
        if text := self._environ.get(variable, "").strip():
            return self._read(name, text, variable), variable
        if name in self.project:
            origin = str(self._project_file)
            return self._read(name, self.project[name], origin), origin
        return option.default, "default"

    def _read(self, name: str, value: Any, origin: str) -> Any:
        try:
            return _option(name).read(value)
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:
            if name == "mode":
                raise
            raise ConfigError(f"{origin}: {name} = {value!r}: {error}") from None

    @property
    def project_file(self) -> Path | None:
        """The pyproject.toml that counts, if there is one."""
        return self._project_file if self.project is not None else None

    @property
    def providers(self) -> Mapping[str, Mapping[str, str]]:
        """Providers that the project file names: ``[tool.llm_magic.providers.NAME]``."""
        found: Mapping[str, Mapping[str, str]] = self.project.get("providers", {})
        return found

    @property
    def aliases(self) -> Mapping[str, str]:
        """The user's own words for models: those of the project file, and of this session."""
        project = self.project.get("aliases", {})
        return {**{name.lower(): model for name, model in project.items()}, **self._aliases}

    def alias(self, name: str, reference: str) -> None:
        """Let a word stand for a model for the rest of this session.

        >>> settings = Settings(environ={})
        >>> settings.alias("fast", "openai/gpt-5-mini")
        >>> settings.aliases["fast"]
        'openai/gpt-5-mini'

        Raises
        ------
        ConfigError
            For a name that could not be told from a reference, or nothing to stand for.
        """
        _check_aliases({name: reference}, "alias")
        self._aliases[name.strip().lower()] = reference.strip()

    def alias_origin(self, name: str) -> str:
        """Where an alias comes from."""
        return "%llm alias" if name.lower() in self._aliases else str(self.project_file)

    @property
    def project(self) -> Mapping[str, Any]:
        """``[tool.llm_magic]`` of the nearest pyproject.toml; empty when there is none."""
        if self._project is None:
            self._project = self._read_project()
        return self._project

    def _read_project(self) -> dict[str, Any]:
        folder = self.workspace.folder
        for path in (parent / "pyproject.toml" for parent in (folder, *folder.parents)):
            if not path.is_file():
                continue
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ConfigError(f"{path}: {error}") from None
            self._project_file = path
            tools = table.get("tool", {})
            found = tools.get("llm_magic", {}) if isinstance(tools, dict) else {}
            if not isinstance(found, dict):
                raise ConfigError(f"{path}: [tool.llm_magic] is not a table")
            known = {*OPTIONS, *_TABLES}
            if unknown := set(found) - known:
                name = min(unknown)
                hint = did_you_mean(name, known)
                raise ConfigError(f"{path}: [tool.llm_magic] has no setting {name!r}; {hint}")
            for name, check in _TABLES.items():
                check(found.get(name, {}), f"{path}: [tool.llm_magic.{name}]")
            return dict(found)
        return {}

    @property
    def workspace(self) -> Workspace:
        """The folder to work in and the notebook that is running, if it is known."""
        told = (
            self._environ.get("LLM_MAGIC_NOTEBOOK", ""),
            self.notebook_hint,
            self._environ.get("JPY_SESSION_NAME", ""),
        )
        if self._workspace is None or self._workspace[0] != told:
            self._workspace = told, self._find_workspace()
        return self._workspace[1]

    def _find_workspace(self) -> Workspace:
        notebook = self._notebook()
        if self._folder is not None:
            folder = self._folder
        elif notebook and self._environ.get("LLM_MAGIC_NOTEBOOK", "").strip():
            folder = notebook.parent
        else:
            folder = self._start
        return Workspace(folder, _label(notebook.stem) if notebook else None)

    def _notebook(self) -> Path | None:
        # An absolute path in all hosts that tell it; JPY_SESSION_NAME is inherited by kernels that
        # are started from a notebook, so it counts only when it lies in the starting folder.
        if named := self._environ.get("LLM_MAGIC_NOTEBOOK", "").strip():
            return (self._start / named).resolve()
        if self.notebook_hint:
            return (self._start / self.notebook_hint).resolve()
        session = Path(self._environ.get("JPY_SESSION_NAME", ""))
        if session.suffix == ".ipynb" and session.parent.resolve() == self._start.resolve():
            return session
        return None


def _check_providers(found: Any, where: str) -> None:
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise ConfigError(f"{where} holds a table for each provider: {where[:-1]}.NAME]")
    for name, row in found.items():
        place = f"{where[:-1]}.{name}]"
        for field, value in row.items():
            if field not in _PROVIDER_FIELDS:
                raise ConfigError(
                    f"{place} has no {field!r}; {did_you_mean(field, _PROVIDER_FIELDS)}"
                )
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"{place} {field} = {value!r}: it takes text")
        if "base_url" not in row:
            raise ConfigError(f"{place} has no base_url, the address of the API")


def _check_aliases(found: Any, where: str) -> None:
    if not isinstance(found, dict):
        raise ConfigError(f"{where} holds lines like fast = 'provider/model'")
    for name, reference in found.items():
        if not re.fullmatch(r"[^\s/=]+", name.strip()):
            raise ConfigError(f"{where} {name!r}: an alias is one word without a slash")
        if not isinstance(reference, str) or not reference.strip():
            raise ConfigError(f"{where} {name} = {reference!r}: it takes provider/model")
    words = [name.lower() for name in found]
    if twice := {word for word in words if words.count(word) > 1}:
        raise ConfigError(f"{where} has {min(twice)} twice; capital letters make no difference")


_PROVIDER_FIELDS = ("base_url", "dialect", "key_variable")

# What stands in [tool.llm_magic] beside the settings.
_TABLES: Mapping[str, Callable[[Any, str], None]] = {
    "aliases": _check_aliases,
    "providers": _check_providers,
}


def _modes_at_start() -> list[str]:
    """``LLM_MAGIC_MODE`` as it was when the process started, whatever a cell set it to since.

    A cell may change the environment before it imports us. Where the system still tells the
    environment that the process was started with, that counts; else what stood there when the
    package was imported.
    """
    words = [llm_magic.MODE_AT_IMPORT]
    try:
        started_with = Path("/proc/self/environ").read_bytes()
    except OSError:
        return words
    for entry in started_with.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == b"LLM_MAGIC_MODE":
            words.append(value.decode(errors="replace"))
    return words


def _option(name: str) -> Option:
    try:
        return OPTIONS[name]
    except KeyError:
        raise ConfigError(f"no setting {name!r}; {did_you_mean(name, OPTIONS)}") from None


def _label(stem: str) -> str:
    # A cassette is named after its notebook, so the label must be a file name.
    return re.sub(r"[/\\\0]", "_", stem)


_default: Settings | None = None


def default() -> Settings:
    """The settings of this process."""
    global _default
    if _default is None:
        _default = Settings()
    return _default


default()
