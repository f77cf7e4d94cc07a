"""Verifies a library: its tables, its features, its tags and its current snapshot agree, and every hash holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_videos
from index.snapshot.channel_publish import rebuild_channels
from index.snapshot.clip_sources import NewVideos, clip_batches, in_parts
from index.snapshot.clips import SnapshotClips
from index.snapshot.duplicate_publish import write_duplicates
from index.snapshot.feature_records import read_features
from index.snapshot.publish import places_of
from index.snapshot.segment import Segment, hash_or_none
from index.snapshot.segment_build import write_catalog_of
from index.snapshot.snapshot import Snapshot
from index.snapshot.tag_parts import write_tags
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions
from schemas.errors import LibraryError
from schemas.rerank_features import digests_of
from schemas.sql import FORMAT_1_TABLES, TABLES
from schemas.tables import FEATURES

_INGEST_AGAIN = "run the ingest of its folders again"
_PUT_BACK = "delete the video's file from its folder, ingest, and put it back"
_ANNOTATE_AGAIN = "take the annotator out and let it read again: vidsift annotate --remove, then vidsift annotate"
_TAGS_AGAIN = "delete the folder tags, and run the ingest of any of the library's folders again: it is computed anew"
_PUBLISH_AGAIN = "delete CURRENT and the folder snapshots, and run the ingest of any of its folders again: they are rebuilt"


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant that was checked.

    Attributes:
        what: the invariant, as a sentence.
        breach: what is wrong; None where it holds.
        remedy: what to do about a breach.
    """

    what: str
    breach: str | None = None
    remedy: str = ""

    def __str__(self) -> str:
        """The invariant; where it does not hold, also the breach and its remedy."""
        return self.what if self.breach is None else f"{self.what}: {self.breach}; {self.remedy}"


def verify(folder: Path) -> list[Check]:
    """Check every invariant of a library. Nothing is written.

    Raises:
        LibraryError: there is no library to check.
    """
    with open_for_writing(folder, read_only=True) as (library, config, tables):
        readable = "the tables' files are there and can be read"
        try:
            videos, clips = tables.read()
            visible = clips["clip_id"].filter(pc.is_in(clips["video_id"], value_set=videos["video_id"].combine_chunks()))
            tags = tables.read_tags()
            channels = list(_check_channels(tables, videos))
            features = list(_check_features(tables, clips, visible.to_numpy())) if config.features != "none" else []
        except LibraryError as exc:
            unreadable = Check(readable, str(exc), "restore them from a backup, or ingest into a new folder")
            return [unreadable, *_check_snapshot(library, tables, None)]
        return [
            Check(readable),
            *_check_tables(videos, clips),
            *features,
            *channels,
            *_check_tags(videos, tags, visible, [tag.digest for tag in read_definitions(library).tags]),
            *_check_snapshot(library, tables, visible.to_numpy()),
        ]


def _check_tables(videos: pa.Table, clips: pa.Table) -> Iterator[Check]:
    """Check the rows of ``videos`` and ``clips``."""
    yield _none("every video has one row", _repeated(videos["video_id"]), _INGEST_AGAIN)
    yield _none("every path has one row", _repeated(videos["path"]), _INGEST_AGAIN)
    yield _none("every clip has one row", _repeated(clips["clip_id"]), _INGEST_AGAIN)
    counted = dict(zip(*_counts(clips["video_id"]), strict=True))
    wrong = [
        f"{row['path']} says {row['clip_count']} clips and has {counted.get(row['video_id'], 0)}"
        for row in videos.select(["video_id", "path", "clip_count"]).to_pylist()
        if row["clip_count"] != counted.get(row["video_id"], 0)
    ]
    yield _none("every video has the clips that it says", wrong, _PUT_BACK)
    whole = pc.and_(pc.greater_equal(clips["start_s"], 0.0), pc.greater(clips["end_s"], clips["start_s"]))
    yield _none("every clip's times are an interval", clips["clip_id"].filter(pc.invert(whole)).to_pylist(), _INGEST_AGAIN)
    failed = pc.and_(pc.not_equal(videos["status"], "indexed"), pc.is_null(videos["error"]))
    yield _none("every video that is not whole has its reason", videos["path"].filter(failed).to_pylist(), _INGEST_AGAIN)
    lengths = {length for length in pc.unique(pc.list_value_length(clips["embedding"])).to_pylist()}
    yield _none(
        "all embeddings have one dimension", sorted(lengths, key=str) if len(lengths) > 1 else [], "ingest into a new folder"
    )


