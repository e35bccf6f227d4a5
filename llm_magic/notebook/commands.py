"""What ``%llm`` does: one function a word, each returns something to show."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from IPython import get_ipython
from IPython.core.error import UsageError

from llm_magic import attachment, client, config, history, routing
from llm_magic.config import OPTIONS, Workspace
from llm_magic.exceptions import did_you_mean
from llm_magic.formats import count, usd
from llm_magic.notebook import (
    cassette_commands,
    chat_commands,
    money_commands,
    plan,
    template_commands,
)
from llm_magic.notebook.options import no_words, one_word
from llm_magic.notebook.plan import Plan
from llm_magic.notebook.tables import Table
from llm_magic.providers import catalog
from llm_magic.types import Mode

__all__ = ["COMMANDS", "run"]


def run(words: Sequence[str]) -> Any:
    """Do what the words after ``%llm`` say; without words, the status."""
    name, *rest = words or ["status"]
    if name not in COMMANDS:
        raise UsageError(f"%llm {name}: no such command; {did_you_mean(name, COMMANDS)}")
    return COMMANDS[name](rest)


def mode(words: Sequence[str]) -> str:
    """``%llm mode``: the mode; ``%llm mode REPLAY``: set it for this session."""
    settings = config.default()
    if words:
        asked = settings.set("mode", one_word(words, "mode MODE"))
        attachment.follow_mode()
        if settings.imposed and asked is not Mode.REPLAY:
            return "mode: REPLAY, imposed by LLM_MAGIC_MODE; it is not loosened from a notebook"
    return f"mode: {settings.get('mode')} ({settings.origin('mode')})"


def models(words: Sequence[str]) -> Any:
    """``%llm models``: the providers, how to name their models, whether their key is set.

    ``%llm models TEXT``: the models with that text in their name, as a DataFrame.
    """
    if words:
        # pandas, and what fetches lists: only for this
        from llm_magic import modelinfo
        from llm_magic.notebook.frames import InertFrame

        return InertFrame(modelinfo.models(one_word(words, "models TEXT")))
    routing.learn_providers(config.default())
    rows = []
    for name, row in catalog.ENTRIES.items():
        key = "set" if catalog.has_key(row) else "not needed" if row.keyless else "not set"
        variables = " or ".join((*row.key_variables, *row.credential_variables))
        rows.append((f"{name}/MODEL", key, variables, _address(row)))
    default = config.default().get("model") or "none (%llm config model=provider/model)"
    return Table(["model", "key", "variable", "address"], rows, f"default model: {default}")


def _address(row: catalog.Entry) -> str:
    moved = os.environ.get(row.base_url_variable, "") if row.base_url_variable else ""
    if not moved and not row.base_url:
        return row.base_url_variable or "in this process"
    # Without user info and query, which may hold a password.
    return routing.bare_url(moved) if moved else row.base_url


def alias(words: Sequence[str]) -> Table | str:
    """``%llm alias``: your words for models; ``%llm alias NAME=MODEL``: one more, this session."""
    settings = config.default()
    if not words:
        rows = [
            (name, reference, settings.alias_origin(name))
            for name, reference in sorted(settings.aliases.items())
        ]
        return Table(
            ["alias", "model", "from"], rows, "" if rows else "none: %llm alias NAME=MODEL"
        )
    told = []
    for word in words:
        name, equals, reference = word.partition("=")
        if not equals or not reference:
            raise UsageError(f"%llm alias {word}: write {name}=provider/model")
        # Another alias is followed now, so that none ever stands for one.
        model = "/".join(routing.resolve(reference))
        settings.alias(name, model)
        told.append(f"{name}: {model}")
    return "\n".join(told)


def attach(words: Sequence[str]) -> Table | str:
    """``%llm attach [HOST ...]``: record what other libraries ask, too.

    ``%llm attach --status``: which libraries are watched, and whose servers.
    """
    if words == ["--status"]:
        return _attached()
    for word in words:
        if word.startswith("-"):
            raise UsageError(f"%llm attach {word}: no such option; there is --status")
    attachment.attach(hosts=words)
    return "attached: what other libraries ask models is recorded, replayed and counted, too"


def detach(words: Sequence[str]) -> str:
    """``%llm detach``: leave other libraries alone again."""
    no_words(words, "detach")
    return "detached" if attachment.detach_all() else "nothing was attached"


def _attached() -> Table:
    now = attachment.status()
    return Table(
        [],
        [
            ("attached", "yes" if now.attachments else "no"),
            ("libraries", ", ".join(now.libraries) or "none is imported yet"),
            ("more servers", ", ".join(now.hosts) or "none"),
        ],
    )


_SHOWN = ["started", "model", "source", "status", "input_tokens", "output_tokens", "cost", "saved"]


def calls(words: Sequence[str]) -> Any:
    """``%llm history``: the newest 20 calls as a DataFrame; ``%llm history 100``: 100 of them."""
    text = one_word(words, "history NUMBER") if words else "20"
    if not text.isdecimal():
        raise UsageError(f"%llm history {text}: how many calls? write a number")
    from llm_magic.notebook.frames import InertFrame  # pandas: only for this

    frame = history.default().to_pandas()
    return InertFrame(frame.tail(int(text))[[*_SHOWN, "prompt", "answer"]])


def show_panel(words: Sequence[str]) -> Any:
    """``%llm panel``: models, prompt, history, cassette and cost meter, to click."""
    from llm_magic.notebook.panel import panel  # the widgets, which load in half a second

    no_words(words, "panel")
    return panel()


def status(words: Sequence[str]) -> Table:
    """``%llm status``: mode, model, notebook, folder, recordings and money at a glance."""
    no_words(words, "status")
    settings = config.default()
    totals = history.default().totals()
    shelf = client.default().shelf
    rows = [
        ("mode", f"{settings.get('mode')} ({settings.origin('mode')})"),
        ("model", settings.get("model") or "none"),
        ("notebook", settings.workspace.notebook or "not known"),
        ("folder", f"{shelf.folder}{' (read-only)' if shelf.store.read_only else ''}"),
        *_elsewhere(settings.workspace),
        *cassette_commands.rows(),
        ("spent", usd(totals.spent)),
        ("saved by replay", usd(totals.saved)),
        ("calls of unknown cost", count(totals.unknown)),
        ("JupyterLab extension", _extension()),
    ]
    return Table([], rows)


def _extension() -> str:
    """Whether it was installed along: pip itself is silent about a build without Node.js."""
    from jupyter_core.paths import jupyter_path

    places = (Path(folder, "llm-magic", "package.json") for folder in jupyter_path("labextensions"))
    if any(place.is_file() for place in places):
        return "installed"
    return "not in this environment; pip -v install tells why (building it needs Node.js)"


def _elsewhere(workspace: Workspace) -> list[tuple[str, str]]:
    beside = workspace.working.parent == workspace.folder
    return [] if beside else [("working files", str(workspace.working))]


def planned(words: Sequence[str]) -> Plan:
    """``%llm plan [NOTEBOOK]``: what running the notebook, as it was saved, would cost."""
    shell = get_ipython()
    return plan.plan(
        cassette_commands.notebook_file(words, "plan"),
        namespace=shell.user_ns if shell is not None else None,
        like=config.default(),
    )


def configure(words: Sequence[str]) -> Table | str:
    """``%llm config``: all settings; ``%llm config NAME=VALUE``: set one for this session."""
    settings = config.default()
    if not words:
        rows = [
            (name, settings.get(name), settings.origin(name), option.help)
            for name, option in OPTIONS.items()
        ]
        return Table(["setting", "value", "from", "meaning"], rows)
    told = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"%llm config {word}: write {word}=VALUE")
        told.append(mode([value]) if name == "mode" else f"{name}: {settings.set(name, value)}")
    return "\n".join(told)


COMMANDS: dict[str, Callable[[Sequence[str]], Any]] = {
    "alias": alias,
    "attach": attach,
    "budget": money_commands.budget,
    "cassette": cassette_commands.cassette,
    "chats": chat_commands.command,
    "config": configure,
    "cost": money_commands.cost,
    "detach": detach,
    "forget": cassette_commands.forget,
    "history": calls,
    "mode": mode,
    "models": models,
    "panel": show_panel,
    "plan": planned,
    "status": status,
    "template": template_commands.command,
}
