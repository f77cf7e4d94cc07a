"""Cuts a video into spans, and chooses the frames that models are shown of each. Opens no file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from schemas.errors import VideoError
from schemas.models import ModelInput, Views
from schemas.options import MAX_PIXELS, Sampling, Scaling
from schemas.records import Problem, Span, SpanJob, VideoInfo
from schemas.times import ROUNDING_S
from schemas.video_meta import Keyframe, VideoMeta

# Containers often place the first frame a frame or two after time 0, by the codec's delay. Up to this much the spans
# still end at the duration; beyond it the video really begins late, and they end when its last frame does.
_LEAD_IN_S = 0.5

# A picture that stands still for longer than this is not shown to the models again and again: clips are made when something
# new is on screen, and for this long after it.
_STILL_S = 60.0

# No recording is longer than this; the times of broken files are.
_LONGEST_S = 100 * 86_400.0

# Seconds of video in one decode job: long enough to make seeking cheap, short enough to spread one film over all cores.
JOB_S = 60.0


def spans_of(duration_s: float, sampling: Sampling) -> list[Span]:
    """Intervals that cover [0, duration_s) without a gap, one per clip.

    A remainder shorter than half a window joins the span before it. With a window and stride of 4 s, 9 s give [0, 4), [4, 9)
    and 11 s give [0, 4), [4, 8), [8, 11). A shorter video is one span.
    """
    window_s, stride_s = sampling.window_s, sampling.stride_s
    num_whole = int((duration_s - window_s + ROUNDING_S) // stride_s) + 1 if duration_s >= window_s else 0
    # To the microsecond, so that one clip's end is the next one's start to the last bit.
    spans = [Span(round(i * stride_s, 6), round(i * stride_s + window_s, 6)) for i in range(num_whole)]
    if not spans:
        return [Span(0.0, duration_s)]
    remainder_s = duration_s - spans[-1].end_s
    if remainder_s >= window_s / 2:
        spans.append(Span(round(num_whole * stride_s, 6), duration_s))
    elif remainder_s > 0:
        spans[-1] = Span(spans[-1].start_s, duration_s)
    return spans


def sample_times_s(span: Span, num_frames: int) -> NDArray[np.float64]:
    """float64 [num_frames], the middles of ``num_frames`` equal parts of the span.

    Of [0, 4) in 16: 0.125, 0.375, ..., 3.875.
    """
    step_s = (span.end_s - span.start_s) / num_frames
    return span.start_s + (np.arange(num_frames, dtype=np.float64) + 0.5) * step_s


def view_spans(span: Span, views: Views) -> list[Span]:
    """The parts of a clip that are shown one by one, evenly spread from its start to its end.

    One part is the middle; a clip that is no longer than a part is one part. Of [0, 10) and 4 s, five are [0, 4),
    [1.5, 5.5), [3, 7), [4.5, 8.5) and [6, 10).
    """
    spare_s = span.end_s - span.start_s - views.seconds
    if spare_s <= ROUNDING_S:
        return [span]
    shares = [0.5] if views.count == 1 else [number / (views.count - 1) for number in range(views.count)]
    starts = [span.start_s + spare_s * share for share in shares]
    return [Span(start_s, start_s + views.seconds) for start_s in starts]


def input_times_s(span: Span, shown: ModelInput) -> NDArray[np.float64]:
    """The times of the frames that a model is shown of a clip, float64 [views * num_frames], one view after another."""
    spans = [span] if shown.views is None else view_spans(span, shown.views)
    return np.concatenate([sample_times_s(part, shown.num_frames) for part in spans])


def frames_on_screen(frame_times_s: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each time the index of the frame then on screen: the last with pts <= time, or the first where there is none."""
    return np.maximum(np.searchsorted(frame_times_s, times_s + ROUNDING_S, side="right") - 1, 0)


def distinct_inputs(inputs: Sequence[ModelInput]) -> tuple[ModelInput, ...]:
    """The inputs without those that are evenly spaced frames of another: one set of frames serves both models."""
    by_size = sorted(dict.fromkeys(inputs), key=lambda model_input: -model_input.max_frames)
    kept: list[ModelInput] = []
    for model_input in by_size:
        if not any(model_input.subset_step(other) for other in kept):
            kept.append(model_input)
    return tuple(kept)


def plan_jobs(
    video: VideoInfo,
    meta: VideoMeta,
    sampling: Sampling,
    inputs: Sequence[ModelInput],
    *,
    max_pixels: int = MAX_PIXELS,
    scaling: Scaling = "fast",
    spans: Sequence[Span] | None = None,
    problem: Problem | None = None,
) -> list[SpanJob]:
    """Plan all that a decoder will be asked for: the clips of the whole video, in jobs of about a minute each.

    ``spans`` are the clips' intervals; None cuts the video into windows. ``problem`` is what is wrong with the video, beside
    what ``meta`` says.

    Raises:
        VideoError: its times are broken: they make it longer than any recording, or leave no frame on screen.
    """
    spans, still_s = _moving(list(spans or spans_of(covered_s(meta), sampling)), meta.frame_times_s)
    if not spans:
        raise VideoError("probe", "its times are broken: they leave no moment at which a frame is shown")
    problems = [Problem("probe", reason) for reason in meta.problems] + ([] if problem is None else [problem])
    if still_s:
        problems.append(Problem("probe", f"{still_s:.0f} s of it hold no new frame and were passed over"))
    return plan_spans(video, meta, spans, inputs, max_pixels=max_pixels, scaling=scaling, problems=problems)


