"""Snapshots: which segments readers see of a library, and of these which videos. Made aside, then made current in one step.

    snapshots/N/
        snapshot.json        `SnapshotInfo`: counts, the segments, the SHA-256 of every other file
        videos.duckdb        the videos, and where the clips of each are
        paths.arrow          the path of each video that has clips, by segment and number
        dead-SEGMENT.npy     numbers of the segment's videos that the snapshot does not show, if there are any
        tags-SEGMENT.duckdb  the tags of the segment's clips, if there are any
        annotations.duckdb   which annotators have read which videos, and where their rows are, if any has
        duplicates.duckdb    the footage that several videos share, if it was looked for
        files.json           the Parquet files that the segments, the parts of channels and the tags were made from

A file of tags may have rows of dead videos: it is a hard link to that of an earlier snapshot where nothing else would differ
(`index.snapshot.tag_parts`).

A snapshot of format 1, from before there were segments, holds all clips itself (`index.snapshot.format_1`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.snapshot.catalog_build import PATHS
from index.snapshot.channel_part import ChannelPart, PartRef
from index.snapshot.clips import SnapshotClips
from index.snapshot.feature_records import digests_file
from index.snapshot.format_1 import format_1_clips
from index.snapshot.segment import FORMAT, Segment, file_hash
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from index.storage.atomic_file import replace_file
from index.storage.config import existing_library_config
from index.storage.paths import KEPT_SNAPSHOTS, Library
from index.storage.working_copies import push
from schemas.errors import LibraryError

ANNOTATIONS_FILE = "annotations.duckdb"
"""The file of a snapshot by `index.snapshot.channel_publish.write_annotations`."""

FILES = "files.json"
"""The file of a snapshot that names the Parquet files that it was made from."""

DUPLICATES_FILE = "duplicates.duckdb"
"""The file of a snapshot by `index.snapshot.duplicate_publish.write_duplicates`."""


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
            f"nothing has been published in {library.shown!r} yet; wait for its first ingest to end, or run it again"
        ) from exc
    except (OSError, ValueError) as exc:
        raise LibraryError(f"{str(library.current_file)!r} names no snapshot; run the ingest again to publish one") from exc
    return library.snapshots / str(number)


class SegmentRef(NamedTuple):
    """A segment of a snapshot, by name: how many clips it holds, and how many of them the snapshot shows."""

    name: str
    clips: int
    live: int


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """snapshot.json: the state of the library that a snapshot shows.

    Attributes:
        versions: the Delta version of each table.
        rows: the number of rows of each table in the catalog, of vectors in the index, and of clips with features.
        classifier: stamp of the model behind the labels.
        embedder: stamp of the model behind the vectors.
        recall_at_10: the least of the segments' recall of the ten best, as measured when they were written; 1 for those that
            are scanned as a whole. ``vidsift evaluate`` measures what a search finds.
        published_at: ISO 8601, UTC.
        changes: counts of what the publishing job did, by the names that an ingest reports.
        sha256: of each file beside snapshot.json.
        format: of the files.
        segments: in the order of their rows; none in format 1.
        dim: dimension of the vectors; 0 in format 1.
        parts: the parts of channels, in the order of their numbers in annotations.duckdb.
        definitions: digests of the tags' definitions that gave the scores, by name of the tag.
    """

    versions: dict[str, int]
    rows: dict[str, int]
    classifier: str
    embedder: str
    recall_at_10: float
    published_at: str
    changes: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = 1
    segments: tuple[SegmentRef, ...] = ()
    dim: int = 0
    parts: tuple[PartRef, ...] = ()
    definitions: tuple[str, ...] = ()


def read_info(snapshot: Path) -> SnapshotInfo:
    """Reads snapshot.json of the snapshot in a folder.

    Raises:
        LibraryError: it is missing or damaged.
    """
    try:
        info = SnapshotInfo(**json.loads((snapshot / "snapshot.json").read_text(encoding="utf-8")))
        segments, parts = (SegmentRef(*ref) for ref in info.segments), (PartRef(*ref) for ref in info.parts)
        info = replace(info, segments=tuple(segments), parts=tuple(parts), definitions=tuple(info.definitions))
        names = [*(ref.name for ref in info.segments), *(ref.name for ref in info.parts)]
        if odd := [name for name in names if not name.isalnum()]:
            raise ValueError(f"it names the segment {odd[0]!r}")
        if not {"clips", "vectors"} <= info.rows.keys():
            raise ValueError("it does not say how many rows there are")
        return info
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise LibraryError(f"snapshot {str(snapshot)!r} is damaged ({exc}); run the ingest again") from exc


def publish(library: Library, write: Callable[[Path], SnapshotInfo]) -> Path:
    """Let ``write`` fill a folder aside, then make it the snapshot that readers open.

    What ``write`` gives has in ``sha256`` the hashes that are known; the others are computed. Readers see either the old
    snapshot or the complete new one; a publishing that is stopped leaves the old one current.
    Segments that none of the snapshots refers to whose files are kept are deleted.
    """
    library.snapshots.mkdir(exist_ok=True)
    for leftover in library.snapshots.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # which follows no link
    aside = library.snapshots / f".writing-{os.getpid()}"
    aside.mkdir()
    info = write(aside)
    hashes = {path.name: info.sha256.get(path.name) or file_hash(path) for path in sorted(aside.iterdir())}
    info = replace(info, sha256=hashes)
    (aside / "snapshot.json").write_text(json.dumps(asdict(info), indent=1) + "\n", encoding="utf-8")
    numbers = snapshot_numbers(library)
    number = numbers[-1] + 1 if numbers else 1
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    target = library.snapshots / str(number)
    aside.rename(target)
    replace_file(library.current_file, f"{number}\n")
    kept, gone = [*numbers[-(KEPT_SNAPSHOTS - 1) :], number], numbers[: -(KEPT_SNAPSHOTS - 1)]
    for old in gone:
        for path in (library.snapshots / str(old)).iterdir():
            if path.name != "snapshot.json":  # history and rollback go by it
                path.unlink(missing_ok=True)
    _delete_unreferenced(library, [library.snapshots / str(number) for number in kept])
    push(library.folder)
    return target


def _delete_unreferenced(library: Library, snapshots: list[Path]) -> None:
    """Delete the segments, the parts of channels and the files of records that none of these snapshots refers to."""
    infos = []
    for snapshot in snapshots:
        with suppress(LibraryError):  # it cannot be opened in any case
            infos.append(read_info(snapshot))
    _delete_folders(library.channel_parts, {ref.name for info in infos for ref in info.parts})
    _delete_folders(library.segments, {ref.name for info in infos for ref in info.segments})
    records: set[str] = set()
    for folder in library.segments.glob("*"):
        with suppress(LibraryError):
            features = Segment(folder).info.features
            for name in features["files"] if features else ():
                records.update((name, digests_file(name)))
    for file in library.records.glob("*"):
        if file.name not in records:
            file.unlink(missing_ok=True)


def _delete_folders(parent: Path, kept: set[str]) -> None:
    """Delete the folders in ``parent`` but for those with these names."""
    for folder in sorted(parent.glob("*")):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def dead_file(segment: str) -> str:
    """The name of a snapshot's file of the videos of a segment that it does not show."""
    return f"dead-{segment}.npy"


