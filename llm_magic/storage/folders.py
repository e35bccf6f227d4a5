"""The working folder: made private, ignored by git, and never a link to somewhere else."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from llm_magic.config import WORKING_NAME
from llm_magic.exceptions import DiskFullError, StoreError, UnsafeStoreError

__all__ = [
    "database_files",
    "identity",
    "prepare_working_folder",
    "refuse_folder",
    "refuse_links",
    "refuse_planted",
    "set_aside",
    "writable",
]

# SQLite's mark at the end of a rollback journal that names a second journal.
_JOURNAL_MARK = bytes.fromhex("d9d505f920a163d7")


def refuse_links(*paths: Path) -> None:
    """Raise for a symbolic link: a cloned project could point our files at somebody's own."""
    for path in paths:
        if path.is_symlink():
            raise UnsafeStoreError(f"{path} is a symbolic link; remove it, llm-magic makes its own")


def refuse_folder(path: Path) -> None:
    """Raise for what cannot be a folder of ours: a link to elsewhere, a file, a pipe."""
    try:
        refuse_links(path, path / ".gitignore")
    except PermissionError:
        raise StoreError(
            f"{path} belongs to somebody else; LLM_MAGIC_WORKING=FOLDER names another place for"
            " your own working files"
        ) from None
    if path.exists() and not path.is_dir():
        raise UnsafeStoreError(f"{path} is not a folder; remove it, llm-magic makes its own")


def refuse_planted(database: Path) -> None:
    """Raise for files at a database's place or beside it that would lead SQLite out of the folder.

    A link, or a second name of a file elsewhere, would have us write there. A rollback journal may
    name a second one, which SQLite then deletes, wherever it is. Ours never do: they are for
    changes of several databases at once.
    """
    for path in database_files(database):
        refuse_links(path)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise UnsafeStoreError(f"{path} is not a file; remove it, llm-magic makes its own")
            if path.name.endswith("-journal") and _ends_with(path, status.st_size, _JOURNAL_MARK):
                raise UnsafeStoreError(f"{path} names a file to delete; remove it")
        except FileNotFoundError:
            continue
        if status.st_nlink > 1:
            raise UnsafeStoreError(
                f"{path} is a hard link: the same file has another name elsewhere. Put a copy of"
                " it in its place"
            )


def database_files(database: Path) -> list[Path]:
    """The file of a database, and those that SQLite keeps beside it, there or not."""
    endings = ("", "-wal", "-shm", "-journal")
    return [database.with_name(database.name + ending) for ending in endings]


def _ends_with(path: Path, size: int, mark: bytes) -> bool:
    # Not read whole: a planted one may have a terabyte of holes.
    with path.open("rb") as file:
        file.seek(max(0, size - len(mark)))
        return file.read(len(mark)) == mark


def identity(path: Path | str) -> tuple[int, int] | None:
    """What tells a file from another one in its place; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def set_aside(path: Path) -> Path:
    """Move a damaged store or database away, with its log; returns where it is now.

    >>> from pathlib import Path
    >>> Path("history.db").write_text("what a crash left")
    17
    >>> set_aside(Path("history.db")).name
    'history.damaged-...T....db'
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    # The log first: the newest rows are in it, and SQLite would empty it for a new file.
    for part, target in zip(
        reversed(database_files(path)), reversed(database_files(aside)), strict=True
    ):
        if part.exists() or part.is_symlink():
            part.rename(target)
    return aside


def prepare_working_folder(path: Path) -> None:
    """Make the folder, for its owner only, with a ``.gitignore`` of its own.

    Raises
    ------
    UnsafeStoreError
        When it is a symbolic link, or no folder.
    StoreError
        When it cannot be made: in a read-only folder, on a full disk.
    """
    refuse_folder(path)
    ignore = path / ".gitignore"
    try:
        # A notebook's folder that was deleted is not brought back; a cache folder may be new.
        path.mkdir(mode=0o700, parents=path.name != WORKING_NAME, exist_ok=True)
        if not ignore.exists():
            ignore.write_text("# Working files of llm-magic. Commit the cassettes instead.\n*\n")
    except OSError as error:
        kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"{path} cannot be made: {error}") from None


def writable(path: Path) -> bool:
    """Whether files can be made in the folder, or in the nearest existing one above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)
