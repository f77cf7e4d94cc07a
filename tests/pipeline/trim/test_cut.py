"""Pieces of videos: the frames that were asked for, at their times, turned and shaped as before, with their sound."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.probe import probe
from pipeline.trim.cut import cut_video, has_sound
from pipeline.trim.timestamps import Cut
from pipeline.trim.video_encoder import Picture
from schemas.errors import JobError, VideoError
from schemas.records import Span
from tests.helpers.videos import beeps_in, decode_all, number_in, write_video, write_with_sound

TIMES = [0, 1, 2, 10, 11, 30, 31, 32, 33, 50]  # of a variable rate, in 1/25 s


def cut_out(source: Path, start_s: float, end_s: float) -> tuple[Cut, list[float], list[int], Path]:
    """What was cut, and the times and numbers of the frames in the file."""
    output = source.with_name(f"cut-of-{source.name}.mp4")
    made = cut_video(str(source), probe(str(source)), Span(start_s, end_s), output)
    times, pictures = decode_all(output)
    return made, times, [number_in(picture) for picture in pictures], output


def on_screen(frame_times_s: list[float], start_s: float, end_s: float) -> list[int]:
    """Numbers of the frames that a player shows in [start_s, end_s)."""
    ends = [*frame_times_s[1:], np.inf]
    return [n for n, (a, b) in enumerate(zip(frame_times_s, ends, strict=True)) if a < end_s - 1e-6 and b > start_s + 1e-6]


@pytest.mark.parametrize(
    ("name", "codec", "options", "how"),
    [
        ("long-gop.mp4", "libx264", {"g": "250", "bf": "3"}, "re-encoded"),
        ("short-gop.mp4", "libx264", {"g": "10", "bf": "3"}, "copied"),
        ("short-gop.mkv", "libx264", {"g": "10", "bf": "3"}, "copied"),
        ("open-gop.mkv", "libx265", {"x265-params": "log-level=none:keyint=12"}, "copied"),
        ("short-gop.ts", "libx264", {"g": "10", "bf": "2"}, "copied"),
        ("long-gop.ts", "libx264", {"g": "250", "bf": "2"}, "re-encoded"),
        ("short-gop.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, "copied"),
        ("vp8.webm", "libvpx", {"g": "10", "deadline": "realtime"}, "re-encoded"),
        ("mpeg4.avi", "mpeg4", {"g": "10"}, "re-encoded"),
        ("b-frames.avi", "libx264", {"g": "10", "bf": "2"}, "re-encoded"),
        ("mpeg4.mp4", "mpeg4", {"g": "10"}, "copied"),
    ],
)
def test_a_piece_has_the_frames_of_its_time(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], how: str
) -> None:
    source = write_video(tmp_path / name, 120, codec=codec, options=options)
    made, times, numbers, _ = cut_out(source, 1.86, 2.7)
    source_times, _ = decode_all(source)
    assert made.how == how
    assert numbers == on_screen(source_times, made.start_s, made.end_s)
    assert set(numbers) >= set(on_screen(source_times, 1.86, 2.7))
    assert times[0] == 0
    expected = [max(0.0, source_times[number] - made.start_s) for number in numbers]
    assert times == pytest.approx(expected, abs=0.0006)
    if how == "copied":
        assert 1.36 <= made.start_s <= 1.86
        assert 2.7 <= made.end_s <= 3.2
    else:
        assert (made.start_s, made.end_s) == pytest.approx((1.86, 2.7))


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    source = write_video(tmp_path / "vfr.mp4", 10, pts=TIMES, options={"g": "250"})
    made, times, numbers, output = cut_out(source, 0.6, 1.31)
    assert made.how == "re-encoded"
    assert numbers == [4, 5, 6, 7]  # the picture of 0.44 s is still on screen at 0.6 s
    assert times == pytest.approx([0, 0.6, 0.64, 0.68], abs=1e-4)
    assert probe(str(output)).duration_s == pytest.approx(0.71, abs=1e-3)


def test_a_picture_that_stands_still_is_shown_as_long(tmp_path: Path) -> None:
    source = write_video(tmp_path / "vfr.mp4", 10, pts=TIMES, options={"g": "250"})
    _, times, numbers, output = cut_out(source, 0.6, 1.0)
    assert (times, numbers) == ([0.0], [4])
    assert probe(str(output)).duration_s == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize("gop", ["10", "250"])
@pytest.mark.parametrize(("rotation", "mirrored"), [(90, False), (180, False), (-90, False), (90, True)])
def test_how_the_picture_is_turned_is_kept(tmp_path: Path, gop: str, rotation: int, mirrored: bool) -> None:
    source = write_video(tmp_path / "turned.mp4", 60, rotation=rotation, mirrored=mirrored, options={"g": gop})
    made, _, numbers, output = cut_out(source, 1.2, 1.6)
    meta = probe(str(output))
    assert (meta.rotation_deg % 360, meta.mirrored) == (rotation % 360, mirrored)
    assert made.how == ("copied" if gop == "10" else "re-encoded")
    assert set(numbers) >= set(range(30, 40))


@pytest.mark.parametrize("gop", ["10", "250"])
def test_the_shape_of_pixels_is_kept(tmp_path: Path, gop: str) -> None:
    source = write_video(tmp_path / "wide.mp4", 60, pixel_aspect=Fraction(4, 3), options={"g": gop})
    assert probe(str(cut_out(source, 1.2, 1.6)[3])).pixel_aspect == Fraction(4, 3)


def test_odd_sizes_lose_a_line_at_most(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "odd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 161, 121, "yuv444p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((121, 161, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    meta = probe(str(cut_out(tmp_path / "odd.mkv", 0.1, 0.3)[3]))
    assert (meta.coded_width, meta.coded_height) == (160, 120)


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [("a.mp4", "aac", "aac"), ("b.mkv", "pcm_s16le", "aac"), ("c.mkv", "libopus", "opus"), ("d.mkv", "flac", "flac")],
)
@pytest.mark.parametrize("gop", ["10", "250"])
def test_sound_stays_with_the_picture(tmp_path: Path, name: str, codec: str, kept: str, gop: str) -> None:
    source = write_with_sound(tmp_path / name, 8, codec=codec, options={"g": gop})
    made, _, numbers, output = cut_out(source, 2.6, 5.4)
    assert made.sound
    assert numbers == on_screen(decode_all(source)[0], made.start_s, made.end_s)
    expected = [beep_s - made.start_s for beep_s in beeps_in(source) if made.start_s <= beep_s < 5.4]
    assert len(expected) == 3
    assert beeps_in(output) == pytest.approx(expected, abs=0.003)
    with av.open(str(output)) as container:
        assert container.streams.audio[0].codec_context.name.removeprefix("lib") == kept


def test_sound_that_begins_within_a_packet_is_trimmed(tmp_path: Path) -> None:
    """A packet of [2.8, 3.2) s has the beep at 3 s."""
    source = write_with_sound(tmp_path / "a.mkv", 5, codec="pcm_s16le", options={"g": "250"}, samples=19_200)
    _, _, _, output = cut_out(source, 2.9, 3.9)
    assert beeps_in(output) == pytest.approx([0.1], abs=0.003)


@pytest.mark.parametrize(("start_s", "how"), [(0.0, "copied"), (0.8, "re-encoded")])
def test_what_a_container_cuts_off_is_cut_off(shared_cases: Path, tmp_path: Path, start_s: float, how: str) -> None:
    """Bars of 30 lines over and under the picture."""
    source = shared_cases / "cropped_by_container.mp4"
    made = cut_video(str(source), probe(str(source)), Span(start_s, start_s + 0.4), tmp_path / "piece.mp4")
    meta = probe(str(tmp_path / "piece.mp4"))
    assert (made.how, meta.coded_width, meta.coded_height) == (how, 320, 180)
    whole, piece = decode_all(source)[1][round(start_s * 25)], decode_all(tmp_path / "piece.mp4")[1][0]
    shown = piece if how == "re-encoded" else piece[30:210]
    assert shown.shape == (180, 320, 3)
    assert np.abs(whole[30:210].astype(int) - shown).mean() < 3


def channels_of(path: Path) -> list[float]:
    """How loud each channel is."""
    with av.open(str(path)) as container:
        loud = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples = np.concatenate(loud, axis=1)[:, 4096:]  # after what an encoder swings in with
    return [float(np.sqrt((channel**2).mean())) for channel in samples]


def write_channels(path: Path, layout: str, loud: int, codec: str = "pcm_s16le") -> Path:
    """25 pictures, and a tone in one channel."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "250"})
        audio = container.add_stream(codec, rate=48_000, layout=layout)
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10, np.uint8), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        tone = np.zeros((48_000, audio.codec_context.layout.nb_channels), np.int16)
        tone[:, loud] = 10_000 * np.sin(np.arange(48_000) / 10)
        sound = av.AudioFrame.from_ndarray(tone.reshape(1, -1), format="s16", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(audio.encode(sound))
        container.mux([*video.encode(None), *audio.encode(None)])
    return path


@pytest.mark.parametrize(("loud", "heard"), [(0, (True, False)), (1, (True, True)), (2, (False, True)), (3, (True, False))])
def test_channels_in_an_order_of_their_own(tmp_path: Path, loud: int, heard: tuple[bool, bool]) -> None:
    """In the order of films: left, centre, right, left surround, right surround, bass."""
    source = write_channels(tmp_path / "a.mov", "5.1", loud)
    data = bytearray(source.read_bytes())
    place = data.index(b"chan", data.index(b"stsd")) + 8
    data[place : place + 4] = (123 << 16 | 6).to_bytes(4, "big")
    source.write_bytes(data)
    made, _, numbers, output = cut_out(source, 0.2, 0.8)
    assert made.sound
    assert made.problems == ()
    assert len(numbers) >= 15
    assert tuple(level > 0.03 for level in channels_of(output)) == heard


@pytest.mark.parametrize(
    ("name", "layout", "codec"), [("a.mkv", "5 channels", "pcm_s16le"), ("b.mkv", "12 channels", "pcm_s16le")]
)
def test_channels_that_do_not_say_where_they_belong(tmp_path: Path, name: str, layout: str, codec: str) -> None:
    source = write_channels(tmp_path / name, layout, 0, codec)
    made, _, _, output = cut_out(source, 0.2, 0.8)
    assert made.problems == ()
    assert [level > 0.03 for level in channels_of(output)] == [True, False]


def test_sound_is_told_from_silence(tmp_path: Path) -> None:
    assert has_sound(str(write_with_sound(tmp_path / "a.mp4", 1)))
    assert not has_sound(str(write_video(tmp_path / "b.mp4", 5)))


def test_a_source_that_is_cut_off_gives_what_is_there(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 250, options={"g": "250"}).read_bytes()
    source = tmp_path / "cut-off.mkv"
    source.write_bytes(whole[: len(whole) // 2])
    meta = probe(str(source))
    assert meta.end_s < 8
    made, _, numbers, _ = cut_out(source, meta.end_s - 1, meta.end_s)
    assert len(numbers) >= 20
    assert made.end_s <= meta.end_s


def test_what_cannot_be_decoded_leaves_nothing(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", 50, options={"g": "250"})
    meta = probe(str(source))
    source.write_bytes(b"\0" * 1000)
    with pytest.raises(VideoError, match="Invalid data found"):
        cut_video(str(source), meta, Span(1.0, 1.5), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_full_disk_is_no_fault_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "a.mp4", 50, options={"g": "250"})

    def full(*_: object) -> None:
        raise av.error.OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out.mp4").touch()
    monkeypatch.setattr(Picture, "_mux", full)
    with pytest.raises(JobError, match="cannot be written: No space left on device; make room"):
        cut_video(str(source), probe(str(source)), Span(1.0, 1.5), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
