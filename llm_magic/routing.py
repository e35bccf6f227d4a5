"""Who answers: from a model reference to a provider and its name of the model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

from llm_magic import config, pricing
from llm_magic.config import Settings
from llm_magic.exceptions import ConfigError, ModelNameError
from llm_magic.providers import catalog

__all__ = ["PREFIXES", "bare_url", "endpoint_identity", "learn_providers", "resolve"]

# Beginnings of well-known bare names, so that "gpt-5-mini" does for "openai/gpt-5-mini". An open
# model is asked for at a provider whose own names begin like that.
PREFIXES = {
    "c4ai": "cohere",
    "chatgpt-": "openai",
    "claude": "anthropic",
    "codestral": "mistral",
    "command": "cohere",
    "deepseek": "deepseek",
    "devstral": "mistral",
    "echo": "echo",
    "ft:": "openai",
    "gemini": "gemini",
    "gemma": "groq",
    "gpt-": "openai",
    "grok": "xai",
    "kimi": "moonshot",
    "llama": "groq",
    "magistral": "mistral",
    "ministral": "mistral",
    "mistral": "mistral",
    "mixtral": "groq",
    "moonshot": "moonshot",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "pixtral": "mistral",
    "sonar": "perplexity",
}


def resolve(reference: str | None, settings: Settings | None = None) -> tuple[str, str]:
    """Provider and model of a reference.

    Parameters
    ----------
    reference : str or None
        ``provider/model``, an alias, or a bare name that begins like a well-known one. Capital
        letters make no difference in names of providers, aliases and bare names.
    settings : Settings, optional
        Whose aliases and providers count; by default those of this process.

    Raises
    ------
    ConfigError
        When nothing was named, or a provider in the project file cannot be.
    ModelNameError
        For a provider that is not in the catalog, or a bare name of no known family.

    Examples
    --------
    >>> resolve("openai/gpt-5-mini"), resolve("claude-sonnet-4-6")
    (('openai', 'gpt-5-mini'), ('anthropic', 'claude-sonnet-4-6'))
    >>> resolve("Google/gemini-3-pro"), resolve("O4-mini")
    (('gemini', 'gemini-3-pro'), ('openai', 'o4-mini'))
    """
    name = (reference or "").strip()
    if not name:
        raise ConfigError(
            "no model: name one (-m provider/model, model=...), or set one for all calls with"
            " %llm config model=provider/model"
        )
    settings = config.default() if settings is None else settings
    learn_providers(settings)
    if "/" in name:
        return _named(name)
    aliases = settings.aliases
    if name.lower() in aliases:
        return _aliased(name.lower(), aliases)
    return _bare(name, aliases)


def learn_providers(settings: Settings) -> None:
    """Add the providers that the project file of these settings names to the catalog."""
    if settings.providers:
        catalog.adopt(settings.providers, str(settings.project_file))


def _named(reference: str) -> tuple[str, str]:
    provider, _, model = reference.partition("/")
    try:
        name = catalog.entry(provider).name
    except ModelNameError as error:
        # "meta-llama/Llama-3.3-70B" is how its maker calls it, not who is to run it.
        message = (
            f"{error}; if all of {reference!r} is the model's own name, put the provider in front,"
            f" such as together/{reference} or openrouter/{reference}"
        )
    else:
        if model:
            return name, model
        message = f"{reference!r} names no model; write {name}/MODEL"
    raise ModelNameError(message)


def _aliased(alias: str, aliases: Mapping[str, str]) -> tuple[str, str]:
    target = aliases[alias]
    if "/" in target:
        return _named(target)
    # A name may stand for a longer one that begins with it; one step is all there is.
    if target.lower() in aliases and _family(target) is None:
        raise ModelNameError(
            f"the alias {alias} stands for {target}, which is an alias too; let it stand for"
            f" {aliases[target.lower()]}"
        )
    return _bare(target, {})


def _family(name: str) -> str | None:
    """The provider whose models' names begin like this one."""
    word = name.lower()
    return next((owner for prefix, owner in PREFIXES.items() if word.startswith(prefix)), None)


def _bare(name: str, aliases: Mapping[str, str]) -> tuple[str, str]:
    provider = _family(name)
    if provider is not None and name.lower() not in catalog.names():
        # These vendors write their names in small letters; a fine-tuned model has the user's.
        return provider, name if name.lower().startswith("ft:") else name.lower()
    if provider == "echo":
        return "echo", "echo"
    if name.lower() in catalog.names():
        own = catalog.entry(name).name
        hint = f"{own} is a provider; write {own}/MODEL"
    else:
        hint = _nearest(name, aliases) or f"providers: {', '.join(sorted(catalog.ENTRIES))}"
    raise ModelNameError(
        f"Cannot resolve provider for model {name!r}. Use 'provider/model' format; {hint}"
    )


def _nearest(name: str, aliases: Mapping[str, str]) -> str:
    """A hint of the nearest names: aliases, and the models that the price table knows."""
    known = {alias: alias for alias in aliases}
    for provider in sorted(set(PREFIXES.values())):
        for model in pricing.listed(provider, datetime.now(UTC)):
            known.setdefault(model.name, f"{provider}/{model.name}")
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(known[word] for word in near)}?" if near else ""


def endpoint_identity(provider: str, api_base: str | None) -> str | None:
    """What of an explicit base URL enters the key: the URL without user info and query.

    None for the provider's own address: a proxy of it shares its recordings.
    """
    if not api_base:
        return None
    url = bare_url(api_base)
    row = catalog.ENTRIES.get(provider)
    return None if row and row.base_url and url == row.base_url.rstrip("/") else url


def bare_url(url: str) -> str:
    """The URL without user info and query, which may hold a password.

    >>> bare_url("https://user:secret@example.org:8443/v1/?token=secret")
    'https://example.org:8443/v1'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    netloc = f"[{host}]" if ":" in host else host
    if parts.port:
        netloc += f":{parts.port}"
    return urlunsplit((parts.scheme.lower(), netloc, parts.path.rstrip("/"), "", ""))
