"""Pieces for browsers hold what browsers play, begin with their index, and show the same frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.probe import probe
from pipeline.trim.cut import cut_video
from pipeline.trim.form import FOR_BROWSERS
from pipeline.trim.timestamps import Cut
from schemas.records import Span
from tests.helpers.videos import beeps_in, decode_all, number_in, numbered_frame, write_video, write_with_sound


def cut(source: Path, span: Span) -> tuple[Cut, Path]:
    output = source.parent / "piece.mp4"
    return cut_video(str(source), probe(str(source)), span, output, FOR_BROWSERS), output


def streams_of(path: Path) -> tuple[str, str | None, list[str]]:
    with av.open(str(path)) as container:
        video = container.streams.video[0].codec_context
        return video.name, video.pix_fmt, [stream.codec_context.name for stream in container.streams.audio]


def boxes(path: Path) -> list[bytes]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4])
    return found


def write_ten_bit(path: Path, num_frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, 160, 120), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    return path


def test_h264_is_copied_from_a_keyframe(tmp_path: Path) -> None:
    source = write_with_sound(tmp_path / "a.mkv", 6, options={"g": "25", "sc_threshold": "0"})
    made, output = cut(source, Span(2.0, 4.0))
    assert (made.how, made.start_s, made.sound) == ("copied", 2.0, True)
    assert streams_of(output) == ("h264", "yuv420p", ["aac"])
    assert [number_in(frame) for frame in decode_all(output)[1]][:50] == list(range(50, 100))
    assert boxes(output)[:2] == [b"ftyp", b"moov"]  # seekable, and played with the first request


def test_cut_between_keyframes_is_encoded_with_its_sound(tmp_path: Path) -> None:
    source = write_with_sound(tmp_path / "a.mp4", 6, options={"g": "250", "sc_threshold": "0"})
    made, output = cut(source, Span(2.52, 3.8))
    assert (made.how, made.start_s) == ("re-encoded", 2.52)
    assert [number_in(frame) for frame in decode_all(output)[1]] == list(range(63, 95))
    assert beeps_in(output) == pytest.approx([0.48], abs=0.03)
    assert boxes(output)[:2] == [b"ftyp", b"moov"]


@pytest.mark.parametrize("codec", ["ac3", "alac", "pcm_s16le"])
def test_sound_that_browsers_do_not_play_becomes_aac_beside_copied_pictures(tmp_path: Path, codec: str) -> None:
    samples = {"ac3": 1536, "alac": 4096}.get(codec, 1024)
    source = write_with_sound(tmp_path / "a.mkv", 4, codec=codec, options={"g": "25", "sc_threshold": "0"}, samples=samples)
    made, output = cut(source, Span(1.0, 3.0))
    assert made.how == "copied"
    assert streams_of(output) == ("h264", "yuv420p", ["aac"])
    assert beeps_in(output) == pytest.approx([0.0, 1.0], abs=0.05)


def test_ten_bit_and_other_codecs_become_h264(tmp_path: Path) -> None:
    ten_bit = write_ten_bit(tmp_path / "a.mp4", 75)
    mpeg2 = write_video(tmp_path / "b.avi", 75, codec="mpeg2video", options={"q:v": "2", "g": "12"})
    mpeg4 = write_video(tmp_path / "c.mp4", 75, codec="mpeg4", options={"g": "12"})
    for source in (ten_bit, mpeg2, mpeg4):
        made, output = cut(source, Span(0.0, 2.0))
        assert made.how == "re-encoded"
        assert streams_of(output) == ("h264", "yuv420p", [])
        begun = int((probe(str(source)).frame_times_s < 2.0).sum())  # the AVI's first frame comes one frame late
        assert begun == (49 if source == mpeg2 else 50)
        assert [number_in(frame) for frame in decode_all(output)[1]] == list(range(begun))


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", 30, size=(1920, 1080), codec="mpeg4")
    _, output = cut(source, Span(0.0, 1.0))
    frames = decode_all(output)[1]
    assert frames[0].shape == (720, 1280, 3)
    assert [number_in(frame) for frame in frames] == list(range(25))


@pytest.mark.parametrize(
    ("size", "encoded"),
    [
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((3840, 1600), (1280, 532)),
        ((640, 480), (640, 480)),
        ((1440, 1080), (960, 720)),
        ((641, 481), (640, 480)),
        ((1, 1), (2, 2)),
    ],
)
def test_size_of_encoded_pictures(size: tuple[int, int], encoded: tuple[int, int]) -> None:
    assert FOR_BROWSERS.encoded_size(*size) == encoded
