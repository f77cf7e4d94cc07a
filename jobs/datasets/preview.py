"""Previews a model's input: the frames that it gets of a window, as an animation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobs.images import check_output, gif
from pipeline.frames import decode_seen, probe_file
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.preprocessing import read_preprocessing
from pipeline.sampling import frames_on_screen, sample_times_s
from schemas.errors import UsageError
from schemas.models import Geometry, ModelInput, PatchBudget
from schemas.records import Span
from schemas.text import lines_text
from schemas.times import SAME_MOMENT_S
from schemas.video_meta import VideoMeta

_WINDOW_S = 4.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The content of a preview.

    Attributes:
        span: the window, in seconds.
        times_s: the time of each frame in the video, in seconds.
        input: number of frames and geometry of the model's input.
        size: width and height of the frames.
        problems: what is wrong with the video, in sentences.
    """

    span: Span
    times_s: tuple[float, ...]
    input: ModelInput
    size: tuple[int, int]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        """Lines for people."""
        (start_s, end_s), (width, height) = self.span, self.size
        return lines_text(
            [
                f"{self.input.num_frames} frames of {start_s:.3f}-{end_s:.3f} s, {width} x {height} "
                f"({geometry_text(self.input.geometry)})",
                "at " + ", ".join(f"{time_s:.3f}" for time_s in self.times_s) + " s",
                *(f"damaged: {problem}" for problem in self.problems),
            ]
        )


def preview(path: str, output: Path, *, model: str, start_s: float | None = None, end_s: float | None = None) -> Preview:
    """Write the frames that a model gets of a window as an animation that takes as long as the window.

    Args:
        path: the video.
        output: the GIF file.
        model: hub id or folder.
        start_s: start of the window; None is the video's start.
        end_s: its end; None is 4 s later, or the video's end where that comes first.

    Raises:
        UsageError: there is no such video, its window is not within it, or the file cannot be written.
        ModelError: there is no such model, or it does not say how its input is made.
        VideoError: nothing of the window can be decoded.
    """
    check_output("output", output, ".gif", [path])
    model_input = read_preprocessing(find_checkpoint(model, "model"), "model").input
    meta = probe_file(path)
    span = _window(meta, start_s, end_s)
    seen = decode_seen(path, meta, [span], model_input)
    frames = seen.frames[0]
    gif(list(frames), output, len(frames) / (span.end_s - span.start_s))
    times_s = meta.frame_times_s[frames_on_screen(meta.frame_times_s, sample_times_s(span, model_input.num_frames))]
    return Preview(span, tuple(map(float, times_s)), model_input, (frames.shape[2], frames.shape[1]), seen.problems)


def geometry_text(geometry: Geometry) -> str:
    """A geometry in words: ``shorter edge to 224, centre crop``."""
    steps = []
    if isinstance(geometry.resize, int):
        steps.append(f"shorter edge to {geometry.resize}")
    elif isinstance(geometry.resize, PatchBudget):
        steps.append(f"at most {geometry.resize.max_patches} patches of {geometry.resize.patch_size}")
    elif geometry.resize is not None:
        steps.append(f"stretched to {geometry.resize[1]} x {geometry.resize[0]}")
    if geometry.crop is not None:
        steps.append("centre crop")
    return ", ".join(steps) or "as they are"


def _window(meta: VideoMeta, start_s: float | None, end_s: float | None) -> Span:
    """The window that is previewed; an end that was read off a player may be a little late."""
    begin_s = 0.0 if start_s is None else start_s
    if not 0 <= begin_s < meta.end_s:
        message = f"got {begin_s:g} s, expected from 0 to the video's end at {meta.end_s:.3f} s; give less"
        raise UsageError(message, argument="start_s")
    if end_s is None:
        return Span(begin_s, min(begin_s + _WINDOW_S, meta.end_s))
    if not begin_s < end_s <= meta.end_s + SAME_MOMENT_S:
        raise UsageError(
            f"got {end_s:g} s, expected from the start at {begin_s:g} s to the video's end at {meta.end_s:.3f} s; "
            "give a time between them",
            argument="end_s",
        )
    return Span(begin_s, min(end_s, meta.end_s))
