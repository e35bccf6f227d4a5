"""What becomes of a request of somebody else's: recorded, replayed, counted, or left alone."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import openai
import pytest

import llm_magic
from conftest import OPENAI_KEY
from llm_magic import attach, client, config, dropped, history, inventory, limits
from llm_magic.attachment import exchange
from llm_magic.exceptions import ParameterError, ReplayMissError, UnboundedCostError
from llm_magic.pipeline import Call

MODEL = "gpt-5-mini"


def body(text="Why?", **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def url(path="chat/completions"):
    return f"{os.environ['OPENAI_BASE_URL']}/{path}"


def ask(text="Why?", **more):
    response = httpx2.post(url(), json=body(text, **more))
    return response.status_code, response.text


def set_mode(mode):
    config.default().set("mode", mode)


def rows():
    return history.default().rows()


def statuses():
    return [(row["source"], row["status"]) for row in rows()]


def recordings():
    return client.default().shelf.unsaved("")


@pytest.fixture
def attached(server):
    """The fake provider, with what this process asks it watched."""
    with attach():
        yield server


@pytest.fixture
def sdk(attached):
    """A client of OpenAI's SDK."""
    with openai.OpenAI() as client:
        yield client


def test_a_second_call_is_a_replay_byte_for_byte(attached):
    first = ask()

    assert ask() == first
    assert attached.count == 1
    assert statuses() == [("live", "ok"), ("replay", "ok")]


def test_a_call_is_metered(attached):
    ask()

    (row,) = rows()
    assert (row["api"], row["provider"], row["model"]) == ("http", "openai", MODEL)
    assert (row["prompt"], row["answer"]) == ("Why?", "You said: Why?")
    assert (row["input_tokens"], row["output_tokens"]) == (1, 3)
    assert history.totals().spent > 0


@pytest.mark.parametrize("stream", [False, True])
def test_its_recording_is_listed_and_checked_like_any_other(attached, stream):
    ask(stream=stream)

    (entry,) = inventory.entries(client.default().shelf, None)
    entry.recording.check()
    assert (entry.model, entry.prompt) == (f"openai/{MODEL}", "Why?")
    assert str(entry).endswith("--- user\nWhy?\n\n--- answer\nYou said: Why?")


@pytest.mark.parametrize("mark", [b"\n\n", b"\r\n\r\n"])
def test_a_stream_that_is_closed_within_an_event_is_kept_up_to_it(mark):
    assert exchange._whole_events(b"data: 1" + mark + b"data: 2") == b"data: 1" + mark
    assert exchange._whole_events(b"data: 1\n") == b""


def test_a_stream_without_usage_costs_what_nobody_knows(attached):
    ask(stream=True)

    assert rows()[0]["cost"] is None
    assert history.totals().unknown == 1


def test_an_sdk_and_its_own_kind_of_call_are_kept_apart(attached):
    ask()
    llm_magic.complete("Why?", model=f"openai/{MODEL}")

    assert [row["api"] for row in rows()] == ["http", "chat"]


@pytest.mark.parametrize("model", [f"openai/{MODEL}", "anthropic/claude-sonnet-4-6"])
def test_our_own_calls_are_not_recorded_twice(attached, model):
    async def awaited():
        await llm_magic.acomplete("awaited", model=model)
        async for _ in llm_magic.astream("awaited stream", model=model):
            pass

    llm_magic.complete("whole", model=model)
    list(llm_magic.stream("pieces", model=model))
    asyncio.run(awaited())

    assert [row["api"] for row in rows()] == ["chat"] * 4
    assert len(recordings()) == 4


def test_what_is_no_question_to_a_model_passes_untouched(attached):
    httpx2.get(url("models"))
    httpx2.post(f"{attached.url}/upload", json={"model": "m"})

    assert (rows(), attached.count) == ([], 2)


def test_a_body_that_is_made_while_it_is_sent_is_not_read_and_that_is_told(attached):
    with pytest.warns(RuntimeWarning, match="not recorded"):
        httpx2.post(url(), content=iter([json.dumps(body()).encode()]))

    assert (rows(), attached.last.body) == ([], body())


