"""Names: from what a user writes to a provider and its model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_magic import pricing, routing
from llm_magic.client import Client
from llm_magic.config import Settings
from llm_magic.exceptions import ConfigError, ModelNameError
from llm_magic.providers import catalog
from llm_magic.routing import PREFIXES, resolve
from llm_magic.testing import FakeServer

KEY = "test-key-0123456789abcdef"


@pytest.fixture(autouse=True)
def _own_catalog() -> Iterator[None]:
    """What a test adds to the catalog ends with it."""
    yield
    for name in set(catalog.ENTRIES) - set(catalog._BUILT_IN):
        del catalog._entries[name]
        del catalog._origins[name]
        pricing._free.discard(name)


def project(text: str) -> Settings:
    Path("pyproject.toml").write_text(text)
    return Settings(environ={})


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("openai/gpt-5-mini", "openai/gpt-5-mini"),
        ("OpenAI/gpt-5-mini", "openai/gpt-5-mini"),
        ("google/gemini-3-pro", "gemini/gemini-3-pro"),
        ("together/meta-llama/Llama-3.3-70B", "together/meta-llama/Llama-3.3-70B"),
        ("openrouter/openai/gpt-5", "openrouter/openai/gpt-5"),
        (" gpt-5-mini ", "openai/gpt-5-mini"),
        ("GPT-5-Mini", "openai/gpt-5-mini"),
        ("chatgpt-4o-latest", "openai/chatgpt-4o-latest"),
        ("ft:gpt-5-mini:My-Org::AbC", "openai/ft:gpt-5-mini:My-Org::AbC"),
        ("o1", "openai/o1"),
        ("o3-mini", "openai/o3-mini"),
        ("o4-mini", "openai/o4-mini"),
        ("claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"),
        ("Llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("mixtral-8x7b-32768", "groq/mixtral-8x7b-32768"),
        ("gemma2-9b-it", "groq/gemma2-9b-it"),
        ("mistral-large-latest", "mistral/mistral-large-latest"),
        ("ministral-8b", "mistral/ministral-8b"),
        ("codestral-latest", "mistral/codestral-latest"),
        ("pixtral-large", "mistral/pixtral-large"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("gemini-3-pro", "gemini/gemini-3-pro"),
        ("command-r-plus", "cohere/command-r-plus"),
        ("c4ai-aya", "cohere/c4ai-aya"),
        ("sonar-pro", "perplexity/sonar-pro"),
        ("grok-4", "xai/grok-4"),
        ("kimi-k2.5", "moonshot/kimi-k2.5"),
        ("echo", "echo/echo"),
    ],
)
def test_a_reference_names_a_provider_and_its_model(reference: str, expected: str) -> None:
    assert "/".join(resolve(reference)) == expected


def test_the_prefixes_are_sorted_small_and_lead_to_providers() -> None:
    assert list(PREFIXES) == sorted(PREFIXES)
    assert all(prefix == prefix.lower() for prefix in PREFIXES)
    assert set(PREFIXES.values()) <= set(catalog.ENTRIES)


@pytest.mark.parametrize(
    ("reference", "messages"),
    [
        ("opanai/gpt-5", ["Unknown provider: opanai", "did you mean openai?"]),
        (
            "meta-llama/Llama-3-8b",
            ["Unknown provider: meta-llama", "such as together/meta-llama/Llama-3-8b"],
        ),
        ("qqq/x", ["Unknown provider: qqq", "there are anthropic, azure, bedrock"]),
        ("openai/", ["names no model; write openai/MODEL"]),
        (
            "gtp-5-mini",
            [
                "Cannot resolve provider for model 'gtp-5-mini'. Use 'provider/model' format",
                "did you mean openai/gpt-5-mini",
            ],
        ),
        ("zzzz", ["Cannot resolve provider for model 'zzzz'", "providers: anthropic, azure"]),
        ("auto", ["Cannot resolve provider for model 'auto'"]),
        ("openai", ["openai is a provider; write openai/MODEL"]),
        ("deepseek", ["deepseek is a provider; write deepseek/MODEL"]),
        ("Google", ["gemini is a provider; write gemini/MODEL"]),
    ],
)
def test_what_names_nothing_is_an_error_that_helps(reference: str, messages: list[str]) -> None:
    with pytest.raises(ValueError, match=r"model|provider") as caught:
        resolve(reference)

    assert isinstance(caught.value, ModelNameError)
    assert [text for text in messages if text not in str(caught.value)] == []


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_no_reference_is_an_error_that_says_how_to_set_one(nothing: str | None) -> None:
    with pytest.raises(ConfigError, match="no model: name one"):
        resolve(nothing)


# Aliases


def test_an_alias_of_the_project_file_stands_for_a_model() -> None:
    settings = project("[tool.llm_magic.aliases]\nFast = 'openai/gpt-5-mini'\ngood = 'claude-x'\n")

    assert resolve("fast", settings) == ("openai", "gpt-5-mini")
    assert resolve("GOOD", settings) == ("anthropic", "claude-x")


def test_an_alias_of_the_session_wins() -> None:
    settings = project("[tool.llm_magic.aliases]\nfast = 'openai/gpt-5-mini'\n")

    settings.alias("Fast", "groq/llama-3.1-8b-instant")

    assert resolve("fast", settings) == ("groq", "llama-3.1-8b-instant")
    assert settings.alias_origin("fast") == "%llm alias"


def test_an_alias_wins_over_a_family_and_may_name_one_of_it() -> None:
    settings = Settings(environ={})
    settings.alias("llama", "ollama/llama3.2")
    settings.alias("claude", "claude-sonnet-4-6")
    settings.alias("gpt-5", "gpt-5")

    assert resolve("llama", settings) == ("ollama", "llama3.2")
    assert resolve("claude", settings) == ("anthropic", "claude-sonnet-4-6")
    assert resolve("gpt-5", settings) == ("openai", "gpt-5")
    assert resolve("groq/llama", settings) == ("groq", "llama")


@pytest.mark.parametrize("target", ["b", "a"])
def test_an_alias_is_one_step(target: str) -> None:
    settings = Settings(environ={})
    settings.alias("b", "openai/gpt-5")
    settings.alias("a", target)

    with pytest.raises(ModelNameError, match="the alias a stands for"):
        resolve("a", settings)


def test_a_mistyped_alias_is_found() -> None:
    settings = Settings(environ={})
    settings.alias("quickest", "openai/gpt-5-nano")

    with pytest.raises(ModelNameError, match=r"did you mean quickest\?"):
        resolve("quikest", settings)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("", "echo/echo"), ("a b", "echo/echo"), ("a/b", "echo/echo"), ("a", " "), ("a=b", "echo/x")],
)
def test_an_alias_that_cannot_be_is_an_error(name: str, reference: str) -> None:
    with pytest.raises(ConfigError, match="alias"):
        Settings(environ={}).alias(name, reference)


def test_the_recording_is_of_the_model_and_not_of_the_alias(server: FakeServer) -> None:
    Path("pyproject.toml").write_text("[tool.llm_magic.aliases]\nfast = 'openai/gpt-5-mini'\n")
    client = Client()

    one = client.complete("Why?", model="fast")
    other = client.complete("Why?", model="openai/gpt-5-mini")

    assert (one.reference, other.source) == ("openai/gpt-5-mini", "replay")
    client.close()


# Providers of the project


def test_a_provider_of_the_project_file_is_asked(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORP_API_KEY", KEY)
    Path("pyproject.toml").write_text(
        "[tool.llm_magic.providers.corp]\n"
        f"base_url = '{server.openai_url}'\n"
        "key_variable = 'CORP_API_KEY'\n"
    )
    client = Client()

    completion = client.complete("Why?", model="Corp/Some-Model")

    assert completion.reference == "corp/Some-Model"
    assert completion.cost is None
    assert KEY in server.last.headers["authorization"]
    client.close()


@pytest.mark.parametrize(
    "lines",
    [
        "base_url = 'https://evil.example/v1'\nkey_variable = 'OPENAI_API_KEY'",
        "base_url = 'https://evil.example/v1'\nkey_variable = 'GITHUB_TOKEN'",
    ],
)
def test_a_hostile_project_file_gets_no_key(server: FakeServer, lines: str) -> None:
    settings = project(f"[tool.llm_magic.providers.corp]\n{lines}\n")

    with pytest.raises(ConfigError, match="key_variable"):
        resolve("corp/x", settings)

    assert server.count == 0


def test_the_address_of_the_provider_is_no_address_of_its_own() -> None:
    assert routing.endpoint_identity("groq", "https://api.groq.com/openai/v1/") is None
    assert routing.endpoint_identity("groq", "http://h/v1?key=x") == "http://h/v1"
    assert routing.endpoint_identity("azure", "https://me.example") == "https://me.example"


# What the project file may not say


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aliases = 3", r"aliases\] holds lines"),
        ("aliases = {fast = 3}", "fast = 3: it takes provider/model"),
        ("aliases = {'a/b' = 'echo/x'}", "one word without a slash"),
        ("aliases = {a = 'echo/x', A = 'echo/y'}", "has a twice"),
        ("providers = 'x'", r"providers\] holds a table for each"),
        ("providers = {corp = 'x'}", "holds a table for each"),
        ("providers = {corp = {}}", r"providers\.corp\] has no base_url"),
        ("providers = {corp = {base_url = 3}}", "base_url = 3: it takes text"),
        ("providers = {corp = {api_key = 'x'}}", "has no 'api_key'; .*key_variable"),
        ("alias = {}", "has no setting 'alias'; did you mean aliases"),
    ],
)
def test_a_table_with_a_mistake_is_an_error_that_says_where(text: str, message: str) -> None:
    settings = project(f"[tool.llm_magic]\n{text}\n")

    with pytest.raises(ConfigError, match=message):
        settings.get("model")
