"""Cuts a video into spans at its shots. Opens no file."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.sampling import spans_of
from schemas.channels import Shot, Transition
from schemas.options import Sampling
from schemas.records import Span, VideoInfo


@dataclass(slots=True, eq=False)
class _Stretch:
    """Neighbouring shots that are cut into spans together.

    Attributes:
        number: its place among all stretches.
        start_s: where it begins.
        end_s: where it ends.
        transition: how its first shot begins.
        before: the stretch that it may be joined to on the left; None at the video's start and after black.
        after: likewise on the right.
        joined: it is a part of another by now.
    """

    number: int
    start_s: float
    end_s: float
    transition: Transition
    before: _Stretch | None = None
    after: _Stretch | None = None
    joined: bool = False

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s


def shot_spans(shots: Sequence[Shot], window_s: float, stride_s: float, min_s: float | None = None) -> list[Span]:
    """Intervals within shots, one per clip, ascending; they cover all of a video that is not black.

    Long shots are cut into windows as `pipeline.sampling.spans_of` cuts a video. Short ones are joined to a neighbour: to
    the one that a gradual transition leads to or from, else to the shorter one. With a window and stride of 4 s, shots of
    1 s, 6 s and 9 s give [0, 4), [4, 7), [7, 11), [11, 16).

    Args:
        shots: the shots of a video, which cover it without a gap. If all are black, they are cut like others.
        window_s: as in `schemas.options.Sampling`.
        stride_s: likewise.
        min_s: shots shorter than this are joined; None takes half a window.

    Raises:
        UsageError: ``window_s`` or ``stride_s`` are none that `Sampling` allows.
    """
    sampling = Sampling(window_s=window_s, stride_s=stride_s)
    all_black = all(shot.picture == "black" for shot in shots)
    stretches: list[_Stretch] = []
    for shot in shots:
        if shot.picture == "black" and not all_black:
            continue
        stretch = _Stretch(len(stretches), shot.start_s, shot.end_s, shot.transition)
        if stretches and stretches[-1].end_s == shot.start_s:
            stretch.before, stretches[-1].after = stretches[-1], stretch
        stretches.append(stretch)
    _join_short(stretches, window_s / 2 if min_s is None else min_s)
    return [span for stretch in stretches if not stretch.joined for span in _windows(stretch, sampling)]


def spans_at_shots(video: VideoInfo, sampling: Sampling, max_pixels: int) -> list[Span]:
    """The spans of a video by its shots, which ``sampling.shots`` finds: one pass over all of its frames.

    Raises:
        VideoError: it cannot be read.
        ModelError: the weights of TransNet V2 are not there.
    """
    from pipeline.shots.annotator import ShotAnnotator, detector_named

    annotator = ShotAnnotator(detector_named(sampling.shots), max_pixels)
    return shot_spans(list(annotator.load().annotate(video)), sampling.window_s, sampling.stride_s)


def _windows(stretch: _Stretch, sampling: Sampling) -> list[Span]:
    """The spans of a stretch, of which one's end is the next one's start to the last bit."""
    spans = [
        Span(round(stretch.start_s + start_s, 6), round(stretch.start_s + end_s, 6))
        for start_s, end_s in spans_of(stretch.length_s, sampling)
    ]
    spans[0] = spans[0]._replace(start_s=stretch.start_s)
    spans[-1] = spans[-1]._replace(end_s=stretch.end_s)
    return spans


def _join_short(stretches: Sequence[_Stretch], min_s: float) -> None:
    """Join stretches shorter than ``min_s`` to neighbours, the shortest first."""
    waiting = [(stretch.length_s, number) for number, stretch in enumerate(stretches) if stretch.length_s < min_s]
    heapq.heapify(waiting)
    while waiting:
        length_s, number = heapq.heappop(waiting)
        stretch = stretches[number]
        if stretch.joined or stretch.length_s != length_s:
            continue  # it has become a part of another, or longer since
        left = stretch if _goes_right(stretch) else stretch.before
        if left is None or left.after is None:
            continue  # it has no neighbour
        right = left.after
        left.end_s, left.after, right.joined = right.end_s, right.after, True
        if left.after:
            left.after.before = left
        if left.length_s < min_s:
            heapq.heappush(waiting, (left.length_s, left.number))


def _goes_right(stretch: _Stretch) -> bool:
    """Whether a stretch is joined to the one after it, rather than to the one before."""
    before, after = stretch.before, stretch.after
    if before is None or after is None:
        return before is None
    if (stretch.transition == "gradual") != (after.transition == "gradual"):
        return after.transition == "gradual"
    return after.length_s < before.length_s
