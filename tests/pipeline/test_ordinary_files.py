"""Files as people have them: cut without re-encoding, recorded from the middle, joined, under another's name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.container.packet_times import PacketTimes, join
from pipeline.container.reading import open_video
from pipeline.decoders.registry import load_decoder
from pipeline.probe import probe
from pipeline.process import decode_job, plan_video
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, SpanDone, SpanJob, VideoFailed
from schemas.video_meta import Part
from tests.helpers.videos import number_in, write_video

WIDE = ModelInput(4, Geometry((64, 128), None))
TICK = Fraction(1, 1000)


def indexed(path: Path, wanted: ModelInput = WIDE, decoder: str = "pyav") -> tuple[list[SpanJob], list[Clip], list[str]]:
    """A video's jobs and clips, and what was wrong with it."""
    (file,) = find_videos([path])
    assert not isinstance(file, tuple)
    jobs = plan_video(file, Sampling(), (wanted,))
    failed = [item.reason for item in jobs if isinstance(item, VideoFailed)]
    assert not failed
    sound = [job for job in jobs if isinstance(job, SpanJob)]
    items = [item for job in sound for item in decode_job(job, load_decoder(decoder))]
    problems = [problem.reason for item in items if isinstance(item, SpanDone) for problem in item.problems]
    return sound, [item for item in items if isinstance(item, Clip)], problems


def reason_of(path: Path) -> str:
    (file,) = find_videos([path])
    assert not isinstance(file, tuple)
    (failed,) = plan_video(file, Sampling(), (WIDE,))
    assert isinstance(failed, VideoFailed)
    return failed.reason


def copied(source: Path, target: Path, *, from_packet: int, offset: int = 0) -> Path:
    """Copy packets from one on, as a tool that cuts without re-encoding; frames of the first ``offset`` ticks are hidden."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        kept = [packet for packet in read.demux(stream) if packet.size][from_packet:]
        first = kept[0].dts or 0
        for packet in kept:
            packet.pts, packet.dts = (packet.pts or 0) - first - offset, (packet.dts or 0) - first - offset
            packet.stream = copy
            written.mux(packet)
    return target


def test_a_cut_by_stream_copy_is_indexed(tmp_path: Path) -> None:
    """An edit list hides the first 20 frames: those on screen are numbers 20 to 99."""
    whole = write_video(tmp_path / "whole.mp4", 100, options={"g": "100", "bf": "0"})
    cut = copied(whole, tmp_path / "cut.mp4", from_packet=0, offset=20 * 512)
    assert probe(str(cut)).num_frames == 80
    jobs, clips, problems = indexed(cut)
    assert problems == []
    numbers = [number_in(frame) for frame in clips[0].frames[0]]
    assert numbers == [20 + int(index) for index in jobs[0].frame_index]


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4", "a.flv"])
def test_a_recording_that_begins_between_keyframes_is_indexed(tmp_path: Path, name: str) -> None:
    whole = write_video(tmp_path / f"whole-{name}", 150, options={"g": "50", "bf": "0"})
    cut = copied(whole, tmp_path / name, from_packet=30)
    _, clips, _ = indexed(cut)
    assert len(clips) == 1
    assert number_in(clips[0].frames[0][-1]) > 120


@pytest.mark.parametrize(("container", "codec"), [("flv", "libx264"), ("mpeg", "mpeg2video"), ("mpegts", "libx264")])
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".m4v"])
def test_a_container_under_anothers_name_is_read_as_what_it_is(
    tmp_path: Path, container: str, codec: str, ending: str
) -> None:
    made = write_video(tmp_path / f"a.{ {'flv': 'flv', 'mpeg': 'mpg', 'mpegts': 'ts'}[container] }", 50, codec=codec)
    named = made.rename(tmp_path / f"a{ending}")
    meta = probe(str(named))
    assert (meta.num_frames, meta.container, meta.problems) == (50, container, ())


def test_opening_mp4_decodes_nothing(tmp_path: Path) -> None:
    """FFmpeg learns the format of pixels by decoding: where it is unknown, nothing was decoded."""
    path = write_video(tmp_path / "a.mp4", 5).rename(tmp_path / "a.video")
    with open_video(str(path)) as container:
        assert container.streams.video[0].codec_context.format is None


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.mkv"])
def test_joined_recordings_go_on_counting(tmp_path: Path, name: str) -> None:
    """Of 75 s and 50 s, each with times from 0: 125 s, every sampled frame the right one."""
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    lengths = (375, 250)
    parts = [
        write_video(tmp_path / f"{n}-{name}", n, fps=25 if name == "a.mpg" else 5, codec=codec, options={"g": "10"})
        for n in lengths
    ]
    joined = tmp_path / name
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    meta = probe(str(joined))
    fps = 25 if name == "a.mpg" else 5
    assert (meta.num_frames, len(meta.parts), meta.problems) == (625, 2, ())
    assert meta.duration_s == pytest.approx(625 / fps, abs=0.1)
    jobs, clips, problems = indexed(joined)
    assert problems == []
    numbers = [index if index < 375 else index - 375 for index in range(625)]
    shown = [number_in(frame) for clip in clips for frame in clip.frames[0]]
    wanted = [numbers[int(job.frame_index[pick])] % 256 for job in jobs for picks in job.picks for pick in picks[0]]
    assert shown == wanted


def test_times_that_start_anew_go_on() -> None:
    dts = np.tile(np.arange(50) * 40, 2)
    joined = join(PacketTimes(dts, dts, np.full(100, 40), np.arange(100)), TICK)
    assert (dts + joined.shift).tolist() == [40 * number for number in range(100)]
    assert joined.parts == (Part(0, 0), Part(50, 2000))


def test_one_damaged_time_is_no_new_recording() -> None:
    dts = np.array([0, 40, 80, 9_000_000, 160, 200], np.int64)
    joined = join(PacketTimes(dts, dts, np.full(6, 40), np.arange(6)), TICK)
    assert joined.stray.tolist() == [False, False, False, True, False, False]
    assert joined.parts == ()
    assert not joined.shift.any()


def test_a_frame_that_is_shown_days_after_it_is_decoded_has_a_damaged_time() -> None:
    """One such frame of a short FLV made it a video of 49 days, and its planning took half a minute."""
    dts = np.arange(6) * 40
    pts = dts + 80
    pts[[0, 3]] += 1190 * 3_600_000
    joined = join(PacketTimes(pts, dts, np.full(6, 40), np.arange(6)), TICK)
    assert joined.stray.tolist() == [True, False, False, True, False, False]
    assert joined.parts == ()


def test_a_part_of_damaged_times_alone_is_followed_by_another() -> None:
    dts = np.array([9000, *(np.arange(12) * 40)], np.int64)
    pts = dts.copy()
    pts[0] += 1190 * 3_600_000
    joined = join(PacketTimes(pts, dts, np.full(13, 40), np.arange(13)), TICK)
    assert joined.stray.tolist() == [True] + [False] * 12
    assert len(joined.parts) == 2


def test_a_clock_that_leaps_200_days_goes_on() -> None:
    dts = np.array([0, 40, 80, *(np.arange(12) * 40 + 200 * 86_400_000)], np.int64)
    joined = join(PacketTimes(dts, dts, np.full(15, 40), np.arange(15)), TICK)
    assert (dts + joined.shift).tolist() == [40 * number for number in range(15)]


def test_ordinary_times_stay(tmp_path: Path) -> None:
    """An hour's pause is a pause: cameras that record motion make them."""
    dts = np.array([0, 40, 80, 3_600_000, 3_600_040], np.int64)
    joined = join(PacketTimes(dts, dts, np.full(5, 40), np.arange(5)), TICK)
    assert joined.parts == ()
    assert not joined.shift.any()
    assert not joined.stray.any()


