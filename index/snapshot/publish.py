"""Publishes: makes a snapshot of the tables' current versions, and makes it the one that readers open.

What the current snapshot's segments hold stays where it is. New and changed videos go into a new segment, with which small
segments are merged (`index.snapshot.merging`); of videos that are gone or have changed, the old clips are marked as dead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_paths, write_tag_part, write_videos
from index.snapshot.channel_part import PartRef
from index.snapshot.channel_publish import ShownPart, publish_channels, write_annotations
from index.snapshot.clip_sources import ClipSource, NewVideos, SegmentClips, in_parts, lacking_clips, read_new
from index.snapshot.duplicate_publish import write_duplicates
from index.snapshot.merging import MERGED_BY_INGEST, SegmentSize, plan_merge
from index.snapshot.segment import FORMAT, Segment
from index.snapshot.segment_build import EmbedTexts, write_segment, writing_folder
from index.snapshot.snapshot import (
    ANNOTATIONS_FILE,
    DUPLICATES_FILE,
    SegmentRef,
    Snapshot,
    SnapshotInfo,
    dead_file,
    publish,
    tag_file,
)
from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import settle_tags
from schemas.channels import ANNOTATIONS
from schemas.errors import LibraryError

FILES = "files.json"
"""The file of a snapshot that names the Parquet files that its segments were made from."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownSegment:
    """A segment, and the videos of it that the snapshot to be written shows.

    Attributes:
        dead: int64, ascending: numbers of the videos that it does not show.
    """

    segment: Segment
    dead: NDArray[np.int64]

    @property
    def live(self) -> NDArray[np.int64]:
        """Numbers of the videos that the snapshot shows."""
        return np.setdiff1d(np.arange(self.segment.info.videos), self.dead)

    def total(self, column: str) -> int:
        """The sum of a column of `VIDEO_KEYS` over these videos."""
        return int(self.segment.videos[column].to_numpy()[self.live].sum())

    @property
    def size(self) -> SegmentSize:
        """Clips that are shown, and all."""
        return SegmentSize(self.total("clips"), len(self.segment))


def publish_tables(
    library: Library,
    tables: Tables,
    config: LibraryConfig,
    changes: dict[str, int] | None = None,
    *,
    most_merged: int = MERGED_BY_INGEST,
    embed_texts: EmbedTexts | None = None,
) -> int | None:
    """Publish the tables' current versions, unless the current snapshot shows them already.

    Clips that lack the score of one of the library's tags get it first.

    Args:
        library: to publish in.
        tables: of the library, opened for writing.
        config: of the library.
        changes: counts of what the job did, for the history.
        most_merged: the most clips of segments that are merged.
        embed_texts: gives the vectors float32 [texts, dim] of texts, or None, to measure a large segment's recall with.

    Returns:
        The new snapshot's number; None where there is none.

    Raises:
        LibraryError: the tables cannot be read, or the snapshot cannot be written.
    """
    previous = _current_snapshot(library)
    if previous is not None and _is_up_to_date(previous, tables.versions(), most_merged):
        return None
    settle_tags(library, tables, config)
    keys = tables.video_keys()
    shown = [] if previous is None else _still_shown(library, previous.info, keys)
    known = set() if previous is None else _known_files(previous)
    new = _new_videos(keys, shown, tables.parquet_files()[1], tables.feature_files(), known)
    shown = _write_segments(library, config, shown, new, most_merged, embed_texts)
    parts = publish_channels(library, tables, previous.info.parts if previous else (), known, most_merged)
    return publish_segments(library, tables, config, shown, changes, parts)