def test_a_server_of_the_users_own_is_recorded_where_it_was_named(raw_server):
    raw_server.answer(b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}')

    with attach(hosts=[f"127.0.0.1:{raw_server.server_port}"]):
        answers = [
            httpx2.post(f"{raw_server.url}/chat/completions", json=body()).text for _ in range(2)
        ]

    assert len(raw_server.seen) == 1
    assert answers[0] == answers[1]
    assert rows()[0]["endpoint"] == raw_server.url


def test_the_first_piece_of_a_live_stream_comes_before_the_second_is_sent(attached, sdk):
    gate = threading.Event()
    attached.reply("one two three", gate=gate)

    with sdk.chat.completions.create(**body(stream=True)) as stream:
        pieces = (piece.choices[0].delta.content for piece in stream if piece.choices)
        first = next(piece for piece in pieces if piece)
        assert not gate.is_set()
        gate.set()
        rest = "".join(filter(None, pieces))

    assert (first, rest) == ("one", " two three")
    assert statuses() == [("live", "ok")]


def test_the_first_piece_of_an_awaited_stream_comes_before_the_second_is_sent(attached):
    gate = threading.Event()
    attached.reply("one two three", gate=gate)

    async def read():
        async with (
            anthropic.AsyncAnthropic() as sdk,
            sdk.messages.stream(
                model="claude-sonnet-4-6", max_tokens=9, messages=body()["messages"]
            ) as stream,
        ):
            texts = stream.text_stream
            first = await anext(texts)
            assert not gate.is_set()
            gate.set()
            return first, "".join([text async for text in texts])

    assert asyncio.run(read()) == ("one", " two three")
    assert statuses() == [("live", "ok")]


def test_a_question_that_is_sent_elsewhere_is_recorded_there(attached):
    moved = httpx2.Response(307, headers={"location": url()})

    with httpx2.Client(follow_redirects=True) as sender:
        request = sender.build_request("POST", url(), json=body())
        again = sender._build_redirect_request(request, moved)
        sender.send(again)
        sender.send(sender._build_redirect_request(request, moved))

    assert statuses() == [("live", "ok"), ("replay", "ok")]


def test_an_error_reaches_the_caller_as_it_is_and_is_not_recorded(attached):
    attached.fail(400, message="no such parameter")

    status, text = ask()

    assert (status, json.loads(text)["error"]["message"]) == (400, "no such parameter")
    assert recordings() == {}
    (row,) = rows()
    assert (row["status"], row["error"], row["cost"]) == ("error", "BadRequestError", "0")
    assert "no such parameter" in row["error_message"]


def test_an_error_that_nobody_reads_is_a_row_all_the_same(attached):
    attached.fail(500)

    with httpx2.stream("POST", url(), json=body()) as response:
        assert response.status_code == 500

    assert rows()[0]["error"] == "ServerError"


def test_each_try_of_an_sdk_is_a_row_and_the_answer_has_the_first_number(attached, sdk):
    set_mode("CAPTURE")
    attached.fail(500, headers={"retry-after-ms": "1"})

    with llm_magic.run("cell"):
        sdk.chat.completions.create(**body())
    set_mode("REPLAY")
    with llm_magic.run("cell"):
        sdk.chat.completions.create(**body())

    assert statuses() == [("live", "error"), ("live", "ok"), ("replay", "ok")]


def test_identical_calls_of_a_run_replay_their_answers_in_order(attached):
    attached.reply("one")
    attached.reply("two")
    set_mode("CAPTURE")
    with llm_magic.run("cell"):
        live = [ask(), ask()]
    set_mode("REPLAY")
    with llm_magic.run("cell"):
        replayed = [ask(), ask()]

    assert replayed == live
    assert live[0] != live[1]


def test_no_connection_costs_nothing(server, monkeypatch):
    server.close()

    with attach(), pytest.raises(httpx2.ConnectError):
        ask()

    assert [(row["status"], row["cost"]) for row in rows()] == [("error", "0")]


def test_an_answer_that_was_cut_is_not_recorded(attached):
    attached.cut("one two three", after=2)

    with pytest.raises(httpx2.RemoteProtocolError):
        ask(stream=True)

    assert recordings() == {}
    assert [(row["status"], row["answer"]) for row in rows()] == [("incomplete", "one two")]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_its_end_is_not_recorded(attached, stream):
    attached.unfinished("one two three")

    ask(stream=stream)

    assert recordings() == {}
    assert statuses() == [("live", "incomplete")]


