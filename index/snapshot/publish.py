"""Publishes: makes a snapshot of the tables' current versions, and makes it the one that readers open.

What the current snapshot's segments hold stays where it is. New and changed videos go into a new segment, with which small
segments are merged (`index.snapshot.merging`); of videos that are gone or have changed, the old clips are marked as dead.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_paths, write_videos
from index.snapshot.channel_part import PartRef
from index.snapshot.channel_publish import ShownPart, publish_channels, write_annotations
from index.snapshot.clip_sources import ClipSource, NewVideos, SegmentClips, in_parts, lacking_clips, read_new
from index.snapshot.duplicate_publish import write_duplicates
from index.snapshot.merging import MERGED_BY_INGEST, SegmentSize, plan_merge
from index.snapshot.segment import FORMAT
from index.snapshot.segment_build import EmbedTexts, write_segment, writing_folder
from index.snapshot.shown import ShownSegment, readable_segments, video_states
from index.snapshot.snapshot import (
    ANNOTATIONS_FILE,
    DUPLICATES_FILE,
    FILES,
    SegmentRef,
    Snapshot,
    SnapshotInfo,
    dead_file,
    publish,
)
from index.snapshot.tag_parts import KnownTags, unscored_clips, write_tag_parts
from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import settle_tags
from index.storage.tags_file import tag_digests
from schemas.channels import ANNOTATIONS
from schemas.errors import LibraryError


def publish_tables(
    library: Library,
    tables: Tables,
    config: LibraryConfig,
    changes: dict[str, int] | None = None,
    *,
    most_merged: int = MERGED_BY_INGEST,
    embed_texts: EmbedTexts | None = None,
    rolled_back_to: int | None = None,
) -> int | None:
    """Publish the tables' current versions, unless the current snapshot shows them already.

    Clips that lack the score of one of the library's tags get it first. The current snapshot's segments stay as they are, or
    those of the snapshot that the tables were rolled back to, as long as its files are there.

    Args:
        library: to publish in.
        tables: of the library, opened for writing.
        config: of the library.
        changes: counts of what the job did, for the history.
        most_merged: the most clips of segments that are merged.
        embed_texts: gives the vectors float32 [texts, dim] of texts, or None, to measure a large segment's recall with.
        rolled_back_to: the number of the snapshot whose versions the tables were restored to.

    Returns:
        The new snapshot's number; None where there is none.

    Raises:
        LibraryError: the tables cannot be read, or the snapshot cannot be written.
    """
    previous = _snapshot(library)
    if previous is not None and _is_up_to_date(previous, tables.versions(), most_merged):
        return None
    earlier = [] if previous is None else [previous]
    if rolled_back_to is not None and (target := _snapshot(library, rolled_back_to)) is not None and _is_whole(target):
        earlier.insert(0, target)
    base = earlier[0] if earlier else None
    keys = tables.video_keys()
    readable = [] if base is None else readable_segments(library, base.info, keys)
    shown = [of for of in readable if len(of.live)]
    known = frozenset[str]() if base is None else base.source_files
    new = _new_videos(keys, shown, tables.parquet_files()[1], tables.feature_files(), known)
    unscored = None if base is None else unscored_clips(base, readable, new, tables, tag_digests(library))
    scored = settle_tags(library, tables, config, unscored)
    kept, written = _write_segments(library, config, shown, new, most_merged, embed_texts)
    parts = publish_channels(library, tables, base.info.parts if base else (), known, most_merged)
    tags = KnownTags(earlier, [of for of in shown if of not in kept], scored)
    shown = sorted([*kept, *written], key=lambda of: (-len(of.segment), of.segment.name))
    return publish_segments(library, tables, config, shown, changes, parts, tags)


def publish_segments(
    library: Library,
    tables: Tables,
    config: LibraryConfig,
    shown: Sequence[ShownSegment],
    changes: dict[str, int] | None = None,
    channels: tuple[Sequence[ShownPart], pa.Table] | None = None,
    tags: KnownTags | None = None,
) -> int:
    """Publish segments that hold the clips of the tables' current versions, and what `publish_channels` gave.

    Files of tags are written anew, but for those that ``tags`` has.

    Returns:
        The snapshot's number.

    Raises:
        LibraryError: the tables cannot be read, or the snapshot cannot be written.
    """
    video_files, clip_files = tables.parquet_files()
    definitions = tag_digests(library)

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
        rows |= {"clips": sum(ref.live for ref in refs), "labels": sum(of.total("labels") for of in shown)}
        rows["tags"], hashes = write_tag_parts(folder, shown, tables, definitions, tags or KnownTags())
        rows["vectors"] = rows["clips"]
        if config.features != "none":
            rows["features"] = rows["clips"]
        if len(annotations):
            rows["annotations"] = write_annotations(folder / ANNOTATIONS_FILE, parts, annotations)
        if (shared := tables.duplicates.read()) is not None:
            rows["duplicates"] = write_duplicates(folder / DUPLICATES_FILE, shared)
        of_channels = [file for files in tables.channel_files().values() for file in files]
        of_clips = (*clip_files, *tables.feature_files(), *tables.tag_files())
        names = sorted(Path(file).name for file in (*of_clips, *of_channels))
        (folder / FILES).write_text(json.dumps(names) + "\n", encoding="utf-8")
        return SnapshotInfo(
            versions=tables.versions(),
            rows=rows,
            classifier=config.classifier.stamp,
            embedder=config.embedder.stamp,
            recall_at_10=min((of.segment.recall_at_10 for of in shown), default=1.0),
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            changes={name: count for name, count in (changes or {}).items() if count},
            sha256=hashes,
            format=FORMAT,
            segments=tuple(refs),
            dim=config.embedding_dim,
            parts=tuple(PartRef(of.part.name, len(of.part.annotations)) for of in parts),
            definitions=definitions,
        )

    return int(publish(library, write).name)


def _snapshot(library: Library, number: int | None = None) -> Snapshot | None:
    """The snapshot of this number, or the current one; None where it cannot be opened."""
    try:
        snapshot = Snapshot(library, number=number)
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
    return _is_whole(snapshot)


def _is_whole(snapshot: Snapshot) -> bool:
    """Whether all files of a snapshot can be opened."""
    try:
        for segment in snapshot.clips().segments:
            segment.open_files()
        return all(part.is_whole() for part in snapshot.parts)
    except LibraryError:
        return False


def _new_videos(
    keys: pa.Table,
    shown: Sequence[ShownSegment],
    clip_files: Sequence[str],
    feature_files: Sequence[str],
    known: Collection[str],
) -> NewVideos:
    """The videos that no segment shows, and where their clips are: in files that no segment was made from, or in any."""
    states = [video_states(of.segment.videos).take(of.live) for of in shown]
    there = pa.concat_arrays(states) if states else pa.array([], pa.string())
    new = keys.filter(pc.invert(pc.is_in(video_states(keys), value_set=there)))
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
) -> tuple[list[ShownSegment], list[ShownSegment]]:
    """Write new clips and what is merged with them; the segments that stay, and those that were written."""
    parts, dim = in_parts(new), config.embedding_dim
    num_new = sum(part.num_clips for part in parts)
    records = sorted({name for of in shown if of.segment.features for name in of.segment.features.files})
    merged = plan_merge([of.size for of in shown], num_new, most_merged) if num_new <= most_merged else []
    written = list[ShownSegment]()
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
    return [of for position, of in enumerate(shown) if position not in merged], written


def places_of(segments: Sequence[tuple[pa.Table, NDArray[np.int64]]]) -> pa.Table:
    """The place of each video's clips, ``video_id``, ``segment`` and ``video``; segments come as videos and live ones."""
    schema = pa.schema([("video_id", pa.string()), ("segment", pa.int32()), ("video", pa.int32())])
    parts = [
        pa.table([videos["video_id"].take(live), np.full(len(live), number, np.int32), live.astype(np.int32)], schema=schema)
        for number, (videos, live) in enumerate(segments)
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()
