"""Publishes tags: for each segment a file of its clips' scores. One that would hold the same is taken over.

A clip's score follows from its embedding and the tag's definition. So a segment's file is the same as in an earlier snapshot
where the definitions are, and where that snapshot showed all videos of the segment that are shown now; scores that were
computed again are compared. Rows of dead videos stay in it; readers leave them out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.catalog_build import read_tag_part, write_tag_part
from index.snapshot.clip_sources import NewVideos
from index.snapshot.segment import FORMAT
from index.snapshot.shown import ShownSegment
from index.snapshot.snapshot import Snapshot, tag_file
from index.storage.tables import Tables
from index.storage.tag_scores import Unscored
from schemas.errors import LibraryError


@dataclass(frozen=True, slots=True, eq=False)
class KnownTags:
    """What there is of the tags before their files are written.

    Attributes:
        snapshots: whose files may be taken over.
        merged: segments of the first of these that were merged into others, and so are not shown any more.
        scored: ids of the videos that have new scores: no file that has others of theirs is taken over.
    """

    snapshots: Sequence[Snapshot] = ()
    merged: Sequence[ShownSegment] = ()
    scored: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))


def unscored_clips(
    snapshot: Snapshot, segments: Sequence[ShownSegment], new: NewVideos, tables: Tables, definitions: tuple[str, ...]
) -> Unscored | None:
    """The clips that lack scores, where that follows from what a snapshot shows; None where all clips must be looked at.

    It follows where the table of tags consists of the files that the snapshot was made from, which hold as many rows as it
    shows: then these are the scores of its clips and of no others. Whatever else was done - a crash, a compaction, changed
    definitions, videos that came back or were indexed again - is not reckoned with here.

    Args:
        snapshot: an earlier one.
        segments: those of its segments that can be read, with the videos that are to be shown now.
        new: the videos that none of these holds.
        tables: of the library.
        definitions: digests of the tags' definitions.
    """
    info = snapshot.info
    is_as_published = (
        info.format == FORMAT
        and info.definitions == definitions
        and {Path(file).name for file in tables.tag_files()} <= snapshot.source_files
        and tables.tags.num_rows == info.rows.get("tags") == info.rows["clips"] * len(definitions)
    )
    if not is_as_published or len(segments) < len(info.segments):
        return None
    video_ids = new.keys["video_id"].combine_chunks()
    for of in segments:
        if not _showed(snapshot, of) or pc.any(pc.is_in(of.segment.videos["video_id"], value_set=video_ids)).as_py():
            return None
    return Unscored(video_ids, new.files)


def write_tag_parts(
    folder: Path, shown: Sequence[ShownSegment], tables: Tables, definitions: tuple[str, ...], known: KnownTags
) -> tuple[int, dict[str, str]]:
    """Write the files of tags of a snapshot, and return how many rows it shows, and the hashes of the files taken over.

    Args:
        folder: the snapshot's.
        shown: the segments that it shows.
        tables: of the library, in which every clip has its scores.
        definitions: digests of the tags' definitions.
        known: what there is already.

    Raises:
        LibraryError: the tables cannot be read, or a file cannot be written.
    """
    hashes, num_rows, rows = dict[str, str](), 0, _Rows(tables, definitions, known)
    for of in shown if definitions else ():
        name, num_of_segment = tag_file(of.segment.name), of.total("clips") * len(definitions)
        if (snapshot := _with_the_same(of, definitions, known, rows)) is not None:
            _link_or_copy(snapshot.folder / name, folder / name)
            hashes[name] = snapshot.info.sha256[name]
            num_rows += num_of_segment
        elif num_of_segment:
            of_segment = _rows_of(of.segment.timeline, of.live, rows.likely)
            if not _is_complete(of_segment, num_of_segment):
                of_segment = _rows_of(of.segment.timeline, of.live, rows.all)
            num_rows += write_tag_part(folder / name, of_segment, of.segment.catalog) if len(of_segment) else 0
    return num_rows, hashes


def write_tags(path: Path, catalog: Path, timeline: NDArray[np.void], live: NDArray[np.int64], tags: pa.Table) -> int:
    """Write the rows of ``tags`` that are of a segment's live videos, and return how many there are; no file for none.

    The segment is given by its catalog, its timeline and the numbers of its live videos.
    """
    rows = _rows_of(timeline, live, tags)
    return write_tag_part(path, rows, catalog) if len(rows) else 0


class _Rows:
    """The rows of the table of tags, `TAG_ROWS`, read when they are needed."""

    def __init__(self, tables: Tables, definitions: tuple[str, ...], known: KnownTags) -> None:
        self._tables, self._definitions, self._known = tables, definitions, known

    @cached_property
    def likely(self) -> pa.Table:
        """Those that were added since the first snapshot, and those of its segments that were merged."""
        first = self._known.snapshots[0] if self._known.snapshots else None
        of_first: Collection[str] = first.source_files if first else ()
        files = [file for file in self._tables.tag_files() if Path(file).name not in of_first]
        rows = [self._tables.read_tag_rows(files)]
        if first is not None and first.info.definitions == self._definitions:
            for of in self._known.merged:
                if tag_file(of.segment.name) in first.info.sha256:
                    rows.append(read_tag_part(first.folder / tag_file(of.segment.name), of.live))
        return pa.concat_tables(rows)

    @cached_property
    def all(self) -> pa.Table:
        """All."""
        return self._tables.read_tag_rows()


def _with_the_same(of: ShownSegment, definitions: tuple[str, ...], known: KnownTags, rows: _Rows) -> Snapshot | None:
    """The snapshot whose file of a segment's tags has all that it should have now; None where there is none."""
    is_scored = pc.is_in(of.segment.videos["video_id"], value_set=known.scored).to_numpy()
    scored = np.intersect1d(of.live, np.flatnonzero(is_scored))
    name = tag_file(of.segment.name)
    for snapshot in known.snapshots:
        has_it = name in snapshot.info.sha256 and snapshot.info.definitions == definitions and _showed(snapshot, of)
        if has_it and (not len(scored) or _has_scores(snapshot.folder / name, scored, rows.likely)):
            return snapshot
    return None


