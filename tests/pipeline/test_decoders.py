"""One conformance suite over every decoder that is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.decoders import registry
from pipeline.decoders.av1_skipping import Av1FrameDropper
from pipeline.decoders.base import Decoder
from pipeline.decoders.frame_index import decode_by_number
from pipeline.decoders.registry import DECODERS, load_decoder
from pipeline.probe import probe
from pipeline.sampling import plan_jobs
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import SpanJob, VideoFile, VideoInfo
from schemas.video_meta import VideoMeta
from tests.helpers.videos import decode_all, number_in, write_video


def runs_here(name: str) -> bool:
    try:
        return bool(load_decoder(name))
    except UsageError:
        return False


INSTALLED = [name for name in DECODERS if runs_here(name)]
WHOLE = ModelInput(16, Geometry(None, None))
SQUARE = ModelInput(16, Geometry(64, (64, 64)))


def jobs_of(path: Path, *inputs: ModelInput, window_s: float = 4.0) -> list[SpanJob]:
    return plan_jobs(
        VideoInfo("v", VideoFile(str(path), 1, 1)), probe(str(path)), Sampling(window_s=window_s, stride_s=window_s), inputs
    )


def all_frames(path: Path, meta: VideoMeta) -> SpanJob:
    """A job that wants every frame, at its coded size."""
    (job, *_) = jobs_of(path, WHOLE)
    return replace(job, seek=None, frame_index=np.arange(meta.num_frames), frame_pts=meta.pts)


@pytest.fixture(params=INSTALLED)
def decoder_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`write_video` of a name, but what one decoder has read is not written again for the next one."""
    folder, films = tmp_path_factory.mktemp("films"), dict[str, Path]()

    def write(name: str, num_frames: int, **how: Any) -> Path:
        key = repr((name, num_frames, how))
        if key not in films:
            films[key] = write_video(folder / f"{len(films)}-{name}", num_frames, **how)
        return films[key]

    return write