def _check_features(tables: Tables, clips: pa.Table, visible: NDArray[np.int64]) -> Iterator[Check]:
    """Check the features for rerank scores, reading all: each visible clip has one record, as it was computed."""
    layouts = set()
    ids: list[int] = []
    damaged: list[int] = []
    for file in tables.feature_files():
        for batch in read_features(file, FEATURES.names):
            batch_ids = batch["clip_id"].to_numpy()
            ids += batch_ids.tolist()
            as_computed = digests_of(batch["record"].to_pylist()) == batch["digest"].to_numpy()
            owners = clips["video_id"].take(pc.index_in(batch["clip_id"], value_set=clips["clip_id"].combine_chunks()))
            misplaced = np.array(owners.to_pylist(), object) != np.array(batch["video_id"].to_pylist(), object)
            damaged += batch_ids[~as_computed | (misplaced & np.isin(batch_ids, visible))].tolist()
            layouts |= set(zip(*(batch[name].to_pylist() for name in ("kind", "tokens", "dim")), strict=True))
    present = np.array(ids, np.int64)
    once, counts = np.unique(present[np.isin(present, visible)], return_counts=True)
    wrong = [*np.setdiff1d(visible, once).tolist(), *once[counts > 1].tolist()]
    yield _none("every clip has its features, once", [f"clip {i}" for i in wrong], _PUT_BACK)
    breaches = [f"those of clip {i}" for i in damaged] + ["they are laid out in several ways"] * (len(layouts) > 1)
    yield _none("features are as they were computed", breaches, _PUT_BACK)


def _check_tags(videos: pa.Table, tags: pa.Table, visible: pa.ChunkedArray, digests: list[str]) -> Iterator[Check]:
    """Check the tags of the visible clips; rows of other clips are deleted by the next ingest or compaction."""
    tags = tags.filter(pc.is_in(tags["video_id"], value_set=videos["video_id"].combine_chunks()))
    without_clip = pc.invert(pc.is_in(tags["clip_id"], value_set=visible.combine_chunks()))
    yield _none("every tag is a clip's", tags["clip_id"].filter(without_clip).to_pylist(), _TAGS_AGAIN)
    counted = dict(zip(*_counts(tags["definition"]), strict=True))
    scored = tags.group_by(["clip_id", "definition"]).aggregate([]).num_rows
    whole = counted == {digest: len(visible) for digest in digests if len(visible)} and scored == len(tags)
    yield Check("every clip has each tag once", None if whole else "some lack one, or have it twice", _TAGS_AGAIN)


def _check_channels(tables: Tables, videos: pa.Table) -> Iterator[Check]:
    """Check the rows of annotators of whole videos; those that no annotation shows are deleted by the next job."""
    annotations = tables.channels.read_annotations(["annotation_id", "video_id", "annotator", "num_rows"])
    if not len(annotations):
        return
    annotations = annotations.filter(pc.is_in(annotations["video_id"], value_set=videos["video_id"].combine_chunks()))
    keys = pc.binary_join_element_wise(annotations["annotator"], annotations["video_id"], " of ")
    yield _none("every annotator has read a video once", _repeated(keys), _ANNOTATE_AGAIN)
    counted = dict(zip(*_counts(tables.channels.read_row_ids()), strict=True))
    wrong = [
        f"{row['annotator']} of {row['video_id']} says {row['num_rows']} and has {counted.get(row['annotation_id'], 0)}"
        for row in annotations.to_pylist()
        if row["num_rows"] != counted.get(row["annotation_id"], 0)
    ]
    yield _none("every annotator has the rows of a video that it says", wrong, _ANNOTATE_AGAIN)


def _check_snapshot(library: Library, tables: Tables, visible: NDArray[np.int64] | None) -> Iterator[Check]:
    """Check the current snapshot against the tables.

    Args:
        library: the library.
        tables: its tables.
        visible: int64 [n], ids of the clips that readers should see; None where the tables cannot be read.
    """
    try:
        snapshot = Snapshot(library)
        clips = snapshot.clips()
        for segment in clips.segments:
            segment.open_files()
        parts = snapshot.parts
    except LibraryError as exc:
        yield Check("the current snapshot can be opened", str(exc), _PUBLISH_AGAIN)
        return
    yield Check("the current snapshot can be opened")
    changed = [name for name, digest in snapshot.info.sha256.items() if hash_or_none(snapshot.folder / name) != digest]
    changed += [f"{segment.name}/{name}" for segment in clips.segments for name in segment.changed_files()]
    changed += [f"{part.name}/{name}" for part in parts for name in part.changed_files()]
    changed += _changed_records(library, clips.segments)
    yield _none("its files are as they were written", changed, _PUBLISH_AGAIN)
    try:
        yield from _check_contents(snapshot, clips, tables, visible)
    except LibraryError as exc:
        yield Check("its files can be read", str(exc), _PUBLISH_AGAIN)


def _changed_records(library: Library, segments: Sequence[Segment]) -> list[str]:
    """The files of records that are not as they were written: each is named by the beginning of its hash."""
    names = {name for segment in segments if segment.info.features for name in segment.info.features["files"]}
    return [name for name in sorted(names) if not (hash_or_none(library.records / name) or "").startswith(Path(name).stem)]


