"""Other libraries' caches: what of them replays, and what is told of the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from llm_magic import cli, importers
from llm_magic.client import Client
from llm_magic.config import Settings
from llm_magic.exceptions import CassetteError, ParameterError, ReplayMissError
from llm_magic.importers import Report, import_file, import_hopenai, import_pycachy
from llm_magic.shelf import Shelf
from llm_magic.types import Completion

CACHE, CACHY, LOG = Path("cache.json"), Path("cachy.jsonl"), Path("log.jsonl")


def answer(text: str = "Oslo.", **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{**choice, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
        **changes,
    }


def entry(question: str = "Norway?", text: str = "Oslo.", **asked: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": question}]
    request = {"model": "gpt-4o", "messages": messages, "temperature": 0.1, **asked}
    return {"request": request, "response": answer(text, cost=4.5e-06)}


def write_hopenai(*entries: Any) -> None:
    metadata = {"created_at": "2025-06-15T10:00:00", "last_updated": "", "hits": 1, "misses": 2}
    named = {f"{number:064x}": one for number, one in enumerate(entries)}
    content = {"version": "1.0", "metadata": metadata, "entries": named}
    CACHE.write_text(json.dumps(content, indent=2))


def replay(question: str = "Norway?", **options: Any) -> Completion:
    client = Client(".", mode="REPLAY")
    try:
        return client.complete(question, **{"model": "openai/gpt-4o", **options})
    finally:
        client.close()


def status(notebook: str) -> tuple[int, int]:
    shelf = Shelf(Settings(".").workspace)
    try:
        found = shelf.status(notebook)
        return found.in_cassette, found.unsaved
    finally:
        shelf.close()


# hopenai


def test_an_answer_of_hopenai_replays_without_a_key() -> None:
    write_hopenai(entry())

    report = import_hopenai(CACHE)

    assert (report.total, report.imported) == (1, 1)
    completion = replay(temperature=0.1)
    assert (completion.text, completion.source) == ("Oslo.", "replay")
    assert "cost" not in completion
    assert completion.recorded is not None
    assert completion.recorded.year == 2025


def test_an_imported_answer_saves_the_list_price_of_its_day() -> None:
    write_hopenai(entry())

    import_hopenai(CACHE)

    assert str(replay(temperature=0.1).saved) == "0.0026"


def test_requests_are_kept_apart_by_case_and_white_space() -> None:
    write_hopenai(entry("Norway?", "1"), entry("norway?", "2"), entry("Norway? ", "3"))

    assert import_hopenai(CACHE).imported == 3

    texts = [replay(question, temperature=0.1).text for question in ("Norway?", "norway?")]
    assert texts == ["1", "2"]
    with pytest.raises(ReplayMissError):
        replay("norway", temperature=0.1)


def test_the_system_message_and_all_parameters_are_part_of_the_request() -> None:
    one = entry(stop=["a", "b"], response_format={"type": "json_object"}, timeout=30)
    one["request"]["messages"][0]["content"] = "Be brief."
    write_hopenai(one)

    import_hopenai(CACHE)

    asked = {"stop": ["a", "b"], "response_format": {"type": "json_object"}, "temperature": 0.1}
    assert replay(system="Be brief.", **asked).text == "Oslo."


def test_models_of_other_providers_are_resolved_as_everywhere() -> None:
    write_hopenai(
        entry(model="openrouter/meta-llama/llama-3-70b"), entry(model="deepseek/deepseek-chat")
    )

    assert import_hopenai(CACHE).imported == 2

    for model in ("openrouter/meta-llama/llama-3-70b", "deepseek/deepseek-chat"):
        assert replay(model=model, temperature=0.1).text == "Oslo."


def test_imported_answers_are_unsaved_recordings_of_the_notebook() -> None:
    write_hopenai(entry())

    import_hopenai(CACHE, notebook="analysis.ipynb")

    assert status("analysis") == (0, 1)


def test_the_same_file_gives_the_same_cassette_anywhere() -> None:
    write_hopenai(entry("a?"), entry("b?", "\ud83d é"))
    saved = []
    for name in ("one", "two"):
        Path(name).mkdir()
        import_hopenai(CACHE, folder=name, notebook="n")
        shelf = Shelf(Settings(name).workspace)
        saved.append(shelf.save("n").path.read_bytes())
        shelf.close()

    assert saved[0] == saved[1]


def test_an_answer_that_is_there_stays_unless_it_is_to_be_replaced() -> None:
    write_hopenai(entry(text="Old."))
    import_hopenai(CACHE)
    write_hopenai(entry(text="New."), entry("Sweden?"))

    report = import_hopenai(CACHE)
    assert (report.total, report.imported, report.kept) == (2, 1, 1)
    assert replay(temperature=0.1).text == "Old."

    assert import_hopenai(CACHE, replace=True).replaced == 1
    assert replay(temperature=0.1).text == "New."
    assert import_hopenai(CACHE, replace=True).kept == 2


def test_the_file_is_left_as_it_is() -> None:
    write_hopenai(entry(), {"request": None})
    before = CACHE.read_bytes(), CACHE.stat().st_mtime_ns

    import_hopenai(CACHE, replace=True)

    assert (CACHE.read_bytes(), CACHE.stat().st_mtime_ns) == before


def without_finish() -> dict[str, Any]:
    one = entry()
    one["response"]["choices"][0]["finish_reason"] = None
    return one


UNUSABLE: dict[str, tuple[Any, str]] = {
    "nothing": (None, "no request or no response"),
    "no request": ({"response": answer()}, "no request or no response"),
    "no messages": ({"request": {"model": "gpt-4o"}, "response": answer()}, "no messages"),
    "no model": (entry(model=None), "no model"),
    "unknown model": (entry(model="nobody/x"), "Unknown provider: nobody"),
    "bad message": (entry(messages=[{"content": "?"}]), "is no message"),
    "bad part": (entry(messages=[{"role": "user", "content": [7]}]), ""),
    "bad tools": (entry(tools={"a": 1}), "not a list of definitions"),
    "number too large": (entry(seed=2**60), "cannot be keyed"),
    "self": (entry(self=1), "'self' in its request"),
    "not finished": (without_finish(), "not whole"),
    "no choices": ({**entry(), "response": {}}, "not a chat completion"),
    "odd choices": ({**entry(), "response": answer(choices=[None])}, "not a chat completion"),
    "odd message": (
        {**entry(), "response": answer(choices=[{"message": {"content": {}}}])},
        "not a chat completion",
    ),
}


@pytest.mark.parametrize(("one", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_told_and_the_rest_is_imported(one: Any, why: str) -> None:
    write_hopenai(one, entry("Sweden?", "Stockholm."))

    report = import_hopenai(CACHE)

    assert (report.total, report.imported, len(report.unused)) == (2, 1, 1)
    assert why in report.unused[0].why
    assert replay("Sweden?", temperature=0.1).text == "Stockholm."


def test_two_answers_to_one_request_are_not_both_used() -> None:
    write_hopenai(entry(text="1"), entry(text="2"))

    report = import_hopenai(CACHE)

    assert (report.imported, len(report.unused)) == (1, 1)
    assert "another answer of this file" in report.unused[0].why


@pytest.mark.parametrize("name", ["files", "schema", "api_base", "mode", "sample"])
def test_a_request_cannot_use_arguments_of_ours(name: str) -> None:
    """A file from anybody must not have other files read, as files= does."""
    Path("secret.txt").write_text("do not tell")
    write_hopenai(entry(**{name: "secret.txt"}))

    report = import_hopenai(CACHE)

    assert f"'{name}'" in report.unused[0].why
    assert status("") == (0, 0)


def test_a_key_in_the_file_does_not_get_into_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdefghij")
    write_hopenai(entry("What is sk-test-0123456789abcdefghij?"))

    import_hopenai(CACHE, notebook="n")
    shelf = Shelf(Settings(".").workspace)
    text = shelf.save("n").path.read_text()
    shelf.close()

    assert "sk-test" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"version": "1.0", "entries": {"a": {"requ', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"[]", "not a cache of hopenai"),
        (b'{"entries": []}', "not a cache of hopenai"),
    ],
)
def test_a_damaged_file_is_one_clear_error_and_nothing_is_imported(
    content: bytes, message: str
) -> None:
    CACHE.write_bytes(content)

    with pytest.raises(CassetteError, match=message) as caught:
        import_hopenai(CACHE)

    assert "\n" not in str(caught.value)
    assert not Path(".llm_magic").exists()
    assert CACHE.read_bytes() == content


@pytest.mark.parametrize("name", ["cache.json", "cachy.jsonl", "log.jsonl"])
def test_a_named_pipe_is_refused_and_not_waited_for(name: str) -> None:
    os.mkfifo(name)
    for other in {"cachy.jsonl", "log.jsonl"} - {name}:
        Path(other).write_text("")

    with pytest.raises(CassetteError, match=rf"{name} cannot be read: it is no file"):
        import_file("cachy.jsonl" if name == "log.jsonl" else name, log=LOG)


def test_a_file_of_gigabytes_is_refused_before_it_is_read() -> None:
    with CACHE.open("wb") as file:
        file.truncate(importers.LARGEST + 1)

    with pytest.raises(
        CassetteError, match=r"cache\.json cannot be read: it has 500,000,001 bytes"
    ):
        import_file(CACHE)


def test_a_file_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(CassetteError, match=r"cache\.json cannot be read: No such file"):
        import_hopenai(CACHE)


def test_a_failure_while_storing_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    write_hopenai(entry("a?"), entry("b?"))
    put, calls = Shelf.put, []

    def fails(self: Shelf, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("disk full")
        put(self, *arguments)

    monkeypatch.setattr(Shelf, "put", fails)
    with pytest.raises(Exception, match="disk full"):
        import_hopenai(CACHE, notebook="n")
    monkeypatch.undo()

    assert status("n") == (0, 0)


def test_a_notebook_is_a_name() -> None:
    write_hopenai(entry())

    with pytest.raises(ParameterError, match="folder="):
        import_hopenai(CACHE, notebook="../other.ipynb")


def test_a_report_prints_counts_and_groups_the_reasons() -> None:
    write_hopenai(entry(), *[None] * 5)

    text = str(import_hopenai(CACHE))

    assert text == (
        "cache.json: 6 answers (1 imported, 5 not used)\n"
        "  entry 000000000000, entry 000000000000, entry 000000000000 and 2 more:"
        " it has no request or no response"
    )
    assert str(Report(Path("empty.json"))) == "empty.json: 0 answers"


# pycachy

OPENAI = "https://api.openai.com/v1/chat/completions"
CLAUDE = "https://api.anthropic.com/v1/messages"
QUESTION = [{"role": "user", "content": "Norway?"}]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-20250514",
    "content": [{"type": "text", "text": "Oslo."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 15, "output_tokens": 7},
}


def sse(*events: Any) -> str:
    return "".join(
        f"event: {one['type']}\ndata: {json.dumps(one)}\n\n"
        if "type" in one
        else f"data: {json.dumps(one)}\n\n"
        for one in events
    )


def piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 5, "choices": [choice]}


OPENAI_STREAM = (
    sse(piece({"role": "assistant", "content": "Os"}), piece({"content": "lo."}))
    + sse(piece({}, "stop"), {"id": "c", "choices": [], "usage": answer()["usage"]})
    + "data: [DONE]\n\n"
)
CLAUDE_STREAM = sse(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Oslo."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)
HEADERS = {"Date": "Thu, 29 Jan 2026 08:21:54 GMT", "content-type": "application/json"}


def write_cachy(
    response: str,
    url: str = OPENAI,
    body: Any = None,
    *,
    log: bool = True,
    **record: Any,
) -> None:
    """One record and its row in the log, as pycachy 0.0.22 writes them."""
    if body is None:
        body = {"model": "gpt-4o", "messages": QUESTION}
    text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
    line = {"key": "62816e25", "response": response, "headers": HEADERS, "status_code": 200}
    with CACHY.open("a") as file:
        file.write(json.dumps({**line, "binary": False, **record}) + "\n")
    with LOG.open("a") as file:
        file.write(json.dumps({"key": None, "url": "https://example.org"}) + "\n")
        if log:
            row = {"key": "62816e25", "url": url, "stream": False, "accept": "", "body": text}
            file.write(json.dumps(row) + "\n")


CLAUDE_BODY = {
    "model": "claude-sonnet-4-20250514",
    "messages": QUESTION,
    "max_tokens": 100,
    "system": "Be brief.",
    "stop_sequences": ["."],
}
CLAUDE_ASKED = {
    "model": "anthropic/claude-sonnet-4-20250514",
    "system": "Be brief.",
    "max_tokens": 100,
    "stop": ["."],
}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
FORMS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "openai": (
        json.dumps(answer(), indent=2),
        OPENAI,
        {"model": "gpt-4o", "messages": QUESTION, "temperature": 1},
        {"temperature": 1.0},
    ),
    "openai stream": (
        OPENAI_STREAM,
        OPENAI,
        {"model": "gpt-4o", "messages": QUESTION} | STREAMED,
        {},
    ),
    "anthropic": (json.dumps(MESSAGE), CLAUDE, CLAUDE_BODY, CLAUDE_ASKED),
    "anthropic stream": (CLAUDE_STREAM, CLAUDE, {**CLAUDE_BODY, "stream": True}, CLAUDE_ASKED),
    "openrouter": (
        json.dumps(answer()),
        "https://openrouter.ai/api/v1/chat/completions",
        {"model": "meta-llama/llama-3-70b", "messages": QUESTION},
        {"model": "openrouter/meta-llama/llama-3-70b"},
    ),
}


@pytest.mark.parametrize(("response", "url", "body", "asked"), FORMS.values(), ids=FORMS)
def test_an_answer_of_pycachy_replays_when_the_log_tells_its_request(
    response: str, url: str, body: dict[str, Any], asked: dict[str, Any]
) -> None:
    write_cachy(response, url, body)

    report = import_pycachy(CACHY, log=LOG)

    assert str(report) == "cachy.jsonl: 1 answer (1 imported)"
    completion = replay(**asked)
    assert completion.text == "Oslo."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.tokens is not None
    assert completion.tokens.output_tokens in (7, 10)


def test_the_day_of_an_answer_is_that_of_the_server() -> None:
    write_cachy(json.dumps(MESSAGE), CLAUDE, CLAUDE_BODY)

    import_pycachy(CACHY, log=LOG)

    recorded = replay(**CLAUDE_ASKED).recorded
    assert recorded is not None
    assert recorded.isoformat() == "2026-01-29T08:21:54+00:00"


def test_without_the_log_nobody_knows_what_was_asked() -> None:
    write_cachy(json.dumps(answer()))

    report = import_pycachy(CACHY)

    assert (report.total, len(report.unused)) == (1, 1)
    assert report.unused[0].where == "line 1 (62816e25)"
    assert "CACHY_LOG" in report.unused[0].why


RESPONSES = "https://api.openai.com/v1/responses"
ASKED = {"model": "gpt-4o", "messages": QUESTION}
NOT_USED: dict[str, tuple[dict[str, Any], str]] = {
    "error": ({"status_code": 400}, "an error"),
    "binary": ({"binary": True}, "not text"),
    "not in the log": ({"log": False}, "does not hold its request"),
    "an error in the body": ({"response": '{"error": {"message": "no"}}'}, "not a chat completion"),
    "not JSON": ({"response": "<html>"}, "not a chat completion"),
    "another shape": ({"response": '{"choices": 7}'}, "not a chat completion"),
    "cut off": ({"response": OPENAI_STREAM.partition("data: [DONE]")[0][:250]}, "not"),
    "no finish reason": ({"response": sse(piece({"content": "Os"}))}, "not whole"),
    "responses API": ({"url": RESPONSES}, "not a chat API"),
    "another host": ({"url": OPENAI.replace("openai", "openai.example")}, "not a chat API"),
    "no messages": ({"body": {"model": "gpt-4o"}}, "no model or no messages"),
    "body not JSON": ({"body": "a=1"}, "no model or no messages"),
    "address": ({"body": {**ASKED, "user": "0xMEM"}}, "took something out"),
    "traceback": ({"body": {**ASKED, "user": "line N, in f"}}, "took something out"),
    "cache key": ({"body": {**ASKED, "prompt_cache_key": "notebook"}}, "took something out"),
    "claude in parts": (
        {
            "url": CLAUDE,
            "response": json.dumps(MESSAGE),
            "body": {**CLAUDE_BODY, "system": [{"type": "text", "text": "Be brief."}]},
        },
        "in just this way",
    ),
}


@pytest.mark.parametrize(("changes", "why"), NOT_USED.values(), ids=NOT_USED)
def test_what_pycachy_does_not_tell_is_not_made_up(changes: dict[str, Any], why: str) -> None:
    write_cachy(**{"response": json.dumps(answer()), **changes})

    report = import_pycachy(CACHY, log=LOG)

    assert (report.total, len(report.unused)) == (1, 1)
    assert why in report.unused[0].why
    assert not Path(".llm_magic").exists()


def test_requests_that_share_a_short_hash_are_not_mixed_up() -> None:
    write_cachy(json.dumps(answer()))
    row = json.loads(LOG.read_text().splitlines()[-1])
    other = {**row, "body": row["body"].replace("Norway", "Sweden")}
    LOG.write_text(LOG.read_text() + json.dumps(other))

    report = import_pycachy(CACHY, log=LOG)

    assert "share its short hash" in report.unused[0].why


def test_lines_that_are_no_records_are_told() -> None:
    write_cachy(json.dumps(answer()))
    with CACHY.open("a") as file:
        file.write('\n{"key": "1"}\n{"key": "2", "resp')

    report = import_pycachy(CACHY, log=LOG)

    assert (report.imported, [one.where for one in report.unused]) == (1, ["line 3", "line 4"])


@pytest.mark.parametrize("content", ["not JSON\n", "[]\n", '{"a": 1}\n'])
def test_a_file_without_records_is_not_pycachys(content: str) -> None:
    CACHY.write_text(content)

    with pytest.raises(CassetteError, match="not a cache of pycachy; nothing was imported"):
        import_pycachy(CACHY)


# Which kind it is, and the command


def test_the_content_tells_the_kind() -> None:
    CACHE.write_text(json.dumps({"version": "1.0", "entries": {"a": entry()}}))
    write_cachy(json.dumps(answer()))

    assert import_file(CACHE).imported == 1
    assert import_file(CACHY, log=LOG).imported == 1
    assert len(import_file(CACHY).unused) == 1


def test_the_command_imports_for_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    write_hopenai(entry(), None)

    assert cli.main(["import", "cache.json", "analysis.ipynb"]) == 0

    assert capsys.readouterr().out.startswith("cache.json: 2 answers (1 imported, 1 not used)\n")
    assert status("analysis") == (0, 1)


def test_the_command_takes_the_log_and_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    write_cachy(json.dumps(answer()))
    assert cli.main(["import", "cachy.jsonl", "a.ipynb", "--log", "log.jsonl"]) == 0
    CACHY.unlink()
    write_cachy(json.dumps(answer("Bergen.")))

    assert cli.main(["import", "cachy.jsonl", "a.ipynb", "--log", "log.jsonl", "--replace"]) == 0

    assert "1 replaced" in capsys.readouterr().out
    assert replay().text == "Bergen."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cache.json", "notes.txt"], "name the .ipynb file"),
        (["missing.json", "a.ipynb"], "cannot be read"),
    ],
)
def test_the_command_fails_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["import", *words]) == 1

    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err


def test_the_command_fails_when_nothing_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    write_hopenai(None)

    assert cli.main(["import", "cache.json", "a.ipynb"]) == 1
    assert "1 not used" in capsys.readouterr().out