def tag_file(segment: str) -> str:
    """The name of a snapshot's file of the tags of a segment's clips."""
    return f"tags-{segment}.duckdb"


def snapshot_numbers(library: Library) -> list[int]:
    """The numbers of all snapshots there ever were, ascending; of older ones only snapshot.json is left."""
    if not library.snapshots.is_dir():
        return []
    return sorted(int(path.name) for path in library.snapshots.iterdir() if path.name.isdigit())


class Snapshot:
    """The current snapshot of a library, or one of those before, opened for reading."""

    def __init__(self, library: Library, *, number: int | None = None, memory_mb: int = 4096) -> None:
        """Open the snapshot of this number, or the one that CURRENT names; its catalog's queries may take ``memory_mb``.

        Raises:
            LibraryError: no library, nothing published, or a snapshot that is damaged or whose files were deleted.
        """
        self._folder = current_snapshot(library) if number is None else library.snapshots / str(number)
        self.number = int(self._folder.name)
        self.info = read_info(self._folder)
        self._library = library
        if self.info.format > FORMAT:
            raise LibraryError(
                f"snapshot {str(self._folder)!r} has format {self.info.format}, expected {FORMAT} or less; "
                "a newer version of vidsift wrote it: use that one"
            )
        self.catalog = Catalog(self._catalog_files(), memory_mb=memory_mb)

    @property
    def folder(self) -> Path:
        """The folder with its files."""
        return self._folder

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in the order of their rows; none in format 1.

        Raises:
            LibraryError: one is missing or damaged.
        """
        return tuple(Segment(self._library.segments / ref.name) for ref in self.info.segments)

    @cached_property
    def parts(self) -> tuple[ChannelPart, ...]:
        """The parts of channels, in the order of their numbers.

        Raises:
            LibraryError: one is missing or damaged.
        """
        return tuple(ChannelPart(self._library.channel_parts / ref.name) for ref in self.info.parts)

    @cached_property
    def source_files(self) -> frozenset[str]:
        """The names of the Parquet files that it was made from; none where that is not known."""
        try:
            return frozenset(json.loads((self._folder / FILES).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def live_annotations(self, part: int, version: str | None = None) -> dict[int, str]:
        """The annotations of a part of channels that the snapshot shows, by number: the id of each one's video.

        Args:
            part: its number.
            version: of the annotators whose annotations are wanted; None for all.
        """
        live = self._live_annotations[part]
        return {number: video_id for number, (video_id, of) in live.items() if version in (None, of)}

    @cached_property
    def _live_annotations(self) -> list[dict[int, tuple[str, str]]]:
        live: list[dict[int, tuple[str, str]]] = [{} for _ in self.info.parts]
        if live:
            query = "select part, annotation, video_id, version from _annotations.annotations where part is not null"
            for row in self.catalog.sql(query).to_pylist():
                live[row["part"]][row["annotation"]] = row["video_id"], row["version"]
        return live

    def clips(self) -> SnapshotClips:
        """All clips: their times, vectors and features, which a search needs and SQL does not.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        if self.info.format == 1:
            return format_1_clips(self._folder, self.catalog, features=bool(self.info.rows.get("features")))
        return self._clips

    @cached_property
    def _clips(self) -> SnapshotClips:
        dead = [self.dead_videos(ref.name) for ref in self.info.segments]
        return SnapshotClips(self.segments, dead, self.info.dim, self._paths())

    def _paths(self) -> pa.Table:
        """`PATHS`, memory-mapped."""
        path = self._folder / "paths.arrow"
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)
            if table.schema != PATHS:
                raise ValueError(f"got the columns {', '.join(table.column_names)}")
            return table.combine_chunks()
        except (OSError, ValueError, pa.ArrowException) as exc:
            raise LibraryError(f"{str(path)!r} is damaged ({exc}); run the ingest again") from exc

    def dead_videos(self, segment: str) -> NDArray[np.int64]:
        """int64: numbers of the videos of a segment, given by name, that the snapshot does not show.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        path = self._folder / dead_file(segment)
        if path.name not in self.info.sha256:
            return np.empty(0, np.int64)
        try:
            return np.asarray(np.load(path, allow_pickle=False), np.int64)
        except (OSError, ValueError, EOFError, SyntaxError) as exc:
            raise LibraryError(f"{str(path)!r} is damaged ({exc}); run the ingest again") from exc

    def _catalog_files(self) -> Path | CatalogFiles:
        """The files that SQL reads."""
        if self.info.format == 1:
            return self._folder / "catalog.duckdb"
        names = [ref.name for ref in self.info.segments]
        tags = [self._folder / tag_file(name) if tag_file(name) in self.info.sha256 else None for name in names]
        annotations = self._folder / ANNOTATIONS_FILE
        return CatalogFiles(
            self._folder / "videos.duckdb",
            [self._library.segments / name / "clips.duckdb" for name in names],
            tags,
            annotations if annotations.name in self.info.sha256 else None,
            [self._library.channel_parts / ref.name / "rows.duckdb" for ref in self.info.parts],
            self._folder / DUPLICATES_FILE if DUPLICATES_FILE in self.info.sha256 else None,
        )
