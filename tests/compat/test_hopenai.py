"""hopenai's ``get_completion`` and what goes with it, on our client."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llm_magic import client, config, exceptions, history, replay
from llm_magic.cassette import Cassette
from llm_magic.compat import hopenai
from llm_magic.compat.hopenai import _calculate_cost, _CompletionCache, get_completion
from llm_magic.testing import FakeServer

CASSETTE = Path("cache.get_completion.cassette.jsonl")
OLD = Path("cache.get_completion.json")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(hopenai, "_log", None)
    monkeypatch.setattr(hopenai, "_unpriced", set())
    yield
    hopenai._close()


def forget_process() -> None:
    """What a new process would start from."""
    hopenai._close()
    client.close()


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def old_file(text: str = "Old.", question: str = "hi", path: Path = OLD) -> None:
    """A file of hopenai's own."""
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": question}]
    request = {"model": "gpt-4o", "messages": messages, "temperature": 0.1}
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    response = {"created": 1750000000, "choices": [choice], "cost": 4.5e-06}
    entries = {"ab" * 32: {"request": request, "response": response}}
    path.write_text(json.dumps({"version": "1.0", "metadata": {}, "entries": entries}, indent=2))


# The call


def test_the_signature_is_that_of_the_document() -> None:
    parameters = list(inspect.signature(get_completion).parameters.values())

    assert {one.name: one.default for one in parameters[1:-1]} == {
        "system_prompt": "",
        "model": "",
        "report_progress": False,
        "print_cost": False,
        "cache_mode": "DISABLED",
        "cache_file": "cache.get_completion.json",
        "temperature": 0.1,
    }
    assert parameters[0].name == "user_prompt"
    assert all(one.kind is one.KEYWORD_ONLY for one in parameters[1:-1])
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD


def test_what_is_asked_goes_to_gpt_4o_with_the_documents_defaults(server: FakeServer) -> None:
    assert get_completion("hi", system_prompt="Be brief.") == "You said: hi"

    assert server.last.body == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
        "temperature": 0.1,
    }


def test_an_empty_system_message_is_not_sent(server: FakeServer) -> None:
    get_completion("hi")

    assert [message["role"] for message in server.last.body["messages"]] == ["user"]


def test_create_kwargs_are_forwarded(server: FakeServer) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    given = {"max_tokens": 5, "stop": ["a"], "tools": [tool], "user": "me", "seed": 1}

    get_completion("hi", **given)

    assert {name: server.last.body[name] for name in given} == given


def test_claude_is_asked_like_any_other_model(server: FakeServer) -> None:
    with pytest.warns(exceptions.ParameterWarning, match="temperature was not sent"):
        text = get_completion("hi", model="anthropic/claude-opus-4-7")

    assert (text, server.last.route) == ("You said: hi", "POST /v1/messages")


def test_an_alias_of_this_process_is_a_model(server: FakeServer) -> None:
    config.default().alias("fast", "openai/gpt-4o-mini")

    get_completion("hi", model="fast")

    assert server.last.body["model"] == "gpt-4o-mini"


def test_errors_of_the_provider_are_raised(server: FakeServer) -> None:
    server.fail(429)

    with pytest.raises(exceptions.RateLimitError):
        get_completion("hi")