def test_an_error_in_the_middle_of_a_stream_is_not_recorded(attached):
    attached.error_body("overloaded", type="overloaded_error")

    ask(stream=True)

    assert recordings() == {}
    assert rows()[0]["error"] == "OverloadedError"


def test_an_answer_of_no_known_shape_is_not_recorded(attached, raw_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", raw_server.url)
    raw_server.answer(b'{"choices": [7]}')

    httpx2.post(url(), json=body())

    assert recordings() == {}
    assert statuses() == [("live", "error")]


def test_a_stream_that_is_closed_early_replays_as_far_as_it_came(attached):
    def first_words():
        with httpx2.stream("POST", url(), json=body(stream=True)) as response:
            return next(line for line in response.iter_lines() if "You" in line)

    live = first_words()

    assert first_words() == live
    assert statuses() == [("live", "closed"), ("replay", "closed")]


def test_a_replay_that_is_read_further_than_its_recording_says_that_more_is_missing(sdk):
    def ask():
        return sdk.chat.completions.create(**body(stream=True))

    with ask() as stream:
        first = next(stream)

    with pytest.warns(RuntimeWarning, match="left early when it was recorded"):
        assert first in list(ask())


def test_an_awaited_replay_that_is_read_further_says_so_too(attached):
    async def read(*, whole):
        async with (
            openai.AsyncOpenAI() as sdk,
            await sdk.chat.completions.create(**body(stream=True)) as stream,
        ):
            async for _ in stream:
                if not whole:
                    break

    asyncio.run(read(whole=False))
    asyncio.run(read(whole=False))

    with pytest.warns(RuntimeWarning, match="left early when it was recorded"):
        asyncio.run(read(whole=True))


def test_a_stream_whose_reader_fails_fails_at_the_same_place_in_replay(attached):
    def read():
        with httpx2.stream("POST", url(), json=body(stream=True)) as response:
            lines = response.iter_lines()
            return int(next(lines))

    with pytest.raises(ValueError, match="invalid literal") as live:
        read()
    set_mode("REPLAY")
    with pytest.raises(ValueError, match="invalid literal") as replayed:
        read()

    assert str(replayed.value) == str(live.value)
    assert statuses() == [("live", "closed"), ("replay", "closed")]


def test_a_stream_whose_reader_fails_before_it_began_is_an_error(attached):
    with (
        pytest.raises(KeyError),
        httpx2.stream("POST", url(), json=body(stream=True)),
    ):
        raise KeyError("mine")

    assert recordings() == {}
    assert [(row["status"], row["error"]) for row in rows()] == [("error", "KeyError")]


def test_a_stream_whose_reader_is_interrupted_is_not_recorded(attached):
    def read():
        with httpx2.stream("POST", url(), json=body(stream=True)) as response:
            lines = response.iter_lines()
            next(lines)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()

    assert recordings() == {}
    assert statuses() == [("live", "interrupted")]


@pytest.fixture
def begun(attached):
    """A response of which a line was read, what reads it, and our part of its stream."""
    with httpx2.Client() as sender:
        response = sender.send(
            sender.build_request("POST", url(), json=body(stream=True)), stream=True
        )
        lines = response.iter_lines()
        next(lines)
        yield response, lines, response.stream._stream


@pytest.mark.parametrize("first", ["stream", "reader"])
def test_a_stream_is_closed_early_whichever_finalizer_comes_first(begun, first):
    _, lines, stream = begun
    finalizers = [stream.__del__, lines.close]

    for finalize in finalizers if first == "stream" else reversed(finalizers):
        finalize()
        dropped.wait()

    assert len(recordings()) == 1
    assert statuses() == [("live", "closed")]


def test_an_end_counts_once_also_while_it_is_written(begun, monkeypatch):
    response, _, stream = begun
    answered, ends = Call.answered, []

    def answered_and_closed_again(call, *arguments, **options):
        ends.append(call)
        stream._watcher.closed()
        stream._watcher.broke(OSError("late"))
        return answered(call, *arguments, **options)

    monkeypatch.setattr(Call, "answered", answered_and_closed_again)
    response.close()

    assert len(ends) == 1
    assert statuses() == [("live", "closed")]


def test_a_reader_that_is_collected_while_a_lock_is_held_waits_for_it(begun):
    _, lines, _ = begun

    with history.default()._lock:
        lines.close()
        meanwhile = statuses()
    dropped.wait()

    assert (meanwhile, statuses()) == ([("live", "pending")], [("live", "closed")])


def test_streams_of_an_sdk_that_are_left_replay_whatever_is_collected_first(attached, sdk):
    # They die in the garbage collector: an openai.Stream refers to itself.
    def leave(number):
        for piece in sdk.chat.completions.create(**body(f"Why {number}?", stream=True)):
            return piece.to_dict()

    live = []
    for number in range(8):
        live.append(leave(number))
        gc.collect()
    dropped.wait()
    set_mode("REPLAY")

    assert [leave(number) for number in range(8)] == live
    assert statuses()[:8] == [("live", "closed")] * 8


def test_an_awaited_stream_of_an_sdk_that_is_left_replays(attached):
    async def leave():
        async with openai.AsyncOpenAI() as sdk:
            async for piece in await sdk.chat.completions.create(**body(stream=True)):
                return piece.to_dict()

    live = asyncio.run(leave())
    gc.collect()
    dropped.wait()
    set_mode("REPLAY")

    assert asyncio.run(leave()) == live
    assert statuses()[0] == ("live", "closed")


@pytest.fixture
def no_collection():
    """Python collects no garbage by itself."""
    gc.disable()
    yield
    gc.enable()


def test_streams_that_a_run_left_are_recorded_at_its_end(attached, sdk, no_collection):
    set_mode("CAPTURE")

    with llm_magic.run("cell"):
        for _ in sdk.chat.completions.create(**body(stream=True)):
            break

    assert len(recordings()) == 1
    assert statuses() == [("live", "closed")]


def test_a_stream_that_is_held_is_read_on_in_the_next_run(attached, sdk):
    with llm_magic.run("cell"):
        stream = sdk.chat.completions.create(**body(stream=True))
        next(stream)
    with llm_magic.run("next cell"):
        list(stream)

    assert statuses() == [("live", "ok")]


LEAVE_STREAMS = """
import gc, openai, llm_magic
gc.disable()
llm_magic.attach()
sdk = openai.OpenAI()
def ask(text):
    messages = [{"role": "user", "content": text}]
    return sdk.chat.completions.create(model="m", messages=messages, stream=True)
for _ in ask("left"):
    break
held = ask("held")
next(held)
unread = ask("unread")
"""


def test_streams_that_are_left_at_the_end_of_the_process_are_recorded(server, run_python):
    done = run_python(LEAVE_STREAMS)

    assert (done.stdout, done.stderr) == ("", "")
    assert [(row["prompt"], row["status"]) for row in rows()] == [
        ("left", "closed"),
        ("held", "closed"),
        ("unread", "interrupted"),
    ]
    assert len(recordings()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.parametrize("ending", ["raise SystemExit", "held.close()", "del held; gc.collect()"])
def test_a_child_process_ends_no_stream_of_its_parent(server, run_python, ending):
    done = run_python(
        f"{LEAVE_STREAMS}\n"
        "import os\n"
        "def in_child():\n"
        "    global held\n"
        "    with held:\n"
        f"        {ending}\n"
        "if not (child := os.fork()):\n"
        "    in_child()\n"
        "    raise SystemExit\n"
        "os.waitpid(child, 0)\n"
        "print([row['status'] for row in llm_magic.history.default().rows()])\n"
    )

    assert done.stdout == "['pending', 'pending', 'pending']\n", done.stderr


def test_a_stream_that_was_dropped_unread_is_a_row_all_the_same(attached):
    with httpx2.Client() as sender:
        request = sender.build_request("POST", url(), json=body(stream=True))
        response = sender.send(request, stream=True)
        del response
    dropped.wait()

    assert recordings() == {}
    assert statuses() == [("live", "interrupted")]


def test_a_stream_that_is_collected_while_a_lock_is_held_waits_for_it(attached):
    with httpx2.Client() as sender:
        request = sender.build_request("POST", url(), json=body(stream=True))
        response = sender.send(request, stream=True)
        with history.default()._lock:
            # Python collects wherever it likes, and a lock may be held there.
            del response
            meanwhile = statuses()
    dropped.wait()

    assert (meanwhile, statuses()) == ([("live", "pending")], [("live", "interrupted")])


def test_a_stream_that_was_read_and_never_closed_replays_at_once(attached):
    def words():
        with httpx2.Client() as sender:
            request = sender.build_request("POST", url(), json=body(stream=True))
            response = sender.send(request, stream=True)
            return next(line for line in response.iter_lines() if "DONE" in line)

    assert words() == words()
    assert (attached.count, len(rows())) == (1, 2)


def test_a_stream_that_is_closed_before_it_began_is_not_recorded(attached):
    with httpx2.stream("POST", url(), json=body(stream=True)):
        pass

    assert recordings() == {}
    assert statuses() == [("live", "interrupted")]


def test_a_task_that_is_cancelled_leaves_a_row_and_no_recording(attached):
    attached.reply("one two", gate=threading.Event())

    async def cancelled():
        async with openai.AsyncOpenAI() as sdk:
            asking = asyncio.create_task(sdk.chat.completions.create(**body()))
            await asyncio.to_thread(attached.wait_for, 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(cancelled())

    assert recordings() == {}
    assert statuses() == [("live", "interrupted")]


def test_identical_calls_in_threads_are_asked_once(attached):
    gate = threading.Event()
    attached.reply("one", gate=gate)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        attached.wait_for(1)
        gate.set()
        answers = {future.result() for future in asked}

    assert (len(answers), attached.count) == (1, 1)


def test_a_compressed_answer_is_stored_as_text(raw_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", raw_server.url)
    text = b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}'
    raw_server.answer(gzip.compress(text), content_encoding="gzip")

    with attach():
        live, replayed = (httpx2.post(url(), json=body()) for _ in range(2))

    assert (live.content, replayed.content) == (text, text)
    assert "content-encoding" not in replayed.headers


def test_of_its_headers_an_answer_keeps_the_content_type_only(raw_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", raw_server.url)
    text = b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}'
    raw_server.answer(text, x_request_id="req_1")

    with attach():
        live, replayed = (httpx2.post(url(), json=body()) for _ in range(2))

    assert live.headers["x-request-id"] == "req_1"
    assert dict(replayed.headers) == {"content-type": "application/json"}


@pytest.mark.parametrize(("mode", "asked", "kept"), [("CAPTURE", 2, 1), ("DISABLED", 2, 0)])
def test_the_mode_says_what_is_asked_and_kept(attached, mode, asked, kept):
    set_mode(mode)

    ask(), ask()

    assert (attached.count, len(recordings())) == (asked, kept)
    assert statuses() == [("live", "ok")] * 2


def test_a_miss_raises_what_the_doctor_says(attached):
    ask("a long question about the sky")
    set_mode("REPLAY")

    with pytest.raises(ReplayMissError) as raised:
        ask("a long question about the sea")

    assert "[-sky-]{+sea+}" in str(raised.value)
    assert attached.count == 1
    assert statuses()[1:] == [("replay", "miss")]


def test_the_sdk_of_openai_shows_a_miss_at_once(attached, sdk):
    set_mode("REPLAY")

    with pytest.raises(openai.NotFoundError, match="no recording for"):
        sdk.chat.completions.create(**body())

    assert (attached.count, statuses()) == (0, [("replay", "miss")])


def test_the_sdk_of_anthropic_shows_a_miss_at_once(attached):
    set_mode("REPLAY")

    with (
        anthropic.Anthropic() as sdk,
        pytest.raises(anthropic.NotFoundError, match="no recording for"),
    ):
        sdk.messages.create(**body(), max_tokens=9)

    assert (attached.count, statuses()) == (0, [("replay", "miss")])


def test_keys_reach_neither_recordings_nor_the_ledger(attached, monkeypatch):
    other = "AIza-0123456789abcdefghij"
    question = f"my keys are {OPENAI_KEY} and {other}"

    httpx2.post(
        f"{url()}?key={other}",
        json=body(question),
        headers={"authorization": f"Bearer {OPENAI_KEY}"},
    )

    for text in (str(recordings()), str(rows())):
        assert OPENAI_KEY not in text
        assert other not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "bearer {}"},
        {"authorization": "Token {}"},
        {"api-key": "{}"},
        {"x-portkey-api-key": "{}"},
        {"ocp-apim-subscription-key": "{}"},
    ],
)
def test_a_key_that_an_error_quotes_does_not_reach_the_ledger(attached, headers):
    key = "of-whom-ever-0123456789"
    attached.fail(401, message=f"Incorrect API key provided: {key}")

    sent = {name: text.format(key) for name, text in headers.items()}
    httpx2.post(url(), json=body(), headers=sent)

    assert "Incorrect API key" in rows()[0]["error_message"]
    assert key not in str(rows())


