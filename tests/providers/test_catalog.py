import os
import threading
from dataclasses import replace

import pytest

from llm_magic import pricing, secrets
from llm_magic.exceptions import ConfigError, MissingKeyError, ModelNameError
from llm_magic.providers import catalog, sdk
from llm_magic.providers.openai import as_openai, sent_and_notes
from llm_magic.testing import FakeServer
from llm_magic.types import Request, Transport, Usage, attributes

KEY = "test-key-0123456789abcdef"
MESSAGES = [{"role": "user", "content": "hi"}]
OPENAI_DIALECT = [row.name for row in catalog.ENTRIES.values() if row.dialect == "openai"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Every provider's own key is set, and nothing else of them."""
    for row in catalog.ENTRIES.values():
        monkeypatch.delenv(row.base_url_variable or "none", raising=False)
        for variable in (*row.key_variables, *row.credential_variables):
            monkeypatch.delenv(variable, raising=False)
        if row.key_variables:
            monkeypatch.setenv(row.key_variables[0], key_of(row.name))
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AZURE_OPENAI_API_VERSION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def own_providers():
    """What a test adds to the catalog ends with it."""
    yield
    for name in set(catalog.ENTRIES) - set(catalog._BUILT_IN):
        del catalog._entries[name]
        del catalog._origins[name]
        pricing._free.discard(name)


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


def key_of(name):
    return f"key-of-{name}-0123456789abcdef"


def send(name, model="m", *, transport=None, **parameters):
    request = Request(name, model, MESSAGES, parameters)
    return catalog.provider(name).send(request, transport or Transport())


def keys_sent(server):
    sent = " ".join(map(str, server.last.headers.values())) + server.last.path
    return {name for name in catalog.ENTRIES if key_of(name) in sent}


# The table


@pytest.mark.parametrize("name", catalog.ENTRIES)
def test_every_row_has_an_adapter_that_carries_its_name(name):
    provider = catalog.provider(name)

    assert provider.name == name
    assert catalog.provider(name) is provider


def test_no_two_rows_share_a_name_an_alias_or_a_variable():
    rows = catalog.ENTRIES.values()
    words = [word for row in rows for word in (row.name, *row.aliases)]
    variables = [word for row in rows for word in (*row.key_variables, row.base_url_variable)]
    variables = [word for word in variables if word]

    assert len(set(words)) == len(words)
    assert len(set(variables)) == len(variables)


def test_what_is_local_is_free():
    assert {row.name for row in catalog.ENTRIES.values() if row.local} == pricing._free


@pytest.mark.parametrize("row", catalog.ENTRIES.values(), ids=lambda row: row.name)
def test_a_remote_row_has_a_key_variable_and_a_safe_address(row):
    if not row.local:
        assert row.key_variables
        assert row.base_url.startswith("https://") or row.name == "azure"


@pytest.mark.parametrize(
    ("word", "name"), [("google", "gemini"), ("OpenAI", "openai"), (" X-AI ", "xai")]
)
def test_an_alias_and_any_case_lead_to_the_row(word, name):
    assert catalog.entry(word).name == name


def test_an_unknown_provider_is_answered_with_the_nearest_name():
    with pytest.raises(ModelNameError, match=r"Unknown provider: opanai; did you mean openai"):
        catalog.provider("opanai")
    with pytest.raises(ModelNameError, match=r"Unknown provider: qqq; there are anthropic, azure"):
        catalog.provider("qqq")


# Asking


@pytest.mark.parametrize("way", ["base-url variable", "api_base"])
@pytest.mark.parametrize("name", OPENAI_DIALECT)
def test_every_row_answers_and_sends_its_own_key_only(monkeypatch, server, name, way):
    row = catalog.entry(name)
    if way == "api_base":
        send(name, transport=Transport(api_key=key_of(name), api_base=server.openai_url))
    else:
        monkeypatch.setenv(row.base_url_variable, server.openai_url)
        send(name)

    assert keys_sent(server) == {name}
    assert server.last.path == "/v1/chat/completions"


@pytest.mark.parametrize("name", [*OPENAI_DIALECT, "anthropic", "bedrock"])
def test_no_key_of_a_row_goes_to_another_host(server, name):
    send(name, transport=Transport(api_base=server.openai_url))

    assert keys_sent(server) == set()


@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio", "llamacpp"])
def test_a_local_server_needs_no_key(monkeypatch, server, name):
    monkeypatch.delenv(catalog.entry(name).key_variables[0])
    monkeypatch.setenv(catalog.entry(name).base_url_variable, server.openai_url)

    assert send(name).choices[0].message.content == "You said: hi"
    assert pricing.unit_prices(name, "m", None) == pricing.FREE


def test_azure_asks_for_a_deployment_in_a_version(monkeypatch, server):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url + "/")

    for chunk in catalog.provider("azure").stream(Request("azure", "my-gpt", []), Transport()):
        last = chunk

    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert server.last.path == path
    assert server.last.headers["api-key"] == key_of("azure")
    assert "authorization" not in server.last.headers
    assert last.usage.total_tokens