def publish_segments(
    library: Library,
    tables: Tables,
    config: LibraryConfig,
    shown: Sequence[ShownSegment],
    changes: dict[str, int] | None = None,
    channels: tuple[Sequence[ShownPart], pa.Table] | None = None,
) -> int:
    """Publish segments that hold the clips of the tables' current versions, and what `publish_channels` gave.

    Returns:
        The snapshot's number.

    Raises:
        LibraryError: the tables cannot be read, or the snapshot cannot be written.
    """
    video_files, clip_files = tables.parquet_files()

    def write(folder: Path) -> SnapshotInfo:
        places = places_of([(of.segment.videos, of.live) for of in shown])
        parts, annotations = channels or ((), ANNOTATIONS.empty_table())
        rows = {"videos": write_videos(folder / "videos.duckdb", video_files, places, annotations)}
        write_paths(folder / "paths.arrow", folder / "videos.duckdb")
        refs = []
        for of in shown:
            refs.append(SegmentRef(of.segment.name, *reversed(of.size)))
            if len(of.dead):
                np.save(folder / dead_file(of.segment.name), of.dead)
        rows |= {"clips": sum(ref.live for ref in refs), "labels": sum(of.total("labels") for of in shown), "tags": 0}
        if len(tags := tables.read_tags()):
            paths = [folder / tag_file(of.segment.name) for of in shown]
            rows["tags"] = sum(
                write_tags(path, of.segment.catalog, of.segment.timeline, of.live, tags)
                for path, of in zip(paths, shown, strict=True)
            )
        rows["vectors"] = rows["clips"]
        if config.features != "none":
            rows["features"] = rows["clips"]
        if len(annotations):
            rows["annotations"] = write_annotations(folder / ANNOTATIONS_FILE, parts, annotations)
        if (shared := tables.duplicates.read()) is not None:
            rows["duplicates"] = write_duplicates(folder / DUPLICATES_FILE, shared)
        of_channels = [file for files in tables.channel_files().values() for file in files]
        names = sorted(Path(file).name for file in (*clip_files, *tables.feature_files(), *of_channels))
        (folder / FILES).write_text(json.dumps(names) + "\n", encoding="utf-8")
        return SnapshotInfo(
            versions=tables.versions(),
            rows=rows,
            classifier=config.classifier.stamp,
            embedder=config.embedder.stamp,
            recall_at_10=min((of.segment.recall_at_10 for of in shown), default=1.0),
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            changes={name: count for name, count in (changes or {}).items() if count},
            format=FORMAT,
            segments=tuple(refs),
            dim=config.embedding_dim,
            parts=tuple(PartRef(of.part.name, len(of.part.annotations)) for of in parts),
        )

    return int(publish(library, write).name)


def _current_snapshot(library: Library) -> Snapshot | None:
    """The current snapshot; None where there is none that can be opened."""
    try:
        snapshot = Snapshot(library)
    except LibraryError:
        return None
    snapshot.catalog.close()
    return snapshot


def _is_up_to_date(snapshot: Snapshot, versions: dict[str, int], most_merged: int) -> bool:
    """Whether a snapshot shows exactly these versions, all its files can be opened, and there is nothing to merge."""
    if snapshot.info.format != FORMAT or snapshot.info.versions != versions:
        return False
    if plan_merge([SegmentSize(ref.live, ref.clips) for ref in snapshot.info.segments], 0, most_merged):
        return False
    try:
        for segment in snapshot.clips().segments:
            segment.open_files()
        return all(part.is_whole() for part in snapshot.parts)
    except LibraryError:
        return False


def _still_shown(library: Library, info: SnapshotInfo, keys: pa.Table) -> list[ShownSegment]:
    """The segments of a snapshot that can be read, with the videos that the tables still have."""
    states = _states(keys)
    shown = []
    for ref in info.segments:
        try:
            segment = Segment(library.segments / ref.name)
            segment.open_files()
        except LibraryError:
            continue  # its videos are read from the tables again
        kept = pc.is_in(_states(segment.videos), value_set=states).to_numpy(zero_copy_only=False)
        shown.append(ShownSegment(segment, np.flatnonzero(~kept)))
    return [of for of in shown if len(of.live)]


