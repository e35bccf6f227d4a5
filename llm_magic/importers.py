"""Other libraries' caches as recordings: hopenai's JSON file, pycachy's ``cachy.jsonl``.

An answer is stored under our key of the request that it answers, as an unsaved recording of a
notebook; the file that it comes from is only read. So a file is of use as far as it tells the whole
requests. hopenai's does. pycachy's holds 32 bits of a hash; the requests are in the file that its
variable ``CACHY_LOG`` names, so that file is read beside it.

Such a file may come from anybody. It is read as JSON, nothing in it is run, and no other file is
opened because of what it says.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

from llm_magic import config, key_fields, media, pricing, routing, secrets
from llm_magic.arguments import Arguments
from llm_magic.config import Settings
from llm_magic.exceptions import (
    CassetteError,
    IncompleteError,
    LLMMagicError,
    ParameterError,
    ProviderError,
)
from llm_magic.providers import catalog
from llm_magic.providers.answers import Events, to_openai
from llm_magic.providers.assembly import Assembly
from llm_magic.providers.catalog import Entry
from llm_magic.providers.conversion import to_anthropic
from llm_magic.providers.openai import as_openai
from llm_magic.providers.reading import Reader, checked, parsed
from llm_magic.recordings import NOT_IN_KEY, Recording, dump_line, key_of
from llm_magic.shelf import Shelf
from llm_magic.types import AttrDict, Chunk, Request, attributes

__all__ = [
    "Report",
    "Unused",
    "import_file",
    "import_hopenai",
    "import_pycachy",
    "recording_of",
    "request_of",
]


class Unused(NamedTuple):
    """An answer that could not be used: where it stands, and why not."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the answers in a file; every one of them is counted once.

    Attributes
    ----------
    path : pathlib.Path
        The file; it is as it was.
    imported : int
        Answers that are new recordings.
    replaced : int
        Answers that took the place of a recording, with ``replace=True``.
    kept : int
        Answers to requests that had a recording, which stays.
    unused : tuple of Unused
        Answers that could not be used.
    """

    path: Path
    imported: int = 0
    replaced: int = 0
    kept: int = 0
    unused: tuple[Unused, ...] = ()

    @property
    def total(self) -> int:
        """How many answers the file holds."""
        return self.imported + self.replaced + self.kept + len(self.unused)

    def __str__(self) -> str:
        counts = {
            "imported": self.imported,
            "replaced": self.replaced,
            "recorded before and kept": self.kept,
            "not used": len(self.unused),
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        answers = "1 answer" if self.total == 1 else f"{self.total} answers"
        lines = [f"{self.path.name}: {answers}" + (f" ({told})" if told else "")]
        places: dict[str, list[str]] = {}
        for where, why in self.unused:
            places.setdefault(why, []).append(where)
        for why, named in places.items():
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            lines.append(f"  {', '.join(named[:3])}{more}: {why}")
        return "\n".join(lines)


class _UnusableError(Exception):
    """One answer of a file cannot be used; the message says why."""


# Where an answer stands in its file, and what stands there.
_Found = Iterator[tuple[str, Any]]


def import_hopenai(
    path: str | Path,
    *,
    folder: str | Path | None = None,
    notebook: str | None = None,
    replace: bool = False,
) -> Report:
    """Record the answers in a cache file of hopenai's ``get_completion``.

    A system message that is empty is left out of the request: it says nothing, and neither
    ``complete()`` nor :func:`llm_magic.compat.hopenai.get_completion` sends one.

    Parameters
    ----------
    path : path
        The JSON file.
    folder : path, optional
        Folder of the notebook; by default the one this process works in.
    notebook : str, optional
        Name of the notebook; by default the one that runs, if it is known.
    replace : bool
        Also where there is a recording already.

    Returns
    -------
    Report
        Prints as a summary, with the reason for every answer that could not be used.

    Raises
    ------
    CassetteError
        When the file is not such a cache; nothing was imported.
    StoreError
        When nothing can be stored in the folder; nothing was imported.
    """
    path = Path(path)
    return _import(path, _hopenai_entries(path), _hopenai_recording, folder, notebook, replace)


def import_pycachy(
    path: str | Path,
    *,
    log: str | Path | None = None,
    folder: str | Path | None = None,
    notebook: str | None = None,
    replace: bool = False,
) -> Report:
    """Record the answers in pycachy's ``cachy.jsonl`` whose requests are known.

    The file itself has no requests in it, only short hashes of them. With ``CACHY_LOG=log.jsonl``
    in the environment pycachy writes down what it asks; that file tells the requests. It
    replaces parts of them, such as addresses and temporary files; those answers are not used,
    as nobody knows any more what was asked.

    Parameters
    ----------
    path : path
        The file ``cachy.jsonl``.
    log : path, optional
        The file that ``CACHY_LOG`` named.
    folder, notebook, replace
        As for :func:`import_hopenai`.
    """
    path = Path(path)
    entries = _pycachy_entries(path, _pycachy_log(Path(log)) if log is not None else None)
    return _import(path, entries, _pycachy_recording, folder, notebook, replace)


def import_file(
    path: str | Path,
    *,
    log: str | Path | None = None,
    folder: str | Path | None = None,
    notebook: str | None = None,
    replace: bool = False,
) -> Report:
    """Record the answers in a file of either kind; which one it is, its content tells."""
    first = next((line for line in _text(Path(path)).splitlines() if line.strip()), "")
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        record = None
    if log is not None or (isinstance(record, dict) and {"key", "response"} <= record.keys()):
        return import_pycachy(path, log=log, folder=folder, notebook=notebook, replace=replace)
    return import_hopenai(path, folder=folder, notebook=notebook, replace=replace)


def _import(
    path: Path,
    entries: _Found,
    record: Callable[[Any, Settings], Recording],
    folder: str | Path | None,
    notebook: str | None,
    replace: bool,
) -> Report:
    settings = config.default() if folder is None else Settings(folder)
    workspace = settings.workspace
    label = workspace.notebook if notebook is None else notebook.removesuffix(".ipynb")
    if label is not None and Path(label).name != label:
        raise ParameterError(f"notebook={notebook!r}: a name; its folder goes into folder=")
    routing.learn_providers(settings)
    secrets.refresh()

    # All is read before anything is stored.
    ready: dict[str, Recording] = {}
    unused = []
    for where, entry in entries:
        try:
            recording = record(entry, settings)
            if recording.key in ready:
                raise _UnusableError("another answer of this file answers the same request")
            ready[recording.key] = recording
        except (_UnusableError, LLMMagicError) as error:
            unused.append(Unused(where, str(error)))
    counts = {"imported": 0, "replaced": 0, "kept": 0}
    if ready:
        shelf = Shelf(workspace)
        try:
            with shelf.store.transaction():
                for recording in ready.values():
                    counts[_store(shelf, recording, label, replace)] += 1
        finally:
            shelf.close()
    return Report(path, **counts, unused=tuple(unused))


def _store(shelf: Shelf, recording: Recording, notebook: str | None, replace: bool) -> str:
    before = shelf.find(recording.key, recording.ordinal, notebook)
    if before is not None and (not replace or before.response == recording.response):
        return "kept"
    shelf.put(recording, notebook)
    return "imported" if before is None else "replaced"


# What is common


# Such files hold the answers of one project; this is more than the memory of many machines takes.
LARGEST = 500_000_000


def _text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A pipe would be waited for, a device read without end.
            raise CassetteError(f"{path} cannot be read: it is no file")
        if status.st_size > LARGEST:
            raise CassetteError(
                f"{path} cannot be read: it has {status.st_size:,} bytes, more than {LARGEST:,}"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CassetteError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CassetteError(f"{path} is not UTF-8: {error}") from None


# Arguments of ours that are no parameters of an API. Among them is files=, which opens files.
_OURS = frozenset(
    name
    for name, parameter in inspect.signature(Arguments).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
) - {"model", "tools"} | {"self"}


def request_of(asked: Mapping[str, Any], settings: Settings | None = None) -> Request:
    """The request that ``complete()`` makes of ``model``, ``messages`` and parameters.

    Raises
    ------
    LLMMagicError
        When there is none, or its model is of nobody we know.
    """
    fields = {name: value for name, value in asked.items() if name not in NOT_IN_KEY}
    model, messages = fields.pop("model", None), fields.pop("messages", None)
    if not isinstance(model, str) or not isinstance(messages, list):
        raise ParameterError("its request has no model or no messages")
    if unknown := sorted(fields.keys() & _OURS):
        raise ParameterError(f"{unknown[0]!r} in its request is not a parameter of an API")
    tools = fields.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ParameterError("the tools of its request are not a list of definitions")
    provider, name = routing.resolve(model, settings)
    arguments = Arguments(**fields)
    parameters = key_fields.hidden(arguments.parameters)
    return Request(provider, name, arguments.messages(messages), parameters)


def recording_of(request: Request, response: Mapping[str, Any], created: datetime) -> Recording:
    """The recording of an answer that was given to somebody else.

    What it costs is the list price of its day, and how long it took is not known.

    Raises
    ------
    LLMMagicError
        When it is not a whole answer.
    """
    answer = attributes(dict(response))
    choices = answer.get("choices")
    if not isinstance(choices, list) or not all(map(_has_message, choices)):
        raise ParameterError("its answer is not a chat completion")
    if not isinstance(answer.get("usage"), Mapping):
        answer["usage"] = None
    checked(answer, request)
    key = key_of(request)
    told = answer.get("created")
    moment = _moment(told) if isinstance(told, int) and told else None
    when = (moment or created).astimezone(UTC)
    # As the ledger's ids: first the time. The same answer has the same id wherever it is imported.
    digest = hashlib.sha256(f"{key} {dump_line(answer)}".encode()).hexdigest()
    return Recording(
        key=key,
        ordinal=0,
        request={**request.to_dict(), "messages": media.keyed(request.messages)},
        response=answer,
        call=f"{int(when.timestamp() * 1000):012x}{digest[:16]}",
        created=when,
        latency_ms=0.0,
        prices=_prices(request, answer, when) or {},
    )


def _prices(request: Request, answer: AttrDict, when: datetime) -> pricing.UnitPrices | None:
    listed = pricing.price_list(request.provider, request.model, when, request.parameters)
    return pricing.applied(listed, {**answer, **(answer["usage"] or {})})


def _has_message(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else ()
    return content is None or isinstance(content, str)


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _recorded(request: Request, response: Mapping[str, Any], created: datetime) -> Recording:
    try:
        return recording_of(request, response, created)
    except IncompleteError:
        raise _UnusableError("its answer is not whole: it has no finish reason") from None
    except ProviderError:
        raise _UnusableError("its answer is not a chat completion") from None


# hopenai: {"version", "metadata", "entries": {hash: {"request", "response"}}}


def _hopenai_entries(path: Path) -> _Found:
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise CassetteError(f"{path} is not JSON: {error}; nothing was imported") from None
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise CassetteError(
            f"{path} is not a cache of hopenai: it has no entries; nothing was imported"
        )
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    for name, entry in entries.items():
        yield f"entry {name[:12]}", (entry, modified)


def _hopenai_recording(found: tuple[Any, datetime], settings: Settings) -> Recording:
    entry, modified = found
    asked, response = (
        entry.get(name) if isinstance(entry, dict) else None for name in ("request", "response")
    )
    if not isinstance(asked, dict) or not isinstance(response, dict):
        raise _UnusableError("it has no request or no response")
    messages = asked.get("messages")
    if isinstance(messages, list):
        empty = {"role": "system", "content": ""}
        asked = {**asked, "messages": [message for message in messages if message != empty]}
    # Its price table was its own; the tokens are there, and we know the prices of that day.
    answer = {name: value for name, value in response.items() if name != "cost"}
    return _recorded(request_of(asked, settings), answer, modified)


# pycachy: one {"key", "response", "headers", "status_code", "binary"} a line

_Asked = tuple[str, str]  # URL and body

# What pycachy 0.0.22 writes in place of what it takes out of a request.
_TAKEN_OUT = (
    "/ipykernel_N/X.py",
    "<ipython-input>",
    "/tmp/tmpT",  # noqa: S108
    "/tmp/tmpX",  # noqa: S108
    "ipykernel_N",
    "0xMEM",
    "line N, in",
    '"prompt_cache_key":"notebook"',
)

_NO_LOG = (
    "the file holds a short hash of its request, not the request; the file that CACHY_LOG named"
    " while it was recorded tells it (log=, --log)"
)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Every line that is not empty, parsed; None for one that is not JSON."""
    # Not splitlines(): JSON text may hold the other line separators of Unicode as they are.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"line {number}", None


