"""Imports go down, never up or ahead in the row: CONTRIBUTING shows the picture of this table."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import llm_magic

ROOT = Path(llm_magic.__file__).parent

# From the bottom up; within a row a module may import those named before it. A package is one
# seat, and has a row of its own below when its modules have an order.
ROWS = [
    [
        "exceptions",
        "types",
        "notices",
        "dropped",
        "mounts",
        "environment",
        "config",
        "formats",
        "worddiff",
        "testing",
    ],
    [
        "secrets",
        "key_fields",
        "storage",
        "templates",
        "jinja_templates",
        "named_templates",
        "tokens",
        "bounds",
        "media",
        "tools",
        "schemas",
        "own_prices",
        "pricing",
        "prices",
        "providers",
    ],
    [
        "recordings",
        "packed",
        "cassette",
        "cassette_index",
        "shelf",
        "packing",
        "replay",
        "spend",
        "history",
        "budgets",
        "registry",
        "routing",
        "modelinfo",
        "failover",
        "limits",
        "inventory",
    ],
    [
        "conventions",
        "telemetry",
        "pipeline",
        "streaming",
        "arguments",
        "rounds",
        "preview",
        "client",
        "chats",
    ],
    [
        "sessions",
        "timeline",
        "costs",
        "batch",
        "tuning",
        "doctor",
        "attachment",
        "headless",
        "guard",
        "verify",
        "importers",
        "care",
        "forgetting",
        "rescue",
    ],
    ["notebook", "compat", "cassette_cli", "verify_cli", "pytest_replay", "cli"],
    ["__init__", "__main__"],
]
PACKAGES = {
    "storage": ["folders", "database", "layout", "preflight", "salvage", "store", "__init__"],
    "providers": [
        "base",
        "choices",
        "catalog",
        "sse",
        "assembly",
        "answers",
        "conversion",
        "reading",
        "sdk",
        "openai",
        "anthropic",
        "bedrock",
        "schema",
        "echo",
        "__init__",
    ],
    "attachment": [
        "endpoints",
        "keys",
        "asked",
        "wire",
        "responses",
        "gemini",
        "answers",
        "library",
        "exchange",
        "hooks",
        "__init__",
    ],
    "notebook": [
        "lab",
        "highlighting",
        "markdown",
        "asides",
        "cell",
        "display",
        "tables",
        "frames",
        "options",
        "complete_options",
        "contradictions",
        "asking",
        "questions",
        "names",
        "plan",
        "verification",
        "cassette_commands",
        "money_commands",
        "chat_commands",
        "template_commands",
        "changes",
        "snapshots",
        "meter",
        "lists",
        "picker",
        "answering",
        "past_calls",
        "ask_tab",
        "history_tab",
        "cassette_tab",
        "panel",
        "commands",
        "completions",
        "failing",
        "showing",
        "side_by_side",
        "mapping",
        "background",
        "traits",
        "lab_state",
        "lab_calls",
        "lab_requests",
        "lab_bridge",
        "lab_comms",
        "magics",
        "__init__",
    ],
    "history": [
        "ids",
        "watchers",
        "later",
        "tagging",
        "filters",
        "columns",
        "migrations",
        "sums",
        "running",
        "groups",
        "frames",
        "exports",
        "repricing",
        "database",
        "reading",
        "rewriting",
        "ledger",
        "__init__",
    ],
    "verify": [
        "findings",
        "leaks",
        "volatile",
        "execution",
        "checks",
        "verifier",
        "text",
        "__init__",
    ],
    "compat": ["shapes", "opentracy", "onellm", "hopenai", "__init__"],
    "testing": [
        "connection",
        "scripts",
        "dialect",
        "openai_wire",
        "completions_wire",
        "embeddings_wire",
        "anthropic_wire",
        "exchange",
        "listener",
        "seen",
        "server",
        "plugin",
        "__init__",
    ],
}
PLACES = {name: (row, at) for row, names in enumerate(ROWS) for at, name in enumerate(names)}
FILES = sorted(ROOT.rglob("*.py"))


def seat(module: str) -> str:
    """The part of a dotted name that has a seat: llm_magic.storage.store -> storage."""
    return module.split(".")[1] if "." in module else "__init__"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> set[str]:
    """Every module of ours that a file imports, lazily or for types, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    modules = {name_of(other) for other in FILES}
    return {name for name in found if name in modules and name != "llm_magic"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    own = seat(name_of(path))
    if own == "__init__":
        return
    assert own in PLACES, f"{name_of(path)} has no seat: give it one in CONTRIBUTING and here"

    too_high = {name for name in imported(path) if PLACES[seat(name)] > PLACES[own]}

    assert not too_high


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != ROOT], ids=name_of)
def test_within_a_package_imports_go_back_in_its_row(path: Path) -> None:
    package = path.parent.name
    order = PACKAGES[package]
    assert path.stem in order, f"{name_of(path)} has no seat in its package"
    siblings = {
        name.split(".")[2]
        for name in imported(path)
        if name.count(".") == 2 and name.split(".")[1] == package
    }

    ahead = {name for name in siblings if order.index(name) >= order.index(path.stem)}

    assert not ahead


def test_only_the_notebook_imports_ipython_and_widgets() -> None:
    outside = {
        name_of(path)
        for path in FILES
        if seat(name_of(path)) != "notebook"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.split(".")[0] in {"IPython", "ipywidgets"}
    }

    assert outside == set()
