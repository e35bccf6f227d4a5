"""Keys in the fields of a request are sent, and neither stored, nor hashed, nor told."""

from __future__ import annotations

import asyncio
import json

import pytest

from llm_magic import Client, doctor, failover, importers, key_fields, secrets
from llm_magic.exceptions import ProviderError, ReplayMissError
from llm_magic.recordings import Recording, key_of

MODEL = "openai/gpt-5-mini"
KEYS = ("of-a-gateway-0123456789", "of-the-next-day-9876543210")
CARRIERS = [
    {"extra_body": {"api_key": "{}"}},
    {"extra_body": {"mcp_servers": [{"type": "url", "authorization_token": "{}"}]}},
    {"extra_body": {"extra_headers": {"X-Gateway-Token": "{}"}}},
    {"extra_body": {"extra_query": {"key": "{}"}}},
    {"extra_body": {"data_sources": [{"parameters": {"authentication": {"key": "{}"}}}]}},
    {"tools": [{"type": "mcp", "headers": {"Authorization": "Bearer {}"}}]},
    {"tools": [{"type": "mcp", "authorization": "{}"}]},
    {"tools": [{"type": "mcp", "server_url": "https://example.org/mcp?exaApiKey={}&tools=a"}]},
    {"tools": [{"type": "mcp", "server_url": "https://me:{}@example.org/mcp"}]},
    {"gateway_api_key": "{}"},
    {"extra_body": {"apikey": "{}"}},
    {"extra_body": {"api_keys": ["{}", "{}"]}},
    {"extra_body": {"private_key": "{}"}},
    {"extra_body": {"passwd": "{}"}},
    {"extra_body": {"bearer": "{}"}},
    {"extra_body": {"vertex_credentials": "{}"}},
    {"extra_body": {"auth": {"type": "bearer", "value": "{}"}}},
    {"extra_body": {"auth": {"name": "X-Mine", "in": "header", "value": "{}"}}},
    {"extra_body": {"headers": [{"name": "Authorization", "value": "Bearer {}"}]}},
    {"extra_body": {"headers": {"X-Mine": "Bearer {}"}}},
    {"extra_body": {"base_url": "https://gateway.test/v1?key={}"}},
    {"extra_body": {"document": "https://me:{}@example.org/a.pdf", "link": "https://me:{}@a.test"}},
    {"extra_body": {"fallbacks": [{"model": "openai/gpt-5", "api_key": "{}"}]}},
    {"extra_body": {"mcpServers": {"github": {"env": {"GITHUB_TOKEN": "{}"}}}}},
    {"extra_body": {"mcpServers": {"git@hub": {"env": [{"name": "MY_KEY", "value": "{}"}]}}}},
    {"tools": [{"type": "mcp", "token": "{}"}]},
    {"tools": [{"type": "mcp", "server_url": "https://a.blob.test/mcp?se=2027&sig={}"}]},
    {"tools": [{"type": "mcp", "server": {"address": "https://me:{}@example.org"}}]},
    {"extra_body": {"tools": [{"google_maps": {"auth_config": {"apiKeyString": "{}"}}}]}},
]


def with_key(carrier, key):
    return json.loads(json.dumps(carrier).replace("{}", key))


@pytest.fixture
def client(server):
    return Client(model=MODEL)


def stored(client):
    rows = "\n".join(map(str, client.history.rows()))
    return rows + "\n".join(variant.line for _, _, variant in client.shelf.recordings.all())


def whole(client, **options):
    return client.complete("Why?", **options).text


def pieces(client, **options):
    return "".join(chunk.text for chunk in client.stream("Why?", **options))


def awaited(client, **options):
    async def ask():
        return (await client.acomplete("Why?", **options)).text

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [whole, pieces, awaited])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_key_that_a_call_carries_is_sent_and_neither_stored_nor_looked_up(
    client, server, carrier, ask
):
    server.reply(f"I know {KEYS[0]}")

    for key in KEYS:
        ask(client, **with_key(carrier, key))

    assert server.count == 1
    assert KEYS[0] in json.dumps(server.last.body)
    assert "Why?" in stored(client)
    assert not any(key in stored(client) for key in KEYS)


def test_a_key_of_any_length_is_left_out(client, server):
    client.complete("Why?", extra_body={"api_key": "7-digits"})

    assert server.last.body["api_key"] == "7-digits"
    assert "7-digits" not in stored(client)


def test_a_key_is_sent_under_a_budget_too(server):
    client = Client(model=MODEL, budget_per_call=1)

    client.complete("Why?", extra_body={"api_key": KEYS[0]})

    assert server.last.body["api_key"] == KEYS[0]
    assert server.last.body["max_completion_tokens"] > 0
    assert KEYS[0] not in stored(client)


def test_every_model_that_is_asked_gets_the_key(client, server):
    server.fail(500)

    client.complete("Why?", fallbacks=["openai/gpt-5-nano"], extra_body={"api_key": KEYS[0]})

    assert [seen.body["api_key"] for seen in server.requests] == [KEYS[0]] * 2
    assert KEYS[0] not in stored(client)