def test_azures_version_is_set_in_the_environment(monkeypatch, server):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{server.url}/openai")
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2030-01-01")

    send("azure", transport=Transport(api_base=server.url))

    assert server.last.path.startswith("/openai/deployments/m/")
    assert server.last.path.endswith("?api-version=2030-01-01")
    assert keys_sent(server) == {"azure"}


def test_azures_newer_address_is_openais_api(monkeypatch, server):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{server.url}/openai/v1")

    send("azure")

    assert server.last.path == "/openai/v1/chat/completions"
    assert server.last.body["model"] == "m"


def test_azure_without_an_address_says_which_variable(monkeypatch):
    with pytest.raises(MissingKeyError, match=r"No address for azure\. Set AZURE_OPENAI_ENDPOINT"):
        send("azure")


@pytest.mark.parametrize(
    ("model", "variable", "path"),
    [
        ("openai.gpt-oss-120b", "AWS_BEDROCK_BASE_URL", "/chat/completions"),
        ("anthropic.claude-opus-5", "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", "/v1/messages"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "ANTHROPIC_BEDROCK_BASE_URL",
            "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
        ),
    ],
)
def test_bedrock_is_asked_in_the_dialect_of_the_model(monkeypatch, server, model, variable, path):
    monkeypatch.setenv(variable, server.url)

    chunks = list(
        catalog.provider("bedrock").stream(Request("bedrock", model, MESSAGES), Transport())
    )

    assert "".join(chunk.text for chunk in chunks) == "You said: hi"
    assert server.last.path == path
    assert keys_sent(server) == {"bedrock"}


def test_bedrock_is_in_the_users_region(monkeypatch):
    row = replace(catalog.entry("bedrock"), dialect="openai")
    with pytest.raises(MissingKeyError, match=r"No region for bedrock\. Set AWS_REGION"):
        sdk.connection(row, Transport())

    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    url = sdk.connection(row, Transport()).base_url
    assert url == "https://bedrock-mantle.eu-central-1.api.aws/openai/v1"