@pytest.mark.parametrize(
    ("file", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3", "g": "30"}),
        ("a.mp4", "libx264", {"bf": "0", "g": "250"}),
        ("a.mkv", "libx264", {"bf": "3", "g": "30"}),
        ("a.mp4", "libx265", {"x265-params": "bframes=4:keyint=30:open-gop=0:log-level=none"}),
        ("a.mp4", "libx265", {"x265-params": "bframes=4:keyint=30:open-gop=1:log-level=none"}),
        ("a.avi", "mpeg4", {"g": "12"}),
        ("a.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ],
)
def test_sampled_frames_are_the_ones_on_screen(
    written: Callable[..., Path], decoder_name: str, file: str, codec: str, options: dict[str, str]
) -> None:
    if decoder_name == "decord" and "open-gop=1" in options.get("x265-params", ""):
        pytest.skip("decord gives the neighbour of a frame just before a keyframe of an open group of pictures")
    path = written(file, 150, codec=codec, options=options)
    (job,) = jobs_of(path, SQUARE)
    decoded = load_decoder(decoder_name).decode(job)
    assert decoded.problems == ()
    assert decoded.positions.tolist() == list(range(len(job.frame_pts)))
    assert decoded.frames[0].shape == (len(job.frame_pts), 64, 64, 3)
    wide = ModelInput(16, Geometry((64, 128), None))
    (whole,) = jobs_of(path, wide)
    numbers = [number_in(frame) for frame in load_decoder(decoder_name).decode(whole).frames[0]]
    # 25 fps, windows [0, 4) and [4, 6): sample times 0.125, 0.375, ... and 4.0625, 4.1875, ...
    expected = [int((0.125 + 0.25 * j) * 25 + 1e-6) for j in range(16)] + [
        int((4.0625 + 0.125 * j) * 25 + 1e-6) for j in range(16)
    ]
    shift = round(probe(str(path)).first_s * 25)  # AVI shows the first frame one frame after its time 0
    assert numbers == [max(0, number - shift) for number in expected]


def test_every_minute_of_a_long_video_is_right(written: Callable[..., Path], decoder_name: str) -> None:
    """Later jobs seek: their first frames must be the right ones too, in MP4 (indexed by dts) and Matroska (by pts)."""
    for name in ("a.mp4", "a.mkv"):
        path = written(name, 1000, fps=5, options={"bf": "3", "g": "40"})
        jobs = jobs_of(path, ModelInput(4, Geometry((64, 128), None)))
        assert len(jobs) == 4
        for job in jobs:
            frames = load_decoder(decoder_name).decode(job).frames[0]
            assert [number_in(frame) for frame in frames] == [int(i) % 256 for i in job.frame_index], name


@pytest.mark.parametrize(
    ("file", "codec", "options"),
    [
        ("a.avi", "libx264", {"bf": "2", "g": "25"}),
        ("a.avi", "mpeg4", {"bf": "2", "g": "25"}),
        ("a.mpg", "mpeg2video", {"bf": "2", "g": "25"}),
        ("a.ts", "libx264", {"bf": "2", "g": "25"}),
        ("a.flv", "libx264", {"bf": "2", "g": "25"}),
    ],
)
def test_pyav_keeps_order_where_containers_store_no_times(
    tmp_path: Path, file: str, codec: str, options: dict[str, str]
) -> None:
    """The picture of frame n is the n-th, in every minute of the file, also where times had to be guessed."""
    path = write_video(tmp_path / file, 3500, codec=codec, size=(96, 64), options=options)
    jobs = jobs_of(path, ModelInput(4, Geometry((64, 128), None)))
    assert len(jobs) == 3
    for job in jobs:
        decoded = load_decoder("pyav").decode(job)
        assert decoded.problems == ()
        assert [number_in(frame) for frame in decoded.frames[0]] == [int(index) % 256 for index in job.frame_index]


def test_a_variable_rate_is_sampled_by_time(tmp_path: Path, decoder_name: str) -> None:
    path = write_video(tmp_path / "a.mp4", 10, pts=[0, 1, 2, 10, 11, 30, 31, 32, 33, 50])
    (job,) = jobs_of(path, ModelInput(4, Geometry((64, 128), None)))
    assert [number_in(frame) for frame in load_decoder(decoder_name).decode(job).frames[0]] == [2, 4, 8, 9]
    assert job.picks[0][0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_rotation_is_applied(tmp_path: Path, decoder_name: str, degrees: int) -> None:
    upright = decode_all(write_video(tmp_path / "upright.mp4", 5))[1]
    (job,) = jobs_of(write_video(tmp_path / "turned.mp4", 5, rotation=degrees), WHOLE)
    frames = load_decoder(decoder_name).decode(job).frames[0]
    expected = np.stack([np.rot90(frame, degrees // 90) for frame in upright])
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 3), (180, 2), (-90, 1)])
def test_a_mirrored_picture_is_shown_as_players_show_it(tmp_path: Path, degrees: int, turns: int) -> None:
    """The expected turns are what ffmpeg 5.1 does with these files when it applies the display matrix itself."""
    upright = decode_all(write_video(tmp_path / "upright.mp4", 5))[1]
    path = write_video(tmp_path / "mirrored.mp4", 5, rotation=degrees, mirrored=True)
    (job,) = jobs_of(path, WHOLE)
    frames = load_decoder("pyav").decode(job).frames[0]
    expected = np.stack([np.rot90(frame[:, ::-1], turns) for frame in upright])
    assert np.abs(frames.astype(int) - expected).mean() < 1.5


def test_frames_without_times_are_counted(tmp_path: Path) -> None:
    (job,) = jobs_of(write_video(tmp_path / "a.h264", 100, options={"bf": "3"}), ModelInput(4, Geometry((64, 128), None)))
    decoded = load_decoder("pyav").decode(job)
    assert [number_in(frame) for frame in decoded.frames[0]] == [12, 37, 62, 87]


def test_a_resolution_that_changes_midway(tmp_path: Path) -> None:
    small, large = (write_video(tmp_path / f"{n}.ts", 50, codec="mpeg2video", size=size, pts=range(50 * n, 50 * n + 50))
                    for n, size in ((0, (96, 64)), (1, (192, 144))))  # fmt: skip
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    (job,) = jobs_of(tmp_path / "both.ts", ModelInput(8, Geometry((64, 128), None)))
    decoded = load_decoder("pyav").decode(job)
    assert [number_in(frame) for frame in decoded.frames[0]] == [int(i) % 50 for i in job.frame_index]


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path, decoder_name: str) -> None:
    path = write_video(tmp_path / "a.mp4", 5, pixel_aspect=Fraction(4, 3))
    (job,) = jobs_of(path, ModelInput(16, Geometry(60, None)))
    assert load_decoder(decoder_name).decode(job).frames[0].shape == (5, 60, 106, 3)


def test_several_inputs_come_from_one_pass(tmp_path: Path, decoder_name: str) -> None:
    (job,) = jobs_of(write_video(tmp_path / "a.mp4", 100), SQUARE, ModelInput(6, Geometry(96, (96, 96), "bicubic")))
    decoded = load_decoder(decoder_name).decode(job)
    assert [frames.shape for frames in decoded.frames] == [(22, 64, 64, 3), (22, 96, 96, 3)]
    assert [len(picked) for picked in job.picks[0]] == [16, 6]


def test_what_is_no_video_is_a_reason(tmp_path: Path, decoder_name: str) -> None:
    (job,) = jobs_of(write_video(tmp_path / "a.mp4", 10), SQUARE)
    (tmp_path / "a.mp4").write_bytes(b"not a video any more")
    with pytest.raises(VideoError) as error:
        load_decoder(decoder_name).decode(job)
    assert error.value.stage == "decode"
    assert "\n" not in error.value.reason


def test_real_clips_decode_whole(shared_clips: Path, decoder_name: str) -> None:
    for name, clip in json.loads((shared_clips / "clips.json").read_text()).items():
        if clip["decode_errors"]:
            continue
        path = shared_clips / name
        meta = probe(str(path))
        job = replace(all_frames(path, meta), pixel_aspect=Fraction(1))
        decoded = load_decoder(decoder_name).decode(job)
        turned = clip["rotation_deg"] % 180
        size = (clip["coded_width"], clip["coded_height"]) if turned else (clip["coded_height"], clip["coded_width"])
        assert decoded.frames[0].shape == (clip["decodable_frames"], *size, 3), name
        assert decoded.problems == (), name


def test_pyav_decodes_just_the_pixels_of_a_full_decode(shared_clips: Path) -> None:
    """Skipping frames that nobody wants changes no pixel of those that are wanted."""
    for name in ("bikes.mp4", "skeleton_demo.mp4", "h264_10bits.mp4", "mm_test.avi", "asl_book.mkv"):
        path = shared_clips / name
        (job,) = jobs_of(path, WHOLE)
        frames = decode_all(path)[1]
        decoded = load_decoder("pyav").decode(replace(job, pixel_aspect=Fraction(1)))
        for index, pixels in zip(job.frame_index, decoded.frames[0], strict=True):
            assert np.array_equal(pixels, frames[index]), (name, index)


def test_av1_frames_that_no_other_needs_are_left_out_and_no_pixel_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", 200, codec="libsvtav1", options={"preset": "10", "crf": "40", "g": "60"})
    jobs = jobs_of(path, WHOLE)
    everything = decode_all(path)[1]
    strip_unreferenced, left_out = Av1FrameDropper.strip_unreferenced, []

    def watched(dropper: Av1FrameDropper, packet: bytes) -> bytes:
        rest = strip_unreferenced(dropper, packet)
        left_out.append(len(rest) < len(packet))
        return rest

    monkeypatch.setattr(Av1FrameDropper, "strip_unreferenced", watched)
    for job in jobs:
        decoded = load_decoder("pyav").decode(job)
        assert len(decoded.positions) == len(job.frame_index)
        for index, pixels in zip(job.frame_index, decoded.frames[0], strict=True):
            assert np.array_equal(pixels, everything[index]), index
    assert sum(left_out) > 50


@pytest.mark.parametrize("extradata", [None, b"", b"\x81", b"\x81\x00\x00\x00" + b"\xff" * 20, bytes(range(80))])
def test_av1_packets_that_are_not_understood_are_decoded_whole(extradata: bytes | None) -> None:
    rng = np.random.default_rng(0)
    dropper = Av1FrameDropper(extradata)
    for length in (0, 1, 2, 7, 64, 400):
        for _ in range(50):
            packet = rng.integers(0, 256, length, np.uint8).tobytes()
            assert dropper.strip_unreferenced(packet) == packet or packet.startswith(dropper.strip_unreferenced(packet))
    frame = bytes([0x32, 4, 0x30, 0, 0, 0])  # an inter frame before any sequence header
    assert Av1FrameDropper(None).strip_unreferenced(frame) == frame


def test_pyav_keeps_the_good_part_of_a_damaged_clip(shared_clips: Path) -> None:
    path = shared_clips / "corrupted.mp4"
    decoded = load_decoder("pyav").decode(all_frames(path, probe(str(path))))
    assert len(decoded.positions) == 49
    assert decoded.problems == (
        "a packet could not be decoded: Invalid data found when processing input",
        "a sampled frame is damaged",
        "1 of 50 sampled frames could not be decoded",
    )


@pytest.mark.skipif("decord" not in INSTALLED, reason="decord is not installed")
def test_a_format_that_a_decoder_does_not_know_is_named_with_what_to_try(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 10, codec="libsvtav1", options={"preset": "12"})
    (job,) = jobs_of(path, SQUARE)
    with pytest.raises(VideoError, match=r"^decode: decord cannot decode this av1: .*; try --decoder pyav$"):
        load_decoder("decord").decode(job)
    assert len(load_decoder("pyav").decode(job).positions) == 10


def test_an_unknown_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"decoder: got 'vlc', expected pyav, decord, torchcodec, nvdec"):
        load_decoder("vlc")


@pytest.mark.parametrize(("name", "package"), [("decord", "decord"), ("torchcodec", "torchcodec"), ("nvdec", "torchcodec")])
def test_a_decoder_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda asked: None if asked == package else "there")
    with pytest.raises(
        UsageError,
        match=rf"^decoder {name}: its package is not installed; pip install 'vidsift\[{package}\]', or take pyav$",
    ):
        load_decoder(name)


