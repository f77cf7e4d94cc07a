"""Decodes spans of a single video, as an ingest does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.decoders.registry import load_decoder
from pipeline.probe import probe
from pipeline.process import decode_jobs
from pipeline.sampling import plan_spans
from pipeline.sources import exists, is_folder
from pipeline.sources.find import find_videos
from schemas.errors import UsageError, VideoError
from schemas.models import ModelInput
from schemas.records import Clip, Span, SpanDone, VideoInfo
from schemas.video_meta import VideoMeta

Frames = NDArray[np.uint8]

# The problem of a video whose decoding ended the process.
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
    """Probe a file that a user named; ``track`` is that of `pipeline.probe.probe`.

    Raises:
        UsageError: there is no such file.
        VideoError: it is not a video, or not a regular file that can be read.
    """
    if is_folder(path) or not exists(path):
        raise UsageError(f"no such file: {path!r}; name a video", argument="path")
    for file in find_videos([path]):
        if isinstance(file, tuple):
            raise file[1]
    return probe(path, track=track)


def decode_seen(path: str, meta: VideoMeta, spans: Sequence[Span], model_input: ModelInput) -> Seen:
    """Decode spans of a video, as a model with the input ``model_input`` is shown them.

    Raises:
        VideoError: no frame of them can be decoded.
    """
    (file,) = (file for file in find_videos([path]) if not isinstance(file, tuple))
    decoder = load_decoder("pyav")
    jobs = plan_spans(VideoInfo("", file), meta, spans, (model_input,))
    items = list(decode_jobs(jobs, decoder))
    clips = [item for item in items if isinstance(item, Clip)]
    decoding = [problem.reason for item in items if isinstance(item, SpanDone) for problem in item.problems]
    problems = tuple(dict.fromkeys((*meta.problems, *decoding)))
    if not clips:
        raise VideoError("decode", "; ".join(problems) or "it holds no frame that could be decoded")
    return Seen(tuple(clip.frames[0] for clip in clips), tuple(clip.span for clip in clips), problems)
