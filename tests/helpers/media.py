"""Videos as the server knows them."""

from __future__ import annotations

import os
from pathlib import Path

from server.media.video_file import VideoFile


def video_file(path: Path, *, track: int | None = None, codec: str | None = None, container: str | None = None) -> VideoFile:
    """The record of a file as it is now."""
    status = os.stat(path)
    return VideoFile(path.name, str(path), status.st_size, status.st_mtime_ns // 1000, codec, container, track)
