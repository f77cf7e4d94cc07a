"""Decodes the clips of a dataset's examples, one by one or in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.examples import Example
from jobs.isolated_process import in_processes
from pipeline.frames import CRASHED, Frames, decode_seen
from pipeline.probe import probe
from pipeline.sources import source_of
from pipeline.speech.clip_sound import sound_of_spans
from schemas.errors import VideoError
from schemas.models import ModelInput
from schemas.records import Span
from schemas.video_meta import VideoMeta

Item = TypeVar("Item")
Result = TypeVar("Result")

Cut = Callable[[float, float], Sequence[Span]]
"""From an example's start and end, in seconds, to the intervals of its clips."""


def decode_clips(example: Example, cut: Cut, model_input: ModelInput) -> tuple[Frames | None, str | None]:
    """Decode the clips of one example, as an ingest would.

    Args:
        example: a moment of a video.
        cut: how to cut it into clips.
        model_input: frames and geometry of each clip.

    Returns:
        uint8 [num_clips, num_frames, height, width, 3], or None where nothing can be decoded; and what is wrong with the
        video, or None.
    """
    try:
        status = source_of(example.path).stat(example.path)  # of a file that is gone, the system's own words are the reason
        if status.kind in ("link", "other"):
            raise VideoError("find", status.problem or "not a regular file")
        return _decode(example, cut, model_input)
    except VideoError as exc:
        return None, exc.reason
    except OSError as exc:
        return None, str(exc.strerror or exc)


def decode_sound(example: Example, cut: Cut, num_samples: int) -> tuple[NDArray[np.float32] | None, str | None]:
    """Read the sound of the clips of one example.

    Args:
        example: a moment of a video.
        cut: how to cut it into clips.
        num_samples: samples of each clip (`pipeline.speech.clip_sound.sound_of_spans`).

    Returns:
        float32 [num_clips, num_samples], or None where there is no sound or it cannot be read; and what is wrong, or None.
    """
    try:
        meta, spans = _probed(example, cut)
        return sound_of_spans(example.path, meta, spans, num_samples)
    except VideoError as exc:
        return None, exc.reason
    except Exception as exc:  # noqa: BLE001 - whatever a library raises is this file's
        return None, f"its sound cannot be read: {type(exc).__name__}: {exc}"


def _probed(example: Example, cut: Cut) -> tuple[VideoMeta, Sequence[Span]]:
    """The metadata of an example's video, and the intervals of its clips."""
    meta = probe(example.path)
    start_s = example.start_s or 0.0
    end_s = meta.end_s if example.end_s is None else min(example.end_s, meta.end_s)
    if start_s >= end_s:
        raise VideoError("probe", f"the moment begins at {start_s:g} s, but the video ends at {meta.end_s:g} s")
    return meta, cut(start_s, end_s)


def _decode(example: Example, cut: Cut, model_input: ModelInput) -> tuple[Frames, str | None]:
    try:
        meta, spans = _probed(example, cut)
        seen = decode_seen(example.path, meta, spans, model_input)
    except VideoError:
        raise
    except Exception as exc:
        raise VideoError("probe", f"cannot be read: {type(exc).__name__}: {exc}") from exc
    return np.stack(seen.frames), "; ".join(seen.problems) or None


def in_decoding_processes(
    work: Callable[[Item], tuple[Result | None, str | None]], items: Iterable[Item], cpus: int
) -> Iterator[tuple[Result | None, str | None]]:
    """The result and the problem of each item, in order. A decoder that takes its process down costs that item alone.

    Args:
        work: decodes one item; a function at the top of a module, or a `functools.partial` of one.
        items: what to decode.
        cpus: how many processes.
    """
    for outcome in in_processes(work, items, cpus):
        yield (None, CRASHED) if outcome is None else outcome


def decode_ahead(
    examples: Sequence[Example], cut: Cut, model_input: ModelInput
) -> Iterator[tuple[Example, tuple[Frames | None, str | None]]]:
    """Each example with its `decode_clips`, in order, decoded ahead of its turn in as many processes as there are CPUs."""
    work = partial(decode_clips, cut=cut, model_input=model_input)
    cpus = len(os.sched_getaffinity(0))
    yield from zip(examples, in_decoding_processes(work, examples, cpus), strict=True)
