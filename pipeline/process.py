"""Everything that happens to one video, as one function and as the steps of it. An ingest runs the same steps on Ray."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decoders.base import ChainDecoder, Decoded, Decoder
from pipeline.picture.resize import shown_size
from pipeline.probe import probe
from pipeline.sampling import chains_of, plan_jobs
from pipeline.shots.clips import spans_at_shots
from pipeline.sources import source_of
from pipeline.sources.hashing import content_hash
from pipeline.speech.clip_sound import sound_of_job
from schemas.errors import ModelError, VideoError
from schemas.models import ModelInput
from schemas.options import MAX_FRAMES, MAX_PIXELS, Sampling, Scaling
from schemas.records import (
    Clip,
    ClipRow,
    Problem,
    Span,
    SpanDone,
    SpanJob,
    VideoFailed,
    VideoFile,
    VideoInfo,
    clip_id_of,
    video_id_of,
)

# The share of damaged frames above which a clip is left out: a model could name nothing in it.
_DAMAGED_SHARE = 0.75

# Versions of a file that are read before it is given up.
_MAX_CHANGES = 3

_TOO_LARGE = "reading it takes more memory than --max-memory allows"

_CHANGED = Problem("decode", "it has changed since it was planned; ingest it once more to read it as it is now")

if TYPE_CHECKING:  # decode workers import this module, and should not pay for torch
    from pipeline.annotate import Annotators


def annotate_video(
    file: VideoFile,
    sampling: Sampling,
    annotators: Annotators,
    decoder: Decoder,
    *,
    scaling: Scaling = "fast",
) -> Iterator[ClipRow | SpanDone | VideoFailed]:
    """Everything vidsift learns of one video, in this process: a row per clip, then what became of each part.

    plan (hash, demux, choose frames) -> decode (one pass for all annotators) -> annotate -> rows.
    """
    planned = plan_video(file, sampling, annotators.inputs, scaling=scaling)
    yield from (item for item in planned if isinstance(item, VideoFailed))
    clips: list[Clip] = []
    jobs = [item for item in planned if isinstance(item, SpanJob)]
    for item in decode_jobs(jobs, decoder, num_samples=annotators.num_samples):
        if isinstance(item, Clip):
            clips.append(item)
        else:  # the end of a part
            yield from annotators.annotate(clips)
            yield item
            clips.clear()


def plan_video(
    file: VideoFile,
    sampling: Sampling,
    inputs: Sequence[ModelInput],
    *,
    taken: Collection[str] = (),
    max_pixels: int = MAX_PIXELS,
    max_frames: int = MAX_FRAMES,
    scaling: Scaling = "fast",
    track: int | None = None,
) -> list[SpanJob | VideoFailed]:
    """Read what the file is and decide which frames to decode. A file that cannot be read gives a `VideoFailed`.

    A file that has changed since it was listed is read as it is now, where its source has versions of it.

    ``taken`` are video ids that other videos have; the limits, ``scaling`` and ``track`` are those of `IngestOptions`.
    """
    for _ in range(_MAX_CHANGES):
        planned = _plan_version(
            file, sampling, inputs, taken=taken, max_pixels=max_pixels, max_frames=max_frames, scaling=scaling, track=track
        )
        file, planned_file = _as_it_is(file), file
        if file.version == planned_file.version:
            return planned
    video = VideoInfo(video_id_of(None, file.path, taken), file)
    return [VideoFailed(video, "probe", f"it changed {_MAX_CHANGES} times while it was read; ingest it once it is complete")]


def _as_it_is(file: VideoFile) -> VideoFile:
    """The file as its source describes it now, where it has versions; itself where it is gone."""
    if not file.version:
        return file
    try:
        status = source_of(file.path).stat(file.path)
    except OSError:
        return file
    return VideoFile(file.path, status.size_bytes, status.modified_ns, status.version)


def _plan_version(
    file: VideoFile,
    sampling: Sampling,
    inputs: Sequence[ModelInput],
    *,
    taken: Collection[str],
    max_pixels: int,
    max_frames: int,
    scaling: Scaling,
    track: int | None,
) -> list[SpanJob | VideoFailed]:
    """`plan_video` of a file that stays as it is."""
    video = VideoInfo(video_id_of(None, file.path, taken), file)
    try:
        digest = content_hash(file.path)
        video = replace(video, video_id=video_id_of(digest, file.path, taken), content_hash=digest)
        meta = probe(file.path, max_pixels=max_pixels, max_frames=max_frames, track=track)
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
            track=meta.track,
            tracks=meta.num_tracks,
        )
        spans, problem = (None, None) if sampling.shots == "none" else _spans_at_shots(video, sampling, max_pixels)
        settings: dict[str, Any] = {"max_pixels": max_pixels, "scaling": scaling, "spans": spans, "problem": problem}
        return list(plan_jobs(video, meta, sampling, inputs, **settings))
    except VideoError as exc:
        return [VideoFailed(video, exc.stage, exc.reason)]
    except MemoryError:
        return [VideoFailed(video, "probe", _TOO_LARGE)]
    except Exception as exc:  # noqa: BLE001 - whatever a library raises is this file's reason to fail
        return [VideoFailed(video, "probe", f"cannot be read: {type(exc).__name__}: {exc}")]


def _spans_at_shots(video: VideoInfo, sampling: Sampling, max_pixels: int) -> tuple[list[Span] | None, Problem | None]:
    """The spans of a video by its shots; where these cannot be found, none and why: its clips are windows then.

    Whoever asks for clips at shots wants to find the video all the same, and to know why it is cut otherwise.

    Raises:
        ModelError: the detector's weights are not there, which is no fault of the video.
    """
    try:
        return spans_at_shots(video, sampling, max_pixels), None
    except ModelError:
        raise
    except VideoError as exc:
        why = exc.reason
    except MemoryError:
        why = _TOO_LARGE
    except Exception as exc:  # noqa: BLE001 - whatever a library raises is a reason to do without shots
        why = f"{type(exc).__name__}: {exc}"
    return None, Problem("annotate", f"its shots could not be found, so its clips are windows ({why})")


def decode_jobs(jobs: Sequence[SpanJob], decoder: Decoder, *, num_samples: int = 0) -> Iterator[Clip | SpanDone]:
    """Decode jobs, in one pass those that start at one place; gives each job's clips, then what became of it."""
    for chain in chains_of(jobs):
        yield from decode_chain(chain, decoder, num_samples=num_samples)


