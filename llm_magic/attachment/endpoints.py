"""Which requests are questions to a language model: a known server, and a known path there.

Servers are those of the catalog, those that the environment moved them to, and those that the user
names. On this machine, where a port may be anybody's, the path has to lie below the known address.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from llm_magic import routing
from llm_magic.exceptions import ConfigError
from llm_magic.providers import catalog
from llm_magic.providers.catalog import Entry

__all__ = ["Endpoint", "check_host", "find"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who is asked, in which form.

    Attributes
    ----------
    row : Entry
        The provider.
    kind : str
        Form of question and answer: ``chat``, ``completion``, ``embedding``, ``responses``,
        ``messages`` or ``gemini``.
    path : str
        Path below the provider's address, which a proxy of it shares.
    identity : str or None
        URL of a server that only the user knows; None for the provider's own.
    unread : str
        Why what is asked there cannot be recorded; empty where it can.
    """

    row: Entry
    kind: str
    path: str
    identity: str | None = None
    unread: str = ""


# Ends of paths, the longer ones first.
# Sources: https://platform.openai.com/docs/api-reference, https://platform.claude.com/docs/en/api
# and https://ai.google.dev/api/generate-content
_KINDS = (
    (re.compile(r"/chat/completions$"), "chat", "openai"),
    (re.compile(r"/completions$"), "completion", "openai"),
    (re.compile(r"/embeddings$"), "embedding", "openai"),
    (re.compile(r"/responses$"), "responses", "openai"),
    # OpenAI's threads have messages, too.
    (re.compile(r"/v1/messages$"), "messages", "anthropic"),
    (re.compile(r"/models/[^/]+:(streamG|g)enerateContent$"), "gemini", "gemini"),
)

_A_LIST_IN_PIECES = (
    "its answer is one list of JSON that comes in pieces, which we do not read; ask with ?alt=sse,"
    " as Google's own SDK does"
)

# Every customer of Azure has a host of their own.
_AZURE = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}


def find(url: str, hosts: Sequence[str] = ()) -> Endpoint | None:
    """The endpoint of a language model at this URL; None for anything else.

    >>> endpoint = find("https://api.openai.com/v1/chat/completions")
    >>> endpoint.row.name, endpoint.kind, endpoint.path
    ('openai', 'chat', '/chat/completions')
    >>> find("https://example.org/v1/chat/completions") is None
    True

    Parameters
    ----------
    url : str
        What is asked.
    hosts : sequence of str
        More servers, as ``host``, ``host:port`` or an address with a path.
    """
    asked = urlsplit(url)
    path = asked.path.rstrip("/")
    ends = ((end.search(path), kind, dialect) for end, kind, dialect in _KINDS)
    match, kind, dialect = next((end for end in ends if end[0]), (None, "", ""))
    if match is None:
        return None
    unread = ""
    if kind == "gemini" and "stream" in match[0] and ("alt", "sse") not in parse_qsl(asked.query):
        unread = _A_LIST_IN_PIECES
    known = [(place, row) for place, row in _places() if place.has(asked, path)]
    if known:
        # One server may stand for several providers, as a gateway does: the dialect tells them.
        place, row = max(known, key=lambda one: (one[1].dialect == dialect, len(one[0].path)))
        return Endpoint(row, kind, path.removeprefix(place.path), unread=unread)
    if (asked.hostname or "").endswith(_AZURE):
        return Endpoint(catalog.entry("azure"), kind, path, f"{asked.scheme}://{asked.hostname}")
    if any(_place(host).has(asked, path) for host in hosts):
        before, after = path[: match.start()], path[match.start() :]
        identity = routing.bare_url(asked._replace(path=before).geturl())
        return Endpoint(catalog.entry(dialect), kind, after, identity, unread)
    return None


def check_host(host: str) -> str:
    """The same text, if it names a server.

    Raises
    ------
    ConfigError
        When it does not.
    """
    try:
        named = bool(_place(host).host)
    except ValueError:
        named = False
    if not named:
        raise ConfigError(
            f"{host!r} names no server; write llm.example.org, 127.0.0.1:8080 or its address"
        )
    return host


@dataclass(frozen=True, slots=True)
class _Place:
    """An address at which somebody answers; without a port all of them count."""

    host: str
    port: int | None
    path: str

    def has(self, asked: SplitResult, path: str) -> bool:
        port = asked.port or _PORTS.get(asked.scheme)
        if asked.hostname != self.host or self.port not in (None, port):
            return False
        return self.host not in _LOOPBACK or path.startswith(f"{self.path}/")


@functools.lru_cache
def _place(address: str) -> _Place:
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or _PORTS.get(parts.scheme)
    return _Place(parts.hostname or "", port, parts.path.rstrip("/"))


def _places() -> Iterator[tuple[_Place, Entry]]:
    for row in catalog.ENTRIES.values():
        # The second one is what LiteLLM and LangChain read.
        moved = (row.base_url_variable, f"{row.name.upper()}_API_BASE")
        addresses = [os.environ.get(variable, "").strip() for variable in moved if variable]
        for address in filter(None, (*addresses, _catalog_address(row))):
            # What is no address is for the library that reads it to complain of.
            with contextlib.suppress(ValueError):
                yield _place(address), row


def _catalog_address(row: Entry) -> str:
    if "{region}" not in row.base_url:
        return row.base_url
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return row.base_url.replace("{region}", region)
