"""The frames that people are shown of a span are frames of that span, as players show them."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.previews.frames import exact_frames, span_frames
from pipeline.previews.quick import quick_frames
from pipeline.previews.streams import Streams, read_streams
from pipeline.probe import probe
from schemas.errors import VideoError
from schemas.records import Span
from tests.helpers.videos import decode_all, number_in, write_audio, write_video, write_with_sound

# One keyframe in ten seconds, as x264 makes them of pictures that hardly change; and B-frames that others refer to.
LONG_GOP = {"g": "250", "keyint_min": "250", "sc_threshold": "0", "bf": "3"}


def numbers(path: Path, span: Span, count: int = 1, width: int = 320) -> list[int]:
    frames = quick_frames(str(path), span, count, width)
    assert frames is not None
    return [number_in(frame) for frame in frames]


def exact_numbers(path: Path, span: Span, count: int = 1) -> list[int]:
    return [number_in(frame) for frame in exact_frames(str(path), probe(str(path)), span, count, 320)]


@pytest.fixture(scope="module", params=["mp4", "mkv", "mov"])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / f"a.{request.param}", 250, options=LONG_GOP)


def test_picture_without_a_keyframe_is_from_near_the_middle(video: Path) -> None:
    for start_s in (1.0, 3.0, 7.52):
        (number,) = numbers(video, Span(start_s, start_s + 2))
        assert abs(number - (start_s + 1) * 25) <= 2
    assert exact_numbers(video, Span(3.0, 5.0)) == [100]


def test_picture_is_a_keyframe_of_the_span_where_there_is_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 200, options={"g": "50", "keyint_min": "50", "sc_threshold": "0", "bf": "3"})
    assert numbers(path, Span(1.0, 5.0)) == [50]  # the last before the middle
    assert numbers(path, Span(0.4, 2.2)) == [50]  # none before the middle
    assert numbers(path, Span(2.0, 3.0)) == [50]
    assert 26 <= numbers(path, Span(1.04, 2.0))[0] < 50  # the span is half open


def test_picture_of_a_short_span_is_the_frame_on_screen(video: Path) -> None:
    for number in (30, 101, 248):
        span = Span(number / 25 + 0.01, number / 25 + 0.02)
        frames = span_frames(str(video), partial(probe, str(video)), span, 1, 320)
        assert [number_in(frame) for frame in frames] == [number]


def test_large_pictures_keep_nearer_to_the_keyframe_and_within_the_span(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.previews.quick._PIXELS", 160 * 120 * 10)  # ten frames
    (number,) = numbers(video, Span(4.0, 8.0))
    assert 108 <= number <= 112  # a tenth of the span after its start
    (near,) = numbers(video, Span(0.1, 4.0))
    assert near == 0 or 10 <= near <= 14


@pytest.mark.parametrize("span", [Span(2.0, 6.0), Span(0.0, 10.0)])
def test_animation_passes_through_the_span(video: Path, span: Span) -> None:
    shown = numbers(video, span, 8)
    expected = [(span.start_s + (j + 0.5) * (span.end_s - span.start_s) / 8) * 25 for j in range(8)]
    assert np.abs(np.array(shown) - expected).max() <= 2


def test_animation_of_a_long_span_has_a_frame_of_each_part(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 240, fps=10, options={"g": "40", "sc_threshold": "0"})
    shown = numbers(path, Span(0.0, 24.0), 8)
    assert [number // 30 for number in shown] == list(range(8))


def test_seeking_that_fails_leaves_it_to_the_exact_way(tmp_path: Path) -> None:
    """MPEG-4 in AVI says nothing of when its frames are shown; a transport stream may be several, joined."""
    avi = write_video(tmp_path / "a.avi", 100, codec="mpeg4", options={"g": "100", "bf": "2"})
    stream = write_video(tmp_path / "a.ts", 100)
    for path in (avi, stream):
        assert quick_frames(str(path), Span(1.0, 3.0), 1, 320) is None
        frames = span_frames(str(path), partial(probe, str(path)), Span(1.0, 3.0), 4, 320)
        assert [number_in(frame) for frame in frames] == exact_numbers(path, Span(1.0, 3.0), 4)


def test_probe_is_left_out_where_it_is_not_needed(video: Path) -> None:
    def never() -> None:
        raise AssertionError

    assert len(span_frames(str(video), never, Span(1.0, 3.0), 8, 320)) == 8  # type: ignore[arg-type]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_picture_is_turned_as_players_turn_it(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = write_video(tmp_path / "a.mp4", 50, rotation=rotation, mirrored=mirrored)
    quick = quick_frames(str(path), Span(0.0, 2.0), 1, 320)
    assert quick is not None
    exact = exact_frames(str(path), probe(str(path)), Span(0.0, 0.02), 1, 320)
    assert quick[0].shape == ((160, 120, 3) if rotation % 180 else (120, 160, 3))
    assert np.abs(quick[0].astype(int) - exact[0]).mean() < 1
    assert not np.array_equal(quick[0], quick[0][:, ::-1])


def test_pixels_are_square_and_small_pictures_stay_small(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 50, size=(320, 240), pixel_aspect=Fraction(4, 3))
    sizes = [frames[0].shape for width in (160, 320, 640) if (frames := quick_frames(str(path), Span(0, 2), 1, width))]
    assert sizes == [(90, 160, 3), (180, 320, 3), (240, 427, 3)]


def test_picture_has_the_colours_that_the_plain_way_gives(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50, size=(640, 480))
    (quick,) = quick_frames(str(path), Span(0.0, 2.0), 1, 640) or []
    assert np.abs(quick.astype(int) - decode_all(path)[1][0]).mean() < 1


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video at all")
    assert quick_frames(str(path), Span(0, 1), 1, 320) is None
    with pytest.raises(VideoError, match="no video container that FFmpeg can read"):
        span_frames(str(path), partial(probe, str(path)), Span(0, 1), 1, 320)
    with pytest.raises(VideoError, match="no video container that FFmpeg can read"):
        read_streams(str(path))
    with pytest.raises(VideoError, match="no video stream; the file holds audio"):
        span_frames(str(write_audio(tmp_path / "b.mp4")), partial(probe, str(path)), Span(0, 1), 1, 320)


def test_span_after_the_end_shows_the_last_frame(video: Path) -> None:
    frames = span_frames(str(video), partial(probe, str(video)), Span(11.0, 12.0), 1, 320)
    assert [number_in(frame) for frame in frames] == [249]


def test_streams_are_read(tmp_path: Path) -> None:
    assert read_streams(str(write_with_sound(tmp_path / "a.mp4", 1))) == Streams("yuv420p", "aac")
    assert read_streams(str(write_with_sound(tmp_path / "a.mkv", 1, codec="ac3"))) == Streams("yuv420p", "ac3")
    assert read_streams(str(write_video(tmp_path / "b.avi", 5, codec="mjpeg"))) == Streams("yuvj420p", None)
