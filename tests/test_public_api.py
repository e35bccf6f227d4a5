"""What the package offers, and what every part of it must have."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import llm_magic

REPOSITORY = Path(__file__).parent.parent


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(llm_magic.__path__, "llm_magic.")
    return [importlib.import_module(each.name) for each in found if "__main__" not in each.name]


MODULES = modules()


def test_all_is_complete_and_sorted() -> None:
    assert llm_magic.__all__ == sorted(llm_magic.__all__)
    assert {name for name in dir(llm_magic) if name in llm_magic.__all__} == {*llm_magic.__all__}


@pytest.mark.parametrize("name", llm_magic.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(llm_magic, name))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_says_what_it_is_and_exports_what_exists(module: ModuleType) -> None:
    assert module.__doc__
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert missing == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'compleet'"):
        llm_magic.compleet  # noqa: B018


def test_the_errors_are_all_drawn_in_the_tree() -> None:
    text = llm_magic.exceptions.__doc__ or ""
    errors = {name for name in llm_magic.exceptions.__all__ if name.endswith("Error")}
    assert set(re.findall(r"\b[A-Z]\w+Error\b", text)) >= errors


def test_python_and_the_changelog_agree_on_the_version() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.M)

    assert newest is not None
    assert newest[1] == llm_magic.__version__


def test_every_dependency_has_bounds_from_below() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert [name for name in project["dependencies"] if ">=" not in name] == []
    assert {"lab", "jinja", "tune", "dask", "otel", "test"} <= {*project["optional-dependencies"]}
