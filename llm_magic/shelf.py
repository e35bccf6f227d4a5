"""The recordings of a folder: the working store, and the cassettes beside the notebooks.

The working store is to a cassette what a working tree is to a commit. A :class:`Shelf` is both: it
looks an answer up in the store, then in the cassette, and it saves what is unsaved.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_magic import cassette_index, packed
from llm_magic.cassette import (
    ENDING,
    NOTEBOOK,
    Cassette,
    CassetteChangedError,
    Place,
    Stamp,
    stamp_of,
    write,
)
from llm_magic.config import Workspace
from llm_magic.exceptions import CassetteError, ConfigError, DiskFullError, StoreError
from llm_magic.formats import counted, data_size
from llm_magic.recordings import Recording, Recordings, Variant, dump_line, row_name
from llm_magic.storage import Store, prepare_working_folder, refuse_folder, writable

__all__ = ["Saved", "Shelf", "Status", "Wanted", "parse_sync"]

# Above this a save gives advice: git hosts refuse files of 100 MB, and warn from here on.
LARGE = 50_000_000
# How often a file that changes while it is read is looked at anew.
_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save did: the file, how many recordings it holds, what changed in it.

    ``advice`` says what to do about a file that git hosts will refuse; empty for others.
    ``rewritten``: the file has other bytes now, such as the new name of its notebook.
    """

    path: Path
    total: int
    added: int
    replaced: int
    removed: int
    advice: str = ""
    rewritten: bool = False

    def __str__(self) -> str:
        changes = {"new": self.added, "replaced": self.replaced, "removed": self.removed}
        told = ", ".join(f"{count} {word}" for word, count in changes.items() if count)
        told = told or ("the same, written anew" if self.rewritten else "nothing changed")
        line = f"{self.path.name}: {counted(self.total, 'recording')} ({told})"
        return f"{line}\n{self.advice}" if self.advice else line


@dataclass(frozen=True, slots=True)
class Status:
    """The recordings of a notebook: how many the cassette has, and what is not in it yet."""

    path: Path | None
    in_cassette: int
    unsaved: int
    unnamed: int


@dataclass(slots=True)
class Sync:
    """What we know of a notebook's cassette: its stamp on disk and the generation of its lines."""

    stamp: Stamp | None
    generation: int
    digest: str
    path: Path | None = None
    cassette: Cassette | None = None