@pytest.mark.parametrize(
    "carried",
    [
        {"api_key": "{}"},
        {"tools": [{"type": "mcp", "authorization": "{}"}]},
        {"tools": [{"type": "mcp", "headers": {"Authorization": "Bearer {}"}}]},
        {"mcp_servers": [{"authorization_token": "{}"}]},
        {"tools": [{"type": "mcp", "token": "{}"}]},
        {"api_keys": ["{}"]},
        {"metadata": {"user": "a"}, "fallbacks": [{"model": "a", "api_key": "{}"}]},
    ],
)
def test_keys_in_a_body_are_neither_stored_nor_part_of_the_key(attached, carried):
    keys = ["of-a-gateway-0123456789", "of-the-next-day-9876543210"]
    attached.reply(f"I know {keys[0]}")

    for key in keys:
        httpx2.post(url(), json=body(**json.loads(json.dumps(carried).replace("{}", key))))

    assert keys[0] in str(attached.last.body)
    assert attached.count == 1
    for text in (str(recordings()), str(rows())):
        assert not any(key in text for key in keys)


def test_words_that_are_for_the_model_are_no_keys(attached):
    ask("a", tools=[{"type": "function", "function": {"parameters": {"password": {}}}}])
    call = {"type": "tool_use", "input": {"password": "correct horse battery staple"}}
    ask([call])

    assert "battery staple" in str(recordings())


