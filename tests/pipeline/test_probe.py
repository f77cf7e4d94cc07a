from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.picture.resize import shown_size
from pipeline.probe import probe
from schemas.errors import VideoError
from tests.helpers.videos import decode_all, write_audio, write_video


def test_a_constant_rate(tmp_path: Path) -> None:
    meta = probe(str(write_video(tmp_path / "a.mp4", 50, options={"g": "20"})))
    assert (meta.container, meta.codec, meta.coded_width, meta.coded_height) == ("mp4", "h264", 160, 120)
    assert (meta.num_frames, meta.duration_s, meta.first_s, meta.fps) == (50, 2.0, 0.0, 25.0)
    assert meta.frame_times_s.tolist() == pytest.approx([i / 25 for i in range(50)])
    assert [round((k.pts - meta.start_pts) * meta.time_base * 25) for k in meta.keyframes] == [0, 20, 40]
    assert meta.problems == ()


def test_a_variable_rate_has_its_real_times(tmp_path: Path) -> None:
    times = [0, 1, 2, 10, 11, 30, 31, 32, 33, 50]
    meta = probe(str(write_video(tmp_path / "a.mkv", 10, pts=times)))
    assert meta.frame_times_s.tolist() == pytest.approx([time / 25 for time in times], abs=1e-3)
    assert meta.container == "matroska"


def test_the_duration_is_what_the_packets_say(tmp_path: Path) -> None:
    """50 frames of 25 fps that begin at 3 s: the container's times count from its start."""
    meta = probe(str(write_video(tmp_path / "a.ts", 50, codec="mpeg2video", pts=range(75, 125))))
    assert (meta.num_frames, meta.duration_s, meta.first_s) == (50, 2.0, 0.0)


@pytest.mark.parametrize(("degrees", "shown"), [(0, (160, 120)), (90, (120, 160)), (180, (160, 120)), (-90, (120, 160))])
def test_rotation(tmp_path: Path, degrees: int, shown: tuple[int, int]) -> None:
    meta = probe(str(write_video(tmp_path / "a.mp4", 5, rotation=degrees)))
    assert meta.rotation_deg % 360 == degrees % 360
    assert shown_size(meta.coded_width, meta.coded_height, meta.rotation_deg, meta.pixel_aspect) == shown


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    meta = probe(str(write_video(tmp_path / "a.mp4", 5, pixel_aspect=Fraction(4, 3))))
    assert meta.pixel_aspect == Fraction(4, 3)
    assert shown_size(meta.coded_width, meta.coded_height, 0, meta.pixel_aspect) == (213, 120)
    assert shown_size(meta.coded_width, meta.coded_height, 90, meta.pixel_aspect) == (120, 213)


def test_a_file_cut_off_says_so(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mkv", 250, options={"g": "10"})
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    meta = probe(str(cut))
    assert 50 < meta.num_frames < 200
    assert len(meta.problems) == 1
    assert meta.problems[0].startswith("cut off: the header promises 10.0 s, frames end at ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, this is no video\n" * 100, "no video container that FFmpeg can read: Invalid data found"),
        (b"\x00" * 5000, "no video container that FFmpeg can read: Invalid data found"),
    ],
)
def test_what_is_no_video_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError) as error:
        probe(str(tmp_path / "a.mp4"))
    assert error.value.stage == "probe"
    assert error.value.reason.startswith(reason)


def test_audio_alone_says_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as error:
        probe(str(write_audio(tmp_path / "a.mp4")))
    assert error.value.reason == "no video stream; the file holds audio"


def test_real_clips_are_what_a_full_decode_finds(shared_clips: Path) -> None:
    truth = json.loads((shared_clips / "clips.json").read_text())
    assert len(truth) == 22
    for name, clip in truth.items():
        meta = probe(str(shared_clips / name))
        broken = 1 if clip["decode_errors"] else 0  # its packet is there, its frame is not
        assert meta.num_frames == clip["decodable_frames"] + broken, name
        assert (meta.coded_width, meta.coded_height) == (clip["coded_width"], clip["coded_height"]), name
        assert (meta.codec, meta.rotation_deg) == (clip["codec"], clip["rotation_deg"]), name
        frame_s = 1 / float(Fraction(clip["avg_frame_rate"]))
        assert meta.duration_s == pytest.approx(clip["container_duration_s"], abs=1.1 * frame_s), name
        assert float(meta.start_pts * meta.time_base) == pytest.approx(clip["start_s"], abs=1e-3), name
        if not clip["decode_errors"]:
            # Its B-frames are packed: the first packet's frame is shown at once.
            late_s = 0.04 if name == "mm_test.avi" else 0.0
            times_s = [time_s - late_s for time_s in decode_all(shared_clips / name)[0]]
            assert meta.frame_times_s.tolist() == pytest.approx(times_s, abs=1e-6), name


def test_an_avi_cut_off_has_too_few_frames(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.avi", 250, codec="mpeg4", options={"g": "10"})
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (problem,) = probe(str(cut)).problems
    assert problem.startswith("cut off: the header promises 250 frames, the file holds 1")


def test_two_recordings_in_one_file_go_on_counting(tmp_path: Path) -> None:
    first, second = (write_video(tmp_path / f"{n}.ts", 50 * n, codec="mpeg2video") for n in (2, 1))
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    meta = probe(str(tmp_path / "both.ts"))
    assert (meta.num_frames, meta.duration_s, meta.problems) == (150, 6.0, ())
    assert [part.pos for part in meta.parts] == [564, first.stat().st_size + 564]


def test_a_playlist_under_a_videos_name_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", 5)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(VideoError, match=r"probe: no video but a playlist \(concat\) of other files; ingest those"):
        probe(str(tmp_path / "list.mp4"))


def test_a_raw_stream_is_counted(tmp_path: Path) -> None:
    meta = probe(str(write_video(tmp_path / "a.h264", 50)))
    assert (meta.num_frames, meta.fps, meta.duration_s, meta.timed) == (50, 25.0, 2.0, False)
    assert meta.problems == ("its frames carry no times: 25 a second are assumed",)
