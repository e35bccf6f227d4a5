"""The working folder: made private, ignored by git, and never a link to somewhere else."""

from __future__ import annotations

import os
from pathlib import Path

from llm_magic.exceptions import StoreError, UnsafeStoreError

__all__ = ["prepare_working_folder", "refuse_links", "refuse_planted", "writable"]

# SQLite's mark at the end of a rollback journal that names a second journal.
_JOURNAL_MARK = bytes.fromhex("d9d505f920a163d7")


def refuse_links(*paths: Path) -> None:
    """Raise for a symbolic link: a cloned project could point our files at somebody's own."""
    for path in paths:
        if path.is_symlink():
            raise UnsafeStoreError(f"{path} is a symbolic link; remove it, llm-magic makes its own")


def refuse_planted(database: Path) -> None:
    """Raise for files beside a database that would lead SQLite out of the folder.

    A rollback journal may name a second one, which SQLite then deletes, wherever it is. Ours never
    do: they are for changes of several databases at once.
    """
    log, index, journal = (
        database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")
    )
    refuse_links(database, log, index, journal)
    if journal.exists() and journal.read_bytes().endswith(_JOURNAL_MARK):
        raise UnsafeStoreError(f"{journal} names a file to delete; remove it")


def prepare_working_folder(path: Path) -> None:
    """Make the folder, for its owner only, with a ``.gitignore`` of its own.

    Raises
    ------
    UnsafeStoreError
        When it is a symbolic link.
    OSError
        When it cannot be made, as in a read-only folder.
    """
    ignore = path / ".gitignore"
    refuse_links(path, ignore)
    path.mkdir(mode=0o700, parents=False, exist_ok=True)
    if not path.is_dir():
        raise StoreError(f"{path} is not a folder")
    if not ignore.exists():
        ignore.write_text("# Working files of llm-magic. Commit the cassettes instead.\n*\n")


def writable(path: Path) -> bool:
    """Whether files can be made in the folder, or in the nearest existing one above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)