def _known_files(previous: Snapshot) -> set[str]:
    """The names of the Parquet files that a snapshot's segments were made from."""
    try:
        return set(json.loads((previous.folder / FILES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _states(videos: pa.Table) -> pa.Array:
    """A text for each video that names one state of its clips: indexed again, it has another."""
    texts = pc.binary_join_element_wise(
        videos["video_id"], pc.cast(pc.cast(videos["ingested_at"], pa.int64()), pa.string()), "@"
    )
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _new_videos(
    keys: pa.Table, shown: Sequence[ShownSegment], clip_files: Sequence[str], feature_files: Sequence[str], known: set[str]
) -> NewVideos:
    """The videos that no segment shows, and where their clips are: in files that no segment was made from, or in any."""
    states = [_states(of.segment.videos).take(of.live) for of in shown]
    there = pa.concat_arrays(states) if states else pa.array([], pa.string())
    new = keys.filter(pc.invert(pc.is_in(_states(keys), value_set=there)))
    files = [file for file in clip_files if Path(file).name not in known]
    if known and lacking_clips(files, new):
        files = list(clip_files)
    likely_first = sorted(feature_files, key=lambda file: Path(file).name in known)
    return NewVideos(new.select(["video_id", "ingested_at"]), files, likely_first)


def _write_segments(
    library: Library,
    config: LibraryConfig,
    shown: list[ShownSegment],
    new: NewVideos,
    most_merged: int,
    embed_texts: EmbedTexts | None,
) -> list[ShownSegment]:
    """Write new clips and what is merged with them; the segments that the snapshot then has, the largest first."""
    parts, dim = in_parts(new), config.embedding_dim
    num_new = sum(part.num_clips for part in parts)
    records = sorted({name for of in shown if of.segment.features for name in of.segment.features.files})
    merged = plan_merge([of.size for of in shown], num_new, most_merged) if num_new <= most_merged else []
    written = []
    with writing_folder(library.segments) as scratch:

        def read(part: NewVideos) -> ClipSource:
            return read_new(part, dim, library, scratch, None if config.features == "none" else records)

        def write(sources: Sequence[ClipSource]) -> None:
            written.append(ShownSegment(write_segment(library, sources, dim, scratch, embed_texts), np.empty(0, np.int64)))

        if merged:
            write([*(SegmentClips(shown[position].segment, shown[position].dead) for position in merged), *map(read, parts)])
        else:
            for part in parts:
                write([read(part)])
    kept = [of for position, of in enumerate(shown) if position not in merged]
    return sorted([*kept, *written], key=lambda of: (-len(of.segment), of.segment.name))


def places_of(segments: Sequence[tuple[pa.Table, NDArray[np.int64]]]) -> pa.Table:
    """The place of each video's clips, ``video_id``, ``segment`` and ``video``; segments come as videos and live ones."""
    schema = pa.schema([("video_id", pa.string()), ("segment", pa.int32()), ("video", pa.int32())])
    parts = [
        pa.table([videos["video_id"].take(live), np.full(len(live), number, np.int32), live.astype(np.int32)], schema=schema)
        for number, (videos, live) in enumerate(segments)
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def write_tags(path: Path, catalog: Path, timeline: NDArray[np.void], live: NDArray[np.int64], tags: pa.Table) -> int:
    """Write the rows of ``tags`` that are of a segment's live videos, and return how many there are; no file for none.

    The segment is given by its catalog, its timeline and the numbers of its live videos.
    """
    rows = np.flatnonzero(np.isin(timeline["video"], live))
    at = pc.index_in(tags["clip_id"], value_set=pa.array(np.ascontiguousarray(timeline["clip_id"][rows])))
    part = tags.filter(pc.is_valid(at)).select(["tag", "score", "prompt", "model"])
    numbers = rows[at.drop_null().to_numpy()].astype(np.int32)
    return write_tag_part(path, part.add_column(0, "row", pa.array(numbers)), catalog) if len(part) else 0
