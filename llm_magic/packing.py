"""Put a cassette into its notebook, and take it out: one file to hand on, which replays alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magic import packed
from llm_magic.cassette import NOTEBOOK, Cassette, dump, replace, write
from llm_magic.config import Workspace
from llm_magic.exceptions import CassetteError
from llm_magic.formats import counted
from llm_magic.shelf import Shelf, largest

__all__ = ["Packed", "Unpacked", "pack", "unpack"]

# Browsers and viewers load a notebook whole, and save it whole at each Ctrl-S.
LARGE = 20_000_000


@dataclass(frozen=True, slots=True)
class Packed:
    """A notebook that carries its recordings: the file, how many they are, their size in bytes."""

    path: Path
    recordings: int
    size: int

    def __str__(self) -> str:
        carried = counted(self.recordings, "recording")
        return f"{self.path.name} carries {carried} ({self.size / 1000:,.1f} kB)"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A cassette that was taken out: the file, how many recordings came, how many stayed older.

    ``kept`` counts the requests that the cassette had another answer to; its answers stay.
    """

    path: Path
    recordings: int
    kept: int

    def __str__(self) -> str:
        line = (
            f"{self.path.name}: {counted(self.recordings, 'recording')} taken out of the notebook"
        )
        if self.kept:
            line += f"; {self.kept} had another answer in it already, which stays"
        return line


def pack(path: Path, *, output: Path | None = None, force: bool = False) -> Packed:
    """Put the recordings of a notebook into its metadata, those that are not saved yet too.

    Parameters
    ----------
    path : pathlib.Path
        The notebook.
    output : pathlib.Path, optional
        Write a packed copy here and leave the notebook as it is.
    force : bool
        Also when the recordings have more than 20 MB.

    Raises
    ------
    CassetteError
        When nothing is recorded, the recordings are too large, or a file cannot be read or written.
    """
    path = path.resolve()
    notebook = packed.read_notebook(path)
    target = path if output is None else output
    if target.suffix != NOTEBOOK:
        raise CassetteError(f"{target} is not a notebook; name an .ipynb file")
    shelf = Shelf(Workspace(path.resolve().parent, path.stem))
    try:
        lines = shelf.contents(path.stem)[1]
    finally:
        shelf.close()
    if not lines:
        raise CassetteError(f"nothing is recorded for {path.name}; run it first")
    data = dump(target.stem, lines)
    if len(data) > LARGE and not force:
        raise CassetteError(
            f"the recordings of {path.name} have {len(data) / 1e6:.0f} MB, too much for a notebook"
            f" that people open in a browser; the largest: {largest(lines)}. Hand on the cassette"
            " beside it instead, or pack with --force"
        )
    _write(target, packed.with_cassette(notebook, data), trusted_as=path)
    return Packed(target, len(lines), len(data))


def unpack(path: Path) -> Unpacked:
    """Take the recordings out of a notebook, into the cassette beside it.

    Raises
    ------
    CassetteError
        When the notebook carries none, or a file cannot be read or written; nothing is changed.
    """
    path = path.resolve()
    notebook = packed.read_notebook(path)
    carried = Cassette(path).lines()
    target = Workspace(path.resolve().parent).cassette(path.stem)
    beside = Cassette(target).lines() if target.exists() else {}
    # The cassette first: were we stopped between the two, both have them.
    write(target, path.stem, {**carried, **beside})
    _write(path, packed.with_cassette(notebook, None), trusted_as=path)
    kept = sum(beside[place] != line for place, line in carried.items() if place in beside)
    return Unpacked(target, len(carried), kept)


def _write(path: Path, content: bytes, *, trusted_as: Path) -> None:
    """Write a notebook; one that its owner trusted stays trusted, though its bytes change."""
    signer = _signer(trusted_as)
    try:
        replace(path, content)
    except OSError as error:
        raise CassetteError(f"{path} cannot be written: {error}") from None
    if signer is not None:
        import nbformat

        signer.sign(nbformat.read(path, as_version=nbformat.NO_CONVERT))


def _signer(path: Path) -> Any:
    """Jupyter's notary when it knows the notebook as trusted; None for others."""
    import nbformat
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    try:
        read = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        return notary if notary.check_signature(read) else None
    except nbformat.reader.NotJSONError:
        return None
