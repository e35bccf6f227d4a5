"""The picker lists models, and what is picked is the default everywhere."""

from __future__ import annotations

from decimal import Decimal

import pytest

import llm_magic
from llm_magic import ModelPicker, config
from llm_magic.notebook.picker import Model, known
from llm_magic.testing import FakeServer


@pytest.fixture
def picker(server, wait_for):
    return ModelPicker()


def test_picking_a_row_sets_the_default_model(picker):
    picker.rows.pick("openai/gpt-5-mini")

    assert picker.value == config.default().get("model") == "openai/gpt-5-mini"


def test_setting_the_trait_sets_the_default_model(picker):
    picker.value = "anthropic/claude-sonnet-4-6"

    assert config.default().get("model") == "anthropic/claude-sonnet-4-6"
    assert picker.rows.value == "anthropic/claude-sonnet-4-6"


def test_none_takes_the_default_away(picker):
    picker.value = "echo/echo"

    picker.value = None

    assert config.default().get("model") is None


def test_what_is_picked_is_what_complete_asks(notebook, server, wait_for):
    server.reply("Yes")
    notebook.run("import llm_magic; picker = llm_magic.ModelPicker()")
    notebook.names["picker"].rows.pick("openai/gpt-4o")

    notebook.run("%%complete\nAre you there?")

    assert server.last.body["model"] == "gpt-4o"


def test_what_a_cell_sets_shows_up(notebook, wait_for):
    notebook.run("import llm_magic; picker = llm_magic.ModelPicker()")

    notebook.run("%llm config model=openai/gpt-4o")

    wait_for(notebook.names["picker"], "value", lambda value: value == "openai/gpt-4o")


def test_two_pickers_stay_in_step(picker, wait_for):
    other = ModelPicker()

    picker.rows.pick("openai/gpt-4o")

    wait_for(other, "value", lambda value: value == "openai/gpt-4o")
    wait_for(other.rows, "value", lambda value: value == "openai/gpt-4o")


def test_search_narrows_the_list_in_any_case(picker):
    picker.search.value = " GPT-5-Mini "

    assert picker.rows.identities == ["openai/gpt-5-mini"]


def test_at_first_only_models_with_a_key_are_listed(picker):
    providers = {reference.partition("/")[0] for reference in picker.rows.identities}

    assert providers == {"anthropic", "echo", "openai"}


def test_without_any_key_all_are_listed(wait_for):
    assert ModelPicker().provider.value == "all providers"


@pytest.mark.parametrize(
    ("chosen", "listed"), [("mistral", {"mistral"}), ("all providers", {"groq", "openai"})]
)
def test_the_provider_filter_chooses(picker, chosen, listed):
    picker.provider.value = chosen

    assert {model.provider for model in picker.chosen} >= listed


def test_a_long_list_is_cut_and_says_so(picker):
    picker.provider.value = "all providers"

    assert len(picker.rows.lines) == 200
    assert f"of {len(picker.chosen):,} models" in picker.told


@pytest.mark.parametrize(
    ("model", "cells"),
    [
        (
            Model("openai/gpt-5", 400_000, Decimal("1.25"), Decimal(10), True),
            ["openai/gpt-5", "1.25", "10.00", "400,000", "set"],
        ),
        (
            Model("corp/secret", None, None, None, False),
            ["corp/secret", "?", "?", "?", "not set"],
        ),
        (
            Model("ollama/llama3", 8192, Decimal(0), Decimal(0), None),
            ["ollama/llama3", "free", "free", "8,192", "not needed"],
        ),
    ],
)
def test_price_context_and_key_are_told(model, cells):
    assert model.cells() == cells


def test_models_with_a_key_come_first(server):
    keys = [model.key is False for model in known()]

    assert keys == sorted(keys)


def test_nothing_is_fetched_until_somebody_asks_for_local_models(monkeypatch, wait_for):
    with FakeServer(models=["llama3", "qwen"]) as local:
        monkeypatch.setenv("OLLAMA_BASE_URL", local.openai_url)
        picker = ModelPicker()
        assert local.count == 0

        picker.local.click()

    assert local.count == 1
    assert {"ollama/llama3", "ollama/qwen"} <= set(picker.rows.identities)


def test_where_the_default_comes_from_is_told(picker):
    picker.value = "echo/echo"

    assert "default model: echo/echo (from %llm config)" in picker.told


def test_a_default_that_the_table_does_not_know_is_told_and_not_picked(picker):
    picker.value = "openai/<img src=x onerror=alert(1)>"

    assert picker.rows.value is None
    assert "<img" not in picker.told
    assert "<img" not in picker.snapshot_html()


def test_the_public_name_is_the_picker(picker):
    assert isinstance(picker, llm_magic.ModelPicker)
