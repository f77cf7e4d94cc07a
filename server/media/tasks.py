"""The work of rendering, as functions that a process of its own runs: each opens the checked file, and writes one output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.previews.frames import span_frames
from pipeline.previews.pictures import write_jpeg, write_webp
from pipeline.previews.streams import Streams, read_streams
from pipeline.probe import probe
from pipeline.trim.cut import cut_video
from pipeline.trim.form import FOR_BROWSERS
from schemas.records import Span
from schemas.video_meta import VideoMeta
from server.media.video_file import VideoFile, check_remote, is_remote, open_checked

STRIP_FRAMES = 8
"""Frames of an animation."""

# Videos whose packets a process remembers.
_REMEMBERED = 8
_metas: dict[VideoFile, VideoMeta] = {}


@dataclass(frozen=True, slots=True)
class RenderTask:
    """A rendering to be made.

    Attributes:
        video: the video.
        span: an interval of it.
        width: pixels across; unused for pieces.
        folder: an empty folder for the output and for whatever is needed on the way.
        name: the output's name.
    """

    video: VideoFile
    span: Span
    width: int
    folder: Path
    name: str

    @property
    def output(self) -> Path:
        """The file to write."""
        return self.folder / self.name


def render_picture(task: RenderTask) -> None:
    """Write a JPEG of a frame.

    Raises:
        MediaError: the file is not the one that was indexed.
        VideoError: no frame of the span can be decoded.
        OSError: the output cannot be written.
    """
    with _checked(task) as path:
        frames = span_frames(path, partial(_meta, task.video, path), task.span, 1, task.width, track=task.video.track)
    write_jpeg(frames[0], task.output)


def render_strip(task: RenderTask) -> None:
    """Write an animated WebP of several frames; raises what `render_picture` does."""
    with _checked(task) as path:
        meta = partial(_meta, task.video, path)
        frames = span_frames(path, meta, task.span, STRIP_FRAMES, task.width, track=task.video.track)
    write_webp(frames, task.span.end_s - task.span.start_s, task.output)


def render_moment(task: RenderTask) -> None:
    """Write an MP4 of the span that browsers play; raises what `pipeline.trim.cut.cut_video` does, and `MediaError`."""
    with _checked(task) as path:
        meta = _meta(task.video, path)
        end_s = min(task.span.end_s, meta.end_s)
        start_s = min(max(task.span.start_s, 0.0), end_s)
        cut_video(path, meta, Span(start_s, end_s), task.output, FOR_BROWSERS)


def look(task: RenderTask) -> Streams:
    """The formats of the video's streams; raises what `render_picture` does."""
    with _checked(task) as path:
        return read_streams(path, task.video.track)


@contextmanager
def _checked(task: RenderTask) -> Iterator[str]:
    """A path that leads to the file that was checked, whatever happens to the video's own path meanwhile.

    Its name ends like the video's: FFmpeg tells some containers by it. A video elsewhere is checked, and opened by its own
    path, of which one open file reads one version.
    """
    if is_remote(task.video):
        check_remote(task.video)
        yield task.video.path
        return
    descriptor = open_checked(task.video)
    link = task.folder / f"video{os.path.splitext(task.video.path)[1]}"
    try:
        link.symlink_to(f"/proc/self/fd/{descriptor}")
        yield str(link)
    finally:
        link.unlink(missing_ok=True)
        os.close(descriptor)


def _meta(video: VideoFile, path: str) -> VideoMeta:
    """The video's metadata, which reading a whole file may have cost; remembered for the videos used last."""
    meta = _metas.pop(video, None) or probe(path, track=video.track)
    _metas[video] = meta
    if len(_metas) > _REMEMBERED:
        del _metas[next(iter(_metas))]
    return meta