def _has_scores(path: Path, videos: NDArray[np.int64], rows: pa.Table) -> bool:
    """Whether a segment's file has the scores that ``rows`` have of clips of these videos, given by number."""
    stored = read_tag_part(path, videos)
    wanted = rows.filter(pc.is_in(rows["clip_id"], value_set=stored["clip_id"].combine_chunks()))
    schema = pa.schema([("clip_id", pa.int64()), ("tag", pa.string()), ("score", pa.float32())])
    order = [("clip_id", "ascending"), ("tag", "ascending")]
    both = [table.select(schema.names).cast(schema).sort_by(order) for table in (stored, wanted)]
    return bool(both[0].equals(both[1]))


def _showed(snapshot: Snapshot, of: ShownSegment) -> bool:
    """Whether a snapshot that has a segment showed all videos of it that are shown now."""
    with suppress(LibraryError):
        return bool(np.isin(snapshot.dead_videos(of.segment.name), of.dead).all())
    return False


def _link_or_copy(existing: Path, path: Path) -> None:
    """Nothing writes into files of snapshots; and when an old one goes, it takes its own name away."""
    try:
        os.link(existing, path)
    except OSError:  # a file system without hard links
        shutil.copyfile(existing, path)


def _rows_of(timeline: NDArray[np.void], live: NDArray[np.int64], tags: pa.Table) -> pa.Table:
    """The rows of ``tags`` that are of a segment's live videos: "row" of the clip, tag, score, prompt, model."""
    rows = np.flatnonzero(np.isin(timeline["video"], live))
    at = pc.index_in(tags["clip_id"], value_set=pa.array(np.ascontiguousarray(timeline["clip_id"][rows])))
    part = tags.filter(pc.is_valid(at)).select(["tag", "score", "prompt", "model"])
    return part.add_column(0, "row", pa.array(rows[at.drop_null().to_numpy()].astype(np.int32)))


def _is_complete(rows: pa.Table, expected: int) -> bool:
    """Whether there are as many rows as expected, and none of a clip and a tag is there twice."""
    if len(rows) != expected:
        return False
    return len(rows.unify_dictionaries().group_by(["row", "tag"]).aggregate([])) == expected
