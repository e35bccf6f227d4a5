import pytest

from llm_magic import secrets
from llm_magic.exceptions import MissingKeyError, ModelNameError
from llm_magic.providers import catalog

KEY = "test-key-0123456789abcdef"


@pytest.mark.parametrize("name", catalog.ENTRIES)
def test_every_row_has_an_adapter_that_carries_its_name(name):
    provider = catalog.provider(name)

    assert provider.name == name
    assert catalog.provider(name) is provider


def test_an_unknown_provider_is_answered_with_the_nearest_name():
    with pytest.raises(ModelNameError, match="Unknown provider: opanai; did you mean openai"):
        catalog.provider("opanai")


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


@pytest.mark.parametrize("value", ["sk-clé-0123456789abc", "sk-a b", "sk-a\nb", "“sk-quoted”"])
def test_what_cannot_be_a_header_is_refused_without_being_shown(monkeypatch, value):
    monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY") as caught:
        catalog.api_key(catalog.entry("openai"))

    assert value not in str(caught.value)
