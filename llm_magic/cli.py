"""``llm-magic``: run notebooks without a browser, read the ledger, move cassettes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from llm_magic import __version__, cassette_cli, costs, headless, history, importers, verify_cli
from llm_magic.config import Settings, read_usd
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, counted, table, usd
from llm_magic.history import FILTERS, History, Totals
from llm_magic.shelf import Shelf
from llm_magic.storage import writable
from llm_magic.types import Mode

__all__ = ["main"]

# Exit codes: a notebook or a file that failed; Ctrl-C, as shells count it. A command that makes no
# sense is argparse's 2.
FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except LLMMagicError as error:
        print(f"llm-magic: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("llm-magic: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has seen enough; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-magic", description="Notebooks with language models that run again anywhere."
    )
    parser.add_argument("--version", action="version", version=f"llm-magic {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a notebook without a browser")
    run.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    run.add_argument("--mode", type=_mode, metavar="MODE", help=", ".join(Mode))
    run.add_argument("--budget", type=_usd, metavar="USD", help="the most that it may spend")
    run.add_argument("-o", "--output", type=Path, metavar="OUT", help="write the run notebook here")
    run.add_argument("--show", action="store_true", help="print what the cells put out")
    run.set_defaults(command=_run)

    planning = commands.add_parser(
        "plan", help="tell what running a notebook would ask and cost, without running it"
    )
    planning.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    planning.add_argument("--mode", type=_mode, metavar="MODE", help="as of llm-magic run")
    planning.add_argument("--budget", type=_usd, metavar="USD", help="as of llm-magic run")
    planning.add_argument("--json", action="store_true", help="print one JSON document")
    planning.set_defaults(command=_plan)

    verify_cli.add_verify(commands)

    ledger = commands.add_parser("history", help="show the ledger of a folder")
    ledger.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER")
    ledger.add_argument("-n", "--number", type=int, default=20, help="newest calls (default 20)")
    ledger.add_argument(
        "--export", type=Path, metavar="FILE", help="write all of it to a .csv, .jsonl or .parquet"
    )
    _add_filters(ledger)
    ledger.set_defaults(command=_history)

    cost = commands.add_parser("cost", help="tell what the calls of a folder cost")
    cost.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER")
    cost.add_argument("--by", choices=costs.BY, default="model", help="default: model")
    _add_filters(cost)
    cost.set_defaults(command=_cost)

    cassette = commands.add_parser("cassette", help="move recordings to and from a cassette")
    kinds = cassette.add_subparsers(required=True, metavar="COMMAND")
    export = kinds.add_parser(
        "export", aliases=["save"], help="write what is recorded into the cassette"
    )
    export.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    export.add_argument(
        "--unnamed",
        action="store_true",
        help="also what was recorded while the notebook's name was not known",
    )
    export.set_defaults(command=_export)
    load = kinds.add_parser("import", help="read the cassette into the working store")
    load.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    load.set_defaults(command=_import)
    cassette_cli.add_cassette_commands(kinds)
    cassette_cli.add_packing(commands)
    cassette_cli.add_forget(commands)

    adopt = commands.add_parser("import", help="record the answers of another library's cache")
    adopt.add_argument("path", type=Path, metavar="PATH", help="hopenai's JSON, or cachy.jsonl")
    adopt.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    adopt.add_argument(
        "--log", type=Path, help="the file that CACHY_LOG named: the requests of cachy.jsonl"
    )
    adopt.add_argument("--replace", action="store_true", help="also where there is a recording")
    adopt.set_defaults(command=_adopt)
    return parser


def _add_filters(command: argparse.ArgumentParser) -> None:
    """The filters of the ledger, in their own words."""
    which = command.add_argument_group("which calls")
    for name in FILTERS:
        told = {"since": "2026-11-20, 7d, 12h", "before": "the same", "model": "* for anything"}
        which.add_argument(f"--{name}", metavar=name.upper(), help=told.get(name))


def _filters(options: argparse.Namespace) -> dict[str, str]:
    given = {name: getattr(options, name) for name in FILTERS}
    return {name: value for name, value in given.items() if value is not None}


def _mode(text: str) -> Mode:
    try:
        return Mode.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _usd(text: str) -> Decimal:
    try:
        return read_usd(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    path: Path = options.notebook
    if not path.is_file():
        return _complain(f"there is no notebook {path}")
    if options.output is not None and not options.output.resolve().parent.is_dir():
        # Found out after the run, this would cost its outputs.
        return _complain(f"there is no folder {options.output.parent} for {options.output.name}")
    session = history.new_call_id()
    environment = {
        **_environment(options),
        "LLM_MAGIC_NOTEBOOK": str(path.resolve()),
        "LLM_MAGIC_SESSION": session,
    }
    show = _print_outputs if options.show else None
    error, cells = headless.execute(path, environment, output=options.output, show=show)
    totals = _totals(path, session)
    print(_summary(path, cells, totals))
    if not writable(path.resolve().parent):
        print("the folder cannot be written, so the calls are not counted")
    if error:
        print(f"llm-magic: {path.name} failed\n{error}", file=sys.stderr)
        return FAILED
    if options.mode is Mode.REPLAY and totals.live:
        print(f"llm-magic: {path.name} made {totals.live} live calls in REPLAY", file=sys.stderr)
        return FAILED
    return 0


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """The environment, with the mode and the budget that the command line names."""
    environment = dict(os.environ)
    if options.mode is not None:
        environment["LLM_MAGIC_MODE"] = str(options.mode)
    if options.budget is not None:
        environment["LLM_MAGIC_BUDGET"] = str(options.budget)
    return environment


def _plan(options: argparse.Namespace) -> int:
    path: Path = options.notebook
    if not path.is_file():
        return _complain(f"there is no notebook {path}")
    from llm_magic.notebook import plan  # IPython, which reads magics, takes half a second

    planned = plan.plan(path, environment=_environment(options))
    print(json.dumps(planned.to_dict(), indent=1) if options.json else planned)
    return 0


def _print_outputs(cell: Any) -> None:
    """The cell's outputs as a terminal shows them: plain text."""
    for output in cell.outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain") or ""
        if output.output_type == "error":
            text = "\n".join(output.traceback)
        if text.strip():
            print(text.rstrip() + "\n", flush=True)


