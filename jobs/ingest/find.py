"""Lists the sources' video files, and starts Ray at the first one that is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources.find import Choice, PassedOver, find_videos
from schemas.errors import VideoError
from schemas.records import VideoFile, path_text


def list_files(
    sources: Sequence[str | Path],
    choice: Choice,
    known_videos: pa.Table,
    *,
    rehash: bool,
    passed_over: PassedOver,
    on_new: Callable[[], None],
) -> list[VideoFile | tuple[VideoFile, VideoError]]:
    """List the video files of ``sources``; one that cannot be opened comes with its error.

    Args:
        sources: folders and files, by absolute paths.
        choice: which files are wanted.
        known_videos: as `index.storage.tables.Tables.known_videos` gives them.
        rehash: look into files of known size and time too.
        passed_over: takes what is not listed.
        on_new: called for each file that is new beyond doubt: its size is that of no known video.
    """
    known_sizes = set(known_videos["size_bytes"].to_pylist())
    is_known = _recogniser(known_videos) if not rehash else lambda file: False
    files: list[VideoFile | tuple[VideoFile, VideoError]] = []
    for item in find_videos(sources, choice=choice, is_known=is_known, passed=passed_over):
        files.append(item)
        if isinstance(item, VideoFile) and item.size_bytes not in known_sizes:  # neither known nor moved
            on_new()
    return files


def _recogniser(known_videos: pa.Table) -> Callable[[VideoFile], bool]:
    """A function that says of a file whether it was indexed, at least in part, and has the same size and time."""
    indexed = known_videos.filter(pc.not_equal(known_videos["status"], "failed"))
    stamps = set(zip(*(indexed[name].to_pylist() for name in ("path", "size_bytes", "modified_ns")), strict=True))
    return lambda file: (path_text(file.path), file.size_bytes, file.modified_ns) in stamps
