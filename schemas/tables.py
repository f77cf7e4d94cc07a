"""The Arrow schemas of the library's Parquet tables, and how records become rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from schemas.records import ClipRow, VideoFile, VideoInfo, VideoRow, path_text
from schemas.rerank_features import digests_of

LABEL = pa.struct([("label", pa.string()), ("score", pa.float32())])

# The columns of ``clips`` that the classifier and the embedder fill; each stamps its rows. The embedding is a plain list,
# since Delta Lake has no fixed-size one.
CLASSIFIER_COLUMNS = pa.schema([("labels", pa.list_(LABEL)), ("classifier", pa.string())])
EMBEDDER_COLUMNS = pa.schema([("embedding", pa.list_(pa.float32())), ("embedder", pa.string())])

# What every table of clips begins with.
_CLIP_KEYS = [("clip_id", pa.int64()), ("video_id", pa.string())]

# One row per clip.
CLIPS = pa.schema(
    [
        *_CLIP_KEYS,
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        CLASSIFIER_COLUMNS.field("labels"),
        EMBEDDER_COLUMNS.field("embedding"),
        CLASSIFIER_COLUMNS.field("classifier"),
        EMBEDDER_COLUMNS.field("embedder"),
    ]
)

# One row per clip, where the library keeps what rerank scores need. `schemas.rerank_features` says how a record is laid out.
FEATURE_COLUMNS = pa.schema(
    [
        ("digest", pa.int64()),  # names the record by its content
        ("kind", pa.string()),  # int8 or fp16
        ("tokens", pa.int32()),
        ("dim", pa.int32()),
        ("record", pa.binary()),
    ]
)
FEATURES = pa.schema([*_CLIP_KEYS, *FEATURE_COLUMNS])

# One row per video, whatever became of it.
VIDEOS = pa.schema(
    [
        ("video_id", pa.string()),
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", tz="UTC")),
        ("modified_ns", pa.int64()),  # what "unchanged" compares; modified_at is for people
        ("version", pa.string()),  # `VideoFile.version`; null for files on a disk
        ("content_hash", pa.string()),
        ("container", pa.string()),
        ("codec", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("rotation_deg", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("track", pa.int32()),
        ("tracks", pa.int32()),  # how many there are; null in rows from before they were counted
        ("clip_count", pa.int32()),
        ("status", pa.string()),
        ("error_stage", pa.string()),
        ("error", pa.string()),
        ("ingested_at", pa.timestamp("us", tz="UTC")),
    ]
)

# The columns of ``videos`` that tell whether a file has changed.
KNOWN_VIDEOS = pa.schema(
    [
        VIDEOS.field(name)
        for name in (
            "video_id", "path", "size_bytes", "modified_ns", "version", "content_hash", "track", "tracks", "status",
            "error_stage", "ingested_at",
        )
    ]
)  # fmt: skip

# One row per clip and tag, computed from the embeddings by the definitions in tags.json.
TAGS = pa.schema(
    [
        ("clip_id", pa.int64()),
        ("video_id", pa.string()),
        ("tag", pa.string()),
        ("score", pa.float32()),
        ("prompt", pa.string()),
        ("model", pa.string()),
        ("definition", pa.string()),  # which definition gave the score: its digest
    ]
)

_REPEATED = pa.dictionary(pa.int32(), pa.string())

TAG_ROWS = pa.schema(
    [
        ("clip_id", pa.int64()),
        ("tag", _REPEATED),
        ("score", pa.float32()),
        ("prompt", _REPEATED),
        ("model", _REPEATED),
    ]
)
"""What a snapshot takes from ``tags``; each text is held once, since there are as many rows as clips and tags."""


def modified_at(modified_ns: int) -> datetime:
    """A modification time as people read it."""
    return datetime.fromtimestamp(modified_ns / 1e9, UTC)


def clips_table(rows: Sequence[ClipRow], *, classifier: str, embedder: str) -> pa.Table:
    """Rows of ``clips``; ``classifier`` and ``embedder`` stamp which models saw them."""
    return pa.Table.from_pylist(
        [
            {
                "clip_id": row.clip_id,
                "video_id": row.video_id,
                "start_s": row.span.start_s,
                "end_s": row.span.end_s,
                "labels": [label._asdict() for label in row.labels],
                "embedding": row.embedding,
                "classifier": classifier,
                "embedder": embedder,
            }
            for row in rows
        ],
        schema=CLIPS,
    )


def features_table(rows: Sequence[ClipRow]) -> pa.Table:
    """Rows of ``features``, for those clips that have any."""
    kept = [(row, row.features) for row in rows if row.features is not None]
    return pa.table(
        [
            [row.clip_id for row, _ in kept],
            [row.video_id for row, _ in kept],
            digests_of([features.record for _, features in kept]),
            [features.layout.kind for _, features in kept],
            [features.layout.tokens for _, features in kept],
            [features.layout.dim for _, features in kept],
            [features.record for _, features in kept],
        ],
        schema=FEATURES,
    )


def annotator_schema(columns: pa.Schema) -> pa.Schema:
    """The schema of an annotator's own table: one row per clip."""
    return pa.schema([*_CLIP_KEYS, *columns])


def annotator_table(rows: Sequence[ClipRow], table: str, columns: pa.Schema) -> pa.Table:
    """Rows of an annotator's own table, one for each of ``rows``."""
    return pa.Table.from_pylist(
        [{"clip_id": row.clip_id, "video_id": row.video_id, **row.others[table]} for row in rows],
        schema=annotator_schema(columns),
    )


def video_rows_of(table: pa.Table) -> list[VideoRow]:
    """The records behind rows of ``videos``: the reverse of `videos_table`."""
    info = ("container", "codec", "width", "height", "rotation_deg", "fps", "duration_s", "track", "tracks")
    return [
        VideoRow(
            VideoInfo(
                row["video_id"],
                VideoFile(row["path"], row["size_bytes"], row["modified_ns"], row["version"] or ""),
                row["content_hash"],
                **{name: row[name] for name in info},
            ),
            row["status"],
            row["clip_count"],
            row["error_stage"],
            row["error"],
        )
        for row in table.to_pylist()
    ]


def videos_table(rows: Sequence[VideoRow], *, ingested_at: datetime) -> pa.Table:
    """Rows of ``videos``."""
    return pa.Table.from_pylist(
        [
            {
                "video_id": row.video.video_id,
                "path": path_text(row.video.file.path),
                "size_bytes": row.video.file.size_bytes,
                "modified_at": modified_at(row.video.file.modified_ns),
                "modified_ns": row.video.file.modified_ns,
                "version": row.video.file.version or None,
                "content_hash": row.video.content_hash,
                "container": row.video.container,
                "codec": row.video.codec,
                "width": row.video.width,
                "height": row.video.height,
                "rotation_deg": row.video.rotation_deg,
                "fps": row.video.fps,
                "duration_s": row.video.duration_s,
                "track": row.video.track,
                "tracks": row.video.tracks,
                "clip_count": row.clip_count,
                "status": row.status,
                "error_stage": row.error_stage,
                "error": row.error,
                "ingested_at": ingested_at,
            }
            for row in rows
        ],
        schema=VIDEOS,
    )
