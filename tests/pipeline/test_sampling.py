from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from pipeline.sampling import distinct_inputs, frames_on_screen, plan_jobs, sample_times_s, spans_of
from schemas.errors import VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Span, VideoFile, VideoInfo
from schemas.video_meta import Keyframe, VideoMeta

SQUARE = Geometry(64, (64, 64))
VIDEO = VideoInfo("v", VideoFile("/v.mp4", 1, 1))


def meta_of(duration_s: float, *, fps: int = 25, first_s: float = 0.0, keyframe_every: int = 25) -> VideoMeta:
    pts = np.arange(round(duration_s * fps), dtype=np.int64) + round(first_s * fps)
    keyframes = tuple(Keyframe(int(p), int(p) - 2) for p in pts[::keyframe_every])
    return VideoMeta("mp4", "h264", 64, 64, 0, False, Fraction(1), Fraction(1, fps), 0, pts, 1, keyframes)


@pytest.mark.parametrize(
    ("duration_s", "window_s", "stride_s", "spans"),
    [
        (8.0, 4.0, 4.0, [(0, 4), (4, 8)]),
        (9.0, 4.0, 4.0, [(0, 4), (4, 9)]),
        (10.0, 4.0, 4.0, [(0, 4), (4, 8), (8, 10)]),
        (11.0, 4.0, 4.0, [(0, 4), (4, 8), (8, 11)]),
        (2.5, 4.0, 4.0, [(0, 2.5)]),
        (4.0, 4.0, 4.0, [(0, 4)]),
        (5.9, 4.0, 4.0, [(0, 5.9)]),
        (9.0, 4.0, 2.0, [(0, 4), (2, 6), (4, 9)]),
        (10.0, 4.0, 2.0, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (12.5, 4.0, 3.0, [(0, 4), (3, 7), (6, 10), (9, 12.5)]),
    ],
)
def test_spans(duration_s: float, window_s: float, stride_s: float, spans: list[tuple[float, float]]) -> None:
    assert spans_of(duration_s, Sampling(window_s=window_s, stride_s=stride_s)) == spans


@pytest.mark.parametrize("window_s", [0.5, 1.7, 4.0])
def test_spans_cover_every_video_without_a_gap(window_s: float) -> None:
    rng = np.random.default_rng(0)
    for duration_s in rng.uniform(0.01, 40.0, 300):
        for stride_s in (window_s, window_s / 2, window_s / 3):
            spans = spans_of(float(duration_s), Sampling(window_s=window_s, stride_s=stride_s))
            assert spans[0].start_s == 0.0
            assert spans[-1].end_s == pytest.approx(duration_s, abs=1e-5)
            assert all(later.start_s <= earlier.end_s for earlier, later in pairwise(spans))
            assert all(span.end_s > span.start_s for span in spans)


def test_sample_times_are_the_middles_of_equal_parts() -> None:
    assert sample_times_s(Span(0.0, 4.0), 16).tolist() == [0.125 + 0.25 * j for j in range(16)]
    assert sample_times_s(Span(8.0, 10.0), 4).tolist() == [8.25, 8.75, 9.25, 9.75]


def test_the_frame_on_screen_is_the_last_that_has_begun() -> None:
    starts = np.array([0.5, 1.0, 2.0])
    assert frames_on_screen(starts, np.array([0.0, 0.5, 0.99, 1.0, 1.5, 2.0, 9.0])).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_time_on_a_frame_is_that_frame_in_any_time_base() -> None:
    """24 fps at 90 kHz: 0.125 s is frame 3 exactly, and must not fall to frame 2 by a rounding error."""
    for ticks in (90_000, 12_288, 1_000_000, 24):
        pts = np.array([round(i * ticks / 24) for i in range(2400)])
        times_s = pts * float(Fraction(1, ticks))
        assert frames_on_screen(times_s, np.arange(2400) / 24).tolist() == list(range(2400))


def test_one_input_serves_both_models_where_one_is_part_of_the_other() -> None:
    sixteen, eight, odd = ModelInput(16, SQUARE), ModelInput(8, SQUARE), ModelInput(6, SQUARE)
    elsewhere = ModelInput(8, Geometry(96, (96, 96)))
    assert distinct_inputs([sixteen, eight]) == (sixteen,)
    assert distinct_inputs([eight, sixteen]) == (sixteen,)
    assert distinct_inputs([sixteen, sixteen]) == (sixteen,)
    assert distinct_inputs([sixteen, odd]) == (sixteen, odd)
    assert distinct_inputs([sixteen, elsewhere]) == (sixteen, elsewhere)


def test_a_plan_names_frames_by_number_and_by_time() -> None:
    (job,) = plan_jobs(VIDEO, meta_of(4.0), Sampling(), [ModelInput(16, SQUARE)])
    assert job.frame_index.tolist() == [3, 9, 15, 21, 28, 34, 40, 46, 53, 59, 65, 71, 78, 84, 90, 96]
    assert job.frame_pts.tolist() == job.frame_index.tolist()
    assert job.picks[0][0].tolist() == list(range(16))
    assert job.seek is None


def test_a_film_is_planned_in_jobs_of_a_minute_that_seek_to_keyframes() -> None:
    jobs = plan_jobs(VIDEO, meta_of(150.0), Sampling(), [ModelInput(16, SQUARE)])
    assert [(job.part, job.num_parts, len(job.spans)) for job in jobs] == [(0, 3, 15), (1, 3, 15), (2, 3, 8)]
    assert [job.spans[0].start_s for job in jobs] == [0.0, 60.0, 120.0]
    assert [job.seek for job in jobs] == [None, Keyframe(1500, 1498), Keyframe(3000, 2998)]
    assert [span for job in jobs for span in job.spans] == spans_of(150.0, Sampling())


def test_a_codecs_delay_does_not_lengthen_a_video() -> None:
    """The first frame 0.04 s after time 0, as AVI has it: clips still end at the duration."""
    (job,) = plan_jobs(VIDEO, meta_of(6.56, first_s=0.04), Sampling(), [ModelInput(16, SQUARE)])
    assert job.spans == (Span(0.0, 4.0), Span(4.0, 6.56))


def test_a_video_that_begins_late_keeps_its_times() -> None:
    """Sound from 0, pictures from 10 s to 20 s: no clip before them, and none lost after."""
    (job,) = plan_jobs(VIDEO, meta_of(10.0, first_s=10.0), Sampling(), [ModelInput(16, SQUARE)])
    assert job.spans == (Span(8.0, 12.0), Span(12.0, 16.0), Span(16.0, 20.0))


def test_fewer_frames_than_samples_are_shown_again() -> None:
    (job,) = plan_jobs(VIDEO, meta_of(0.12), Sampling(), [ModelInput(16, SQUARE)])
    assert job.frame_index.tolist() == [0, 1, 2]
    assert job.picks[0][0].tolist() == [0] * 5 + [1] * 6 + [2] * 5


def test_a_standing_picture_is_not_clipped_for_ever() -> None:
    """Six frames, the last of them 20 days later by its time stamp: a minute of the picture, then the last frame."""
    meta = meta_of(0.24)
    meta.pts[-1] = 20 * 86_400 * 25
    jobs = plan_jobs(VIDEO, meta, Sampling(), [ModelInput(16, SQUARE)])
    spans = [span for job in jobs for span in job.spans]
    assert len(spans) == 17
    assert spans[:2] == [Span(0.0, 4.0), Span(4.0, 8.0)]
    assert spans[-1].end_s == pytest.approx(20 * 86_400 + 0.04)
    assert [problem.reason for job in jobs for problem in job.problems] == [
        "1727932 s of it hold no new frame and were passed over"
    ]


def test_times_longer_than_any_recording_are_refused() -> None:
    meta = meta_of(0.24)
    meta.pts[-1] = 2**50
    with pytest.raises(VideoError, match=r"probe: its times span \d+ days, expected 100: they are broken"):
        plan_jobs(VIDEO, meta, Sampling(), [ModelInput(16, SQUARE)])


@pytest.mark.parametrize(("first_s", "span"), [(0.4, Span(0.0, 0.44)), (0.0, Span(0.0, 0.04)), (20.0, Span(16.0, 20.04))])
def test_a_single_frame_is_a_clip_wherever_it_is(first_s: float, span: Span) -> None:
    (job,) = plan_jobs(VIDEO, meta_of(0.04, first_s=first_s), Sampling(), [ModelInput(16, SQUARE)])
    assert [(round(found.start_s, 6), round(found.end_s, 6)) for found in job.spans] == [span]
    assert job.frame_index.tolist() == [0]