def test_nothing_is_printed(server: FakeServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        get_completion("hi", cache_mode="FALLBACK")

    assert capfd.readouterr() == ("", "")


# Modes and the cache file


WORDS = [
    ("REPLAY", "HIT_CACHE_OR_ABORT"),
    ("FALLBACK", "NORMAL"),
    ("CAPTURE", "REFRESH_CACHE"),
    ("DISABLED", "DISABLE_CACHE"),
]
# Requests sent for a second call, with an answer there and without.
SENT = {"REPLAY": (0, None), "FALLBACK": (0, 1), "CAPTURE": (1, 1), "DISABLED": (1, 1)}


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(("old_word", "new_word"), WORDS)
def test_modes_do_what_the_table_says(
    server: FakeServer, old_word: str, new_word: str, new: bool
) -> None:
    word = new_word if new else old_word
    get_completion("known", cache_mode="CAPTURE")
    hit, miss = SENT[old_word]
    before = server.count

    get_completion("known", cache_mode=word)
    assert server.count - before == hit

    if miss is None:
        with pytest.raises(KeyError):
            get_completion("new", cache_mode=word)
    else:
        get_completion("new", cache_mode=word)
    assert server.count - before == hit + (miss or 0)


def test_an_answer_is_in_the_cassette_at_once(server: FakeServer) -> None:
    for question in ("a", "b"):
        get_completion(question, cache_mode="FALLBACK")
        assert len(Cassette(CASSETTE)) == (1 if question == "a" else 2)

    assert files() == [".llm_magic", CASSETTE.name]


def test_the_cassette_alone_replays_in_another_folder_and_process(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_completion("hi", cache_mode="CAPTURE")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / CASSETTE).write_bytes(CASSETTE.read_bytes())
    monkeypatch.chdir(tmp_path / "copy")
    forget_process()
    server.close()
    monkeypatch.delenv("OPENAI_API_KEY")

    assert get_completion("hi", cache_mode="REPLAY") == "You said: hi"


@pytest.mark.parametrize("name", ["deep/er/a.b.json", "deep/er/a.b.cassette.jsonl"])
def test_the_cassette_is_beside_the_cache_file_and_named_after_it(
    server: FakeServer, name: str
) -> None:
    Path("deep/er").mkdir(parents=True)
    get_completion("hi", cache_mode="CAPTURE", cache_file=name)

    assert len(Cassette(Path("deep/er/a.b.cassette.jsonl"))) == 1
    assert get_completion("hi", cache_mode="REPLAY", cache_file=name) == "You said: hi"


def test_a_folder_that_is_not_there_is_an_error_before_the_call(server: FakeServer) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        get_completion("hi", cache_mode="FALLBACK", cache_file="nowhere/cache.json")

    assert server.count == 0


def test_the_running_notebook_does_not_change_the_cassettes_name(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")

    get_completion("hi", cache_mode="CAPTURE")

    assert CASSETTE.exists()


def test_cache_files_do_not_share_their_cassettes(server: FakeServer) -> None:
    get_completion("a", cache_mode="CAPTURE", cache_file="a.json")
    get_completion("b", cache_mode="CAPTURE", cache_file="b.json")

    assert [len(Cassette(Path(f"{name}.cassette.jsonl"))) for name in "ab"] == [1, 1]


def test_capture_overwrites_in_a_cell_too(server: FakeServer) -> None:
    server.reply("1")
    server.reply("2")

    with replay.run("cell"):
        get_completion("hi", cache_mode="CAPTURE")
        get_completion("hi", cache_mode="CAPTURE")
        texts = [get_completion("hi", cache_mode="REPLAY") for _ in range(2)]

    assert texts == ["2", "2"]
    assert len(Cassette(CASSETTE)) == 1


def test_replay_that_is_imposed_from_outside_is_not_loosened(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_completion("known", cache_mode="CAPTURE")
    forget_process()
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")

    assert get_completion("known", cache_mode="DISABLED") == "You said: known"
    with pytest.raises(exceptions.ReplayMissError):
        get_completion("new", cache_mode="CAPTURE")
    assert server.count == 1


@pytest.mark.parametrize(
    ("ceiling", "loosened", "error"),
    [
        ("LLM_MAGIC_MODE=REPLAY", "LLM_MAGIC_MODE=CAPTURE", "ReplayMissError"),
        ("LLM_MAGIC_BUDGET_PER_CALL=1e-7", "LLM_MAGIC_BUDGET_PER_CALL=100", "BudgetExceededError"),
    ],
)
def test_a_cell_that_changes_the_environment_loosens_nothing(
    server: FakeServer, run_python: Any, ceiling: str, loosened: str, error: str
) -> None:
    name, _, value = loosened.partition("=")
    cell = f"""
import llm_magic, os
os.environ[{name!r}] = {value!r}
from llm_magic.compat.hopenai import get_completion
get_completion("hi", cache_mode="CAPTURE")
"""

    done = run_python(cell, env={**os.environ, **dict([ceiling.split("=")])})

    assert f"{error}: " in done.stderr
    assert server.count == 0


def test_disabled_makes_no_file_but_the_ledger(server: FakeServer) -> None:
    get_completion("hi", cache_file="nowhere/cache.json")

    assert files() == [".llm_magic"]
    made = {path.name.partition("-")[0] for path in Path(".llm_magic").iterdir()}
    assert made <= {".gitignore", "history.db", "CACHEDIR.TAG"}


def test_every_call_is_in_the_ledger_of_the_process(server: FakeServer) -> None:
    Path("other").mkdir()
    for mode in ("DISABLED", "CAPTURE", "REPLAY"):
        get_completion("hi", cache_mode=mode, cache_file="other/cache.json")

    totals = history.totals()
    assert (totals.live, totals.replayed) == (2, 1)
    assert totals.spent > totals.saved > 0


def test_a_cassette_that_cannot_be_saved_loses_no_answer(server: FakeServer) -> None:
    CASSETTE.mkdir()

    with pytest.warns(RuntimeWarning, match="was not saved"):
        assert get_completion("hi", cache_mode="CAPTURE") == "You said: hi"


def test_threads_share_one_cache(server: FakeServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: get_completion(f"{n % 20}", cache_mode="FALLBACK"), range(40)))

    assert server.count == 20
    assert len(Cassette(CASSETTE)) == 20


# Files of hopenai's own


def test_an_old_file_is_imported_and_left_as_it_is(server: FakeServer) -> None:
    old_file()
    before = OLD.read_bytes()

    assert get_completion("hi", cache_mode="REPLAY") == "Old."
    assert get_completion("hi", cache_mode="FALLBACK") == "Old."

    assert server.count == 0
    assert len(Cassette(CASSETTE)) == 1
    assert OLD.read_bytes() == before


def test_replay_of_an_old_file_writes_no_cassette() -> None:
    old_file()

    get_completion("hi", cache_mode="REPLAY")

    assert files() == [".llm_magic", OLD.name]


def test_what_was_captured_since_wins_over_the_old_file(server: FakeServer) -> None:
    old_file()
    get_completion("hi", cache_mode="CAPTURE")
    forget_process()

    assert get_completion("hi", cache_mode="REPLAY") == "You said: hi"


def test_an_answer_that_was_removed_does_not_come_back(server: FakeServer) -> None:
    old_file()
    get_completion("hi", cache_mode="FALLBACK")
    cache = hopenai._opened(OLD)
    ((key, _),) = Cassette(CASSETTE)
    cache.shelf.drop_from(key, 0, cache.name)
    cache.shelf.save(cache.name)
    forget_process()

    with pytest.raises(KeyError):
        get_completion("hi", cache_mode="REPLAY")


def test_an_old_file_that_changed_is_imported_again() -> None:
    old_file()
    get_completion("hi", cache_mode="REPLAY")
    old_file("Newer file.", "another question")

    assert get_completion("another question", cache_mode="REPLAY") == "Newer file."


def test_disabled_does_not_look_at_the_file(server: FakeServer) -> None:
    OLD.write_text("{damaged")

    assert get_completion("hi") == "You said: hi"


@pytest.mark.parametrize("mode", ["REPLAY", "FALLBACK", "CAPTURE"])
def test_a_damaged_file_is_an_error_before_the_call_and_is_kept(
    server: FakeServer, mode: str
) -> None:
    OLD.write_text('{"version": "1.0", "entr')

    with pytest.raises(ValueError, match="is not JSON"):
        get_completion("hi", cache_mode=mode)

    assert (server.count, OLD.read_text()) == (0, '{"version": "1.0", "entr')


def test_what_of_an_old_file_cannot_be_used_is_told_once() -> None:
    old_file()
    content = json.loads(OLD.read_text())
    content["entries"]["broken"] = None
    OLD.write_text(json.dumps(content))

    with pytest.warns(RuntimeWarning, match=r"1 imported, 1 not used\)\n  entry broken"):
        get_completion("hi", cache_mode="REPLAY")
    get_completion("hi", cache_mode="REPLAY")


# Progress and cost


def test_progress_shows_tokens_on_stderr_and_the_text_is_returned(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply("one two three", usage=(5, 17))

    text = get_completion("hi", report_progress=True, cache_mode="CAPTURE")

    printed = capsys.readouterr()
    assert text == "one two three"
    assert (printed.out, server.last.body["stream"]) == ("", True)
    assert printed.err.startswith("\rGenerating completion: 0 tokens [0.0 s]")
    assert "\rGenerating completion: 17 tokens" in printed.err
    assert printed.err.endswith("s]\n")
    assert server.last.body["temperature"] == 0.1


def test_progress_and_plain_calls_share_their_recordings(server: FakeServer) -> None:
    get_completion("hi", report_progress=True, cache_mode="CAPTURE")

    assert get_completion("hi", cache_mode="REPLAY") == "You said: hi"
    assert get_completion("hi", report_progress=True, cache_mode="REPLAY") == "You said: hi"


def test_progress_ends_its_line_when_the_call_fails(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail(500)

    with pytest.raises(exceptions.ServerError):
        get_completion("hi", report_progress=True)

    assert capsys.readouterr().err.endswith("\n")


def test_print_cost_prints_what_it_cost_and_what_a_replay_saved(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply("a", usage=(1000, 100))

    get_completion("hi", print_cost=True, cache_mode="CAPTURE")
    get_completion("hi", print_cost=True, cache_mode="REPLAY")

    assert capsys.readouterr().out == ("cost=$0.0035\ncost=$0.00 (replayed, saved $0.0035)\n")


def test_costs_are_counted_between_start_and_end(server: FakeServer) -> None:
    assert hopenai.get_current_cost() is None
    get_completion("before")

    hopenai.start_logging_costs()
    assert hopenai.get_current_cost() == 0.0
    for _ in range(2):
        server.reply("a", usage=(1000, 100))
    get_completion("hi", cache_mode="CAPTURE")
    get_completion("hi", cache_mode="REPLAY")
    get_completion("hello", report_progress=True)
    assert hopenai.get_current_cost() == 0.007

    hopenai.end_logging_costs()
    assert hopenai.get_current_cost() is None


def test_an_unknown_price_is_one_warning_and_the_answer_is_kept(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    hopenai.start_logging_costs()

    def ask(question: str) -> str:
        return get_completion(
            question, model="openai/gpt-9-secret", cache_mode="CAPTURE", print_cost=True
        )

    with pytest.warns(RuntimeWarning, match="openai/gpt-9-secret"):
        assert ask("a") == "You said: a"
    assert ask("b") == "You said: b"
    assert capsys.readouterr().out == "cost=$?\n" * 2
    assert hopenai.get_current_cost() == 0.0
    assert len(Cassette(CASSETTE)) == 2
    assert history.totals().unknown == 2


USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


def test_calculate_cost_of_a_dict_an_sdk_object_and_our_completion(server: FakeServer) -> None:
    from openai.types.chat import ChatCompletion

    server.reply("a", usage=(1000, 100))
    ours = client.complete("hi", model="openai/gpt-4o", mode="DISABLED")

    sdk = ChatCompletion.model_validate(ours.to_dict())

    for completion in (ours, sdk, {"usage": USAGE}):
        assert _calculate_cost(completion, "gpt-4o") == 0.0035
    assert _calculate_cost(ours, "gpt-4o", "models.csv", "openai") == 0.0035


def test_calculate_cost_believes_the_provider() -> None:
    told = {"usage": {**USAGE, "cost": 0.25}}

    assert _calculate_cost(told, "openrouter/some/model") == 0.25


@pytest.mark.parametrize("model", ["openai/gpt-9-secret", "nobody-knows", "nobody/knows"])
def test_calculate_cost_of_an_unknown_model_is_none_and_one_warning(model: str) -> None:
    with pytest.warns(RuntimeWarning, match=model) as caught:
        costs = [_calculate_cost({"usage": USAGE}, model) for _ in range(2)]

    assert (costs, len(caught)) == ([None, None], 1)


def test_calculate_cost_without_a_usage_is_none_and_says_that_it_is_the_usage() -> None:
    with pytest.warns(RuntimeWarning, match="does not say how many tokens") as caught:
        cost = _calculate_cost({"usage": None}, "gpt-4o")

    assert (cost, len(caught)) == (None, 1)


# _CompletionCache


REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.1}


def test_the_cache_finds_what_get_completion_stored(server: FakeServer) -> None:
    get_completion("hi", cache_mode="CAPTURE")
    cache = _CompletionCache(OLD.name)

    key = cache.hash_key_generator(**REQUEST)

    assert cache.has_cache(key)
    assert cache.load_response_from_cache(key) == "You said: hi"
    assert not cache.has_cache(cache.hash_key_generator(**{**REQUEST, "temperature": 0.2}))


def test_get_completion_finds_what_the_cache_stored() -> None:
    cache = _CompletionCache(OLD.name)
    key = cache.hash_key_generator(**REQUEST)
    choice = {"index": 0, "message": {"content": "Hello."}, "finish_reason": "stop"}

    cache.save_response_to_cache(key, request=REQUEST, response={"choices": [choice], "cost": 1})

    assert get_completion("hi", cache_mode="REPLAY") == "Hello."
    with pytest.raises(ValueError, match="not the key of this request"):
        cache.save_response_to_cache("0" * 64, REQUEST, {"choices": [choice]})
    unfinished = {**choice, "finish_reason": None}
    with pytest.raises(RuntimeError, match="finish reason"):
        cache.save_response_to_cache(key, REQUEST, {"choices": [unfinished]})


def test_the_cache_without_an_answer_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no recording"):
        _CompletionCache(OLD.name).load_response_from_cache("0" * 64)


def test_the_cache_counts_hits_misses_and_entries(server: FakeServer) -> None:
    for mode, question in (
        ("FALLBACK", "a"),
        ("FALLBACK", "a"),
        ("REPLAY", "a"),
        ("CAPTURE", "b"),
        ("DISABLED", "c"),
    ):
        get_completion(question, cache_mode=mode)
    with pytest.raises(KeyError):
        get_completion("d", cache_mode="REPLAY")

    assert _CompletionCache(OLD.name).get_stats() == {"hits": 2, "misses": 3, "entries_count": 2}


# DataFrames


def numbered(body: dict[str, Any]) -> str:
    """A model that does as it is told: a line for each row."""
    rows = body["messages"][-1]["content"].split("\n")
    return "\n".join(row.partition(": ")[0] + ": " + row.partition(": ")[2].upper() for row in rows)


@pytest.fixture
def shouting(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(default=numbered) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-openai-0123456789abcdef")
        yield running


def test_a_prompt_is_applied_to_rows_in_chunks(shouting: FakeServer) -> None:
    frame = pd.DataFrame({"word": ["a", "b\nc", "d: e", 4, float("nan")]}, index=[1, 1, 1, 2, 2])

    result = hopenai.apply_prompt_to_dataframe(
        frame, "Shout.", "gpt-4o", "word", "loud", chunk_size=2
    )

    assert result is frame
    assert list(frame["loud"]) == ["A", "B C", "D: E", "4", "NAN"]
    assert [one.body["messages"][-1]["content"] for one in shouting.requests] == [
        "1: a\n2: b c",
        "1: d: e\n2: 4",
        "1: nan",
    ]
    assert shouting.last.body["messages"][0] == {"role": "system", "content": "Shout."}


def test_a_column_is_not_overwritten_unasked(shouting: FakeServer) -> None:
    frame = pd.DataFrame({"word": ["a"], "loud": ["?"]})

    with pytest.raises(ValueError, match="allow_overwrite"):
        hopenai.apply_prompt_to_dataframe(frame, "Shout.", "gpt-4o", "word", "loud")
    assert shouting.count == 0

    hopenai.apply_prompt_to_dataframe(
        frame, "Shout.", "gpt-4o", "word", "loud", allow_overwrite=True
    )
    assert list(frame["loud"]) == ["A"]


def test_a_frame_without_the_column_or_without_rows() -> None:
    empty = pd.DataFrame({"word": []})

    assert list(hopenai.apply_prompt_to_dataframe(empty, "", "", "word", "loud")["loud"]) == []
    with pytest.raises(ValueError, match="no column 'words'"):
        hopenai.apply_prompt_to_dataframe(empty, "", "", "words", "loud")
    with pytest.raises(ValueError, match="chunk_size"):
        hopenai.apply_prompt_to_dataframe(empty, "", "", "word", "new", chunk_size=0)


def test_an_answer_of_several_lines_belongs_to_its_row(server: FakeServer) -> None:
    server.reply("1: one\nmore\n2: two")
    frame = pd.DataFrame({"word": ["a", "b"]})

    hopenai.apply_prompt_to_dataframe(frame, "", "gpt-4o", "word", "said")

    assert list(frame["said"]) == ["one\nmore", "two"]


@pytest.mark.parametrize("text", ["Sure! 1: one", "1: one", "1: one\n3: three", ""])
def test_an_answer_that_does_not_fit_leaves_the_frame_alone(server: FakeServer, text: str) -> None:
    server.reply(text)
    frame = pd.DataFrame({"word": ["a", "b"]})

    with pytest.raises(ValueError, match="rows from 0"):
        hopenai.apply_prompt_to_dataframe(frame, "", "gpt-4o", "word", "said")

    assert list(frame.columns) == ["word"]


def test_rows_are_captured_and_replayed(shouting: FakeServer) -> None:
    for _ in range(2):
        frame = pd.DataFrame({"word": ["a", "b"]})
        hopenai.apply_prompt_to_dataframe(
            frame, "", "gpt-4o", "word", "loud", cache_mode="FALLBACK"
        )

    assert shouting.count == 1