def test_bodies_that_differ_in_a_word_named_as_a_key_share_no_answer(attached):
    for word in ("swordfish", "hunter2"):
        ask("a", prompt_variables={"password": word})

    assert attached.count == 2


def test_a_request_that_has_no_key_is_sent_and_told_of(attached):
    with pytest.warns(RuntimeWarning, match="not recorded"):
        status, _ = ask(seed=2**60)

    assert (status, rows()) == (200, [])


UNREADABLE = [
    json.dumps(body(seed=2**60)).encode(),
    b'{"model": "m", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b"no object",
]


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_request_that_has_no_key_is_not_sent_in_replay(attached, content):
    set_mode("REPLAY")

    with pytest.raises(ParameterError):
        httpx2.post(url(), content=content)
    with pytest.raises(ParameterError):
        httpx2.post(url(), content=iter([content]))

    assert attached.count == 0


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_request_that_has_no_key_gets_past_no_budget(attached, content):
    with llm_magic.budget(1), pytest.raises(UnboundedCostError):
        httpx2.post(url(), content=content)

    assert attached.count == 0


def ask_gemini(raw_server):
    """A stream that is no stream of events."""
    question = {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}
    models = f"{raw_server.url}/v1beta/models/gemini-2.5-flash"
    return httpx2.post(f"{models}:streamGenerateContent?key=secret", json=question)


