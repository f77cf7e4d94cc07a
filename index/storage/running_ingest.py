"""How far a running ingest is, kept beside the library for those who want to know."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from index.storage.atomic_file import replace_file
from index.storage.paths import Library

_STALE_S = 60.0  # after which what nobody has renewed is taken to be left by an ingest that was killed


@dataclass(frozen=True, slots=True)
class RunningIngest:
    """How far a running ingest is.

    Attributes:
        process: its process, and the machine that it runs on.
        updated_s: when this was written, in seconds since 1970.
        done_videos: videos with a final status.
        total_videos: videos to do.
        clips: clips that have been annotated.
        speed: seconds of video annotated per second.
        left_s: seconds until the end at this speed; None while nothing is known of it.
        stages: by stage, the number of items that it has done: files, videos or clips.
    """

    process: str
    updated_s: float
    done_videos: int
    total_videos: int
    clips: int
    speed: float
    left_s: float | None
    stages: dict[str, int]


def write_running_ingest(library: Library, running: RunningIngest) -> None:
    """Keep how far an ingest is. Nothing happens where the disk refuses it: the ingest itself goes on."""
    try:
        replace_file(library.progress_file, json.dumps(asdict(running)))
    except OSError:
        return


def read_running_ingest(library: Library) -> RunningIngest | None:
    """How far the ingest is that is running; None where none is, or nothing is known of it."""
    try:
        running = RunningIngest(**json.loads(library.progress_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if time.time() - running.updated_s < _STALE_S else None