def test_bedrock_with_credentials_says_what_to_install(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK")
    with pytest.raises(MissingKeyError, match=r"No API key for bedrock\. Set AWS_BEARER_TOKEN"):
        send("bedrock")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-TEST")
    monkeypatch.setattr(sdk, "find_spec", lambda _: None)

    with pytest.raises(ConfigError, match="pip install boto3"):
        send("bedrock")


def test_an_old_sdk_is_named(monkeypatch):
    import openai

    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.delattr(openai, "BedrockOpenAI")

    with pytest.raises(ConfigError, match="pip install -U openai"):
        send("bedrock")


# Quirks

SAMPLING = {"temperature": 0.5, "top_p": 0.9, "logprobs": True, "stop": "x"}


@pytest.mark.parametrize(
    ("reference", "given", "sent", "unsent"),
    [
        ("openai/gpt-5-mini", {"max_tokens": 7}, {"max_completion_tokens": 7}, ""),
        ("openai/o3", {"max_tokens": 7}, {"max_completion_tokens": 7}, ""),
        ("openai/gpt-6-sol", {"max_tokens": 7}, {"max_completion_tokens": 7}, ""),
        ("openai/ft:gpt-5:me", {"max_tokens": 7}, {"max_completion_tokens": 7}, ""),
        ("openai/gpt-4o", {"max_tokens": 7}, {"max_tokens": 7}, ""),
        ("openai/gpt-4o", SAMPLING, SAMPLING, ""),
        ("openai/gpt-5-chat-latest", SAMPLING, SAMPLING, ""),
        ("openai/gpt-5.2", SAMPLING, SAMPLING, ""),
        ("openai/gpt-5", SAMPLING, {}, "temperature top_p logprobs stop"),
        ("openai/o1", SAMPLING, {"stop": "x"}, "temperature top_p logprobs"),
        ("openai/o4-mini", SAMPLING, {}, "temperature top_p logprobs stop"),
        ("openai/gpt-5", {"temperature": 1, "logprobs": False}, {}, ""),
        ("openai/gpt-4o", {"reasoning_effort": "low"}, {}, "reasoning_effort"),
        ("openai/o3", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}, ""),
        ("azure/gpt-5-mini", {"max_tokens": 7}, {"max_completion_tokens": 7}, ""),
        (
            "openrouter/openai/gpt-5",
            {"max_tokens": 7, **SAMPLING},
            {"max_tokens": 7, **SAMPLING},
            "",
        ),
        ("vllm/o3-clone", {"max_tokens": 7, **SAMPLING}, {"max_tokens": 7, **SAMPLING}, ""),
        ("mistral/m", {"seed": 0, "user": "me"}, {"random_seed": 0}, "user"),
        ("mistral/m", {"max_completion_tokens": 7}, {"max_tokens": 7}, ""),
        (
            "mistral/m",
            {"max_completion_tokens": 7, "max_tokens": 8},
            {"max_tokens": 8},
            "max_completion_tokens",
        ),
        ("groq/llama", {"logprobs": True, "seed": 3}, {"seed": 3}, "logprobs"),
        ("deepseek/deepseek-chat", {"temperature": 0.1}, {"temperature": 0.1}, ""),
        ("deepseek/deepseek-reasoner", {"temperature": 0.1}, {}, "temperature"),
        ("xai/grok-4", {"stop": "x"}, {}, "stop"),
        ("xai/grok-4-fast-non-reasoning", {"stop": "x"}, {"stop": "x"}, ""),
        ("ollama/llama3", {"tool_choice": "required"}, {}, "tool_choice"),
        ("perplexity/sonar", {"tools": [{"type": "function"}]}, {}, "tools"),
        ("mistral/m", {"extra_body": {"user": "me"}}, {"user": "me"}, ""),
    ],
)
def test_a_quirk_drops_with_a_note_and_renames(reference, given, sent, unsent):
    provider, _, model = reference.partition("/")
    request = Request(provider, model, MESSAGES, given)

    found, notes = sent_and_notes(catalog.entry(provider), request)

    assert found == sent
    assert [note.partition(" was not sent")[0] for note in notes] == unsent.split()
    assert catalog.provider(provider).notes(request) == notes


@pytest.mark.parametrize("name", OPENAI_DIALECT)
def test_every_parameter_is_sent_renamed_or_noted(monkeypatch, server, name):
    monkeypatch.setenv(catalog.entry(name).base_url_variable, server.openai_url)
    given = {
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "max_tokens": 9,
        "presence_penalty": 0.5,
        "response_format": {"type": "json_object"},
        "seed": 4,
        "some_new_thing": [1],
        "stop": ["x"],
        "temperature": 0.5,
        "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "top_logprobs": 3,
        "top_p": 0.5,
        "user": "me",
    }
    request = Request(name, "gpt-5" if name in ("openai", "azure") else "m", MESSAGES, given)

    catalog.provider(name).send(request, Transport())

    body = server.last.body
    notes = " ".join(catalog.provider(name).notes(request))
    names = {"seed": "random_seed", "max_tokens": "max_completion_tokens"}
    for parameter, value in given.items():
        assert (
            body.get(parameter) == value
            or body.get(names.get(parameter, "")) == value
            or f"{parameter} was not sent" in notes
        )


@pytest.mark.parametrize("name", OPENAI_DIALECT)
def test_a_stream_asks_for_usage_where_that_is_understood(monkeypatch, server, name):
    monkeypatch.setenv(catalog.entry(name).base_url_variable, server.openai_url)

    list(catalog.provider(name).stream(Request(name, "m", MESSAGES), Transport()))

    asked = server.last.body.get("stream_options") == {"include_usage": True}
    assert asked is (name not in ("mistral", "perplexity"))


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("extra", [{"model": "other"}, {"messages": []}, {"stream": 1}, [1]])
def test_extra_body_does_not_belie_what_was_asked(server, name, extra):
    with pytest.raises(ValueError, match="extra_body: "):
        send(name, transport=Transport(KEY, server.url), extra_body=extra)

    assert server.count == 0


