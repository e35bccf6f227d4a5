"""The table of providers: who there is, where they are, which variable holds the key, what is odd.

Adding a provider that speaks a known dialect is one row here, and nothing elsewhere. A provider of
your own is added by :func:`register`, or in ``[tool.llm_magic.providers.NAME]`` of pyproject.toml.

What a row does not mention goes out as it is: a server knows best what it takes, and says so. A
quirk is for a parameter that a server refuses for certain, passes over without a word, or knows by
another name.

Sources, besides the vendors' own pages: https://docs.cohere.com/docs/compatibility-api and
https://console.groq.com/docs/openai and https://docs.mistral.ai/api/endpoint/chat
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from llm_magic import pricing, secrets
from llm_magic.exceptions import ConfigError, MissingKeyError, ModelNameError, did_you_mean
from llm_magic.providers.base import Provider
from llm_magic.providers.choices import OneByOne

__all__ = [
    "ENTRIES",
    "Entry",
    "Quirk",
    "adopt",
    "api_key",
    "base_url",
    "checked",
    "entry",
    "has_key",
    "home",
    "names",
    "provider",
    "register",
]


@dataclass(frozen=True, slots=True)
class Quirk:
    """What some models want said otherwise.

    Parameters
    ----------
    models : str
        Regular expression that the beginning of a model's name matches; by default all do.
    refused : tuple of str
        Parameters that are not sent; a note says so.
    renamed : mapping
        Parameters that go by another name there.
    """

    models: str = ""
    refused: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def fits(self, model: str) -> bool:
        """Whether it is about this model."""
        return re.match(self.models, model, re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider.

    Parameters
    ----------
    name : str
        The word before the slash of ``provider/model``.
    dialect : str
        The shape of its API: ``openai``, ``anthropic``, ``bedrock`` or ``echo``.
    base_url : str
        Where it is; empty for a provider inside this process, or one whose address only the user
        knows. ``{region}`` stands for the AWS region.
    base_url_variable : str
        Environment variable that moves it, such as to a company's proxy.
    key_variables : tuple of str
        Environment variables that may hold the key; the first one that is set counts.
    credential_variables : tuple of str
        Environment variables that show that the SDK finds credentials of its own.
    local : bool
        Whether it runs on the user's own machine: it needs no key and costs nothing.
    aliases : tuple of str
        Other words for its name.
    client : str
        Class of the SDK's client, where it is not that of the dialect.
    single : bool
        Whether it gives one choice a call, so that ``n`` choices are ``n`` calls.
    streams : bool
        Whether an answer comes in pieces that we can read.
    thinking_apart : bool
        Whether its ``completion_tokens`` leave out the tokens of thinking that its total counts.
    quirks : tuple of Quirk
        What it wants said otherwise.
    """

    name: str
    dialect: str
    base_url: str = ""
    base_url_variable: str = ""
    key_variables: tuple[str, ...] = ()
    credential_variables: tuple[str, ...] = ()
    local: bool = False
    aliases: tuple[str, ...] = ()
    client: str = ""
    single: bool = False
    streams: bool = True
    thinking_apart: bool = False
    quirks: tuple[Quirk, ...] = ()

    @property
    def keyless(self) -> bool:
        """Whether it answers without a key."""
        return self.local or not (self.key_variables or self.credential_variables)


_PENALTIES = ("frequency_penalty", "presence_penalty")
_LOGPROBS = ("logprobs", "top_logprobs")

# OpenAI's own models, wherever OpenAI's own API is; a deployment of Azure is named by the user,
# mostly after its model. Newer ones (gpt-5.1 and on) take sampling parameters when they do not
# reason, so that is between them and the user.
_OPENAI_MODELS = (
    Quirk(r"(ft:)?(o\d|gpt-([5-9]|\d\d))", renamed={"max_tokens": "max_completion_tokens"}),
    Quirk(
        r"(ft:)?(o\d|gpt-5(?!\.|-chat))",
        refused=("temperature", "top_p", *_PENALTIES, *_LOGPROBS, "logit_bias"),
    ),
    Quirk(r"(ft:)?(o3|o4|gpt-5(?!\.|-chat))", refused=("stop",)),
    Quirk(r"(ft:)?(gpt-[34]|chatgpt-)", refused=("reasoning_effort",)),
)
_OLD_LIMIT = {"max_completion_tokens": "max_tokens"}

