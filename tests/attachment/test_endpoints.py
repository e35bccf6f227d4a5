"""A question to a model goes to a known server and a known path; nothing else is touched."""

from __future__ import annotations

import pytest

from llm_magic.attachment import endpoints
from llm_magic.exceptions import ConfigError
from llm_magic.providers import catalog

GEMINI = "https://generativelanguage.googleapis.com/v1beta"


@pytest.mark.parametrize(
    ("url", "provider", "kind", "path"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai", "chat", "/chat/completions"),
        ("https://API.openai.com:443/v1/completions", "openai", "completion", "/completions"),
        ("https://api.openai.com/v1/embeddings", "openai", "embedding", "/embeddings"),
        ("https://api.openai.com/v1/responses", "openai", "responses", "/responses"),
        (
            "https://api.anthropic.com/v1/messages?beta=true",
            "anthropic",
            "messages",
            "/v1/messages",
        ),
        (
            "https://api.deepseek.com/beta/completions",
            "deepseek",
            "completion",
            "/beta/completions",
        ),
        (
            "https://openrouter.ai/api/v1/chat/completions",
            "openrouter",
            "chat",
            "/chat/completions",
        ),
        ("http://localhost:11434/v1/chat/completions", "ollama", "chat", "/chat/completions"),
        (
            f"{GEMINI}/models/g:generateContent",
            "gemini",
            "gemini",
            "/v1beta/models/g:generateContent",
        ),
        (
            f"{GEMINI}/models/g:streamGenerateContent?alt=sse",
            "gemini",
            "gemini",
            "/v1beta/models/g:streamGenerateContent",
        ),
    ],
)
def test_an_endpoint_of_the_catalog_is_known(url, provider, kind, path):
    found = endpoints.find(url)

    assert (found.row.name, found.kind, found.path, found.identity) == (provider, kind, path, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/v1/chat/completions",
        "https://api.openai.com.example.org/v1/chat/completions",
        "https://api.openai.com/v1/models",
        "https://api.openai.com/v1/chat/completions/some-id",
        "https://api.anthropic.com/v1/messages/count_tokens",
        "https://api.anthropic.com/v1/messages/batches",
        "https://api.openai.com/v1/threads/some-id/messages",
        # Ports of this machine may be anybody's.
        "http://localhost:8000/messages",
        "http://localhost:5000/v1/chat/completions",
    ],
)
def test_anything_else_is_not(url):
    assert endpoints.find(url) is None


@pytest.mark.parametrize("query", ["", "?alt=json", "?key=alt=sse"])
def test_a_list_of_json_in_pieces_is_known_and_not_read(query):
    found = endpoints.find(f"{GEMINI}/models/g:streamGenerateContent{query}")

    assert found.kind == "gemini"
    assert "ask with ?alt=sse" in found.unread


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_a_provider_that_the_environment_moved_has_the_same_paths(monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9/proxy/v1/")

    moved = endpoints.find("http://127.0.0.1:9/proxy/v1/chat/completions")

    assert moved == endpoints.find("https://api.openai.com/v1/chat/completions")


def test_of_two_providers_on_one_server_the_dialect_tells(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")

    found = [endpoints.find(f"http://127.0.0.1:9/v1/{end}") for end in ("messages", "embeddings")]

    assert [one.row.name for one in found] == ["anthropic", "openai"]


def test_a_variable_that_holds_no_address_is_passed_over(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://host:port")

    assert endpoints.find("https://api.openai.com/v1/embeddings").row.name == "openai"


def test_a_resource_of_azure_is_known_by_its_host():
    url = "https://mine.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"

    found = endpoints.find(url)

    assert (found.row.name, found.identity) == ("azure", "https://mine.openai.azure.com")
    assert found.path == "/openai/deployments/d/chat/completions"


@pytest.mark.parametrize(
    ("host", "url", "identity"),
    [
        ("llm.example.org", "https://llm.example.org/v1", "https://llm.example.org/v1"),
        (
            "https://llm.example.org/v1",
            "https://u:p@llm.example.org/v1",
            "https://llm.example.org/v1",
        ),
        ("127.0.0.1:9", "http://127.0.0.1:9/api", "http://127.0.0.1:9/api"),
        ("http://[::1]:9", "http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_a_server_of_the_users_own_is_known_by_its_address(host, url, identity):
    found = endpoints.find(f"{url}/chat/completions?key=secret", [host])

    assert (found.row, found.path) == (catalog.entry("openai"), "/chat/completions")
    assert found.identity == identity


@pytest.mark.parametrize("host", ["", "http://", "127.0.0.1:port", "/v1"])
def test_what_names_no_server_is_refused(host):
    with pytest.raises(ConfigError, match="names no server"):
        endpoints.check_host(host)
