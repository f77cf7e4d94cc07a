"""Decode parts of files that somebody named, as an ingest would."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.isolated import in_processes
from pipeline.decoders import load_decoder
from pipeline.find import find_videos
from pipeline.probe import probe
from pipeline.run import decode_jobs
from pipeline.sample import plan_spans
from schemas.datasets import Example
from schemas.errors import UsageError, VideoError
from schemas.models import ModelInput
from schemas.records import Clip, Span, SpanDone, VideoInfo, VideoMeta

Frames = NDArray[np.uint8]

# What is wrong with a video at which the process died that decoded it.
CRASHED = "crashed the decoder"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Frames of a video as a model is shown them, before their values are normalised.

    Attributes:
        frames: for each span, uint8 [num_frames, height, width, 3], RGB; a span that shows nothing is left out.
        spans: the spans of ``frames``.
        problems: what is wrong with the video, in sentences.
    """

    frames: tuple[NDArray[np.uint8], ...]
    spans: tuple[Span, ...]
    problems: tuple[str, ...]


def probe_file(path: str, track: int | None = None) -> VideoMeta:
    """What a file that a user named holds, by its ``track`` as in `pipeline.probe.probe`.

    Raises:
        UsageError: there is no such file.
        VideoError: it is no video, or no regular file that can be read.
    """
    if not os.path.isfile(path) and (os.path.isdir(path) or not os.path.lexists(path)):
        raise UsageError(f"FILE: no such file: {path!r}; name a video")
    for found in find_videos([path]):
        if isinstance(found, tuple):
            raise found[1]
    return probe(path, track=track)


def decode_seen(path: str, meta: VideoMeta, spans: Sequence[Span], wanted: ModelInput) -> Seen:
    """Decode spans of a video as a model that wants ``wanted`` would be shown them.

    Raises:
        VideoError: nothing of them can be decoded.
    """
    (file,) = (found for found in find_videos([path]) if not isinstance(found, tuple))
    decoder = load_decoder("pyav")
    jobs = plan_spans(VideoInfo("", file), meta, spans, (wanted,))
    items = list(decode_jobs(jobs, decoder))
    clips = [item for item in items if isinstance(item, Clip)]
    decoding = [problem.reason for item in items if isinstance(item, SpanDone) for problem in item.problems]
    problems = tuple(dict.fromkeys((*meta.problems, *decoding)))
    if not clips:
        raise VideoError("decode", "; ".join(problems) or "it holds no frame that could be decoded")
    return Seen(tuple(clip.frames[0] for clip in clips), tuple(clip.span for clip in clips), problems)


def decode_spans(
    example: Example, spans: Callable[[float, float], Sequence[Span]], wanted: ModelInput
) -> tuple[Frames, str | None]:
    """Decode clips of one example, as an ingest would.

    Args:
        example: which moment of which video.
        spans: from the moment's start and end in seconds to the clips' intervals.
        wanted: frames and geometry of each.

    Returns:
        uint8 [num_clips, num_frames, height, width, 3], and what was wrong with the video, if anything.

    Raises:
        VideoError: nothing of it can be shown.
        OSError: there is no such file.
    """
    os.stat(example.path)  # a file that is gone says so in the system's words
    try:
        meta = probe(example.path)
        start_s, end_s = example.start_s or 0.0, example.end_s
        end_s = meta.end_s if end_s is None else min(end_s, meta.end_s)
        if start_s >= end_s:
            raise VideoError("probe", f"the moment begins at {start_s:g} s, but the video ends at {meta.end_s:g} s")
        seen = decode_seen(example.path, meta, spans(start_s, end_s), wanted)
    except VideoError:
        raise
    except Exception as exc:
        raise VideoError("probe", f"cannot be read: {type(exc).__name__}: {exc}") from exc
    return np.stack(seen.frames), "; ".join(seen.problems) or None


Outcome = tuple[Frames | None, str | None]


def decode_ahead(
    examples: Sequence[Example], cut: Callable[[float, float], list[Span]], wanted: ModelInput
) -> Iterator[tuple[Example, Outcome]]:
    """Clips of each example and what is wrong with it, in order. A decoder that dies costs that one example alone."""
    decode = partial(_decode, cut=cut, wanted=wanted)
    cpus = len(os.sched_getaffinity(0))
    for example, outcome in zip(examples, in_processes(decode, examples, cpus), strict=True):
        yield example, (None, CRASHED) if outcome is None else outcome


def _decode(example: Example, cut: Callable[[float, float], list[Span]], wanted: ModelInput) -> Outcome:
    try:
        return decode_spans(example, cut, wanted)
    except (VideoError, OSError) as exc:
        return None, exc.reason if isinstance(exc, VideoError) else str(exc.strerror or exc)
