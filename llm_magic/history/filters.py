"""Which rows of the ledger are meant: the one place that knows the words for it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from llm_magic.exceptions import ParameterError, did_you_mean

__all__ = ["FILTERS", "STEADY", "moment", "stored_moment", "where"]

_Condition = tuple[str, tuple[str, ...]]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(value: Any, now: datetime | None = None) -> datetime:
    """A point in time, from what people write for it.

    >>> moment("7d", now=datetime(2026, 11, 20, tzinfo=UTC)).isoformat()
    '2026-11-13T00:00:00+00:00'

    Parameters
    ----------
    value : datetime.datetime, datetime.date, datetime.timedelta or str
        A time; one without a zone is that of this machine, and a date is its midnight. A span is
        so long ago. Text: ``2026-11-20``, ``2026-11-20T14:00``, ``today``, ``30m``, ``12h``,
        ``7d``, ``2w``.

    Raises
    ------
    ParameterError
        For anything else.
    """
    present = now or datetime.now().astimezone()
    try:
        if isinstance(value, str):
            value = _read(value.strip())
        if isinstance(value, timedelta):
            return present - value
        if isinstance(value, date):
            whole = value if isinstance(value, datetime) else datetime.combine(value, time())
            return whole if whole.tzinfo else whole.astimezone()
    except (ValueError, OverflowError, OSError):
        pass
    raise ParameterError(
        f"{value!r} is no time; write 2026-11-20, 2026-11-20T14:00, today, or a span such as 12h,"
        " 7d, 2w"
    )


def _read(text: str) -> date | timedelta:
    if span := re.fullmatch(r"(\d+) ?([mhdw])", text):
        return timedelta(**{_UNITS[span[2]]: int(span[1])})
    return date.today() if text == "today" else datetime.fromisoformat(text)


def stored_moment(value: datetime) -> str:
    """A time as it stands in the ledger: all in UTC and of one length, so that texts compare.

    >>> stored_moment(datetime(2026, 11, 20, 14, 5, 9, 4321, UTC))
    '2026-11-20T14:05:09.004+00:00'
    """
    at = value.astimezone(UTC)
    whole = _stored_second(at.year, at.month, at.day, at.hour, at.minute, at.second)
    return f"{whole}.{at.microsecond // 1000:03}+00:00"


# Every row has a time, mostly of the second of the row before it, and isoformat() takes long.
@functools.lru_cache(maxsize=64)
def _stored_second(*numbers: int) -> str:
    return datetime(*numbers).isoformat()  # type: ignore[arg-type]


def _is(column: str) -> Callable[[Any], _Condition]:
    return lambda value: (f"{column} = ?", (str(value),))


def _notebook(value: Any) -> _Condition:
    return "notebook = ?", (str(value).removesuffix(".ipynb"),)


def _cell(value: Any) -> _Condition:
    return "(cell_id = ? OR instr(cell_line, ?) > 0)", (str(value), str(value))


def _model(value: Any) -> _Condition:
    sign, wanted = "=", str(value)
    if "*" in wanted:
        # Only the star is special: a bracket in the name of a model is a bracket.
        sign, wanted = "GLOB", re.sub(r"([\[?])", r"[\1]", wanted)
    return f"(model {sign} ? OR provider || '/' || model {sign} ?)", (wanted, wanted)


# Each with what it makes of a value.
FILTERS: Mapping[str, Callable[[Any], _Condition]] = {
    "since": lambda value: ("started >= ?", (stored_moment(moment(value)),)),
    "before": lambda value: ("started < ?", (stored_moment(moment(value)),)),
    "notebook": _notebook,
    "cell": _cell,
    "model": _model,
    **{name: _is(name) for name in ("provider", "tag", "session", "run", "source", "status")},
}
# Those that a row passes for good or never.
STEADY = FILTERS.keys() - {"since", "before", "status"}

# Where a row stands; of one that is gone, where it stood by its time. The empty id is before all.
_PLACE = """coalesce((SELECT rowid FROM calls WHERE id = ?),
    (SELECT max(rowid) FROM calls WHERE id < ?), 0)"""


def where(
    filters: Mapping[str, Any], after: str | None = None, until: str | None = None
) -> _Condition:
    """The condition in SQL, and its values; empty for all rows. A filter that is None is none.

    Raises
    ------
    TypeError
        For a word that is no filter.
    ParameterError
        For a time that is none.
    """
    conditions: list[str] = []
    values: list[str] = []
    for name, value in filters.items():
        if name not in FILTERS:
            raise TypeError(f"no filter {name!r}; {did_you_mean(name, FILTERS)}")
        if value is not None:
            condition, given = FILTERS[name](value)
            conditions.append(condition)
            values += given
    for sign, place in ((">", after), ("<=", until)):
        if place is not None:
            conditions.append(f"rowid {sign} {_PLACE}")
            values += [place, place]
    return "WHERE " + " AND ".join(conditions) if conditions else "", tuple(values)
