"""Decode parts of files that somebody named, as an ingest would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.decoders import load_decoder
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
    if is_folder(path) or not exists(path):
        raise UsageError(f"no such file: {path!r}; name a video", argument="path")
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
