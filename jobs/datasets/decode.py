"""Decodes clips of a dataset's examples, as an ingest would."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from jobs.datasets.examples import Example
from jobs.isolated_process import in_processes
from pipeline.frames import CRASHED, Frames, decode_seen
from pipeline.probe import probe
from pipeline.sources import source_of
from schemas.errors import VideoError
from schemas.models import ModelInput
from schemas.records import Span


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
    status = source_of(example.path).stat(example.path)  # a file that is gone says so in the system's words
    if status.kind in ("link", "other"):
        raise VideoError("find", status.problem or "not a regular file")
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