def test_extra_body_goes_to_anthropic_as_it_is(server):
    send("anthropic", transport=Transport(KEY, server.url), extra_body={"seed": 3})

    assert server.last.body["seed"] == 3
    assert "extra_body" not in server.last.body


# Usage


@pytest.mark.parametrize(
    ("name", "usage", "expected"),
    [
        (
            "deepseek",
            {"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            Usage(uncached_input_tokens=4, cache_read_tokens=6, output_tokens=5),
        ),
        (
            "moonshot",
            {"cached_tokens": 6},
            Usage(uncached_input_tokens=4, cache_read_tokens=6, output_tokens=5),
        ),
        (
            "moonshot",
            {"cached_tokens": 6, "prompt_tokens_details": {"cached_tokens": 2}},
            Usage(uncached_input_tokens=8, cache_read_tokens=2, output_tokens=5),
        ),
        (
            "xai",
            {"total_tokens": 22, "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(uncached_input_tokens=10, output_tokens=12, reasoning_tokens=7),
        ),
        (
            "gemini",
            {"total_tokens": 22},
            Usage(uncached_input_tokens=10, output_tokens=12, reasoning_tokens=7),
        ),
        ("openai", {"total_tokens": 22}, Usage(uncached_input_tokens=10, output_tokens=5)),
    ],
)
def test_usage_is_counted_as_openai_counts(name, usage, expected):
    told = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **usage}

    answer = as_openai(catalog.entry(name), attributes({"usage": told}))

    assert Usage.from_openai(answer["usage"]) == expected


@pytest.mark.parametrize("way", ["send", "stream"])
def test_usage_is_normalised_in_whole_answers_and_streams(monkeypatch, server, way):
    monkeypatch.setenv("DEEPSEEK_BASE_URL", server.openai_url)
    server.reply("a", usage={"prompt_tokens": 10, "prompt_cache_hit_tokens": 6})
    request = Request("deepseek", "m", MESSAGES)

    answer = getattr(catalog.provider("deepseek"), way)(request, Transport())
    usage = answer.usage if way == "send" else list(answer)[-1].usage

    assert usage.prompt_tokens_details.cached_tokens == 6
    assert usage.prompt_cache_hit_tokens == 6


# Keys


def test_a_key_from_the_environment_is_known_as_a_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")

    assert catalog.api_key(catalog.entry("openai")) == ("OPENAI_API_KEY", KEY)
    assert secrets.redact(f"key {KEY}") == "key {{secret:OPENAI_API_KEY}}"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_without_a_key_in_it_is_no_key(monkeypatch, value):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)

    assert catalog.api_key(catalog.entry("openai")) is None
    assert not catalog.has_key(catalog.entry("openai"))


@pytest.mark.parametrize("value", ["sk-clé-0123456789abc", "sk-a b", "sk-a\nb", "“sk-quoted”"])
def test_what_cannot_be_a_header_is_refused_without_being_shown(monkeypatch, value):
    monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY") as caught:
        catalog.api_key(catalog.entry("openai"))

    assert value not in str(caught.value)


# Providers of the user's own


def test_a_registered_provider_is_asked_with_its_own_key(monkeypatch, server):
    monkeypatch.setenv("CORP_GPU_API_KEY", KEY)

    row = catalog.register("Corp-GPU", base_url=server.openai_url, key_variable="CORP_GPU_API_KEY")

    assert send("corp-gpu").choices[0].message.content == "You said: hi"
    assert KEY in server.last.headers["authorization"]
    assert pricing.unit_prices("corp-gpu", "m", None) is None
    assert row.name == "corp-gpu"


def test_a_registered_provider_may_speak_anthropics_dialect(monkeypatch, server):
    catalog.register("corp", base_url=server.url, dialect="anthropic", local=True)

    send("corp")

    assert server.last.path == "/v1/messages"
    assert pricing.unit_prices("corp", "m", None) == pricing.FREE


def test_registering_again_replaces(server):
    catalog.register("corp", base_url="http://127.0.0.1:9/v1")
    before = catalog.provider("corp")
    catalog.register("corp", base_url=server.openai_url)

    assert catalog.provider("corp") is not before
    assert send("corp").choices


