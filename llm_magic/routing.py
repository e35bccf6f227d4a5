"""Who answers: from a model reference to a provider and its name of the model."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from llm_magic.exceptions import ConfigError, ModelNameError
from llm_magic.providers import catalog

__all__ = ["endpoint_identity", "resolve"]

# Beginnings of well-known bare names, so that "gpt-5-mini" does for "openai/gpt-5-mini".
PREFIXES = {
    "chatgpt-": "openai",
    "claude": "anthropic",
    "echo": "echo",
    "gpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
}


def resolve(reference: str | None) -> tuple[str, str]:
    """Provider and model of a reference.

    Parameters
    ----------
    reference : str or None
        ``provider/model``, or a bare name that begins like a well-known one.

    Raises
    ------
    ConfigError
        When nothing was named.
    ModelNameError
        For a provider that is not in the catalog, or a bare name of no known family.

    Examples
    --------
    >>> resolve("openai/gpt-5-mini"), resolve("claude-sonnet-4-6")
    (('openai', 'gpt-5-mini'), ('anthropic', 'claude-sonnet-4-6'))
    """
    if not reference:
        raise ConfigError(
            "no model: name one (-m provider/model, model=...), or set one for all calls with"
            " %llm config model=provider/model"
        )
    provider, slash, model = reference.strip().partition("/")
    if slash:
        name = catalog.entry(provider.lower()).name
        if not model:
            raise ModelNameError(f"{reference!r} names no model; write {name}/MODEL")
        return name, model
    for prefix, name in PREFIXES.items():
        if provider.lower().startswith(prefix):
            return name, provider
    raise ModelNameError(
        f"Cannot resolve provider for model {reference!r}. Use 'provider/model' format; providers:"
        f" {', '.join(sorted(catalog.ENTRIES))}"
    )


def endpoint_identity(provider: str, api_base: str | None) -> str | None:
    """What of an explicit base URL enters the key: the URL without user info and query.

    None for the provider's own address: a proxy of it shares its recordings.
    """
    if not api_base:
        return None
    parts = urlsplit(api_base)
    host = parts.hostname or ""
    netloc = f"[{host}]" if ":" in host else host
    if parts.port:
        netloc += f":{parts.port}"
    url = urlunsplit((parts.scheme.lower(), netloc, parts.path.rstrip("/"), "", ""))
    own = catalog.ENTRIES[provider].base_url
    return None if own and url == own.rstrip("/") else url
