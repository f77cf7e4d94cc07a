"""The sound of clips, as a classifier that hears takes it: of each clip as many samples, from its middle."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.speech.audio import RATE, Sound, SoundMeta
from schemas.records import Span, SpanJob
from schemas.video_meta import Part


def sound_of_spans(
    path: str, meta: SoundMeta, spans: Sequence[Span], num_samples: int
) -> tuple[NDArray[np.float32] | None, str | None]:
    """Read the sound of spans of a video, in one pass over its packets from the first of them to the end of the last.

    That pass is one beside the decoding of pictures: decoders seek and skip as the pictures need it.

    Args:
        path: the video.
        meta: its metadata.
        spans: the clips' intervals.
        num_samples: samples of each clip, 16,000 a second: the middle of a longer clip, a shorter one in the middle of
            silence.

    Returns:
        float32 [len(spans), num_samples], from -1 to 1, or None where there is no sound; and why the sound ended early, or
        None where it did not.
    """
    from_s, until_s = min(span.start_s for span in spans), max(span.end_s for span in spans)
    places = [_place(span, num_samples) for span in spans]
    heard: NDArray[np.float32] | None = None
    sound = Sound(path, meta, from_s=from_s)
    for chunk in sound:
        if chunk.start_s >= until_s:
            break
        if heard is None:
            heard = np.zeros((len(spans), num_samples), np.float32)
        first = round(chunk.start_s * RATE)
        for row, (begin, end, offset) in zip(heard, places, strict=True):
            low, high = max(begin, first), min(end, first + len(chunk.samples))
            if low < high:
                row[offset + low - begin : offset + high - begin] = chunk.samples[low - first : high - first]
    return heard, sound.problem


def sound_of_job(job: SpanJob, num_samples: int) -> tuple[NDArray[np.float32] | None, str | None]:
    """`sound_of_spans` of the clips of a job."""
    end_s = max(span.end_s for span in job.spans)
    times = _JobTimes(job.timed, end_s, job.stream_index, job.start_pts, job.time_base, job.joined)
    return sound_of_spans(job.video.file.path, times, job.spans, num_samples)


class _JobTimes(NamedTuple):
    """What a job knows of its video's metadata, as `SoundMeta`."""

    timed: bool
    end_s: float
    stream_index: int | None
    start_pts: int
    time_base: Fraction
    parts: tuple[Part, ...]


def _place(span: Span, num_samples: int) -> tuple[int, int, int]:
    """The first sample that is taken, the one after the last, and where the first goes in the result.

    Of [1, 6) seconds and 4 seconds, those from 1.5 to 5.5; of [1, 3), all of them, after one second of silence.
    """
    begin, end = round(span.start_s * RATE), round(span.end_s * RATE)
    spare = end - begin - num_samples
    if spare > 0:
        return begin + spare // 2, begin + spare // 2 + num_samples, 0
    return begin, end, -spare // 2