def decode_job(job: SpanJob, decoder: Decoder, *, num_samples: int = 0) -> Iterator[Clip | SpanDone]:
    """`decode_chain` of one job."""
    return decode_chain([job], decoder, num_samples=num_samples)


def decode_chain(jobs: Sequence[SpanJob], decoder: Decoder, *, num_samples: int = 0) -> Iterator[Clip | SpanDone]:
    """Decode jobs that start at one place; gives each job's clips, then what became of it.

    Damage becomes a sentence in `SpanDone`, never an exception.

    Args:
        jobs: the jobs.
        decoder: decodes their pictures.
        num_samples: samples of each clip's sound; 0 for none. Sound is read in a pass of its own over a job's packets.
    """
    if _as_it_is(jobs[0].video.file).version != jobs[0].video.file.version:
        for job in jobs:
            yield SpanDone(job.video, job.part, job.num_parts, (), (*job.problems, _CHANGED))
        return
    one_pass = decoder.decode_chain(jobs) if len(jobs) > 1 and isinstance(decoder, ChainDecoder) else None
    problem: Problem | None = None
    for job in jobs:
        try:
            decoded = decoder.decode(job) if one_pass is None else next(one_pass, None)
            if isinstance(decoded, VideoError):
                raise decoded
        except VideoError as exc:
            decoded, problem = None, Problem(exc.stage, exc.reason)
        except MemoryError:
            decoded, problem = None, Problem("decode", _TOO_LARGE)
        except Exception as exc:  # noqa: BLE001 - as in plan_video
            decoded, problem = None, Problem("decode", f"cannot be decoded: {type(exc).__name__}: {exc}")
        if decoded is not None:
            yield from _clips(job, decoded, num_samples)
        else:  # an error in a pass ends it for the jobs that follow too
            assert problem is not None
            yield SpanDone(job.video, job.part, job.num_parts, (), (*job.problems, problem))


def _clips(job: SpanJob, decoded: Decoded, num_samples: int) -> Iterator[Clip | SpanDone]:
    clip_ids = []
    num_damaged = 0
    sound, sound_problem = _sound(job, num_samples)
    sources = [job.geometries.index(model_input.geometry) for model_input in job.inputs]
    for span, picks, heard in zip(job.spans, job.picks, sound, strict=True):
        # The frame before takes the place of one that could not be decoded, as a player would keep showing it; at the
        # beginning, the first that there is. A clip is left out if none of its frames could be decoded.
        in_clip = np.intersect1d(np.concatenate(picks), decoded.positions)
        if not len(in_clip):
            continue
        if len(decoded.damaged.intersection(in_clip.tolist())) > _DAMAGED_SHARE * len(in_clip):
            num_damaged += 1
            continue
        nearest = [(decoded.positions.searchsorted(picked, side="right") - 1).clip(0) for picked in picks]
        frames = tuple(decoded.frames[source][index] for source, index in zip(sources, nearest, strict=True))
        clip_ids.append(clip_id_of(job.video.video_id, span))
        yield Clip(clip_ids[-1], job.video.video_id, span, frames, heard)
    reasons = [*decoded.problems, *sound_problem]
    if num_damaged:
        reasons.append(f"{num_damaged} of {len(job.spans)} clips were left out: almost all of their frames are damaged")
    if missing := len(job.spans) - len(clip_ids) - num_damaged:
        reasons.append(f"{missing} of {len(job.spans)} clips hold no frame that could be decoded")
    problems = (*job.problems, *(Problem("decode", reason) for reason in reasons))
    yield SpanDone(job.video, job.part, job.num_parts, tuple(clip_ids), problems)


def _sound(job: SpanJob, num_samples: int) -> tuple[Sequence[NDArray[np.float32] | None], list[str]]:
    """The sound of each clip of a job, None where there is none; and why it cannot be read, if so."""
    silence = [None] * len(job.spans)
    if not num_samples:
        return silence, []
    try:
        heard, problem = sound_of_job(job, num_samples)
    except Exception as exc:  # noqa: BLE001 - as in plan_video
        return silence, [f"its sound cannot be read: {type(exc).__name__}: {exc}"]
    return silence if heard is None else list(heard), [problem] if problem else []
