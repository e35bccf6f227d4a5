"""The ledger as a file for other programs: CSV, JSON lines, Parquet.

In CSV and JSON lines money is the decimal text that the ledger has, so that nothing is rounded;
Parquet has the columns and dtypes of the DataFrame.

A spreadsheet takes a cell that begins with ``=`` for a formula, and what a model or a file name
says may begin with one. In CSV, a text that begins so has an apostrophe before it (``'=1+1``), as
OWASP advises: https://owasp.org/www-community/attacks/CSV_Injection. JSON lines and Parquet have
every text as it is.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm_magic.exceptions import ConfigError, ParameterError, did_you_mean
from llm_magic.history import frames
from llm_magic.history.columns import COLUMNS

__all__ = ["FORMATS", "format_of", "write"]

_Rows = Iterable[Sequence[Any]]

# What Excel, LibreOffice and Google Sheets begin a formula with, wide forms too, and the characters
# that some of them pass over before it.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def _write_csv(path: Path, rows: _Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(map(_inert, _with_flags(row)))


def _inert(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _write_jsonl(path: Path, rows: _Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            record = dict(zip(COLUMNS, _with_flags(row), strict=True))
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


_FLAGS = [dtype == "boolean" for dtype in COLUMNS.values()]


def _with_flags(row: Sequence[Any]) -> list[Any]:
    return [
        bool(value) if flag and value is not None else value
        for flag, value in zip(_FLAGS, row, strict=True)
    ]


def _write_parquet(path: Path, rows: _Rows) -> None:
    if find_spec("pyarrow") is None:
        raise ConfigError(
            'Parquet needs pyarrow: pip install "llm-magic[parquet]", or write .csv or .jsonl'
        )
    frames.of_rows(list(rows)).to_parquet(path, engine="pyarrow", index=False)


FORMATS: dict[str, Callable[[Path, _Rows], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}


def format_of(path: Path) -> str:
    """The format that the ending of a file's name says.

    Raises
    ------
    ParameterError
        For another ending.
    """
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        hint = did_you_mean(ending, FORMATS)
        raise ParameterError(f"{path.name}: its ending says the format; {hint}")
    return ending


def write(path: Path, rows: _Rows, kind: str) -> None:
    """Write rows of all columns, at once or not at all.

    Raises
    ------
    ConfigError
        For Parquet without pyarrow.
    ParameterError
        When nothing can be written there.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        FORMATS[kind](temporary, rows)
        temporary.replace(path)
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        # Prompts and answers stand in it: it stays readable for its owner only, as the ledger is.
        with suppress(FileNotFoundError):
            temporary.unlink()