def test_a_remote_provider_needs_its_key_and_one_on_this_machine_none():
    assert catalog.register("corp", base_url="https://x.example/v1").key_variables == (
        "CORP_API_KEY",
    )
    assert catalog.register("here", base_url="http://localhost:4000/v1").keyless
    with pytest.raises(MissingKeyError, match=r"No API key for corp\. Set CORP_API_KEY"):
        send("corp")


def table(**fields):
    return {"corp": {"base_url": "https://llm.corp.example/v1", **fields}}


def test_a_project_file_adds_a_provider():
    catalog.adopt(table(key_variable="TEAM_API_KEY", dialect="anthropic"), "pyproject.toml")

    row = catalog.entry("corp")
    assert (row.key_variables, row.dialect) == (("TEAM_API_KEY",), "anthropic")


ALL_KEYS = sorted(
    {name for row in catalog._ROWS for name in (*row.key_variables, *row.credential_variables)}
)


@pytest.mark.parametrize("variable", ALL_KEYS)
def test_a_project_file_sends_no_standard_key_to_another_host(variable):
    with pytest.raises(ConfigError, match=rf"{variable} is the key of .*CORP_API_KEY"):
        catalog.adopt(table(key_variable=variable), "pyproject.toml")

    assert "corp" not in catalog.ENTRIES


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com:444/v1",
        "https://user@api.openai.com/v1",
        "https://evil.example/https://api.openai.com/v1",
    ],
)
def test_another_host_does_not_pass_for_the_providers(url):
    with pytest.raises(ConfigError, match="goes there alone"):
        catalog.adopt(table(base_url=url, key_variable="OPENAI_API_KEY"), "pyproject.toml")


def test_a_standard_key_may_go_where_it_always_goes():
    catalog.adopt(
        table(base_url="https://api.openai.com/v1/beta", key_variable="OPENAI_API_KEY"), "p.toml"
    )

    assert catalog.entry("corp").key_variables == ("OPENAI_API_KEY",)


@pytest.mark.parametrize(
    "variable", ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HOME", "openai_api_key"]
)
def test_a_project_file_sends_no_other_variable_of_the_user(variable):
    with pytest.raises(ConfigError, match="ends in _API_KEY"):
        catalog.adopt(table(key_variable=variable), "pyproject.toml")


EVIL = {"base_url": "https://evil.example/v1"}
ADDING = {
    "register": lambda name: catalog.register(name, **EVIL),
    "adopt": lambda name: catalog.adopt({name: EVIL}, "pyproject.toml"),
}


@pytest.mark.parametrize("add", ADDING.values(), ids=ADDING)
@pytest.mark.parametrize("name", [*catalog._BUILT_IN, "google", "OpenAI"])
def test_the_catalog_is_not_redefined(name, add):
    with pytest.raises(ConfigError, match="is in the catalog and stays"):
        add(name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_url": "llm.corp.example"}, "base_url is the address"),
        ({"base_url": "file:///etc/passwd"}, "base_url is the address"),
        ({"base_url": "http://[::1/v1"}, "base_url is the address"),
        ({"dialect": "opanai"}, "did you mean openai"),
    ],
)
def test_a_provider_that_cannot_be_is_an_error_that_says_where(fields, message):
    with pytest.raises(
        ConfigError, match=rf"p.toml: \[tool.llm_magic.providers.corp\]: .*{message}"
    ):
        catalog.adopt(table(**fields), "p.toml")


def test_what_was_registered_in_code_stays():
    catalog.register("corp", base_url="https://mine.example/v1")

    catalog.adopt(table(), "pyproject.toml")

    assert catalog.entry("corp").base_url == "https://mine.example/v1"


def test_a_file_may_change_and_another_one_may_not_disagree():
    catalog.adopt(table(), "a.toml")
    catalog.adopt(table(), "b.toml")
    catalog.adopt(table(dialect="anthropic"), "a.toml")

    assert catalog.entry("corp").dialect == "anthropic"
    with pytest.raises(ConfigError, match=r"corp is another provider in a\.toml"):
        catalog.adopt(table(), "b.toml")


def test_threads_get_one_adapter():
    catalog.register("corp", base_url="https://mine.example/v1")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(catalog.provider("corp"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1


def test_looking_for_a_key_reads_none():
    assert catalog.has_key(catalog.entry("openai"))
    assert os.environ["OPENAI_API_KEY"] not in repr(catalog.entry("openai"))
