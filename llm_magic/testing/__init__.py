"""A fake provider for tests: real sockets and real SDKs, but no network, no key and no bill."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magic.testing.seen import SeenRequest
    from llm_magic.testing.server import FakeServer

__all__ = ["FakeServer", "SeenRequest"]


def __getattr__(name: str) -> object:
    # pytest imports this package in every run of everyone who has us installed, to find the
    # plugin; the server and its sockets are loaded by those who use it.
    if name in __all__:
        from llm_magic.testing import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