_ROWS = (
    Entry(
        name="openai",
        dialect="openai",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variables=("OPENAI_API_KEY",),
        quirks=_OPENAI_MODELS,
    ),
    Entry(
        name="anthropic",
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        key_variables=("ANTHROPIC_API_KEY",),
        single=True,
    ),
    Entry(
        name="openrouter",
        dialect="openai",
        base_url="https://openrouter.ai/api/v1",
        base_url_variable="OPENROUTER_BASE_URL",
        key_variables=("OPENROUTER_API_KEY",),
        single=True,
    ),
    Entry(
        name="azure",
        dialect="openai",
        base_url_variable="AZURE_OPENAI_ENDPOINT",
        key_variables=("AZURE_OPENAI_API_KEY",),
        aliases=("azure_openai", "azure-openai"),
        client="AzureOpenAI",
        quirks=_OPENAI_MODELS,
    ),
    Entry(
        name="gemini",
        dialect="openai",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        base_url_variable="GEMINI_BASE_URL",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        aliases=("google",),
        thinking_apart=True,
    ),
    Entry(
        name="groq",
        dialect="openai",
        base_url="https://api.groq.com/openai/v1",
        base_url_variable="GROQ_BASE_URL",
        key_variables=("GROQ_API_KEY",),
        single=True,
        quirks=(Quirk(refused=("logit_bias", *_LOGPROBS)),),
    ),
    Entry(
        name="mistral",
        dialect="openai",
        base_url="https://api.mistral.ai/v1",
        base_url_variable="MISTRAL_BASE_URL",
        key_variables=("MISTRAL_API_KEY",),
        aliases=("mistralai",),
        # It refuses every field it does not know; usage comes with a stream without being asked.
        quirks=(
            Quirk(
                refused=("logit_bias", *_LOGPROBS, "user", "stream_options"),
                renamed={"seed": "random_seed", **_OLD_LIMIT},
            ),
        ),
    ),
    Entry(
        name="deepseek",
        dialect="openai",
        base_url="https://api.deepseek.com",
        base_url_variable="DEEPSEEK_BASE_URL",
        key_variables=("DEEPSEEK_API_KEY",),
        single=True,
        quirks=(
            Quirk(refused=("logit_bias", "seed"), renamed=_OLD_LIMIT),
            Quirk("deepseek-reasoner", refused=("temperature", "top_p", *_PENALTIES, *_LOGPROBS)),
        ),
    ),
    Entry(
        name="perplexity",
        dialect="openai",
        base_url="https://api.perplexity.ai",
        base_url_variable="PERPLEXITY_BASE_URL",
        key_variables=("PERPLEXITY_API_KEY",),
        single=True,
        quirks=(
            Quirk(
                refused=(
                    "logit_bias",
                    *_LOGPROBS,
                    "seed",
                    "stream_options",
                    "tool_choice",
                    "tools",
                    "user",
                ),
                renamed=_OLD_LIMIT,
            ),
        ),
    ),
    Entry(
        name="cerebras",
        dialect="openai",
        base_url="https://api.cerebras.ai/v1",
        base_url_variable="CEREBRAS_BASE_URL",
        key_variables=("CEREBRAS_API_KEY",),
        single=True,
        quirks=(Quirk(refused=("logit_bias", *_PENALTIES)),),
    ),
    Entry(
        name="sambanova",
        dialect="openai",
        base_url="https://api.sambanova.ai/v1",
        base_url_variable="SAMBANOVA_BASE_URL",
        key_variables=("SAMBANOVA_API_KEY",),
        single=True,
        quirks=(Quirk(refused=("logit_bias", *_LOGPROBS, *_PENALTIES, "seed")),),
    ),
    Entry(
        name="together",
        dialect="openai",
        base_url="https://api.together.xyz/v1",
        base_url_variable="TOGETHER_BASE_URL",
        key_variables=("TOGETHER_API_KEY",),
        aliases=("together_ai", "togetherai"),
        quirks=(Quirk(renamed=_OLD_LIMIT),),
    ),
    Entry(
        name="fireworks",
        dialect="openai",
        base_url="https://api.fireworks.ai/inference/v1",
        base_url_variable="FIREWORKS_BASE_URL",
        key_variables=("FIREWORKS_API_KEY",),
        aliases=("fireworks_ai",),
        quirks=(Quirk(renamed=_OLD_LIMIT),),
    ),
    Entry(
        name="cohere",
        dialect="openai",
        base_url="https://api.cohere.ai/compatibility/v1",
        base_url_variable="COHERE_BASE_URL",
        key_variables=("COHERE_API_KEY", "CO_API_KEY"),
        single=True,
        quirks=(
            Quirk(
                refused=("logit_bias", "top_logprobs", "parallel_tool_calls", "user"),
                renamed=_OLD_LIMIT,
            ),
        ),
    ),
    Entry(
        name="xai",
        dialect="openai",
        base_url="https://api.x.ai/v1",
        base_url_variable="XAI_BASE_URL",
        key_variables=("XAI_API_KEY",),
        aliases=("x-ai", "grok"),
        thinking_apart=True,
        quirks=(
            Quirk(refused=("logit_bias",)),
            Quirk(
                r"grok-(3-mini|[4-9]|code|build)(?!.*non-reasoning)",
                refused=(*_PENALTIES, "stop"),
            ),
        ),
    ),
    Entry(
        name="moonshot",
        dialect="openai",
        base_url="https://api.moonshot.ai/v1",
        base_url_variable="MOONSHOT_BASE_URL",
        key_variables=("MOONSHOT_API_KEY",),
        aliases=("moonshotai", "kimi"),
    ),
    Entry(
        name="bedrock",
        dialect="bedrock",
        base_url="https://bedrock-mantle.{region}.api.aws/openai/v1",
        base_url_variable="AWS_BEDROCK_BASE_URL",
        key_variables=("AWS_BEARER_TOKEN_BEDROCK",),
        credential_variables=("AWS_ACCESS_KEY_ID", "AWS_PROFILE"),
        aliases=("aws",),
        client="BedrockOpenAI",
        single=True,
    ),
    Entry(
        name="ollama",
        dialect="openai",
        base_url="http://localhost:11434/v1",
        base_url_variable="OLLAMA_BASE_URL",
        key_variables=("OLLAMA_API_KEY",),
        local=True,
        single=True,
        quirks=(Quirk(refused=("logit_bias", "tool_choice", "user"), renamed=_OLD_LIMIT),),
    ),
    Entry(
        name="vllm",
        dialect="openai",
        base_url="http://localhost:8000/v1",
        base_url_variable="VLLM_BASE_URL",
        key_variables=("VLLM_API_KEY",),
        local=True,
    ),
    Entry(
        name="lmstudio",
        dialect="openai",
        base_url="http://localhost:1234/v1",
        base_url_variable="LMSTUDIO_BASE_URL",
        key_variables=("LMSTUDIO_API_KEY",),
        local=True,
        aliases=("lm-studio", "lm_studio"),
        single=True,
        quirks=(Quirk(refused=_LOGPROBS, renamed=_OLD_LIMIT),),
    ),
    Entry(
        name="llamacpp",
        dialect="openai",
        base_url="http://localhost:8080/v1",
        base_url_variable="LLAMACPP_BASE_URL",
        key_variables=("LLAMACPP_API_KEY",),
        local=True,
        aliases=("llama.cpp", "llama-cpp", "llama_cpp"),
        single=True,
    ),
    Entry(name="echo", dialect="echo", local=True),
)

