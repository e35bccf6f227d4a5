"""Files on disk: the hardened diskcache of the recordings, the SQLite of the ledger.

Nothing here knows what it stores: text under a text key, rows in a table.
"""

from llm_magic.storage.database import connect, our_error
from llm_magic.storage.folders import (
    identity,
    prepare_working_folder,
    refuse_folder,
    refuse_planted,
    set_aside,
    writable,
)
from llm_magic.storage.store import Store

__all__ = [
    "Store",
    "connect",
    "identity",
    "our_error",
    "prepare_working_folder",
    "refuse_folder",
    "refuse_planted",
    "set_aside",
    "writable",
]
