"""The ledger as a DataFrame: typed, with NA for what is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_magic.history.columns import COLUMNS, MONEY
from llm_magic.history.sums import Totals

if TYPE_CHECKING:
    import pandas

__all__ = ["SUMS", "of_groups", "of_rows"]


def of_rows(found: Sequence[Sequence[Any]]) -> pandas.DataFrame:
    """A frame of rows with the values of all columns."""
    import pandas

    columns = zip(*found, strict=True) if found else [()] * len(COLUMNS)
    series = {name: _series(name, column) for name, column in zip(COLUMNS, columns, strict=True)}
    # The columns are nobody else's, so they need not be copied.
    return pandas.DataFrame(series, copy=False)


def _series(name: str, values: Sequence[Any]) -> Any:
    import pandas

    dtype = COLUMNS[name]
    if values and values[0] is None and values.count(None) == len(values):
        # A third of the columns, as a rule; value by value, NA takes its time.
        return pandas.Series(None, index=range(len(values)), dtype=dtype)
    if dtype.startswith("datetime64"):
        return _times(values).astype(dtype)
    if name in MONEY:
        values = [None if text is None else float(text) for text in values]
    elif dtype == "boolean":
        values = [None if flag is None else bool(flag) for flag in values]
    return pandas.Series(values, dtype=dtype)


def _times(texts: Sequence[str | None]) -> Any:
    import pandas

    if all(text is not None and len(text) == 29 and text.endswith("+00:00") for text in texts):
        # As we write them: NumPy reads them in a third of the time.
        import numpy

        plain = numpy.array([text[:23] for text in texts if text], dtype="datetime64[ms]")
        return pandas.Series(plain).dt.tz_localize("UTC")
    given: Any = list(texts)
    return pandas.Series(pandas.to_datetime(given, utc=True, format="ISO8601"))


# The columns of a frame of sums: their dtypes, and how to read them from Totals.
SUMS: Mapping[str, tuple[str, Callable[[Totals], Any]]] = {
    "spent": ("Float64", lambda totals: float(totals.spent)),
    "saved": ("Float64", lambda totals: float(totals.saved)),
    "unknown": ("Int64", lambda totals: totals.unknown),
    "calls": ("Int64", lambda totals: totals.calls),
    "live": ("Int64", lambda totals: totals.live),
    "replayed": ("Int64", lambda totals: totals.replayed),
    "failed": ("Int64", lambda totals: totals.failed),
    "uncached_input_tokens": ("Int64", lambda totals: totals.uncached_input_tokens),
    "cache_read_tokens": ("Int64", lambda totals: totals.cache_read_tokens),
    "cache_write_tokens": (
        "Int64",
        lambda totals: totals.cache_write_tokens + totals.cache_write_1h_tokens,
    ),
    "input_audio_tokens": ("Int64", lambda totals: totals.input_audio_tokens),
    "output_tokens": ("Int64", lambda totals: totals.output_tokens),
    "reasoning_tokens": ("Int64", lambda totals: totals.reasoning_tokens),
    "cached_share": ("Float64", lambda totals: totals.cached_share),
}


def of_groups(by: str, groups: Mapping[str | None, Totals]) -> pandas.DataFrame:
    """A frame with a row for each group."""
    import pandas

    data = {by: pandas.Series(list(groups), dtype="str")}
    for name, (dtype, read) in SUMS.items():
        values = [read(totals) for totals in groups.values()]
        data[name] = pandas.Series(values, dtype=dtype)
    return pandas.DataFrame(data)