_BUILT_IN = MappingProxyType({row.name: row for row in _ROWS})
_ALIASES = {alias: row.name for row in _ROWS for alias in row.aliases}
_STANDARD_KEYS = {
    variable: row for row in _ROWS for variable in (*row.key_variables, *row.credential_variables)
}

_entries = dict(_BUILT_IN)
ENTRIES: Mapping[str, Entry] = MappingProxyType(_entries)

# Who defined a provider that is not built in: this word, or the project file.
_IN_CODE = "register()"
_origins: dict[str, str] = {}
_providers: dict[str, tuple[Entry, Provider]] = {}
_lock = threading.Lock()

# Named as entry points are, and loaded at first use: the adapters import this module.
_ADAPTERS = {
    "openai": "llm_magic.providers.openai:OpenAIProvider",
    "anthropic": "llm_magic.providers.anthropic:AnthropicProvider",
    "bedrock": "llm_magic.providers.bedrock:BedrockProvider",
    "echo": "llm_magic.providers.echo:EchoProvider",
}


def names() -> list[str]:
    """Every word that names a provider, aliases too."""
    return [*_entries, *_ALIASES]


def entry(name: str) -> Entry:
    """The row of that provider, by its name or an alias of it, in any case.

    Raises
    ------
    ModelNameError
        When there is none; the message names the nearest ones.
    """
    row = _entries.get(name)
    if row is not None:
        return row
    word = name.strip().lower()
    try:
        return _entries[_ALIASES.get(word, word)]
    except KeyError:
        pass
    # All of them are no hint; the nearest are.
    hint = did_you_mean(name, names(), show_all=False) or f"there are {', '.join(sorted(_entries))}"
    raise ModelNameError(f"Unknown provider: {name}; {hint}")