@pytest.mark.parametrize(
    ("name", "needs"),
    [("torchcodec", "FFmpeg's shared libraries"), ("nvdec", "a GPU, and a torchcodec and a torch made for it")],
)
def test_a_decoder_that_cannot_run_here_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, name: str, needs: str) -> None:
    def fail(*arguments: str) -> Decoder:
        raise RuntimeError("Could not load it.\nA long story.")

    module = ModuleType("a_decoder_that_fails")
    module.Failing = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "find_spec", lambda asked: "there")
    monkeypatch.setitem(DECODERS, name, replace(DECODERS[name], factory="a_decoder_that_fails:Failing"))
    with pytest.raises(UsageError) as error:
        load_decoder(name)
    assert str(error.value) == f"decoder {name}: it cannot run here (Could not load it.); it needs {needs}; or take pyav"


def test_a_decoder_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_decoder")
    exec("class MyDecoder:\n    def decode(self, job): return job", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(DECODERS, "mine", registry.Backend("my_decoder:MyDecoder"))
    decoder = load_decoder("mine")
    assert type(decoder) is module.MyDecoder
    assert load_decoder("mine") is decoder
    with pytest.raises(UsageError, match=r"expected pyav, decord, torchcodec, nvdec, mine$"):
        load_decoder("vlc")


def test_frames_that_a_decoder_by_number_cannot_read_are_left_out_and_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40)
    job = all_frames(path, probe(str(path)))
    asked = []

    def read(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        asked.append(len(index))
        if 20 in index or 39 in index:
            raise ValueError("no such frame")
        return np.stack([np.full((64, 96, 3), number, np.uint8) for number in index])

    decoded = decode_by_number(job, "it", 40, read, (ValueError,))
    good = [number for number in range(40) if number not in (20, 39)]
    assert decoded.positions.tolist() == good
    assert decoded.frames[0][:, 0, 0, 0].tolist() == good
    assert decoded.problems == ("2 of 40 sampled frames could not be decoded",)
    assert max(asked) == 16, "whole frames of a minute would not fit into memory"
    with pytest.raises(ValueError, match="no such frame"):
        decode_by_number(replace(job, frame_index=job.frame_index[20:21]), "it", 40, read, (ValueError,))
