"""Catalogs of made-up segments, and the same library as the one file that format 1 has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from index.snapshot.catalog_build import write_segment_catalog, write_tag_part, write_videos
from index.sql.catalog_files import CatalogFiles
from schemas.records import VideoFile, VideoInfo, VideoRow
from schemas.tables import CLIPS, LABEL, TAGS, videos_table
from tests.helpers.format_1 import write_catalog

SEGMENT_ROWS = pa.schema(
    [
        ("clip_id", pa.int64()),
        ("video", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("labels", pa.list_(LABEL)),
        ("classifier", pa.string()),
    ]
)
TAG_ROWS = pa.schema(
    [("row", pa.int32()), ("tag", pa.string()), ("score", pa.float32()), ("prompt", pa.string()), ("model", pa.string())]
)


@dataclass(frozen=True)
class MadeClip:
    clip_id: int
    start_s: float
    labels: tuple[tuple[str, float], ...] = ()
    tags: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MadeVideo:
    """A video's clips in a segment; ``path`` is None where the rows are dead."""

    video_id: str
    path: str | None
    clips: tuple[MadeClip, ...]
    width: int = 64


Segments = Sequence[Sequence[MadeVideo]]


def write_segments(folder: Path, segments: Segments, without_clips: Sequence[VideoRow] = ()) -> CatalogFiles:
    """Write a file for each segment, one of videos, and one of tags for each segment that has any."""
    folder.mkdir(parents=True)
    files, tags = [], []
    for number, videos in enumerate(segments):
        files.append(folder / f"clips-{number}.duckdb")
        clips = [(index, clip) for index, video in enumerate(videos) for clip in video.clips]
        write_segment_catalog(files[-1], segment_rows(clips).to_batches())
        rows = [
            {"row": row, "tag": tag, "score": score, "prompt": f"{tag}?", "model": "e@2"}
            for row, (_, clip) in enumerate(clips)
            for tag, score in clip.tags.items()
        ]
        tags.append(folder / f"tags-{number}.duckdb" if rows else None)
        if rows:
            write_tag_part(folder / f"tags-{number}.duckdb", pa.Table.from_pylist(rows, schema=TAG_ROWS), files[-1])
    places = [
        {"video_id": video.video_id, "segment": segment, "video": index}
        for segment, videos in enumerate(segments)
        for index, video in enumerate(videos)
        if video.path is not None
    ]
    schema = pa.schema([("video_id", pa.string()), ("segment", pa.int32()), ("video", pa.int32())])
    parquet = _videos_file(folder, segments, without_clips)
    write_videos(folder / "videos.duckdb", [parquet], pa.Table.from_pylist(places, schema=schema))
    return CatalogFiles(folder / "videos.duckdb", files, tags)


def segment_rows(clips: Sequence[tuple[int, MadeClip]]) -> pa.Table:
    """Rows of one segment, each with the number of its video."""
    rows = [
        {
            "clip_id": clip.clip_id,
            "video": video,
            "start_s": clip.start_s,
            "end_s": clip.start_s + 4,
            "labels": [{"label": label, "score": score} for label, score in clip.labels],
            "classifier": "c@1",
        }
        for video, clip in clips
    ]
    return pa.Table.from_pylist(rows, schema=SEGMENT_ROWS)


def write_one_file(folder: Path, segments: Segments, without_clips: Sequence[VideoRow] = ()) -> Path:
    """The live rows of the same library as one catalog of format 1."""
    folder.mkdir(parents=True)
    live = [(video.video_id, clip) for videos in segments for video in videos if video.path for clip in video.clips]
    clips = [
        {
            "clip_id": clip.clip_id,
            "video_id": video_id,
            "start_s": clip.start_s,
            "end_s": clip.start_s + 4,
            "labels": [{"label": label, "score": score} for label, score in clip.labels],
            "classifier": "c@1",
        }
        for video_id, clip in live
    ]
    tags = [
        {"clip_id": clip.clip_id, "video_id": video_id, "tag": tag, "score": score, "prompt": f"{tag}?", "model": "e@2"}
        for video_id, clip in live
        for tag, score in clip.tags.items()
    ]
    pq.write_table(pa.Table.from_pylist(clips, schema=CLIPS), folder / "clips.parquet")
    pq.write_table(pa.Table.from_pylist(tags, schema=TAGS), folder / "tags.parquet")
    parquet = _videos_file(folder, segments, without_clips)
    write_catalog(folder / "catalog.duckdb", [parquet], [str(folder / "clips.parquet")], [str(folder / "tags.parquet")])
    return folder / "catalog.duckdb"


def _videos_file(folder: Path, segments: Segments, without_clips: Sequence[VideoRow]) -> str:
    rows = [
        VideoRow(VideoInfo(video.video_id, VideoFile(video.path, 10, 0), width=video.width), "indexed", len(video.clips))
        for videos in segments
        for video in videos
        if video.path is not None
    ]
    table = videos_table([*rows, *without_clips], ingested_at=datetime(2026, 1, 2, tzinfo=UTC))
    pq.write_table(table, folder / "videos.parquet")
    return str(folder / "videos.parquet")