def provider(name: str) -> Provider:
    """The adapter that asks that provider; one per process."""
    row = entry(name)
    found = _providers.get(row.name)
    if found is None or found[0] is not row:
        module, _, adapter = _ADAPTERS[row.dialect].partition(":")
        made = cast(Provider, getattr(import_module(module), adapter)(row))
        found = row, OneByOne(made) if row.single else made
        with _lock:
            kept = _providers.get(row.name)
            if kept is not None and kept[0] is row:
                return kept[1]
            _providers[row.name] = found
    return found[1]


def register(
    name: str,
    *,
    base_url: str,
    key_variable: str | None = None,
    dialect: str = "openai",
    local: bool = False,
) -> Entry:
    """A provider of your own, for ``name/model`` references in this process.

    Parameters
    ----------
    name : str
        The word before the slash; it is part of the key of a recording, the address is not.
    base_url : str
        Where it is.
    key_variable : str, optional
        Environment variable that holds its key; by default ``NAME_API_KEY``, and none for a server
        on this machine.
    dialect : str
        ``openai`` or ``anthropic``.
    local : bool
        Whether what it does costs nothing.

    Raises
    ------
    ConfigError
        For a name that the catalog has, or an address that is none.

    Examples
    --------
    >>> row = register("gateway", base_url="https://llm.example.org/v1")
    >>> row.name, row.key_variables
    ('gateway', ('GATEWAY_API_KEY',))
    """
    row = _custom(name, base_url, key_variable, dialect, local, where="register()")
    with _lock:
        _entries[row.name] = row
        _origins[row.name] = _IN_CODE
    if local:
        pricing.declare_free(row.name)
    return row


def adopt(tables: Mapping[str, Mapping[str, str]], origin: str) -> None:
    """Add the providers that a project file names; what was registered in code stays.

    A project file may come from anybody. So its providers get none of the keys that belong to the
    providers of the catalog, and do not take their names.

    Raises
    ------
    ConfigError
        For a provider that cannot be as the file says; the message says where it stands.
    """
    for name, table in tables.items():
        where = f"{origin}: [tool.llm_magic.providers.{name}]"
        row = _custom(
            name,
            table.get("base_url", ""),
            table.get("key_variable"),
            table.get("dialect", "openai"),
            False,
            where=where,
        )
        for variable in row.key_variables:
            _refuse_others_key(variable, row, where)
        with _lock:
            before = _origins.get(row.name, origin)
            if before == _IN_CODE:
                continue
            if before != origin and _entries[row.name] != row:
                raise ConfigError(
                    f"{where}: {row.name} is another provider in {before}, which this process"
                    " works with too; give one of them another name"
                )
            if _entries.get(row.name) != row:
                _entries[row.name] = row
            _origins[row.name] = before


