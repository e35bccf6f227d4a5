"""``llm-magic cassette ...``, ``pack``, ``unpack`` and ``forget``, for a shell."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_magic import care, forgetting, history, inventory, packing, rescue
from llm_magic.cassette import ENDING
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, counted, table
from llm_magic.shelf import Shelf

__all__ = ["add_cassette_commands", "add_forget", "add_packing"]

# Lines that both branches added are kept; two answers to one request are found when it is read.
_RULE = f"*{ENDING} text eol=lf merge=union"


def add_cassette_commands(kinds: Any) -> None:
    """Add the commands after ``llm-magic cassette``."""
    listed = kinds.add_parser("list", help="list a notebook's recordings")
    listed.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    listed.add_argument("text", nargs="?", default="", help="only those that hold this text")
    listed.set_defaults(command=_list)
    show = kinds.add_parser("show", help="show a request and its answers")
    show.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    show.add_argument("key", metavar="KEY", help="beginning of its key")
    show.set_defaults(command=_show)
    diff = kinds.add_parser("diff", help="show what export would change in the cassette")
    diff.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    diff.set_defaults(command=_diff)
    init = kinds.add_parser("init", help="tell git how cassettes are merged (.gitattributes)")
    init.add_argument(
        "notebook",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="NOTEBOOK",
        help="a notebook or its folder (default: this one); the rule is for all cassettes in it",
    )
    init.set_defaults(command=_init)
    check = kinds.add_parser("check", help="look whether store, cassettes and ledger are whole")
    check.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER")
    check.set_defaults(command=_check)
    repair = kinds.add_parser("repair", help="move aside what is damaged, save what can be read")
    repair.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER")
    repair.set_defaults(command=_repair)


def add_packing(commands: Any) -> None:
    """Add ``llm-magic pack`` and ``llm-magic unpack``."""
    pack = commands.add_parser("pack", help="put a notebook's recordings into the notebook itself")
    pack.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    pack.add_argument("-o", "--output", type=Path, metavar="OUT", help="write a packed copy here")
    pack.add_argument("--force", action="store_true", help="also when they are large")
    pack.set_defaults(command=_pack)
    unpack = commands.add_parser("unpack", help="take them out again, into the cassette beside it")
    unpack.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    unpack.set_defaults(command=_unpack)


def add_forget(commands: Any) -> None:
    """Add ``llm-magic forget``."""
    forget = commands.add_parser("forget", help="remove recordings and the ledger's texts")
    what = forget.add_mutually_exclusive_group(required=True)
    what.add_argument("prefix", nargs="?", metavar="KEY", help="beginning of a key")
    what.add_argument("--cell", metavar="TEXT", help="text in the cell's first line, or its id")
    what.add_argument("--text", help="text in the messages or the answer")
    forget.add_argument("--yes", action="store_true", help="do it; otherwise it is only shown")
    forget.add_argument("--folder", type=Path, default=Path(), help="the notebooks' folder")
    forget.set_defaults(command=_forget)


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[Shelf]:
    if not folder.is_dir():
        raise LLMMagicError(f"there is no folder {folder}")
    with contextlib.closing(Shelf(Settings(folder.resolve()).workspace)) as shelf:
        yield shelf


def _name(path: Path) -> str:
    if path.suffix != ".ipynb":
        raise LLMMagicError(f"{path} is not a notebook; name the .ipynb file")
    return path.stem


def _list(options: argparse.Namespace) -> int:
    name = _name(options.notebook)
    with _open(options.notebook.parent) as shelf:
        found = inventory.entries(shelf, name)
        rows = inventory.list_rows(found, options.text)
    if rows:
        print(table(inventory.LIST_HEADER, rows))
    print(f"{count(len(rows))} recordings")
    return 0


def _show(options: argparse.Namespace) -> int:
    name = _name(options.notebook)
    with _open(options.notebook.parent) as shelf:
        found = inventory.matching(inventory.entries(shelf, name), options.key)
    print("\n\n".join(map(str, found)))
    return 0


def _diff(options: argparse.Namespace) -> int:
    name = _name(options.notebook)
    with _open(options.notebook.parent) as shelf:
        rows = inventory.diff_rows(shelf, name)
    if rows:
        print(table(inventory.DIFF_HEADER, rows))
    told = counted(len(rows), "recording")
    print(f"export would change {told} of {name}{ENDING}")
    return 0


def _pack(options: argparse.Namespace) -> int:
    _name(options.notebook)
    print(packing.pack(options.notebook, output=options.output, force=options.force))
    return 0


def _unpack(options: argparse.Namespace) -> int:
    _name(options.notebook)
    print(packing.unpack(options.notebook))
    return 0


def _init(options: argparse.Namespace) -> int:
    path: Path = options.notebook
    folder = path if path.is_dir() else path.parent
    if not path.is_dir():
        _name(path)
    if not folder.is_dir():
        raise LLMMagicError(f"there is no folder {folder}")
    if not path.exists():
        raise LLMMagicError(f"there is no notebook {path}")
    attributes = folder / ".gitattributes"
    if attributes.is_symlink():
        # Git does not read one, and it may lead to a file that is none of ours.
        raise LLMMagicError(f"{attributes} is a symbolic link, which git ignores; make it a file")
    try:
        text = attributes.read_text(encoding="utf-8") if attributes.exists() else ""
        lines = [line.split() for line in text.splitlines()]
        if any(line[:1] == [f"*{ENDING}"] and "merge=union" in line for line in lines):
            print(f"{attributes} has the rule already")
            return 0
        end = "" if not text or text.endswith("\n") else "\n"
        attributes.write_text(f"{text}{end}{_RULE}\n", encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise LLMMagicError(f"{attributes} cannot be written: {error}") from None
    print(f"{attributes}: {_RULE}\ncommit it, and branches that recorded different things merge")
    return 0


def _workspace(path: Path) -> Workspace:
    folder = path.parent if path.suffix == ".ipynb" else path
    if not folder.is_dir():
        raise LLMMagicError(f"there is no folder {folder}")
    return Settings(folder.resolve()).workspace


def _check(options: argparse.Namespace) -> int:
    report = care.check(_workspace(options.folder), _progress())
    print(report)
    return 1 if report.problems else 0


def _repair(options: argparse.Namespace) -> int:
    workspace = _workspace(options.folder)
    done = rescue.repair(workspace, _progress())
    print("\n".join(done) if done else "there was nothing to repair")
    report = care.check(workspace, _progress())
    print(report)
    return 1 if report.problems else 0


def _progress() -> care.Progress:
    return care.Progress(lambda line: print(line, file=sys.stderr))


def _forget(options: argparse.Namespace) -> int:
    with _open(options.folder) as shelf:
        found = forgetting.find_forgettable(
            shelf,
            history.at(Settings(options.folder.resolve()).workspace),
            prefix=options.prefix,
            cell=options.cell,
            text=options.text,
        )
        if found.found:
            print(table(inventory.LIST_HEADER, inventory.list_rows(found.found)))
        if not options.yes:
            print(f"{found}: nothing is removed yet; --yes removes them")
            return 0
        told = str(found)
        notes = found.do()
    print("\n".join([f"removed: {told}", *(f"note: {note}" for note in notes)]))
    return 0