def covered_s(meta: VideoMeta) -> float:
    """The seconds from time 0 on that a video's spans cover.

    Raises:
        VideoError: they are more than any recording has.
    """
    end_s = meta.duration_s if meta.first_s < min(_LEAD_IN_S, meta.duration_s / 2) else meta.end_s
    if end_s > _LONGEST_S:
        raise VideoError(
            "probe", f"its times span {end_s / 86_400:.0f} days, expected {_LONGEST_S / 86_400:.0f}: they are broken"
        )
    return end_s


def plan_spans(
    video: VideoInfo,
    meta: VideoMeta,
    spans: Sequence[Span],
    inputs: Sequence[ModelInput],
    *,
    max_pixels: int = MAX_PIXELS,
    scaling: Scaling = "fast",
    problems: Sequence[Problem] = (),
    job_s: float = JOB_S,
) -> list[SpanJob]:
    """Plan the decoding of ``spans``, which ascend by their starts, in jobs of about ``job_s`` seconds each.

    The first job carries ``problems``.
    """
    frame_times_s = meta.frame_times_s
    groups: list[list[Span]] = []
    for span in spans:
        if groups and span.end_s - groups[-1][0].start_s <= job_s:
            groups[-1].append(span)
        else:
            groups.append([span])
    inputs = distinct_inputs(inputs)
    # Where seeking costs as much as reading everything before the place, one pass from the beginning does all jobs.
    keyframes = () if meta.seeks_read_all and len(groups) > 1 else meta.keyframes
    jobs: list[SpanJob] = []
    for part, group in enumerate(groups):
        indices = [[frames_on_screen(frame_times_s, input_times_s(span, each)) for each in inputs] for span in group]
        frame_index = np.unique(np.concatenate([index for of_span in indices for index in of_span]))
        seek = keyframe_before(keyframes, int(meta.pts[frame_index[0]]))
        jobs.append(
            SpanJob(
                video=video,
                part=part,
                num_parts=len(groups),
                codec=meta.codec,
                time_base=meta.time_base,
                rotation_deg=meta.rotation_deg,
                mirrored=meta.mirrored,
                timed=meta.timed,
                pixel_aspect=meta.pixel_aspect,
                seek=seek,
                seek_index=int(meta.pts.searchsorted(seek.pts)) if seek else 0,
                earlier=keyframe_before(keyframes, seek.pts - 1) if seek else None,
                chain=jobs[-1].chain if jobs and jobs[-1].seek == seek else part,
                spans=tuple(group),
                inputs=inputs,
                frame_index=frame_index,
                frame_pts=meta.pts[frame_index],
                picks=tuple(tuple(np.searchsorted(frame_index, index) for index in of_span) for of_span in indices),
                max_pixels=max_pixels,
                scaling=scaling,
                problems=tuple(problems) if part == 0 else (),
                joined=meta.parts,
                coded_as_fields=meta.coded_as_fields,
                crop=meta.crop,
                wide_colours=meta.wide_colours,
                stream_index=meta.stream_index,
                start_pts=meta.start_pts,
            )
        )
    return jobs


def chains_of(jobs: Iterable[SpanJob]) -> Iterator[tuple[SpanJob, ...]]:
    """Groups of consecutive jobs that start decoding at the same place of the same video."""
    for _, chain in groupby(jobs, key=lambda job: (job.video.file.path, job.chain)):
        yield tuple(chain)


def _moving(spans: list[Span], frame_times_s: NDArray[np.float64]) -> tuple[list[Span], float]:
    """The spans that show something new, or begin soon after it; and how many seconds of still picture the others hold.

    Spans before the first frame are left out too, and not counted: there is no picture yet.
    """
    kept, still_s = [], 0.0
    for span in spans:
        if span.end_s <= frame_times_s[0]:
            continue
        shown = int(np.searchsorted(frame_times_s, span.end_s)) - 1  # the last frame that begins before the end
        if span.start_s - float(frame_times_s[shown]) > _STILL_S:
            still_s += span.end_s - span.start_s
        else:
            kept.append(span)
    return kept, still_s


def keyframe_before(keyframes: Sequence[Keyframe], pts: int) -> Keyframe | None:
    """The last keyframe shown at or before ``pts``; None where decoding starts at the beginning anyway."""
    position = bisect_right(keyframes, pts, key=lambda keyframe: keyframe.pts) - 1
    return keyframes[position] if position > 0 else None