def _refuse_others_key(variable: str, row: Entry, where: str) -> None:
    own = f"{_variable(row.name)}_API_KEY"
    owner = _STANDARD_KEYS.get(variable)
    if owner is not None and _site(row.base_url) != _site(owner.base_url):
        raise ConfigError(
            f"{where}: {variable} is the key of {owner.name} and goes there alone;"
            f" name a variable of its own: key_variable = {own!r}"
        )
    # Else a project file could have any token of the user sent anywhere.
    if owner is None and not re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", variable):
        raise ConfigError(
            f"{where}: key_variable = {variable!r}: a project file names a variable that ends in"
            f" _API_KEY, such as {own!r}; any other is for providers.catalog.register()"
        )


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _custom(
    name: str, base_url: str, key_variable: str | None, dialect: str, local: bool, *, where: str
) -> Entry:
    word = name.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", word):
        raise ConfigError(f"{where}: {name!r} is no name for a provider; use letters and digits")
    if word in _BUILT_IN or word in _ALIASES:
        row = _BUILT_IN[_ALIASES.get(word, word)]
        move = f"; {row.base_url_variable} moves it" if row.base_url_variable else ""
        raise ConfigError(f"{where}: {word} is in the catalog and stays what it is there{move}")
    if dialect not in ("openai", "anthropic"):
        raise ConfigError(
            f"{where}: dialect = {dialect!r}; {did_you_mean(dialect, ('openai', 'anthropic'))}"
        )
    try:
        url = urlsplit(base_url.strip())
        reached = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        reached = False
    if not reached:
        raise ConfigError(
            f"{where}: base_url is the address of the API, such as 'https://llm.example.org/v1'"
        )
    if key_variable is None and (local or url.hostname in _LOOPBACK):
        variables: tuple[str, ...] = ()
    else:
        variables = (key_variable or f"{_variable(word)}_API_KEY",)
    return Entry(
        name=word,
        dialect=dialect,
        base_url=base_url.strip().rstrip("/"),
        key_variables=variables,
        local=local,
        single=dialect == "anthropic",
    )


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _site(url: str) -> tuple[str, str]:
    """Scheme, host and port: who answers there."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def home(row: Entry, url: str) -> bool:
    """Whether the provider itself answers at this address, or the server it was moved to."""
    moved = os.environ.get(row.base_url_variable, "") if not row.base_url else ""
    return _site(url) == _site(moved or _with_region(row.base_url))


def base_url(row: Entry) -> str:
    """Where the provider is: where the environment moved it, else its address in the catalog.

    Raises
    ------
    MissingKeyError
        When only the user can know, and has not told.
    """
    moved = os.environ.get(row.base_url_variable, "").strip() if row.base_url_variable else ""
    found = moved or _with_region(row.base_url)
    if "{region}" in found:
        raise MissingKeyError(f"No region for {row.name}. Set AWS_REGION, such as us-east-1")
    if not found:
        raise MissingKeyError(f"No address for {row.name}. Set {row.base_url_variable}")
    return found


def _with_region(url: str) -> str:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    return url.replace("{region}", region) if re.fullmatch(r"[a-z0-9-]+", region) else url


def api_key(row: Entry) -> tuple[str, str] | None:
    """Name and value of the variable that holds the provider's key; None when none is set.

    The value is registered with :mod:`llm_magic.secrets`, so that it is never stored or shown.
    """
    for variable in row.key_variables:
        value = os.environ.get(variable, "").strip()
        if value and value != secrets.PLACEHOLDER:
            secrets.register(variable, value)
            return variable, checked(variable, value)
    return None


def has_key(row: Entry) -> bool:
    """Whether a key or credentials for the provider are set; nothing is read from them."""
    variables = (*row.key_variables, *row.credential_variables)
    values = (os.environ.get(variable, "").strip() for variable in variables)
    return any(value and value != secrets.PLACEHOLDER for value in values)


def checked(name: str, value: str) -> str:
    """The key without white space around it.

    A key with other characters than visible ASCII cannot be an HTTP header, and the HTTP client
    would print the header in its error message.

    Raises
    ------
    MissingKeyError
        When the value cannot be a key.
    """
    value = value.strip()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise MissingKeyError(
            f"what {name} holds is not an API key: it has spaces or special characters in it; "
            "copy the key again"
        )
    return value
