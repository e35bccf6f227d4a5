"""Settings, and where this process works: one order of precedence for everything.

    argument > magic option > %llm config > environment LLM_MAGIC_* > [tool.llm_magic] > default

An argument and a magic option reach :meth:`Settings.get` as ``argument``; the rest is looked up
here. ``[tool.llm_magic]`` is read from the nearest pyproject.toml at or above the folder.

The mode alone has a ceiling: REPLAY that was in the environment when the process started (set by a
CI job, ``llm-magic run`` or ``verify``) is not loosened by anything in the notebook. And it counts
from the first cell on: JupyterLab puts the mode that a notebook carries into IPython's
configuration, where it stands in for ``%llm config`` until ``%load_ext`` takes it over.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import llm_magic
from llm_magic import environment, mounts
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


def read_usd(value: Any) -> Decimal:
    """An amount of money; a ValueError for what is none.

    >>> read_usd("$0.50"), read_usd(0.1)
    (Decimal('0.50'), Decimal('0.1'))
    """
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except ArithmeticError:
        amount = Decimal("nan")
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount < _MOST_USD:
        raise ValueError("it takes an amount in USD, such as 0.50")
    if int(amount.as_tuple().exponent) < -_MOST_DECIMALS:
        raise ValueError(f"it takes an amount in USD with at most {_MOST_DECIMALS} decimals")
    return amount


_MOST_USD = 1_000_000
# Written out, 1e-999999 has a million digits.
_MOST_DECIMALS = 30


def _whole_tokens(value: Any) -> int:
    if isinstance(value, (bool, float)) or int(value) < 1:
        raise ValueError("it takes a whole number of tokens above 0")
    return int(value)


def _temperature(value: Any) -> float:
    degrees = float(value)
    if isinstance(value, bool) or not 0 <= degrees < float("inf"):
        raise ValueError("it takes a number from 0")
    return degrees


# How an answer is shown in a notebook.
FORMATS = ("md", "text", "code", "json", "html", "none")


def _format(value: Any) -> str:
    if value not in FORMATS:
        raise ValueError(did_you_mean(str(value), FORMATS))
    return str(value)


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
    "system": Option(_text, None, "system message of %%complete when none is given"),
    "temperature": Option(_temperature, None, "sampling temperature of %%complete"),
    "max_tokens": Option(_whole_tokens, None, "most tokens of an answer to %%complete"),
    "format": Option(_format, "md", "how %%complete shows an answer: md, text, code, json, html"),
    "confirm_above": Option(
        read_usd, Decimal(1), "USD that %%complete --map may cost without being confirmed"
    ),
    "timeout": Option(_seconds, 120.0, "seconds without a sign of life before a call is given up"),
    "budget": Option(read_usd, None, "USD that a session may spend"),
    "budget_per_call": Option(read_usd, None, "USD that one call may cost"),
    "budget_per_cell": Option(read_usd, None, "USD that one run of a cell may spend"),
    "budget_per_day": Option(read_usd, None, "USD that this folder may spend in a day"),
    "budget_per_process": Option(read_usd, None, "USD that one process may spend"),
    "budget_max_tokens": Option(
        _whole_tokens, 4096, "output limit, under a budget, of a call without max_tokens"
    ),
    "budget_max_input_tokens": Option(
        _whole_tokens, None, "most tokens, under a budget, of a file or a linked image"
    ),
    "history_text": Option(_switch, True, "keep prompts and answers in the ledger"),
    "telemetry": Option(_switch, False, "an OpenTelemetry span for every call"),
}
_VARIABLES = {name: f"LLM_MAGIC_{name.upper()}" for name in OPTIONS}


WORKING_NAME = ".llm_magic"


@functools.cache
def _elsewhere(folder: str) -> Path | None:
    return mounts.cache_folder() if mounts.network_type(Path(folder)) else None


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where recordings and the ledger live: a folder, and the notebook that is running, if known.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the notebook.
    notebook : str or None
        File name of the notebook without its ending; a label, never part of a key.
    elsewhere : pathlib.Path, optional
        Folder for the working files of all folders (``LLM_MAGIC_WORKING``), so that nothing is
        written beside the notebooks. On a network file system it is one in the user's cache
        folder, unless another one is told.
    """

    folder: Path
    notebook: str | None = None
    elsewhere: Path | None = None

    @property
    def working(self) -> Path:
        """Folder of the working files: git-ignored beside the notebook, or elsewhere."""
        elsewhere = self.elsewhere or _elsewhere(os.path.realpath(self.folder))
        if elsewhere is not None:
            return elsewhere / hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return self.folder / WORKING_NAME

    def cassette(self, notebook: str) -> Path:
        """The cassette of a notebook in this folder."""
        return self.folder / f"{notebook}.cassette.jsonl"

    def notebook_path(self, notebook: str) -> Path:
        """The file of a notebook in this folder."""
        return self.folder / f"{notebook}.ipynb"


