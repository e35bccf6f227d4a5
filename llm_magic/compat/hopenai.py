"""hopenai's ``get_completion``: change ``import helpers.hopenai as hopenai`` to
``from llm_magic.compat import hopenai``.

>>> from llm_magic.compat import hopenai
>>> answer = hopenai.get_completion("hello", model="echo/echo", cache_mode="CAPTURE")
>>> answer == hopenai.get_completion("hello", model="echo/echo", cache_mode="REPLAY")
True

What is otherwise than there, on purpose:

- The answers of ``cache_file="answers.json"`` are in ``answers.cassette.jsonl`` beside it, a
  cassette as notebooks have them. A file ``answers.json`` of hopenai's own is imported when it is
  first used, and again when it has changed; it is never written.
- A request is another one if anything in it differs, such as case or white space.
- A system message that is empty is not sent.
- CAPTURE and DISABLED call each time: nothing is remembered in memory.
- Nothing is printed unless ``report_progress`` or ``print_cost`` asks for it.
- A price that nobody knows is None and one warning; the answer is there all the same.
- Every call is in the ledger of the folder that this process works in, in mode DISABLED, too.
- All of :func:`llm_magic.complete`'s arguments, such as ``timeout=``, are understood too.
"""

from __future__ import annotations

import atexit
import hashlib
import re
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from llm_magic import client, config, importers, pricing, routing, sessions
from llm_magic.cassette import ENDING, Cassette
from llm_magic.config import Settings, Workspace
from llm_magic.exceptions import (
    LLMMagicError,
    ParameterError,
    ReplayMissError,
    StoreError,
)
from llm_magic.formats import count, usd
from llm_magic.history import History
from llm_magic.recordings import key_of, now
from llm_magic.replay import PLANS
from llm_magic.sessions import CallLog
from llm_magic.types import Completion, Mode, Usage

if TYPE_CHECKING:
    import pandas

__all__ = [
    "apply_prompt_to_dataframe",
    "end_logging_costs",
    "get_completion",
    "get_current_cost",
    "start_logging_costs",
]

DEFAULT_MODEL = "gpt-4o"


def get_completion(
    user_prompt: str,
    *,
    system_prompt: str = "",
    model: str = "",
    report_progress: bool = False,
    print_cost: bool = False,
    cache_mode: str = "DISABLED",
    cache_file: str = "cache.get_completion.json",
    temperature: float = 0.1,
    **create_kwargs: Any,
) -> str:
    """The text that a model answers.

    Parameters
    ----------
    user_prompt : str
        What is asked.
    system_prompt : str
        How the model shall behave.
    model : str
        ``gpt-4o`` (the default), ``provider/model``, ``openrouter/vendor/model``.
    report_progress : bool
        Show on stderr how many tokens have come.
    print_cost : bool
        Print what the call cost.
    cache_mode : str
        ``DISABLED``, ``REPLAY``, ``FALLBACK`` or ``CAPTURE``; also hopenai's newer names.
    cache_file : str
        Names the cassette: ``name.json`` stands for ``name.cassette.jsonl``.
    temperature : float
        0 for the most likely answer; higher for more various ones.
    **create_kwargs
        Other parameters for the model, such as ``max_tokens``, ``stop`` or ``response_format``.

    Raises
    ------
    KeyError
        In REPLAY, when nothing is recorded; nothing was sent.
    ValueError
        For a mode that is none of these.
    """
    mode = Mode.parse(cache_mode)
    cache = _opened(cache_file)
    asking = cache.settings.get("mode", mode)
    if asking is not Mode.DISABLED:
        cache.take_in()
    options = {"model": _reference(model), "mode": mode, "temperature": temperature}
    if system_prompt:
        options["system"] = system_prompt
    try:
        # One answer a request, in a notebook's cell as well: a later one takes its place.
        ask = _with_progress if report_progress else client.Client.complete
        completion = ask(cache, user_prompt, sample=0, **options, **create_kwargs)
    except ReplayMissError:
        cache.note("misses")
        raise
    if asking is not Mode.DISABLED:
        cache.note("hits" if completion.source == "replay" else "misses")
        if PLANS[asking, False].store:
            cache.save(completion.source == "live")
    if completion.cost is None:
        _warn_of_price(completion.reference)
    if print_cost:
        replayed = completion.source == "replay"
        aside = f" (replayed, saved {usd(completion.saved)})" if replayed else ""
        print(f"cost={usd(completion.cost)}{aside}")
    return completion.text