def _check_contents(
    snapshot: Snapshot, clips: SnapshotClips, tables: Tables, visible: NDArray[np.int64] | None
) -> Iterator[Check]:
    """Check that the catalog, the vectors and the features of a snapshot agree, with each other and with the tables."""
    shown = snapshot.catalog.sql("select clip_id from clips")["clip_id"].to_numpy()
    alike = np.array_equal(np.sort(shown), np.sort(clips.ids()))
    yield Check("its catalog and its index hold the same clips", None if alike else "they differ", _PUBLISH_AGAIN)
    if snapshot.info.rows.get("features"):
        alike = clips.have_features()
        yield Check("its catalog and its features hold the same clips", None if alike else "they differ", _PUBLISH_AGAIN)
    if snapshot.info.versions != tables.versions():
        yield Check("it shows what the tables hold", "something was committed and not published", _INGEST_AGAIN)
        return
    if visible is not None:
        alike = np.array_equal(np.sort(shown), np.sort(visible))
        differing = _differing_contents(snapshot, clips, tables) if alike else ["clips"]
        breach = f"they differ in {', '.join(differing)}: the one or the other is damaged" if differing else None
        yield Check("it shows what the tables hold", breach, _PUBLISH_AGAIN)


def _differing_contents(snapshot: Snapshot, clips: SnapshotClips, tables: Tables) -> list[str]:
    """Names of the tables, and ``embeddings``, that would differ in a new snapshot of the same tables."""
    videos, files = tables.parquet_files()
    keys = tables.video_keys()
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        parts = in_parts(NewVideos(keys, files, ()))
        catalogs = [scratch / f"{number}.duckdb" for number in range(len(parts))]
        written = [write_catalog_of(path, part, clips.dim, scratch) for path, part in zip(catalogs, parts, strict=True)]
        live = [np.arange(len(part.videos)) for part in written]
        places = places_of([(part.videos, of) for part, of in zip(written, live, strict=True)])
        annotations, channels = rebuild_channels(tables, scratch)
        write_videos(scratch / "videos.duckdb", videos, places, annotations)
        rows = tables.read_tag_rows()
        tags = [scratch / f"tags-{number}.duckdb" for number in range(len(written))]
        counts = [
            write_tags(path, catalog, part.timeline, of, rows)
            for path, catalog, part, of in zip(tags, catalogs, written, live, strict=True)
        ]
        parts_of_tags = [path if count else None for path, count in zip(tags, counts, strict=True)]
        shared, duplicates = tables.duplicates.read(), None
        if shared is not None:
            duplicates = scratch / "duplicates.duckdb"
            write_duplicates(duplicates, shared)
        catalog = Catalog(CatalogFiles(scratch / "videos.duckdb", catalogs, parts_of_tags, *channels, duplicates))
        names = [table.name for table in TABLES if snapshot.info.format > 1 or table in FORMAT_1_TABLES]
        differing = [name for name in names if not _same_rows(catalog, snapshot.catalog, name)]
        catalog.close()
    return differing if _same_vectors(clips, files, keys["video_id"]) else [*differing, "embeddings"]


def _same_rows(catalog: Catalog, published: Catalog, table: str) -> bool:
    """Whether two catalogs hold the same rows of a table, in the columns that were published."""
    columns = published.columns(table)
    return catalog.fingerprint(table, columns) == published.fingerprint(table, columns)


def _same_vectors(clips: SnapshotClips, files: Sequence[str], video_ids: pa.ChunkedArray) -> bool:
    """Whether the vectors of a snapshot are the embeddings of the tables, or what is left of them in half precision."""
    for batch in clip_batches(files, video_ids, ["video_id", "clip_id", "embedding"]):
        embeddings = pc.list_flatten(batch["embedding"]).to_numpy().reshape(-1, clips.dim)
        vectors = clips.vectors_at(clips.rows_of(batch["clip_id"].to_numpy()))
        with np.errstate(over="ignore"):  # of damaged embeddings
            halves = embeddings.astype(np.float16)
        if not np.array_equal(vectors, embeddings) and not np.array_equal(vectors, halves):
            return False
    return True


def _none(what: str, offenders: list[object] | list[str] | list[int], remedy: str) -> Check:
    """A check that holds where there are no offenders; its breach names the first three."""
    if not offenders:
        return Check(what)
    more = f" and {len(offenders) - 3} more" if len(offenders) > 3 else ""
    return Check(what, f"{', '.join(map(str, offenders[:3]))}{more}", remedy)


def _counts(column: pa.ChunkedArray) -> tuple[list[object], list[int]]:
    """The distinct values of a column, and how often each occurs."""
    counted = pc.value_counts(column)
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _repeated(column: pa.ChunkedArray) -> list[object]:
    """The values that occur more than once."""
    return [value for value, count in zip(*_counts(column), strict=True) if count > 1]