_UNSET = object()

# Modes that would have asked anew had REPLAY not been imposed, and where each comes from; verify
# reads and empties it.
overruled: set[tuple[Mode, str]] = set()


class Settings:
    """The settings of one process, or of one client.

    Parameters
    ----------
    folder : path, optional
        Folder to work in; by default that of ``LLM_MAGIC_NOTEBOOK``, else the current one.
    environ : mapping, optional
        Stands in for ``os.environ``, of another process or of none: what this one was started with
        does not count then.
    laid_over : mapping, optional
        Variables that count before those of the environment, which stays what it is.

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
        self,
        folder: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        laid_over: Mapping[str, str] | None = None,
    ) -> None:
        below: Any = os.environ if environ is None else environ
        self._environ: Mapping[str, str] = below
        if laid_over:
            self._environ = ChainMap(dict(laid_over), below)
        self._of_this_process = environ is None
        # The folder the kernel started in: a later os.chdir() must not move the recordings.
        self._start = Path.cwd()
        self._folder = Path(folder).resolve() if folder is not None else None
        self._project: dict[str, Any] | None = None
        self._project_file: Path | None = None
        self.session: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}
        self.notebook_hint: str | None = None
        self._workspace: tuple[Any, Workspace] | None = None
        told = [self._variable("LLM_MAGIC_MODE")]
        if self._of_this_process:
            told += _at_start("LLM_MAGIC_MODE")
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
        value, origin = self._find(name, argument)
        if name == "mode" and self.imposed:
            if origin == "LLM_MAGIC_MODE" and name in self.project:
                # What would count where REPLAY is not imposed.
                origin = str(self._project_file)
                value = self._read(name, self.project[name], origin)
            if value in (Mode.CAPTURE, Mode.DISABLED):
                overruled.add((value, origin))
            return Mode.REPLAY
        return value

    def caps(self, name: str) -> list[tuple[Any, str]]:
        """The values of a cap that count together, and where each comes from.

        One in the environment that the process was started with is a ceiling; the notebook and the
        project file set another one beside it.

        Raises
        ------
        ConfigError
            For a value that cannot be used.
        """
        variable = _VARIABLES[name]
        ceilings = {self._variable(variable).strip()}
        if self._of_this_process:
            ceilings.update(text.strip() for text in _at_start(variable))
        found = [(self._read(name, text, variable), variable) for text in ceilings if text]
        value, origin = self._find(name)
        if value is not None and origin != variable:
            found.append((value, origin))
        return sorted(found)

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
        option = OPTIONS.get(name) or _option(name)
        if argument is not None:
            return self._read(name, argument, "argument"), "argument"
        # One look only: JupyterLab sets and unsets on another thread.
        value = self.session.get(name, _UNSET)
        if value is not _UNSET:
            return value, "%llm config"
        if name == "mode" and self is _default and (carried := _carried_mode()) is not None:
            return self._read(name, carried, _CARRIED), _CARRIED
        variable = _VARIABLES[name]
        text = environment.look(variable, self._environ)
        if text and (text := text.strip()):
            return self._read(name, text, variable), variable
        if name in self.project:
            origin = str(self._project_file)
            return self._read(name, self.project[name], origin), origin
        return option.default, "default"

    def _variable(self, name: str) -> str:
        return environment.look(name, self._environ) or ""

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
            import tomllib  # not loaded where there is no such file

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
            environment.look("LLM_MAGIC_WORKING", self._environ),
            environment.look("LLM_MAGIC_NOTEBOOK", self._environ),
            self.notebook_hint,
            environment.look("JPY_SESSION_NAME", self._environ),
        )
        if self._workspace is None or self._workspace[0] != told:
            self._workspace = told, self._find_workspace()
        return self._workspace[1]

    def _find_workspace(self) -> Workspace:
        notebook = self._notebook()
        if self._folder is not None:
            folder = self._folder
        elif notebook and self._variable("LLM_MAGIC_NOTEBOOK").strip():
            folder = notebook.parent
        else:
            folder = self._start
        elsewhere = self._variable("LLM_MAGIC_WORKING").strip()
        return Workspace(
            folder,
            _label(notebook.stem) if notebook else None,
            (self._start / elsewhere).resolve() if elsewhere else None,
        )

    def _notebook(self) -> Path | None:
        # An absolute path in all hosts that tell it; JPY_SESSION_NAME is inherited by kernels that
        # are started from a notebook, so it counts only when it lies in the starting folder.
        if named := self._variable("LLM_MAGIC_NOTEBOOK").strip():
            return (self._start / named).resolve()
        if self.notebook_hint:
            return (self._start / self.notebook_hint).resolve()
        session = Path(self._variable("JPY_SESSION_NAME"))
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


# What a model costs, in USD per million tokens (``per_request``: USD), and genai-prices' names.
PRICE_WORDS: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
    "per_request": "requests_kcount",
}


def check_prices(found: Any, where: str) -> None:
    """Raise a ConfigError for what is no table of references and their prices."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where} holds a table for each model: {where[:-1]}.'provider/model']")
    for name, prices in found.items():
        if not re.fullmatch(r"[^\s/]+/\S+|\*", name):
            raise ConfigError(f"{where} {name!r}: prices are for 'provider/model', or 'provider/*'")
        if not isinstance(prices, Mapping) or not prices:
            raise ConfigError(f"{where} {name}: say a price, such as input = 1.5")
        for word, amount in prices.items():
            if word not in PRICE_WORDS:
                hint = did_you_mean(word, PRICE_WORDS)
                raise ConfigError(f"{where} {name}: no price is called {word!r}; {hint}")
            try:
                # Kept for a thousand requests, where no price is a million either.
                read_usd(read_usd(amount) * (1000 if word == "per_request" else 1))
            except ValueError as error:
                raise ConfigError(f"{where} {name}: {word} = {amount!r}: {error}") from None


_PROVIDER_FIELDS = ("base_url", "dialect", "key_variable")

# What stands in [tool.llm_magic] beside the settings.
_TABLES: Mapping[str, Callable[[Any, str], None]] = {
    "aliases": _check_aliases,
    "prices": check_prices,
    "providers": _check_providers,
}


_CARRIED = "the notebook, or CompleteMagics.mode in IPython's configuration"


def _carried_mode() -> str | None:
    """The mode that a notebook begins with, until our magics are loaded and have it."""
    if "IPython" not in sys.modules or "llm_magic.notebook.magics" in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    section = shell.config.get("CompleteMagics") if shell is not None else None
    return section.get("mode") if section else None


def _at_start(variable: str) -> list[str]:
    """An environment variable as it was when the process started, whatever a cell set it to since.

    A cell may change the environment before it imports us. Where the system still tells the
    environment that the process was started with, that counts; else what stood there when the
    package was imported.
    """
    found = [llm_magic.ENVIRONMENT_AT_IMPORT.get(variable, ""), _started_with().get(variable, "")]
    return list(filter(None, found))


@functools.cache
def _started_with() -> Mapping[str, str]:
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (entry.decode(errors="replace").partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name.startswith("LLM_MAGIC_")}


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