def _reference(model: str) -> str:
    # With the user's own words for models, which belong to this process and not to a cache file.
    return "/".join(routing.resolve(model or DEFAULT_MODEL, config.default()))


def _with_progress(cache: _Cache, prompt: str, **options: Any) -> Completion:
    """Ask in pieces, and tell on stderr how many tokens have come.

    A piece counts as a token, until the provider tells how many there were.
    """
    began = shown = time.monotonic()
    tokens = 0

    def show(number: int | None, end: str = "") -> None:
        seconds = time.monotonic() - began
        text = f"\rGenerating completion: {count(number)} tokens [{seconds:.1f} s]"
        print(text, end=end, file=sys.stderr, flush=True)

    show(0)
    try:
        with cache.stream(prompt, **options) as stream:
            for chunk in stream:
                tokens += bool(chunk.text)
                if time.monotonic() - shown > 0.1:
                    shown = time.monotonic()
                    show(tokens)
            completion = stream.completion
    except BaseException:
        print(file=sys.stderr)
        raise
    known = completion.tokens
    show(tokens if known is None else known.output_tokens, end="\n")
    return completion


# The cache


class _Cache(client.Client):
    """The recordings that belong to a cache file; the ledger is that of the process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self.path = path
        self.name = path.name.removesuffix(ENDING) if path.name.endswith(ENDING) else path.stem
        # The file's name takes the place of the notebook's, whatever notebook is running.
        label = {"LLM_MAGIC_NOTEBOOK": str(path.with_name(f"{self.name}.ipynb"))}
        self.settings = Settings(path.parent, laid_over=label)
        self.counts = {"hits": 0, "misses": 0}
        self._state = threading.Lock()
        self._taken_in: tuple[int, int] | None = None
        self._unsaved = False

    def _ledger_at(self, workspace: Workspace) -> History:
        # That of the folder that this process works in: one meter for all calls.
        return client.default().history

    def note(self, what: str) -> None:
        with self._state:
            self.counts[what] += 1

    def take_in(self) -> None:
        """Import hopenai's own file, if it is there and was not imported as it is now.

        Raises
        ------
        CassetteError
            When the file is not one of hopenai's; it is left as it is.
        """
        with self._state:
            try:
                status = self.path.stat()
            except FileNotFoundError:
                return
            stamp = status.st_mtime_ns, status.st_size
            if self.path.name.endswith(ENDING) or not status.st_size or stamp == self._taken_in:
                return
            # In the store, too: an answer that was removed since must not come back from the file.
            mark = f"hopenai:{self.path.name}"
            digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
            if self.shelf.store.get(mark) != digest:
                try:
                    report = importers.import_hopenai(
                        self.path, folder=self.path.parent, notebook=self.name
                    )
                    self.shelf.store.set(mark, digest)
                except StoreError as error:
                    # A read-only folder: what is in its cassette replays.
                    _warn(f"{self.path.name} was not imported: {error}")
                else:
                    if report.unused:
                        _warn(str(report))
            self._unsaved = bool(self.shelf.unsaved(self.name))
            self._taken_in = stamp

    def save(self, answered: bool) -> None:
        """Write what is new into the cassette. The answer is paid for: no error must lose it."""
        with self._state:
            if not answered and not self._unsaved:
                return
            self._unsaved = False
        try:
            self.shelf.save(self.name)
        except LLMMagicError as error:
            _warn(f"the cassette was not saved: {error}")


_caches: dict[Path, _Cache] = {}
_caches_lock = threading.Lock()


def _opened(cache_file: str | Path) -> _Cache:
    """The cache of a file; one in a process. Nothing is read or made on disk yet."""
    path = Path(cache_file).resolve()
    with _caches_lock:
        if path not in _caches:
            _caches[path] = _Cache(path)
        return _caches[path]


def _close() -> None:
    """Close all stores; the next call opens what it needs again."""
    with _caches_lock:
        while _caches:
            _caches.popitem()[1].close()


atexit.register(_close)


class _CompletionCache:
    """The answers of a cache file, to look at and to add to.

    >>> cache = _CompletionCache("answers.json")
    >>> key = cache.hash_key_generator("gpt-4o", [{"role": "user", "content": "hello"}])
    >>> cache.has_cache(key), cache.get_stats()["entries_count"]
    (False, 0)
    """

    def __init__(self, cache_file: str = "cache.get_completion.json") -> None:
        self.cache_file = cache_file
        self._cache = _opened(cache_file)
        self._cache.take_in()

    def hash_key_generator(
        self, model: str, messages: Sequence[Mapping[str, Any]], **extra_kwargs: Any
    ) -> str:
        """The key of a request: SHA-256 of all that is in it, as it is."""
        request = {"model": _reference(model), "messages": list(messages), **extra_kwargs}
        return key_of(importers.request_of(request))

    def has_cache(self, hash_key: str) -> bool:
        """Whether a request has an answer."""
        return self._cache.shelf.find(hash_key, 0, self._cache.name) is not None

    def load_response_from_cache(self, hash_key: str) -> str:
        """The text of the answer to a request.

        Raises
        ------
        KeyError
            When there is none.
        """
        found = self._cache.shelf.find(hash_key, 0, self._cache.name)
        if found is None:
            raise ReplayMissError(f"no recording {hash_key[:12]} in {self.cache_file}")
        return Completion(found.response).text

    def save_response_to_cache(
        self, hash_key: str, request: Mapping[str, Any], response: Mapping[str, Any]
    ) -> None:
        """Store the answer to a request, in place of the one it had.

        Raises
        ------
        ValueError
            When it is not the key of this request, or the answer is not a whole one.
        """
        asked = {**request, "model": _reference(request["model"])}
        answer = {name: value for name, value in response.items() if name != "cost"}
        recording = importers.recording_of(importers.request_of(asked), answer, now())
        if recording.key != hash_key:
            raise ParameterError(f"{hash_key[:12]} is not the key of this request")
        self._cache.shelf.put(recording, self._cache.name)
        self._cache.save(answered=True)

    def get_stats(self) -> dict[str, int]:
        """Hits and misses of this process, and how many requests have an answer."""
        shelf, name = self._cache.shelf, self._cache.name
        path = shelf.cassette_path(name)
        answers = set(Cassette(path)) if path.exists() else set()
        for place, line in shelf.unsaved(name).items():
            (answers.add if line else answers.discard)(place)
        return {**self._cache.counts, "entries_count": len(answers)}


# What it costs


_log: CallLog | None = None
_unpriced: set[str] = set()
_unpriced_lock = threading.Lock()


def start_logging_costs() -> None:
    """Count what calls cost from now on, beginning at 0."""
    global _log
    _log = sessions.start()


def end_logging_costs() -> None:
    """Count no more."""
    global _log
    _log = None


def get_current_cost() -> float | None:
    """USD since :func:`start_logging_costs`; None when nobody counts. A replay adds nothing.

    It is what the ledger says of all calls of this process's session that began since, by whichever
    function. What calls of unknown price cost is not in it;
    ``llm_magic.history.totals().unknown`` counts them.
    """
    log = _log
    return None if log is None else float(log.spent)


def _calculate_cost(
    completion: Any, model: str, models_info_file: str = "", provider_name: str = ""
) -> float | None:
    """USD of an answer; None, and a warning, when its price or its tokens are not known.

    Of a price that is warned of once.

    Parameters
    ----------
    completion : dict or object
        An answer in OpenAI's shape: ours, the openai SDK's, or a dict.
    model : str
        The model that gave it.
    models_info_file : str
        Has no meaning here: prices come from the price table.
    provider_name : str
        The provider, where the model's name does not tell it.
    """
    response = completion if isinstance(completion, Mapping) else completion.to_dict()
    reference = f"{provider_name}/{model}" if provider_name else model
    try:
        provider, name = routing.resolve(reference, config.default())
    except LLMMagicError:
        prices = None
    else:
        prices = pricing.price_list(provider, name, now())
    told = response.get("usage")
    usage = Usage.from_openai(told)
    cost, _ = pricing.charged(told, usage, prices)
    if cost is None and usage is None:
        _warn("the answer does not say how many tokens it took; its cost is None")
    elif cost is None:
        _warn_of_price(reference)
    return None if cost is None else float(cost)


def _warn_of_price(model: str) -> None:
    with _unpriced_lock:
        if model in _unpriced:
            return
        _unpriced.add(model)
    _warn(f"nobody knows what {model} costs; its cost is None and counted as unknown")


def _warn(message: str) -> None:
    # At the line that called us: how deep we are differs.
    frame: FrameType | None = sys._getframe(1)
    depth = 2
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
        depth += 1
    warnings.warn(message, RuntimeWarning, stacklevel=depth)


# DataFrames

_NUMBERED = re.compile(r"\s*(\d+): ?(.*)")


def apply_prompt_to_dataframe(
    df: pandas.DataFrame,
    prompt: str,
    model: str,
    input_col: str,
    response_col: str,
    *,
    chunk_size: int = 50,
    allow_overwrite: bool = False,
    **options: Any,
) -> pandas.DataFrame:
    """Have a model say something on every row, many rows a call.

    The rows of a chunk go out as lines ``1: ...``, and lines ``1: ...`` are to come back; a line
    without a number goes on with the one before it. The column is added to `df` once all answers
    are there.

    Parameters
    ----------
    df : pandas.DataFrame
        The rows; it gets the new column.
    prompt : str
        What to do with a row; the system message.
    model : str
        As for :func:`get_completion`.
    input_col, response_col : str
        The column that is sent, and the one for the answers.
    chunk_size : int
        Rows in one call.
    allow_overwrite : bool
        Whether `response_col` may be there already.
    **options
        Arguments of :func:`get_completion`, such as ``cache_mode``.

    Returns
    -------
    pandas.DataFrame
        `df`.

    Raises
    ------
    ValueError
        For columns that are not there or there already, and for an answer that has not one line
        for each row.
    """
    if input_col not in df.columns:
        raise ParameterError(f"input_col: there is no column {input_col!r}")
    if response_col in df.columns and not allow_overwrite:
        raise ParameterError(
            f"response_col: the column {response_col!r} is there; allow_overwrite=True replaces it"
        )
    if chunk_size < 1:
        raise ParameterError(f"chunk_size={chunk_size!r}: a number from 1")
    answers: list[str] = []
    for start in range(0, len(df), chunk_size):
        values = df[input_col].iloc[start : start + chunk_size]
        # One line a row, or the model could not tell the rows apart.
        rows = [" ".join(str(value).splitlines()) for value in values]
        question = "\n".join(f"{number}: {row}" for number, row in enumerate(rows, 1))
        answer = get_completion(question, system_prompt=prompt, model=model, **options)
        answers += _lines(answer, len(rows), start)
    df[response_col] = answers
    return df


def _lines(answer: str, number: int, start: int) -> list[str]:
    """The answers to the rows of a chunk, by their numbers."""
    found: list[list[str]] = []
    for line in answer.strip().splitlines():
        match = _NUMBERED.match(line)
        if match and int(match[1]) == len(found) + 1:
            found.append([match[2]])
        elif found:
            found[-1].append(line)
        else:
            raise ParameterError(f"rows from {start}: the answer begins {line!r}, not '1: ...'")
    if len(found) != number:
        raise ParameterError(
            f"rows from {start}: {len(found)} answers came for {number} rows; a smaller chunk_size="
            " or a clearer prompt may help"
        )
    return ["\n".join(lines).strip() for lines in found]