def test_a_list_in_pieces_is_sent_and_told_of(raw_server):
    raw_server.answer(b"[]")

    with attach(hosts=[raw_server.url]), pytest.warns(RuntimeWarning, match="ask with .alt=sse"):
        answer = ask_gemini(raw_server)

    assert (answer.content, rows()) == (b"[]", [])


@pytest.mark.parametrize(
    ("mode", "limit", "error"),
    [("REPLAY", 1, ParameterError), ("CAPTURE", "0.0001", UnboundedCostError)],
)
def test_a_list_in_pieces_gets_past_no_replay_and_no_budget(raw_server, mode, limit, error):
    set_mode(mode)

    with (
        attach(hosts=[raw_server.url]),
        llm_magic.budget(limit),
        pytest.raises(error, match=r"not sent.*ask with .alt=sse"),
    ):
        ask_gemini(raw_server)

    assert raw_server.seen == []


def test_a_client_of_replay_sends_nothing_later(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    set_mode("REPLAY")
    with attach(), openai.OpenAI() as sdk:
        set_mode("FALLBACK")

        with pytest.raises(openai.AuthenticationError, match="Set OPENAI_API_KEY"):
            sdk.chat.completions.create(**body())
        with pytest.raises(openai.AuthenticationError, match="has the placeholder"):
            sdk.models.list()

    assert server.count == 0


def test_a_budget_holds_for_others_too(attached, sdk):
    with llm_magic.budget("0.0001"):
        with pytest.raises(openai.APIStatusError, match="not sent: this call can cost") as raised:
            sdk.chat.completions.create(**body(max_tokens=10_000))
        with pytest.raises(UnboundedCostError):
            ask()
        ask(max_tokens=1)
        httpx2.post(url("embeddings"), json={"model": "text-embedding-3-small", "input": "a"})

    assert raised.value.status_code == 402
    assert attached.count == 2


def test_a_child_process_records_too(server, run_python):
    done = run_python(
        "import os, httpx2, llm_magic\n"
        "llm_magic.attach()\n"
        "def ask(text):\n"
        "    messages = [{'role': 'user', 'content': text}]\n"
        "    url = os.environ['OPENAI_BASE_URL'] + '/chat/completions'\n"
        "    httpx2.post(url, json={'model': 'm', 'messages': messages})\n"
        "ask('parent')\n"
        "if not (child := os.fork()):\n"
        "    ask('child')\n"
        "    os._exit(0)\n"
        "print(os.waitpid(child, 0)[1])\n"
    )

    assert done.stdout == "0\n", done.stderr
    assert [row["prompt"] for row in rows()] == ["parent", "child"]


def test_a_limit_of_the_users_own_holds_for_others_too(attached, monkeypatch):
    waited = []
    monkeypatch.setattr(limits, "wait", lambda request: waited.append(request.model) or 0.0)

    ask()

    assert waited == [MODEL]


def test_a_response_of_openai_is_recorded_whole_and_in_pieces(raw_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", raw_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]
    usage = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
    whole = {"id": "r", "status": "completed", "model": MODEL, "output": output, "usage": usage}
    events = [
        {"type": "response.output_text.delta", "delta": "Hello"},
        {"type": "response.completed", "response": whole},
    ]
    lines = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    raw_server.answer(json.dumps(whole).encode())
    raw_server.answer(lines.encode(), "text/event-stream")

    with attach(), openai.OpenAI() as sdk:
        for _ in range(2):
            sdk.responses.create(model=MODEL, input="Say hello.")
            list(sdk.responses.create(model=MODEL, input="Say hello.", stream=True))

    assert len(raw_server.seen) == 2
    assert statuses() == [("live", "ok")] * 2 + [("replay", "ok")] * 2
    assert {(row["answer"], row["prompt"]) for row in rows()} == {("Hello", "Say hello.")}
    assert {row["output_tokens"] for row in rows()} == {1}


def test_gemini_is_recorded_whole_and_in_pieces(raw_server):
    candidate = {"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 2, "candidatesTokenCount": 1}
    answer = json.dumps({"candidates": [candidate], "usageMetadata": usage}).encode()
    raw_server.answer(answer)
    raw_server.answer(b"data: " + answer + b"\r\n\r\n", "text/event-stream")
    question = {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}
    models = f"{raw_server.url}/v1beta/models/gemini-2.5-flash"

    with attach(hosts=[raw_server.url]):
        for _ in range(2):
            httpx2.post(f"{models}:generateContent?key=secret", json=question)
            httpx2.post(f"{models}:streamGenerateContent?alt=sse", json=question)

    assert len(raw_server.seen) == 2
    assert [(row["answer"], row["model"]) for row in rows()] == [("Hello", "gemini-2.5-flash")] * 4
    assert {row["cost_source"] for row in rows()} == {"list", "replay"}