@pytest.mark.parametrize("muxing", [{"movflags": "frag_keyframe+empty_moov"}, {"movflags": "faststart"}])
def test_an_mp4_cut_off_has_fewer_frames_than_its_index(tmp_path: Path, muxing: dict[str, str]) -> None:
    whole = write_video(tmp_path / "whole.mp4", 250, options={"g": "25"}, muxing=muxing)
    assert probe(str(whole)).problems == ()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    assert any(problem.startswith("cut off: the header promises ") for problem in probe(str(cut)).problems)


def test_fragments_from_the_middle_are_whole(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", 250, options={"g": "25", "bf": "0"})
    late = write_video(tmp_path / "late.mp4", 100, pts=range(5000, 5100), muxing={"movflags": "frag_keyframe+empty_moov"})
    assert (probe(str(whole)).problems, probe(str(late)).problems) == ((), ())
    assert probe(str(late)).num_frames == 100


def test_an_encrypted_file_gets_no_labels(tmp_path: Path) -> None:
    muxing = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    path = write_video(tmp_path / "a.mp4", 50, muxing=muxing)
    assert reason_of(path) == "encrypted: its frames need a key that vidsift does not have; decrypt it first"


def test_a_cut_that_leaves_nothing_says_so(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", 25)
    path = copied(source, tmp_path / "a.mp4", from_packet=0, offset=10**6)
    assert reason_of(path) == "its edit list hides every frame: it was cut where nothing is left"


def test_what_an_orientation_costs_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library raises when only the rotation is wanted, the video is indexed."""

    def broken(frame: av.VideoFrame) -> tuple[int, bool]:
        raise RuntimeError("Cannot change thread_count after codec is open")

    monkeypatch.setattr("pipeline.probe.turned", broken)
    _, clips, problems = indexed(write_video(tmp_path / "a.mp4", 50))
    assert (len(clips), problems) == (1, [])


@pytest.mark.parametrize(
    ("name", "num_frames", "fps", "num_clips"),
    [
        ("trimmed_by_copy.mp4", 127, 25, 1),
        ("flv_named.mp4", 77, 25, 1),
        ("field_coded.ts", 100, 25, 1),
        ("copied_from_3s.mkv", 200, 25, 2),
        ("h264_in.avi", 252, 25, 3),
        ("cropped_by_container.mp4", 100, 25, 1),
    ],
)
def test_files_that_were_handled_wrongly(shared_cases: Path, name: str, num_frames: int, fps: int, num_clips: int) -> None:
    meta = probe(str(shared_cases / name))
    assert (meta.num_frames, meta.problems) == (num_frames, ())
    assert meta.fps == pytest.approx(fps, abs=0.25)
    _, clips, problems = indexed(shared_cases / name)
    assert (len(clips), problems) == (num_clips, [])


def test_a_joined_recording_shows_all_its_parts(shared_cases: Path, tmp_path: Path) -> None:
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join((shared_cases / f"joined_part{number}.ts").read_bytes() for number in range(3)))
    jobs, clips, problems = indexed(joined, ModelInput(4, Geometry((16, 16), None)))
    assert (jobs[0].video.duration_s, len(clips), problems) == (60.0, 15, [])
    strongest = [int(clip.frames[0].mean(axis=(0, 1, 2)).argmax()) for clip in clips]
    assert strongest == [0] * 5 + [1] * 5 + [2] * 5


def test_an_encrypted_case_fails_as_encrypted(shared_cases: Path) -> None:
    assert reason_of(shared_cases / "encrypted_cenc.mp4").startswith("encrypted: ")
