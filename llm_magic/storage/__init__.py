"""Files on disk: the hardened diskcache of the recordings, the SQLite of the ledger.

Nothing here knows what it stores: text under a text key, rows in a table.
"""

from llm_magic.storage.database import connect
from llm_magic.storage.folders import prepare_working_folder, writable
from llm_magic.storage.store import Store

__all__ = ["Store", "connect", "prepare_working_folder", "writable"]
