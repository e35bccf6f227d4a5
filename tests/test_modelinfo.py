"""The list of models: prices, keys, and what local servers offer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pandas
import pytest

import llm_magic
from llm_magic import modelinfo
from llm_magic.modelinfo import COLUMNS
from llm_magic.providers import catalog
from llm_magic.testing import FakeServer

LOCAL = ("OLLAMA", "VLLM", "LMSTUDIO", "LLAMACPP")


@pytest.fixture(autouse=True)
def _no_local_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs on this machine is not asked."""
    for name in LOCAL:
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/v1")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def row(frame: pandas.DataFrame, provider: str, model: str) -> dict[str, object]:
    found = frame[(frame["provider"] == provider) & (frame["model"] == model)]
    (only,) = found.to_dict("records")
    return {str(name): value for name, value in only.items()}


def test_the_columns_have_the_same_dtypes_with_rows_and_without() -> None:
    for frame in (llm_magic.models(live=False), llm_magic.models("no such model", live=False)):
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == COLUMNS


def test_a_row_has_window_prices_and_whether_the_key_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-that-is-not-shown")

    frame = llm_magic.models(live=False)

    mini = row(frame, "openai", "gpt-5-mini")
    assert mini["context_window"] == 400_000
    assert (mini["input_price"], mini["output_price"]) == (0.25, 2.0)
    assert pandas.isna(mini["modalities"])
    assert (mini["key_present"], mini["local"]) == (True, False)
    assert not frame.loc[frame["provider"] == "anthropic", "key_present"].any()
    assert pandas.isna(row(frame, "echo", "echo")["key_present"])
    assert "not-shown" not in frame.to_csv()


def test_every_provider_with_list_prices_is_there() -> None:
    found = set(llm_magic.models(live=False)["provider"])

    assert set(catalog.ENTRIES) - found == {
        "llamacpp",
        "lmstudio",
        "ollama",
        "sambanova",
        "vllm",
    }


def test_what_is_unknown_is_missing_and_never_zero() -> None:
    frame = llm_magic.models(live=False)

    assert (frame.loc[~frame["local"], "input_price"].dropna() >= 0).all()
    assert frame["context_window"].isna().any()
    assert (frame["context_window"].dropna() > 0).all()


def test_names_are_those_to_ask_for() -> None:
    frame = llm_magic.models(live=False)

    fireworks = frame.loc[frame["provider"] == "fireworks", "model"]
    assert fireworks.str.startswith("accounts/fireworks/models/").all()
    assert not frame.loc[frame["provider"] == "gemini", "model"].str.startswith("claude").any()


def test_a_text_filters_in_any_case() -> None:
    frame = llm_magic.models("OpenAI/GPT-5-m", live=False)

    assert {*frame["provider"]} == {"openai", "openrouter"}
    assert frame["model"].str.contains("gpt-5-m").all()
    assert len(llm_magic.models("[", live=False)) == 0


def test_local_servers_are_listed_as_they_answer(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    with FakeServer(models=("llama3.2", "<script>")) as ollama, FakeServer() as vllm:
        monkeypatch.setenv("OLLAMA_BASE_URL", ollama.openai_url)
        monkeypatch.setenv("VLLM_BASE_URL", vllm.openai_url)
        monkeypatch.setenv("VLLM_API_KEY", "key-of-vllm-0123456789")
        monkeypatch.setenv("LMSTUDIO_BASE_URL", silent)

        frame = llm_magic.models()

        assert "authorization" not in ollama.last.headers
        assert "key-of-vllm" in vllm.last.headers["authorization"]
    local = frame[frame["local"] & (frame["provider"] != "echo")]
    assert list(zip(local["provider"], local["model"], strict=True)) == [
        ("ollama", "llama3.2"),
        ("ollama", "<script>"),
        ("vllm", "fake-model"),
    ]
    assert (local["input_price"] == 0).all()
    assert local["key_present"].isna().all()


def test_a_server_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    for name in LOCAL:
        monkeypatch.setenv(f"{name}_BASE_URL", silent)
    modelinfo.models("x", live=False)

    began = time.monotonic()
    offered = modelinfo._offered()

    assert offered == []
    assert time.monotonic() - began < 3 * modelinfo._PATIENCE


def test_without_live_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OLLAMA_BASE_URL", server.openai_url)

        llm_magic.models(live=False)

        assert server.count == 0


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data": [{}]}', b'{"data": 3}', b"\xff"])
def test_what_is_no_list_of_models_is_none(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    class Opener:
        def open(self, *_: object, **__: object) -> Opener:
            return self

        def __enter__(self) -> Opener:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, _: int) -> bytes:
            return answer

    monkeypatch.setattr(modelinfo, "build_opener", lambda *_: Opener())

    assert modelinfo._offered() == []


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ({"id": "m", "max_model_len": 8192}, 8192),
        ({"id": "m", "meta": {"n_ctx_train": 4096}}, 4096),
        ({"id": "m", "meta": None}, None),
        ({"id": "m", "max_model_len": "many"}, None),
    ],
)
def test_a_local_server_may_tell_the_context_window(
    model: dict[str, object], window: int | None
) -> None:
    assert modelinfo._offer(catalog.entry("vllm"), model)[2] == window


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (None, None),
        ({"input_mtok": "1"}, None),
        ({"input_mtok": "1", "input_audio_mtok": "2"}, "text, audio"),
        (
            {"output_mtok": "1", "output_image_mtok": "2", "input_video_mtok": "1"},
            "text, image, video",
        ),
    ],
)
def test_modalities_are_those_with_a_price(
    prices: dict[str, str] | None, expected: str | None
) -> None:
    assert modelinfo._modalities(prices) == expected


def test_a_price_with_tiers_begins_with_its_base() -> None:
    assert modelinfo._price({"input_mtok": ["1.25", [200_000, "2.5"]]}, "input_mtok") == 1.25
