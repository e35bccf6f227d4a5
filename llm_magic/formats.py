"""Numbers as people read them: money and counts, the same in footers, tables and the CLI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

__all__ = ["count", "counted", "data_size", "duration", "printable", "table", "usd"]


def usd(amount: Decimal | None) -> str:
    """An amount of money, precise where it is small.

    >>> usd(Decimal("0.0042")), usd(Decimal("0.000018")), usd(Decimal("12.3456"))
    ('$0.0042', '$0.000018', '$12.35')
    >>> usd(Decimal(0)), usd(None)
    ('$0.00', '$?')

    Parameters
    ----------
    amount : decimal.Decimal or None
        US dollars; None when the price is unknown, which is never shown as nothing.
    """
    if amount is None or not amount.is_finite():
        return "$?"
    size = abs(amount)
    if size == 0:
        return "$0.00"

    # From one dollar on: cents. Below: four digits that matter, without the zeros after them.
    places = 2 if size >= 1 else 3 - size.adjusted()
    digits = f"{size:,.{places}f}"
    if places > 2:
        whole, fraction = digits.split(".")
        digits = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    return f"{'-' if amount < 0 else ''}${digits}"


def count(number: int | None) -> str:
    """A whole number with separators; unknown is ``?``.

    >>> count(1204), count(None)
    ('1,204', '?')
    """
    return "?" if number is None else f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number of things, in the singular where it is one.

    >>> counted(1, "recording"), counted(1204, "recording")
    ('1 recording', '1,204 recordings')
    """
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def data_size(number: int) -> str:
    """A number of bytes.

    >>> data_size(120), data_size(48_200), data_size(12_340_000)
    ('0.1 kB', '48.2 kB', '12.3 MB')
    """
    return f"{number / 1e3:.1f} kB" if number < 100_000 else f"{number / 1e6:.1f} MB"


def duration(milliseconds: float) -> str:
    """A time span as people read it.

    >>> duration(26.4), duration(1834)
    ('26 ms', '1.8 s')
    """
    return f"{milliseconds:.0f} ms" if milliseconds < 100 else f"{milliseconds / 1000:.1f} s"


# Characters that drive a terminal (a text could rewrite what stands above it), and halves of
# surrogate pairs, which no message to a notebook can carry.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text without characters that would drive a terminal.

    >>> printable("red: \x1b[31m")
    'red: �[31m'
    """
    return _INVISIBLE.sub("\ufffd", text.replace("\r\n", "\n"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text, each line without spaces at its end.

    >>> print(table(["model", "cost"], [["echo/echo", "$0.00"], ["openai/gpt-5", "$0.01"]]))
    model         cost
    echo/echo     $0.00
    openai/gpt-5  $0.01
    """
    lines = [list(header)] if header else []
    lines += [[str(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
