"""Settings: one order of precedence, the ceiling of the mode, and the folder that is worked in."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import llm_magic
from llm_magic import config
from llm_magic.client import Client
from llm_magic.config import OPTIONS, Settings
from llm_magic.exceptions import ConfigError, ModeError
from llm_magic.types import Mode

SOURCES = ["argument", "session", "environment", "pyproject"]

# Values by source, as they are written there and as they are read.
VALUES: dict[str, dict[str, tuple[Any, Any]]] = {
    "mode": {
        "argument": ("capture", Mode.CAPTURE),
        "session": ("DISABLED", Mode.DISABLED),
        "environment": ("FALLBACK", Mode.FALLBACK),
        "pyproject": ("REPLAY", Mode.REPLAY),
    },
    "model": {
        "argument": ("echo/a", "echo/a"),
        "session": ("echo/b", "echo/b"),
        "environment": (" echo/c ", "echo/c"),
        "pyproject": ("echo/d", "echo/d"),
    },
    "timeout": {
        "argument": (1, 1.0),
        "session": (2, 2.0),
        "environment": ("3", 3.0),
        "pyproject": (4.5, 4.5),
    },
    **{
        name: {
            "argument": ("$0.50", Decimal("0.50")),
            "session": (2, Decimal(2)),
            "environment": ("0.1", Decimal("0.1")),
            "pyproject": (4.5, Decimal("4.5")),
        }
        for name in OPTIONS
        if name == "budget" or name.startswith("budget_per_")
    },
    **{
        name: {
            "argument": (1, 1),
            "session": ("2", 2),
            "environment": ("3", 3),
            "pyproject": (4, 4),
        }
        for name in ("budget_max_tokens", "budget_max_input_tokens")
    },
    "history_text": {
        "argument": (False, False),
        "session": ("on", True),
        "environment": ("no", False),
        "pyproject": (True, True),
    },
    **{
        name: {
            "argument": (1, 1),
            "session": ("2", 2),
            "environment": ("3", 3),
            "pyproject": (4, 4),
        }
        for name in ("confirm_above", "max_tokens", "temperature")
    },
    "format": {
        "argument": ("text", "text"),
        "session": ("code", "code"),
        "environment": ("none", "none"),
        "pyproject": ("json", "json"),
    },
    "system": {
        "argument": ("a", "a"),
        "session": ("b", "b"),
        "environment": (" c ", "c"),
        "pyproject": ("d", "d"),
    },
    "telemetry": {
        "argument": (True, True),
        "session": ("off", False),
        "environment": ("yes", True),
        "pyproject": (True, True),
    },
}


def write_project(value: Any, name: str = "mode", folder: str = ".") -> None:
    text = {True: "true", False: "false"}.get(value, repr(value)) if value is not None else ""
    Path(folder, "pyproject.toml").write_text(f"[tool.llm_magic]\n{name} = {text}\n")


def test_every_option_is_in_the_table_below() -> None:
    assert set(VALUES) == set(OPTIONS)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("first", range(5), ids=[*SOURCES, "default"])
def test_the_first_source_that_says_something_wins(name: str, first: int) -> None:
    said = SOURCES[first:]
    values = VALUES[name]
    if "pyproject" in said:
        write_project(values["pyproject"][0], name)
    variable = f"LLM_MAGIC_{name.upper()}"
    settings = Settings(
        environ={variable: values["environment"][0]} if "environment" in said else {}
    )
    if "session" in said:
        settings.set(name, values["session"][0])
    argument = values["argument"][0] if "argument" in said else None

    expected = values[said[0]][1] if said else OPTIONS[name].default
    assert settings.get(name, argument) == expected


def test_the_origin_is_told(tmp_path: Path) -> None:
    write_project("echo/a", "model")
    settings = Settings(environ={"LLM_MAGIC_TIMEOUT": "5"})
    settings.set("history_text", "off")

    assert settings.origin("model") == str(Path("pyproject.toml").resolve())
    assert settings.origin("timeout") == "LLM_MAGIC_TIMEOUT"
    assert settings.origin("history_text") == "%llm config"
    assert settings.origin("mode") == "default"


# The ceiling


def test_replay_from_outside_is_loosened_by_nothing() -> None:
    environ = {"LLM_MAGIC_MODE": "replay"}
    settings = Settings(environ=environ)
    settings.set("mode", "CAPTURE")
    environ["LLM_MAGIC_MODE"] = "CAPTURE"

    assert settings.get("mode", "DISABLED") is Mode.REPLAY
    assert settings.imposed
    assert settings.origin("mode") == "LLM_MAGIC_MODE (imposed)"


def test_a_client_of_its_own_is_under_the_ceiling_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")

    client = Client(".", mode="CAPTURE")

    assert client.settings.get("mode", "FALLBACK") is Mode.REPLAY


def test_what_is_laid_over_the_environment_leaves_its_ceilings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = {"LLM_MAGIC_MODE": "REPLAY", "LLM_MAGIC_BUDGET_PER_CALL": "0.5"}
    monkeypatch.setattr(llm_magic, "ENVIRONMENT_AT_IMPORT", started)
    monkeypatch.setenv("LLM_MAGIC_MODE", "CAPTURE")
    monkeypatch.setenv("LLM_MAGIC_BUDGET_PER_CALL", "100")

    settings = Settings(laid_over={"LLM_MAGIC_NOTEBOOK": "analysis.ipynb"})

    assert settings.workspace.notebook == "analysis"
    assert settings.get("mode") is Mode.REPLAY
    assert [limit for limit, _ in settings.caps("budget_per_call")] == [Decimal("0.5"), 100]


@pytest.mark.parametrize("mode", ["FALLBACK", "CAPTURE", "DISABLED"])
def test_another_mode_from_outside_is_only_a_setting(mode: str) -> None:
    settings = Settings(environ={"LLM_MAGIC_MODE": mode})

    assert not settings.imposed
    assert settings.get("mode", "REPLAY") is Mode.REPLAY


def test_replay_that_the_notebook_sets_later_can_be_taken_back() -> None:
    environ: dict[str, str] = {}
    settings = Settings(environ=environ)
    environ["LLM_MAGIC_MODE"] = "REPLAY"

    assert settings.get("mode") is Mode.REPLAY
    assert settings.get("mode", "CAPTURE") is Mode.CAPTURE


# What cannot be used


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "soon"),
        ("timeout", 0),
        ("timeout", "-1"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("timeout", []),
        ("model", "  "),
        ("model", 5),
        ("history_text", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_used_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"argument: {name} = "):
        Settings().get(name, value)


def test_the_error_says_where_the_value_stands() -> None:
    write_project("soon", "timeout")

    with pytest.raises(ConfigError, match=r"pyproject\.toml: timeout = 'soon'"):
        Settings().get("timeout")
    with pytest.raises(ConfigError, match="LLM_MAGIC_TIMEOUT: timeout = 'never'"):
        Settings(environ={"LLM_MAGIC_TIMEOUT": "never"}).get("timeout")


def test_a_mode_that_is_none_is_a_mode_error() -> None:
    with pytest.raises(ModeError, match="REPLAY"):
        Settings(environ={"LLM_MAGIC_MODE": "REPLY"}).get("mode")


def test_a_refused_value_is_not_kept() -> None:
    settings = Settings()

    with pytest.raises(ConfigError):
        settings.set("timeout", "soon")

    assert settings.get("timeout") == 120.0


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean timeout"):
        Settings().get("timeuot")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.llm_magic]\ntimout = 1", "no setting 'timout'; did you mean timeout"),
        ("[tool]\nllm_magic = 3", "not a table"),
        ("[tool.llm_magic", "pyproject.toml"),
        ("[tool.llm_magic]\n\xff", "pyproject.toml"),
    ],
)
def test_a_project_file_with_a_mistake_is_an_error(text: str, message: str) -> None:
    Path("pyproject.toml").write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigError, match=message):
        Settings().get("model")


@pytest.mark.parametrize("text", ["", "tool = 3", "[project]\nname = 'a'", "[tool.ruff]"])
def test_a_project_file_without_our_table_says_nothing(text: str) -> None:
    Path("pyproject.toml").write_text(text)

    assert Settings().get("model") is None


def test_the_nearest_project_file_counts() -> None:
    write_project("echo/outer", "model")
    folder = Path("a/b")
    folder.mkdir(parents=True)

    assert Settings(folder).get("model") == "echo/outer"
    write_project("echo/inner", "model", "a")
    assert Settings(folder).get("model") == "echo/inner"


# Where we work


def workspace(**environ: str) -> tuple[Path, str | None]:
    found = Settings(environ=environ).workspace
    return found.folder, found.notebook


def test_the_notebook_named_by_us_moves_the_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"

    assert workspace(LLM_MAGIC_NOTEBOOK=str(elsewhere / "a.b.ipynb")) == (elsewhere, "a.b")
    assert workspace(LLM_MAGIC_NOTEBOOK="sub/a.ipynb") == (Path.cwd() / "sub", "a")


def test_jupyters_name_counts_in_the_starting_folder_only(tmp_path: Path) -> None:
    here = Path.cwd()

    assert workspace(JPY_SESSION_NAME=str(here / "a.ipynb")) == (here, "a")
    assert workspace(JPY_SESSION_NAME=str(tmp_path / "a.ipynb")) == (here, None)
    assert workspace(JPY_SESSION_NAME=str(here / "console-1")) == (here, None)
    assert workspace(JPY_SESSION_NAME="") == (here, None)


def test_our_name_counts_more_than_jupyters() -> None:
    here = Path.cwd()
    environ = {"LLM_MAGIC_NOTEBOOK": "ours.ipynb", "JPY_SESSION_NAME": str(here / "theirs.ipynb")}

    assert workspace(**environ) == (here, "ours")


def test_a_hint_from_the_kernel_names_the_notebook() -> None:
    settings = Settings(environ={})
    assert settings.workspace.notebook is None

    settings.notebook_hint = str(Path.cwd() / "hinted.ipynb")

    assert settings.workspace.notebook == "hinted"


def test_a_folder_that_was_given_stays_whatever_the_notebook_is(tmp_path: Path) -> None:
    settings = Settings(tmp_path, environ={"LLM_MAGIC_NOTEBOOK": "/somewhere/a.ipynb"})

    assert settings.workspace == config.Workspace(tmp_path, "a")


def test_changing_the_directory_moves_nothing(tmp_path: Path) -> None:
    start = Path.cwd()
    settings, relative = Settings(environ={}), Settings(".", environ={})
    named = Settings(environ={"LLM_MAGIC_NOTEBOOK": "sub/a.ipynb"})

    os.chdir(tmp_path)

    assert settings.workspace.folder == relative.workspace.folder == start
    assert named.workspace.folder == start / "sub"


def test_a_label_is_always_a_file_name() -> None:
    assert config._label("a\\b/c\0d") == "a_b_c_d"


def test_working_files_can_be_kept_elsewhere_a_folder_each(tmp_path: Path) -> None:
    environ = {"LLM_MAGIC_WORKING": str(tmp_path / "elsewhere")}

    one, other = (Settings(tmp_path / name, environ=environ).workspace for name in "ab")

    assert one.working.parent == other.working.parent == tmp_path / "elsewhere"
    assert one.working != other.working
    assert one.cassette("n") == tmp_path / "a" / "n.cassette.jsonl"


@pytest.mark.parametrize(
    ("asked", "project", "overruled"),
    [
        ("CAPTURE", "", {(Mode.CAPTURE, "argument")}),
        ("FALLBACK", "", set()),
        (None, "", set()),
        (None, "mode = 'DISABLED'", {(Mode.DISABLED, "pyproject.toml")}),
        ("REPLAY", "mode = 'DISABLED'", set()),
    ],
)
def test_modes_that_an_imposed_replay_overrules_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, project: str, overruled: set[Any]
) -> None:
    monkeypatch.setattr(config, "overruled", set())
    (tmp_path / "pyproject.toml").write_text(f"[tool.llm_magic]\n{project}\n")
    settings = Settings(tmp_path, environ={"LLM_MAGIC_MODE": "REPLAY"})

    assert settings.get("mode", asked) is Mode.REPLAY

    assert {(mode, Path(origin).name) for mode, origin in config.overruled} == overruled


def test_a_setting_that_is_taken_away_on_another_thread_leaves_the_next_one():
    class Racing(dict[str, object]):
        """It was there when somebody looked."""

        def __contains__(self, name: object) -> bool:
            return True

    settings = Settings(environ={"LLM_MAGIC_MODE": "DISABLED"})
    settings.session = Racing()

    assert settings.get("mode") == "DISABLED"


# In a process of its own, where our magics are not loaded, as a kernel before ``%load_ext``.
CARRIED = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.config.CompleteMagics.mode = "{mode}"
from llm_magic import config
settings = config.default()
print(settings.get("mode"), config.Settings(".").get("mode"), settings.get("mode", "CAPTURE"))
settings.set("mode", "DISABLED")
print(settings.get("mode"))
settings.session.clear()
shell.run_line_magic("load_ext", "llm_magic")
settings.session.clear()
print(settings.get("mode"))
"""


@pytest.mark.parametrize(
    ("outside", "told"),
    [
        ({}, ["REPLAY FALLBACK CAPTURE", "DISABLED", "FALLBACK"]),
        ({"LLM_MAGIC_MODE": "DISABLED"}, ["REPLAY DISABLED CAPTURE", "DISABLED", "DISABLED"]),
        ({"LLM_MAGIC_MODE": "REPLAY"}, ["REPLAY REPLAY REPLAY", "REPLAY", "REPLAY"]),
    ],
)
def test_the_mode_that_a_notebook_carries_counts_before_the_magics_are_loaded(
    outside: dict[str, str], told: list[str], run_python: Any
) -> None:
    done = run_python(CARRIED.format(mode="REPLAY"), env={**os.environ, **outside})

    assert done.stdout.splitlines() == told, done.stderr


def test_a_mode_from_outside_is_not_loosened_by_one_that_a_notebook_carries(
    run_python: Any,
) -> None:
    environ = {**os.environ, "LLM_MAGIC_MODE": "REPLAY"}

    done = run_python(CARRIED.format(mode="FALLBACK"), env=environ)

    assert done.stdout.splitlines() == ["REPLAY REPLAY REPLAY", "REPLAY", "REPLAY"], done.stderr