def _totals(path: Path, session: str) -> Totals:
    ledger = history.at(Settings(path.resolve().parent).workspace)
    return ledger.totals(session=session)


def _summary(path: Path, cells: int, totals: Totals) -> str:
    share = f" ({100 * totals.replayed // totals.calls} %)" if totals.calls else ""
    row = [
        count(cells),
        count(totals.calls),
        f"{count(totals.replayed)}{share}",
        count(totals.failed),
        usd(totals.spent),
        usd(totals.saved),
        count(totals.unknown),
    ]
    header = ["cells", "calls", "replayed", "failed", "spent", "saved", "unknown cost"]
    return f"{path.name}\n{table(header, [row])}"


_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "started": lambda row: row["started"][:19].replace("T", " "),
    "model": lambda row: f"{row['provider']}/{row['model']}",
    "source": lambda row: row["source"],
    "status": lambda row: row["status"],
    "tokens": lambda row: f"{count(row['input_tokens'])} + {count(row['output_tokens'])}",
    "cost": lambda row: usd(_decimal(row["cost"])),
    "saved": lambda row: usd(_decimal(row["saved"])) if row["source"] == "replay" else "",
    "prompt": lambda row: " ".join((row["prompt"] or "").split())[:40],
}


def _decimal(text: str | None) -> Any:
    from decimal import Decimal

    return None if text is None else Decimal(text)


def _history(options: argparse.Namespace) -> int:
    ledger = _ledger(options.folder)
    if ledger is None:
        return FAILED
    filters = _filters(options)
    if options.export is not None:
        number = ledger.export(options.export, **filters)
        print(f"{options.export}: {counted(number, 'call')}")
        return 0
    rows = ledger.rows(limit=max(0, options.number), **filters)
    print(table(list(_COLUMNS), [[read(row) for read in _COLUMNS.values()] for row in rows]))
    totals = ledger.totals(**filters)
    print(
        f"\n{count(totals.calls)} calls · spent {usd(totals.spent)} · saved {usd(totals.saved)}"
        f" · {count(totals.unknown)} of unknown cost"
    )
    return 0


def _cost(options: argparse.Namespace) -> int:
    ledger = _ledger(options.folder)
    if ledger is None:
        return FAILED
    print(costs.report(ledger, options.by, **_filters(options)))
    return 0


def _ledger(folder: Path) -> History | None:
    workspace = Settings(folder).workspace
    if not (workspace.working / "history.db").exists():
        _complain(f"{folder.resolve()} has no ledger: nothing was called there yet")
        return None
    return history.at(workspace)


def _shelf(path: Path) -> tuple[Shelf, str]:
    if path.suffix != ".ipynb":
        raise LLMMagicError(f"{path} is not a notebook; name the .ipynb file")
    return Shelf(Settings(path.resolve().parent).workspace), path.stem


def _export(options: argparse.Namespace) -> int:
    shelf, notebook = _shelf(options.notebook)
    if options.unnamed:
        shelf.adopt(notebook)
    saved = shelf.save(notebook)
    unnamed = shelf.status(notebook).unnamed
    shelf.close()
    if not saved.total:
        return _complain(f"nothing is recorded for {options.notebook}; run it first")
    print(saved)
    if unnamed:
        told = counted(unnamed, "recording")
        print(f"{told} made without a notebook's name; add with --unnamed")
    return 0


def _import(options: argparse.Namespace) -> int:
    shelf, notebook = _shelf(options.notebook)
    number = shelf.load(notebook)
    shelf.close()
    print(f"{shelf.source(notebook).name}: {counted(number, 'recording')} in the store")
    return 0


def _adopt(options: argparse.Namespace) -> int:
    notebook: Path = options.notebook
    if notebook.suffix != ".ipynb":
        return _complain(f"{notebook} is not a notebook; name the .ipynb file")
    report = importers.import_file(
        options.path,
        log=options.log,
        folder=notebook.resolve().parent,
        notebook=notebook.stem,
        replace=options.replace,
    )
    print(report)
    return FAILED if len(report.unused) == report.total else 0


def _complain(message: str) -> int:
    print(f"llm-magic: {message}", file=sys.stderr)
    return FAILED