def _pycachy_log(path: Path) -> dict[str, set[_Asked]]:
    """The requests that were asked, by pycachy's key; more than one where they share it."""
    asked: dict[str, set[_Asked]] = {}
    for _, row in _records(path):
        if isinstance(row, dict):
            key, url, body = (row.get(name) for name in ("key", "url", "body"))
            if isinstance(key, str) and isinstance(url, str) and isinstance(body, str):
                asked.setdefault(key, set()).add((url, body))
    return asked


def _pycachy_entries(path: Path, log: Mapping[str, set[_Asked]] | None) -> _Found:
    found = list(_records(path))
    if found and not any(_is_record(record) for _, record in found):
        raise CassetteError(f"{path} is not a cache of pycachy; nothing was imported")
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    for where, record in found:
        key = record["key"] if _is_record(record) else None
        asked = None if log is None else sorted(log.get(str(key), ()))
        yield (f"{where} ({key})" if key else where), (record, asked, modified)


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(
        isinstance(record.get(name), str) for name in ("key", "response")
    )


def _pycachy_recording(
    found: tuple[Any, Sequence[_Asked] | None, datetime], settings: Settings
) -> Recording:
    record, asked, modified = found
    if not _is_record(record):
        raise _UnusableError("it is not a record of pycachy")
    if record.get("status_code", 200) != 200 or record.get("binary"):
        raise _UnusableError("its answer is an error or not text")
    if asked is None:
        raise _UnusableError(_NO_LOG)
    if len(asked) != 1:
        raise _UnusableError(
            "the log holds different requests that share its short hash"
            if asked
            else "the log does not hold its request"
        )
    row, request = _asked_over_http(*asked[0], settings)
    created = _date(record.get("headers")) or modified
    try:
        response = _received(row, request, record["response"], int(created.timestamp()))
    except IncompleteError:
        raise _UnusableError("its answer is not whole: it has no finish reason") from None
    except (ProviderError, LookupError, TypeError, ValueError, AttributeError):
        # The readers trust a provider to keep to its own shapes; a file may hold anything.
        raise _UnusableError("its answer is not a chat completion") from None
    return _recorded(request, response, created)


