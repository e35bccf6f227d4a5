"""``llm-magic verify``: the report of :mod:`llm_magic.verify`, for a shell, CI and pre-commit.

Exit codes: 0 when every notebook is clean, 1 when something was found, 2 when a notebook could not
be verified (there is none, no kernel, a cassette that cannot be read) or the command makes no
sense. What ``--allow`` names, and ``shared``, is told and does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from llm_magic.exceptions import LLMMagicError, did_you_mean
from llm_magic.verify import FORGIVEN, KINDS, TIMEOUT, Report, verify
from llm_magic.verify.text import to_text

__all__ = ["CLEAN", "FOUND", "NOT_VERIFIED", "VERSION", "add_verify"]

CLEAN, FOUND, NOT_VERIFIED = 0, 1, 2

# Of the shape that --json prints.
VERSION = 1


def add_verify(commands: Any) -> None:
    """Add ``llm-magic verify``."""
    width = max(map(len, KINDS))
    kinds = "\n".join(f"  {kind:<{width}}  {meaning}" for kind, meaning in KINDS.items())
    verifying = commands.add_parser(
        "verify",
        help="run notebooks in REPLAY without a network, and compare what they put out",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run saved notebooks in REPLAY, in a fresh kernel without a network, and\n"
        "compare their outputs with the saved ones. Nothing is written.",
        epilog=f"what is found:\n{kinds}\n\n"
        "exit codes:\n"
        f"  {CLEAN}  every notebook is clean\n"
        f"  {FOUND}  something was found ({', '.join(sorted(FORGIVEN))} does not count, nor what"
        " --allow names)\n"
        f"  {NOT_VERIFIED}  a notebook could not be verified, or the command makes no sense",
    )
    verifying.add_argument("notebooks", type=Path, nargs="+", metavar="NOTEBOOK")
    verifying.add_argument(
        "--allow",
        type=_kind,
        action="append",
        default=[],
        metavar="KIND",
        help="tell this kind of finding, and do not fail for it; may be repeated",
    )
    verifying.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long a cell may take (default {TIMEOUT:g})",
    )
    verifying.add_argument("--json", action="store_true", help="print one JSON document")
    verifying.set_defaults(command=_verify)


def _kind(text: str) -> str:
    if text not in KINDS:
        raise argparse.ArgumentTypeError(f"no kind {text!r}; {did_you_mean(text, KINDS)}")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0")
    return seconds


def _verify(options: argparse.Namespace) -> int:
    reports: list[Report] = []
    errors: list[dict[str, str]] = []
    for path in options.notebooks:
        try:
            report = verify(path, timeout=options.timeout, progress=not options.json)
        except LLMMagicError as error:
            errors.append({"notebook": str(path), "message": str(error)})
            print(f"llm-magic: {error}", file=sys.stderr)
            continue
        reports.append(report)
        if not options.json:
            _print(to_text(report, options.allow))
    found = any(report.failing(options.allow) for report in reports)
    code = NOT_VERIFIED if errors else FOUND if found else CLEAN
    if options.json:
        document = {
            "version": VERSION,
            "exit_code": code,
            "errors": errors,
            "reports": [report.to_dict() for report in reports],
        }
        # Names of files, and what cells put out, may hold what no terminal's encoding has.
        print(json.dumps(document, indent=1))
    return code


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
