"""A library that has every kind of file, made from real videos by the real steps, and without Ray."""

from __future__ import annotations

from pathlib import Path

from index.snapshot.publish import publish_tables
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.make_job import make_job
from jobs.tag.tag import tag
from pipeline.decoders.registry import load_decoder
from pipeline.process import annotate_video
from schemas.models import Checkpoint
from schemas.options import IngestOptions, Sampling
from schemas.records import ClipRow, SpanDone, VideoFile, VideoRow, Written
from tests.helpers.videos import write_video

SAMPLING = Sampling(window_s=2.0, stride_s=2.0)
TAG = "falling down"


def write_whole(root: Path, classifier: Checkpoint, embedder: Checkpoint) -> Path:
    """The library ``root/library`` of ``root/videos``: a.mp4 of five clips, b.mp4 of two, and a tag.

    Each was published by itself: its third snapshot is current.
    """
    (root / "videos").mkdir(parents=True)
    library = Library(root / "library")
    for folder in (library.videos, library.clips, library.features):
        folder.mkdir(parents=True)
    identity = LibraryConfig(classifier, embedder, SAMPLING, "int8")
    write_library_config(library, identity)
    job = make_job(library, identity, IngestOptions())
    annotators = job.load_annotators().annotators
    tables = Tables(library, features=True)
    for name, num_frames in (("a.mp4", 250), ("b.mp4", 100)):
        path = write_video(root / "videos" / name, num_frames)
        file = VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns)
        found = list(annotate_video(file, SAMPLING, annotators, load_decoder("pyav")))
        rows = [item for item in found if isinstance(item, ClipRow)]
        (done,) = (item for item in found if isinstance(item, SpanDone))
        written = job.write(rows)
        assert isinstance(written, Written)
        tables.commit_clips([written])
        tables.commit_videos([VideoRow(done.video, "indexed", len(rows))], replace_paths=False)
        publish_tables(library, tables, identity, {"indexed": 1, "clips": len(rows)})
    tag(library.folder, [TAG])
    return library.folder