def parse_sync(text: str) -> Sync:
    """What the store remembers of a cassette.

    Raises
    ------
    StoreError
        For a text that is not ours.
    """
    try:
        fields = json.loads(text)
        stamp = tuple(fields["stamp"]) if fields["stamp"] else None
        return Sync(stamp, int(fields["generation"]), str(fields["digest"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise StoreError(
            "what the store knows of a cassette is not ours; run %llm cassette repair"
        ) from None


class Wanted(NamedTuple):
    """An answer that would do for a call.

    Attributes
    ----------
    key, ordinal
        Where it is.
    candidate : int
        Which of the models that may answer it is of.
    instead : int or None
        The number of the answer that it would stand in for.
    given_for : str
        It will do only if it was given in place of an answer to the request with this key.
    """

    key: str
    ordinal: int
    candidate: int = 0
    instead: int | None = None
    given_for: str = ""

    def fits(self, recording: Recording) -> bool:
        """Whether it is the answer that is meant."""
        return not self.given_for or recording.instead_of == self.given_for


class _Rows(dict[Place, list[Variant]]):
    """Rows of the store, each read once."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def __missing__(self, place: Place) -> list[Variant]:
        self[place] = variants = self._recordings.variants(*place)
        return variants


class Shelf:
    """The recordings of a folder: the working store and the cassettes beside the notebooks.

    Parameters
    ----------
    workspace : Workspace
        The folder. A folder that cannot be written replays all the same.
    read_only : bool
        Look up only; nothing is written, and no folder is made.
    """

    def __init__(self, workspace: Workspace, *, read_only: bool = False) -> None:
        self.folder = workspace.folder
        self._workspace = workspace
        if not workspace.folder.is_dir():
            raise ConfigError(f"there is no folder {workspace.folder} to work in")
        refuse_folder(workspace.working)
        if not read_only and writable(workspace.working):
            # On a full disk what is recorded is replayed; a new answer tells why it is not stored.
            with contextlib.suppress(DiskFullError):
                prepare_working_folder(workspace.working)
        self.store = Store(workspace.working / "recordings", read_only=read_only)
        self.recordings = Recordings(self.store)
        # What this process used, for a notebook whose name is told only later.
        self.used: set[Place] = set()
        # Where nobody said which notebook runs: the one taken for it, and what was told of it.
        self._taken_for: str | None = None
        self._told: set[tuple[str, str]] = set()
        self._synced: dict[str, Sync] = {}
        self._packed: dict[Path, tuple[Stamp, bool]] = {}
        self._lock = threading.RLock()
        self._full = False

    # Looking up

    def find(self, key: str, ordinal: int, notebook: str | None) -> Recording | None:
        """The answer that a notebook has for a request, or None; see :meth:`find_first`."""
        found = self.find_first([Wanted(key, ordinal)], notebook)
        return found[1] if found is not None else None

    def find_first(
        self, wanted: Sequence[Wanted], notebook: str | None, *, whole: bool = False
    ) -> tuple[Wanted, Recording] | None:
        """The first of several answers that a notebook has, and which of them it is.

        What the notebook has itself, in the store or in its cassette, comes first. Only then comes
        what another notebook of this folder recorded, which it then shares: else what somebody
        records beside it would change what it replays. With the notebook unknown, all are looked
        up, one after the other.

        Parameters
        ----------
        wanted : sequence of Wanted
            What would do, in order.
        whole : bool
            A stream that was closed early will not do.
        """
        try:
            found = self._find_first(wanted, notebook, whole)
        except DiskFullError:
            self._full = True
            try:
                found = self._find_first(wanted, notebook, whole)
            finally:
                self._full = False
        if found is not None:
            self.used.add((found[0].key, found[0].ordinal))
        return found

    @property
    def _fixed(self) -> bool:
        """Whether a look-up writes nothing: what is recorded is read on a full disk, too."""
        return self._full or self.store.read_only

    def _find_first(
        self, wanted: Sequence[Wanted], notebook: str | None, whole: bool
    ) -> tuple[Wanted, Recording] | None:
        rows = _Rows(self.recordings)
        # Where the notebook dropped its answer, or has one that will not do: nobody's stands in.
        decided: set[Place] = set()
        for owner in self._owners(notebook):
            is_own = owner == (notebook or "")
            for one in wanted:
                place = (one.key, one.ordinal)
                line = None if place in decided else self._line_of(owner, *place, rows[place])
                if line is None:
                    continue
                recording = _read(line, place) if line else None
                if recording is None or (whole and recording.closed):
                    if is_own:
                        decided.add(place)
                elif one.fits(recording):
                    if is_own and one.instead is not None and (one.key, one.instead) not in decided:
                        continued = self._continued(one, line, notebook, rows, whole)
                        if continued is not None:
                            return continued
                    if not notebook and owner:
                        self._take_for(owner, recording)
                    return one, recording
        for one in wanted:
            if (one.key, one.ordinal) not in decided:
                shared = self._find_shared(one, notebook, rows, whole)
                if shared is not None:
                    return one, shared
        return None

    def _continued(
        self, one: Wanted, line: str, notebook: str | None, rows: _Rows, whole: bool
    ) -> tuple[Wanted, Recording] | None:
        """The very answer that was wanted, of those whose first answer the notebook shares.

        Two notebooks that ask the same share all answers, so the second one comes from where the
        first one came from.
        """
        assert one.instead is not None
        users = {
            name for each in rows[one.key, one.ordinal] if each.line == line for name in each.users
        }
        exact = one._replace(ordinal=one.instead, instead=None)
        shared = self._find_shared(exact, notebook, rows, whole, among=users)
        return (exact, shared) if shared is not None else None

    def _owners(self, notebook: str | None) -> Iterator[str]:
        """Whose answers come before what is shared: the notebook's; if unknown, everybody's."""
        yield notebook or ""
        if not notebook:
            yield from self._likely_notebooks()

    def _likely_notebooks(self) -> list[str]:
        """Notebooks with a cassette, first the one whose answers were used last."""
        return sorted(self.notebooks(), key=lambda name: (name != self._taken_for, name))

    def _take_for(self, notebook: str, recording: Recording) -> None:
        """Note whose answer was used where nobody said which notebook runs."""
        self._taken_for = notebook
        place = (recording.key, recording.ordinal)
        for other in self.notebooks():
            cassette = self._cassette(other) if other != notebook else None
            if cassette is None or place not in cassette:
                continue
            differs = self._line(other, *place) != recording.to_line()
            if differs and (notebook, other) not in self._told:
                self._told.add((notebook, other))
                warnings.warn(
                    f"{notebook}{ENDING} and {other}{ENDING} answer the same request differently;"
                    f" {notebook} is taken. Set LLM_MAGIC_NOTEBOOK to the notebook that runs",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _line_of(
        self, notebook: str, key: str, ordinal: int, variants: list[Variant]
    ) -> str | None:
        """A notebook's own line: unsaved or saved in the store, else in its cassette.

        Empty where it dropped the answer, None where it has none.
        """
        variant = _used_by(notebook, variants)
        if variant is not None:
            generation = variant.users[notebook]
            if generation is None:
                return variant.line
            sync = self._sync(notebook)
            # Where the cassette was deleted nobody says that it is another by now.
            if generation == sync.generation or sync.stamp is None:
                return variant.line
        if not notebook:
            return None
        line = self._line(notebook, key, ordinal)
        if line is not None:
            self._adopt(key, ordinal, line, notebook)
        else:
            self._forget_stale(key, ordinal, notebook, variants)
        return line

    def _adopt(self, key: str, ordinal: int, line: str, notebook: str) -> None:
        if not self._fixed:
            generation = self._sync(notebook).generation
            self.recordings.put(key, ordinal, line, notebook, generation)

    def _forget_stale(self, key: str, ordinal: int, notebook: str, variants: list[Variant]) -> None:
        # Saved once, and the cassette as it is now does not have it: it was pruned there.
        sync = self._sync(notebook)
        for variant in variants:
            generation = variant.users.get(notebook)
            if generation is not None and generation != sync.generation:
                del variant.users[notebook]
                if not self._fixed:
                    self.recordings.release(key, ordinal, notebook)

    def _find_shared(
        self,
        one: Wanted,
        notebook: str | None,
        rows: _Rows,
        whole: bool,
        among: Collection[str] | None = None,
    ) -> Recording | None:
        """What another notebook has, as it has it now; this one uses it from now on."""
        place = (one.key, one.ordinal)
        others = dict.fromkeys(name for each in rows[place] for name in each.users)
        for other in others:
            if other == notebook or (among is not None and other not in among):
                continue
            line = self._line_of(other, *place, rows[place])
            if not line:
                continue
            recording = _read(line, place)
            if (whole and recording.closed) or not one.fits(recording):
                continue
            if notebook and not self._fixed:
                self.recordings.put(*place, line, notebook)
            return recording
        return None

    # Storing

    def put(self, recording: Recording, notebook: str | None) -> None:
        """Store an answer for a notebook, unsaved. When this returns, it is on disk."""
        line = recording.to_line()
        self.used.add((recording.key, recording.ordinal))
        self.recordings.put(recording.key, recording.ordinal, line, notebook or "")

    def drop_from(
        self, key: str, ordinal: int, notebook: str | None, *, keep: Collection[int] = ()
    ) -> int:
        """Drop the notebook's answers to a request from this ordinal on; returns how many.

        Parameters
        ----------
        keep : collection of int
            Ordinals that stay.
        """
        places = {at for at in self.recordings.ordinals(key) if at >= ordinal}
        if notebook and (cassette := self._cassette(notebook)) is not None:
            places |= {at for at in cassette.ordinals(key) if at >= ordinal}
        return sum(self.drop(key, at, notebook) for at in sorted(places.difference(keep)))

    def drop(self, key: str, ordinal: int, notebook: str | None) -> bool:
        """Drop one answer of the notebook; False when it had none."""
        if self._fixed:
            return False
        mine = _used_by(notebook or "", self.recordings.variants(key, ordinal))
        cassette = self._cassette(notebook) if notebook else None
        saved = cassette is not None and (key, ordinal) in cassette
        if mine is None and not saved:
            return False
        if saved:
            # The cassette would bring it back: this stands for it until the next save.
            self.recordings.put(key, ordinal, "", notebook or "")
        else:
            self.recordings.release(key, ordinal, notebook or "")
        return mine is None or not mine.dropped

    def forget(self, keys: Collection[str]) -> list[Path]:
        """Remove all answers under these keys, of every notebook here, store and cassettes.

        Returns
        -------
        list of pathlib.Path
            The cassettes that held one of them.

        Raises
        ------
        CassetteError
            When a cassette of the folder cannot be read; nothing is removed.
        """
        changed = []
        with self._lock, self.store.erasing():
            cassettes = [(name, at) for name in self.notebooks() for at in self.sources(name)]
            read = [(name, Cassette(at)) for name, at in cassettes]
            for name, cassette in read:
                lines = cassette.lines()
                kept = {place: line for place, line in lines.items() if place[0] not in keys}
                if len(kept) < len(lines):
                    write(cassette.path, name, kept)
                    changed.append(cassette.path)
            for key in keys:
                for ordinal in self.recordings.ordinals(key):
                    self.store.delete(row_name(key, ordinal))
        self.used = {place for place in self.used if place[0] not in keys}
        return changed

    def adopt(self, notebook: str, places: Iterable[Place] | None = None) -> int:
        """Give a notebook answers that it does not have yet; returns how many.

        Parameters
        ----------
        places : iterable of (key, ordinal), optional
            These, whoever recorded them; by default all that were recorded while the notebook's
            name was not known.
        """
        if places is None:
            places = [(key, ordinal) for key, ordinal, _ in self.recordings.used_by("")]
        count = 0
        for key, ordinal in places:
            variants = self.recordings.variants(key, ordinal)
            mine = next((one for one in variants if "" in one.users), None)
            line = next((one.line for one in [mine, *variants] if one is not None), "")
            if line and not any(notebook in one.users for one in variants):
                self.recordings.put(key, ordinal, line, notebook)
                count += 1
            if mine is not None:
                self.recordings.release(key, ordinal, "")
        return count

    # Cassettes

    def cassette_path(self, notebook: str) -> Path:
        """The cassette file of a notebook."""
        return self._workspace.cassette(notebook)

    def source(self, notebook: str) -> Path:
        """Where the notebook's recordings are read from: its cassette, or itself if packed."""
        return next(iter(self.sources(notebook)), self.cassette_path(notebook))

    def sources(self, notebook: str) -> list[Path]:
        """Where the notebook's recordings are kept for others: its cassette, itself if packed.

        The first one counts: a cassette is what is saved to, and newer than what was packed.
        """
        path = self._workspace.notebook_path(notebook)
        cassette = self.cassette_path(notebook)
        return [
            *([cassette] if stamp_of(cassette) is not None else []),
            *([path] if self._is_packed(path) else []),
        ]

    def _is_packed(self, path: Path) -> bool:
        try:
            stamp = stamp_of(path)
        except CassetteError:
            return False
        if stamp is None:
            return False
        known = self._packed.get(path)
        if known is None or known[0] != stamp:
            known = self._packed[path] = (stamp, packed.is_packed(path))
        return known[1]

    def notebooks(self) -> list[str]:
        """Notebooks of this folder that have a cassette, or carry one."""
        cassettes = (path.name for path in self.folder.glob(f"*{ENDING}") if path.is_file())
        carriers = filter(self._is_packed, self.folder.glob(f"*{NOTEBOOK}"))
        names = {name.removesuffix(ENDING) for name in cassettes}
        return sorted(names | {path.stem for path in carriers})

    def unsaved(self, notebook: str) -> dict[Place, str]:
        """Lines that the notebook's cassette does not have yet; empty for a dropped answer."""
        return {
            (key, ordinal): variant.line
            for key, ordinal, variant in self.recordings.used_by(notebook)
            if variant.users[notebook] is None
        }

    def status(self, notebook: str | None) -> Status:
        """How many recordings are saved, unsaved, and without a notebook."""
        cassette = self._cassette(notebook) if notebook else None
        return Status(
            path=self.source(notebook) if notebook else None,
            in_cassette=len(cassette) if cassette is not None else 0,
            unsaved=len(self.unsaved(notebook)) if notebook else 0,
            unnamed=len(self.unsaved("")),
        )

    def save(self, notebook: str) -> Saved:
        """Merge what is unsaved into the cassette as it is now.

        Raises
        ------
        CassetteError
            When the file cannot be read; nothing is written.
        """
        path = self.cassette_path(notebook)
        with self._lock, self.store.transaction():
            sync = self._sync(notebook)
            before, unsaved = self._to_save(notebook)
            lines = _merged(before, unsaved)
            size = 0
            rewritten = False
            if lines or sync.stamp is not None:
                data = write(path, notebook, lines)
                size = len(data)
                digest = hashlib.sha256(data).hexdigest()
                rewritten = sync.path == path and sync.digest != digest
                sync.digest = digest
                sync.stamp, sync.path, sync.cassette = stamp_of(path), path, None
                self._remember(notebook, sync)
            for (key, ordinal), line in unsaved.items():
                if line:
                    self.recordings.mark_saved(key, ordinal, line, notebook, sync.generation)
                else:
                    self.recordings.release(key, ordinal, notebook)
        return Saved(
            path,
            total=len(lines),
            added=len(lines.keys() - before.keys()),
            replaced=sum(before[at] != lines[at] for at in lines.keys() & before.keys()),
            removed=len(before.keys() - lines.keys()),
            advice=_advice(path, size, lines) if size > LARGE else self._packed_advice(notebook),
            rewritten=rewritten,
        )

    def _packed_advice(self, notebook: str) -> str:
        path = self._workspace.notebook_path(notebook)
        if not self._is_packed(path):
            return ""
        return (
            f"{path.name} carries recordings of its own, which are not changed:"
            f" llm-magic pack {path.name} renews them, llm-magic unpack takes them out"
        )

    def contents(self, notebook: str) -> tuple[dict[Place, str], dict[Place, str]]:
        """Lines of the cassette as it is now, and as a save would write it."""
        before, unsaved = self._to_save(notebook)
        return before, _merged(before, unsaved)

    def _to_save(self, notebook: str) -> tuple[dict[Place, str], dict[Place, str]]:
        existing = self._cassette(notebook) if notebook else None
        if existing is not None:
            return existing.lines(), self.unsaved(notebook)
        # The file is gone: what was saved once is written again.
        return {}, {
            (key, ordinal): variant.line
            for key, ordinal, variant in self.recordings.used_by(notebook)
        }

    def load(self, notebook: str) -> int:
        """Bring all of a cassette into the store; returns how many recordings it has."""
        cassette = self._cassette(notebook)
        if cassette is None:
            raise CassetteError(f"{self.cassette_path(notebook)} does not exist")
        for key, ordinal in cassette:
            self.find(key, ordinal, notebook)
        return len(cassette)

    def cassette(self, notebook: str) -> Cassette | None:
        """The cassette of a notebook as it is now, or the one it carries; None without one.

        Raises
        ------
        CassetteError
            When it cannot be read.
        """
        return self._cassette(notebook)

    def _cassette(self, notebook: str) -> Cassette | None:
        with self._lock:
            sync = self._sync(notebook)
            if sync.stamp is None or sync.path is None:
                return None
            if sync.cassette is None:
                known = cassette_index.find(self.store, sync.path, notebook, sync.stamp)
                sync.cassette = known or self._read_whole(sync.path, notebook)
            return sync.cassette

    def _read_whole(self, path: Path, notebook: str) -> Cassette:
        cassette = Cassette(path)
        if not self._fixed:
            cassette_index.keep(self.store, notebook, cassette)
        return cassette

    def _line(self, notebook: str, key: str, ordinal: int) -> str | None:
        """A line of the notebook's cassette as it is now."""
        for _ in range(_PATIENCE):
            cassette = self._cassette(notebook)
            try:
                return cassette.line(key, ordinal) if cassette is not None else None
            except CassetteChangedError:
                # Saved or pulled a moment ago, or the index is not that of the file.
                with self._lock:
                    cassette_index.discard(self.store, notebook)
                    self._sync(notebook).cassette = None
        raise CassetteChangedError(self.cassette_path(notebook))

    def _sync(self, notebook: str) -> Sync:
        """What is known of the cassette; notices when the file was changed by somebody else."""
        path: Path | None = self.cassette_path(notebook)
        stamp = stamp_of(self.cassette_path(notebook))
        if stamp is None:
            path = next(iter(self.sources(notebook)), None)
            stamp = stamp_of(path) if path is not None else None
        known = self._synced.get(notebook)
        if known is not None and known.stamp == stamp:
            return known
        with self._lock:
            if known is None:
                known = self._recall(notebook)
                self._synced[notebook] = known
            known.path = path
            if known.stamp != stamp:
                self._notice_change(notebook, known, stamp)
            return known

    def _notice_change(self, notebook: str, sync: Sync, stamp: Stamp | None) -> None:
        if stamp is None:
            # Deleted: what it had stays in the store, and the next save writes it again.
            sync.stamp = sync.cassette = None
            return
        # Another process may have noticed first, or written the file: one generation for all.
        with contextlib.nullcontext() if self._fixed else self.store.transaction():
            self._renew(notebook, sync, stamp)

    def _renew(self, notebook: str, sync: Sync, stamp: Stamp) -> None:
        assert sync.path is not None
        cassette = self._read_whole(sync.path, notebook)
        stored = self._recall(notebook)
        sync.generation, sync.digest = stored.generation, stored.digest
        sync.stamp, sync.cassette = stamp, cassette
        if sync.digest != cassette.digest:
            sync.generation, sync.digest = sync.generation + 1, cassette.digest
            mine = [
                place
                for place, line in self.unsaved(notebook).items()
                if place in cassette and cassette.line(*place) != line
            ]
            if mine:
                warnings.warn(
                    f"{cassette.path.name} changed; {len(mine)} unsaved recordings differ from it"
                    " and are kept. %llm cassette save writes them into it",
                    RuntimeWarning,
                    stacklevel=2,
                )
        self._remember(notebook, sync)

    def _recall(self, notebook: str) -> Sync:
        stored = self.store.get(f"cassette:{notebook}")
        return parse_sync(stored) if stored is not None else Sync(None, generation=0, digest="")

    def _remember(self, notebook: str, sync: Sync) -> None:
        if not self._fixed:
            fields = {"stamp": sync.stamp, "generation": sync.generation, "digest": sync.digest}
            self.store.set(f"cassette:{notebook}", dump_line(fields))

    def rename(self, old: str, new: str) -> str:
        """Let a notebook that is called otherwise now keep its recordings, saved or not.

        Where its file has the new name only, its cassette moves along. A cassette that the new
        name has already is never overwritten: the notebook gets, unsaved, what that one lacks, and
        what nobody saved yet counts before what is in it, as it does after a pull. What a notebook
        of the new name left in the store without a cassette gives way.

        Returns
        -------
        str
            What its user should know; empty when it moved as people expect.

        Raises
        ------
        CassetteError, StoreError
            When a cassette cannot be read or written, or the store not written.
        """
        gone = not self._workspace.notebook_path(old).exists()
        source, target = self.cassette_path(old), self.cassette_path(new)
        taken = target.exists()
        moves = gone and source.exists() and not taken
        with self._lock, self.store.transaction():
            saved, unsaved = self._to_save(old)
            if moves:
                for place in [left for left in self.unsaved(new) if left in saved]:
                    self.recordings.release(*place, new)
                write(target, new, saved)
                # Noticed before anything is unsaved, or it would seem to have changed below that.
                self._sync(new)
                self._give(new, unsaved)
                told = ""
            else:
                told = self._give_beside(new, _merged(saved, unsaved), old, unsaved)
            if gone:
                for key, ordinal, _ in list(self.recordings.used_by(old)):
                    self.recordings.release(key, ordinal, old)
                self.store.delete(f"cassette:{old}")
                cassette_index.discard(self.store, old)
                self._synced.pop(old, None)
        if moves:
            source.unlink()
        return f"{target.name} was there already and keeps its answers{told}" if told else ""

    def _give(self, notebook: str, lines: Mapping[Place, str]) -> None:
        """Let a notebook use these lines, unsaved."""
        for place, line in lines.items():
            self.recordings.put(*place, line, notebook)

    def _give_beside(
        self, notebook: str, lines: Mapping[Place, str], old: str, unsaved: Collection[Place]
    ) -> str:
        """Give a notebook lines, unsaved, beside a cassette that it may have already.

        Returns
        -------
        str
            What became of them where there is a cassette: the end of a sentence.
        """
        cassette = self._cassette(notebook)
        if cassette is None:
            self._give(notebook, lines)
            return ""
        lacking = {place: line for place, line in lines.items() if place not in cassette}
        other = {
            place: line
            for place, line in lines.items()
            if place in cassette and cassette.line(*place) != line
        }
        winning = {place: line for place, line in other.items() if place in unsaved}
        self._give(notebook, lacking | winning)
        became = {
            "a save adds": len(lacking),
            "were never saved and a save puts in the place of its own": len(winning),
            f"differ and stay in {self.cassette_path(old).name}": len(other) - len(winning),
        }
        found = [f"that {what}: {number}" for what, number in became.items() if number]
        return f"; recordings of {old} {', '.join(found)}" if found else ""

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def _merged(saved: Mapping[Place, str], unsaved: Mapping[Place, str]) -> dict[Place, str]:
    """The lines of a cassette after a save; an empty unsaved line is an answer that goes."""
    lines = {**saved, **unsaved}
    return {place: line for place, line in lines.items() if line}


def largest(lines: Mapping[Place, str]) -> str:
    """The three largest recordings, as beginnings of their keys with their sizes."""
    places = sorted(lines, key=lambda place: -len(lines[place]))[:3]
    return ", ".join(f"{key[:12]} ({data_size(len(lines[key, at]))})" for key, at in places)


def _advice(path: Path, size: int, lines: Mapping[Place, str]) -> str:
    return (
        f"{path.name} has {size / 1e6:.0f} MB, and git hosts refuse files above 100 MB. The largest"
        f" recordings: {largest(lines)}. %llm cassette prune drops what this notebook no longer"
        " uses, %llm forget KEY one recording; else make two notebooks of it, or git lfs track"
        f" '*{ENDING}'"
    )


def _read(line: str, place: Place) -> Recording:
    try:
        recording = Recording.from_line(line)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"a row of the store is not one of ours: {error}") from None
    if (recording.key, recording.ordinal) != place:
        raise StoreError(f"the row {row_name(*place)[:19]}… holds the answer to another request")
    return recording


def _used_by(notebook: str, variants: list[Variant]) -> Variant | None:
    for variant in variants:
        if notebook in variant.users:
            return variant
    return None