def test_an_error_that_quotes_the_key_does_not_tell_it(client, server):
    server.fail(401, message=f"Incorrect key: {KEYS[0]}")

    with pytest.raises(ProviderError) as raised:
        client.complete("Why?", extra_body={"api_key": KEYS[0]})

    assert "Incorrect key: {{secret:api_key}}" in str(raised.value)
    assert KEYS[0] not in str(raised.value.attempts) + stored(client)


def test_the_attempts_of_an_answer_do_not_tell_the_key(client, server, monkeypatch):
    monkeypatch.setattr(failover, "FIRST_WAIT", 0.0)
    server.fail(500, message=f"no such {KEYS[0]}")

    answer = client.complete("Why?", num_retries=1, extra_body={"api_key": KEYS[0]})

    assert len(answer.attempts) == 2
    assert KEYS[0] not in str(answer.attempts)


def test_a_miss_and_what_the_doctor_says_of_it_do_not_tell_the_key(client):
    client.complete("Why not?", extra_body={"api_key": "of-7"})

    with pytest.raises(ReplayMissError) as raised:
        client.complete("Why?", mode="REPLAY", extra_body={"api_key": "of-8", "seed": 3})

    told = doctor.diagnose(raised.value, shelf=client.shelf).to_text()
    assert raised.value.request.parameters["extra_body"]["api_key"] == "{{secret:api_key}}"
    assert "of-7" not in told
    assert "of-8" not in told


def test_a_preview_does_not_tell_the_key(client):
    preview = client.preview("Why?", extra_body={"api_key": "of-7"})

    assert "'api_key': '{{secret:api_key}}'" in repr(preview)


def test_a_recording_with_a_key_left_out_is_the_answer_to_its_request(client):
    client.complete("Why?", extra_body={"api_key": KEYS[0]})

    ((_, _, variant),) = client.shelf.recordings.all()
    Recording.from_line(variant.line).check()


def test_an_imported_request_is_looked_up_as_a_call_is():
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]}

    made = [importers.request_of({**asked, "extra_body": {"api_key": key}}) for key in KEYS]

    assert key_of(made[0]) == key_of(made[1])
    assert KEYS[0] not in str(made[0])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"max_tokens": 40, "prompt_cache_key": "mine", "metadata": {"topic": "keys"}},
        {"tools": [{"type": "function", "function": {"name": "f", "password": "p"}}]},
        {"response_format": {"json_schema": {"schema": {"properties": {"token": {}}}}}},
        {"extra_body": {"functions": [{"parameters": {"properties": {"secret": "a word"}}}]}},
        {"extra_body": {"url": "https://example.org/?q=a@b", "note": "Who? https://a:b@c"}},
        {
            "extra_body": {
                "url": "https://example.org/?key=1",
                "web": {"url": "https://a.test?key=1"},
            }
        },
        {"extra_body": {"prompt": {"id": "p", "variables": {"secret": "alice"}}}},
        {"extra_body": {"documents": [{"title": "t", "password": "A"}]}},
        {
            "extra_body": {
                "input": {"api_key": "A"},
                "arguments": {"token": "A"},
                "data": {"key": "A"},
            }
        },
        {"extra_body": {"query": {"key": "apple"}, "token": "apple", "key": "a minor"}},
        {"tools": [{"type": "custom", "name": "login", "input": {"secret": "a"}, "password": "a"}]},
        {"tools": [{"name": "login", "input_schema": {"properties": {"secret": {"const": "a"}}}}]},
        {
            "tools": [
                {"name": "login", "input_examples": [{"password": "a", "headers": {"key": "b"}}]}
            ]
        },
        {
            "tools": [
                {"type": "file_search", "filters": {"type": "eq", "key": "author", "value": "a"}}
            ]
        },
        {"tools": [{"type": "mcp", "server_url": "https://a.test/mcp?tools=a", "key": "docs"}]},
        {"http": {"path": "/chat/completions", "body": {"metadata": {"secret": "a"}}}},
        {"tools": [{"type": "mcp", "headers": {"X-Tenant": "a"}, "allowed_tools": ["key"]}]},
    ],
)
def test_parameters_without_a_key_stay_the_very_same(parameters):
    assert key_fields.hidden(parameters) is parameters


def test_what_is_hidden_stays_as_it_is():
    hidden = [key_fields.hidden(with_key(carrier, KEYS[0])) for carrier in CARRIERS]

    assert key_fields.hidden(hidden) == hidden
    assert set(secrets.known()) == {KEYS[0]}


def test_what_is_no_key_is_no_secret():
    key_fields.hidden({"extra_body": {"variables": {"password": "the word is swordfish"}}})

    assert secrets.known() == {}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("api_key", True),
        ("apiKey", True),
        ("X-Goog-Api-Key", True),
        ("accessToken", True),
        ("ocp-apim-subscription-key", True),
        ("connection_string", True),
        ("max_tokens", False),
        ("secretAccessKey", True),
        ("passphrase", True),
        ("prompt_cache_key", False),
        ("author", False),
        ("token", False),
    ],
)
def test_names_tell_keys(name, told):
    assert key_fields.is_key(name) is told
