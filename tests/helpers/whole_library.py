"""A library that has every kind of file, ingested from real videos by real models, and without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.ingest.ingest import ingest
from jobs.tag.tag import tag
from schemas.models import Checkpoint
from schemas.options import IngestOptions
from tests.helpers.inline_run import run_inline
from tests.helpers.videos import write_video

WINDOW_S = 2.0
TAG = "falling down"


def write_whole(root: Path, classifier: Checkpoint, embedder: Checkpoint) -> Path:
    """The library ``root/library`` of ``root/videos``: a.mp4 of five clips, b.mp4 of two, and a tag.

    Each was published by itself: its third snapshot is current.
    """
    (root / "videos").mkdir(parents=True)
    library = root / "library"
    with pytest.MonkeyPatch.context() as patch:
        run_inline(patch)
        for name, num_frames in (("a.mp4", 250), ("b.mp4", 100)):
            write_video(root / "videos" / name, num_frames)
            ingest(
                [root / "videos"],
                library,
                classifier=classifier.folder,
                embedder=embedder.folder,
                window_s=WINDOW_S,
                options=IngestOptions(decoder="pyav"),
            )
    tag(library, [TAG])
    return library
