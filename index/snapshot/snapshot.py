"""Snapshots: the readable files of one state of the tables, written aside and then made current in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from index.snapshot.rerank_features import FeatureStore
from index.snapshot.vectors import VectorIndex
from index.sql.catalog import Catalog
from index.storage.atomic_file import replace_file
from index.storage.config import existing_library_config
from index.storage.paths import Library
from schemas.errors import LibraryError

# Snapshots whose files are kept, so that readers of an older one can finish.
_KEPT = 3


def current_snapshot(library: Library) -> Path:
    """The folder of the snapshot that readers open.

    Raises:
        LibraryError: there is no library here, or nothing has been published in it yet.
    """
    existing_library_config(library)
    try:
        number = int(library.current_file.read_text(encoding="ascii"))
    except FileNotFoundError as exc:
        raise LibraryError(
            f"--library: nothing has been published in {str(library.folder)!r} yet; "
            "wait for its first ingest to end, or run it again"
        ) from exc
    except (OSError, ValueError) as exc:
        raise LibraryError(
            f"--library: {str(library.current_file)!r} names no snapshot; run the ingest again to publish one"
        ) from exc
    return library.snapshots / str(number)


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """snapshot.json: the state of the library that a snapshot shows.

    Attributes:
        versions: the Delta version of each table.
        rows: the number of rows of each table in the catalog, of vectors in the index, and of clips with features.
        classifier: stamp of the model behind the labels.
        embedder: stamp of the model behind the vectors.
        recall_at_10: `index.snapshot.vectors.RECALL_AT_10` of the kind of index, by construction and not measured; `vidsift
            evaluate` measures what a search finds.
        published_at: ISO 8601, UTC.
        changes: counts of what the publishing job did, by the names that an ingest reports.
        sha256: of each file beside snapshot.json.
    """

    versions: dict[str, int]
    rows: dict[str, int]
    classifier: str
    embedder: str
    recall_at_10: float
    published_at: str
    changes: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


def read_info(snapshot: Path) -> SnapshotInfo:
    """Reads snapshot.json of the snapshot in a folder.

    Raises:
        LibraryError: it is missing or damaged.
    """
    try:
        info = SnapshotInfo(**json.loads((snapshot / "snapshot.json").read_text(encoding="utf-8")))
        if not {"clips", "vectors"} <= info.rows.keys():
            raise ValueError("it does not say how many rows there are")
        return info
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise LibraryError(f"--library: snapshot {str(snapshot)!r} is damaged ({exc}); run the ingest again") from exc


def publish(library: Library, write: Callable[[Path], SnapshotInfo]) -> Path:
    """Let ``write`` fill a folder aside, then make it the snapshot that readers open.

    Readers see either the old snapshot or the complete new one; a publishing that is stopped leaves the old one current. A
    file whose hash is in what ``write`` returns is not read again to compute it.
    """
    library.snapshots.mkdir(exist_ok=True)
    for leftover in library.snapshots.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # which follows no link
    aside = library.snapshots / f".writing-{os.getpid()}"
    aside.mkdir()
    info = write(aside)
    # Hashing takes 1.6 s a gigabyte; files that are linked from an older snapshot have their hash already.
    known = info.sha256
    info = replace(info, sha256={path.name: known.get(path.name) or file_hash(path) for path in sorted(aside.iterdir())})
    (aside / "snapshot.json").write_text(json.dumps(asdict(info), indent=1) + "\n", encoding="utf-8")
    numbers = snapshot_numbers(library)
    number = numbers[-1] + 1 if numbers else 1
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    target = library.snapshots / str(number)
    aside.rename(target)
    replace_file(library.current_file, f"{number}\n")
    for old in numbers[: -(_KEPT - 1)]:
        for path in (library.snapshots / str(old)).iterdir():
            if path.name != "snapshot.json":  # history and rollback go by it
                path.unlink(missing_ok=True)
    return target


def snapshot_numbers(library: Library) -> list[int]:
    """The numbers of all snapshots there ever were, ascending; of older ones only snapshot.json is left."""
    if not library.snapshots.is_dir():
        return []
    return sorted(int(path.name) for path in library.snapshots.iterdir() if path.name.isdigit())


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Snapshot:
    """The current snapshot of a library, opened for reading."""

    def __init__(self, library: Library, *, memory_mb: int = 4096) -> None:
        """Open the snapshot that CURRENT names; its catalog's queries may take ``memory_mb``.

        Raises:
            LibraryError: no library, nothing published, or a damaged snapshot.
        """
        self._folder = current_snapshot(library)
        self.number = int(self._folder.name)
        self.info = read_info(self._folder)
        self.catalog = Catalog(self._folder / "catalog.duckdb", memory_mb=memory_mb)

    @property
    def folder(self) -> Path:
        """The folder with its files."""
        return self._folder

    def features(self) -> FeatureStore | None:
        """Open the rerank features; None where the library keeps none, or has no clips.

        Raises:
            LibraryError: a file of them is missing or damaged.
        """
        return FeatureStore(self._folder) if self.info.rows.get("features") else None

    def vectors(self) -> VectorIndex:
        """Open the vector index, which a search needs and SQL does not."""
        return VectorIndex(self._folder / "clips.faiss")
