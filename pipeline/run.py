"""The whole way of one video, and the steps it is made of. The Ray job runs the same steps as stages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.decoders import Decoded, Decoder
from pipeline.find import content_hash
from pipeline.probe import probe
from pipeline.sample import plan_jobs
from pipeline.scale import shown_size
from schemas.errors import VideoError
from schemas.models import ModelInput
from schemas.options import MAX_FRAMES, MAX_PIXELS, Sampling, Scaling
from schemas.records import (
    Clip,
    ClipRow,
    Problem,
    SpanDone,
    SpanJob,
    VideoFailed,
    VideoFile,
    VideoInfo,
    clip_id_of,
    video_id_of,
)

_TOO_LARGE = "reading it takes more memory than --max-memory allows"

if TYPE_CHECKING:  # decode workers import this module, and should not pay for torch
    from pipeline.annotate import Annotator


def annotate_video(
    file: VideoFile,
    sampling: Sampling,
    inputs: Sequence[ModelInput],
    decoder: Decoder,
    annotator: Annotator,
    *,
    scaling: Scaling = "fast",
) -> Iterator[ClipRow | SpanDone | VideoFailed]:
    """Everything vidsift learns of one video, in this process: a row per clip, then what became of each part.

    plan (hash, demux, choose frames) -> decode (one pass for both models) -> annotate -> rows.
    """
    for planned in plan_video(file, sampling, inputs, scaling=scaling):
        if isinstance(planned, VideoFailed):
            yield planned
            continue
        decoded = list(decode_job(planned, decoder))
        yield from annotator.annotate([item for item in decoded if isinstance(item, Clip)])
        yield from (item for item in decoded if isinstance(item, SpanDone))


def plan_video(
    file: VideoFile,
    sampling: Sampling,
    inputs: Sequence[ModelInput],
    *,
    taken: Collection[str] = (),
    max_pixels: int = MAX_PIXELS,
    max_frames: int = MAX_FRAMES,
    scaling: Scaling = "fast",
) -> list[SpanJob | VideoFailed]:
    """Read what the file is and decide which frames to see. A file that cannot be read is a `VideoFailed`.

    ``taken`` are video ids that other videos have; the limits and ``scaling`` are those of `IngestOptions`.
    """
    video = VideoInfo(video_id_of(None, file.path, taken), file)
    try:
        digest = content_hash(file.path)
        video = replace(video, video_id=video_id_of(digest, file.path, taken), content_hash=digest)
        meta = probe(file.path, max_pixels=max_pixels, max_frames=max_frames)
        width, height = shown_size(meta.coded_width, meta.coded_height, meta.rotation_deg, meta.pixel_aspect)
        video = replace(
            video,
            container=meta.container,
            codec=meta.codec,
            width=width,
            height=height,
            rotation_deg=meta.rotation_deg,
            fps=meta.fps,
            duration_s=meta.duration_s,
        )
        return list(plan_jobs(video, meta, sampling, inputs, max_pixels=max_pixels, scaling=scaling))
    except VideoError as exc:
        return [VideoFailed(video, exc.stage, exc.reason)]
    except MemoryError:
        return [VideoFailed(video, "probe", _TOO_LARGE)]
    except Exception as exc:  # noqa: BLE001 - whatever a file makes a library raise is that file's reason, and no other's
        return [VideoFailed(video, "probe", f"cannot be read: {type(exc).__name__}: {exc}")]


def decode_job(job: SpanJob, decoder: Decoder) -> Iterator[Clip | SpanDone]:
    """Decode one job's clips, then say what became of it. Damage is a sentence in `SpanDone`, never an exception."""
    try:
        decoded = decoder.decode(job)
    except VideoError as exc:
        problem = Problem(exc.stage, exc.reason)
    except MemoryError:
        problem = Problem("decode", _TOO_LARGE)
    except Exception as exc:  # noqa: BLE001 - as in plan_video
        problem = Problem("decode", f"cannot be decoded: {type(exc).__name__}: {exc}")
    else:
        yield from _clips(job, decoded)
        return
    yield SpanDone(job.video, job.part, job.num_parts, (), (*job.problems, problem))


def _clips(job: SpanJob, decoded: Decoded) -> Iterator[Clip | SpanDone]:
    clip_ids = []
    for span, picks in zip(job.spans, job.picks, strict=True):
        # A frame that could not be had is stood in for by the one before it, as a player would keep showing it, or by the
        # first there is. A clip that has none of its own frames is left out: nothing of it was seen.
        if not np.isin(picks[0], decoded.positions).any():
            continue
        nearest = [(decoded.positions.searchsorted(picked, side="right") - 1).clip(0) for picked in picks]
        frames = tuple(of_input[index] for of_input, index in zip(decoded.frames, nearest, strict=True))
        clip_ids.append(clip_id_of(job.video.video_id, span))
        yield Clip(clip_ids[-1], job.video.video_id, span, frames)
    reasons = list(decoded.problems)
    if len(clip_ids) < len(job.spans):
        reasons.append(f"{len(job.spans) - len(clip_ids)} of {len(job.spans)} clips hold no frame that could be decoded")
    problems = (*job.problems, *(Problem("decode", reason) for reason in reasons))
    yield SpanDone(job.video, job.part, job.num_parts, tuple(clip_ids), problems)