def _asked_over_http(url: str, text: str, settings: Settings) -> tuple[Entry, Request]:
    """Who was asked, and what, by the URL and the body that were sent."""
    row = _row(url.partition("?")[0])
    if row is None:
        raise _UnusableError(f"{routing.bare_url(url)} is not a chat API that we know")
    if any(mark in text.replace('": "', '":"') for mark in _TAKEN_OUT):
        raise _UnusableError("pycachy took something out of its request, so nobody knows it")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise _UnusableError("its request has no model or no messages")
    asked = _from_anthropic(body) if row.dialect == "anthropic" else body
    request = request_of({**asked, "model": f"{row.name}/{body['model']}"}, settings)
    if row.dialect == "anthropic" and not _asks_the_same(request, body):
        raise _UnusableError("complete() cannot ask what it asks in just this way")
    return row, request


_PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}


def _row(url: str) -> Entry | None:
    """The provider in the catalog whose chat API this is."""
    for row in catalog.ENTRIES.values():
        path = _PATHS.get(row.dialect)
        if path and row.base_url and url == row.base_url.rstrip("/") + path:
            return row
    return None


def _from_anthropic(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body in OpenAI's words, as far as they differ."""
    asked = dict(body)
    system, stop = asked.pop("system", None), asked.pop("stop_sequences", None)
    if system and isinstance(asked.get("messages"), list):
        asked["messages"] = [{"role": "system", "content": system}, *asked["messages"]]
    if stop:
        asked["stop"] = stop
    return asked


def _asks_the_same(request: Request, body: Mapping[str, Any]) -> bool:
    """Whether we would send just this; how the answer travels makes no difference."""
    try:
        ours = to_anthropic(request)
    except (LLMMagicError, LookupError, TypeError, AttributeError):
        return False
    return ours == {name: value for name, value in body.items() if name not in NOT_IN_KEY}


def _date(headers: Any) -> datetime | None:
    """When the server answered, by its own clock."""
    named = headers if isinstance(headers, dict) else {}
    for name, value in named.items():
        if name.lower() == "date" and isinstance(value, str):
            try:
                return parsedate_to_datetime(value).astimezone(UTC)
            except (ValueError, OverflowError):
                return None
    return None


def _received(row: Entry, request: Request, text: str, created: int) -> AttrDict:
    """The answer in these bytes of a server, whole or in pieces, in the shape of OpenAI."""
    speaks_anthropic = row.dialect == "anthropic"
    if text.lstrip().startswith("{"):
        answer = parsed(text, request)
        return to_openai(answer, created=created) if speaks_anthropic else as_openai(row, answer)
    events = Events(created=created)
    if speaks_anthropic:
        reader = Reader(
            request, chunks=events.feed, last=lambda: [events.usage()], whole=lambda whole: whole
        )
    else:
        reader = Reader(
            request,
            chunks=lambda event: (Chunk(as_openai(row, event)),),
            whole=lambda whole: whole,
        )
    assembly = Assembly()
    for chunk in (*reader.feed(text.encode()), *reader.end()):
        assembly.add(chunk)
    return assembly.response()
