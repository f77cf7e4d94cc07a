"""What begins as a video does, and what shares its ending without."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.container.signature import may_be_video
from pipeline.probe import probe
from tests.helpers.videos import write_video

TYPESCRIPT = b'import { the } from "./free";\nexport const free = 1;\n' * 200
QT = b'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n<TS version="2.1" language="de_DE">\n'
TRACKER = b"a song".ljust(20, b"\0") + bytes(range(256)) * 4 + b"\0" * 36 + b"M.K." + bytes(5000)
ICON = b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(2000)

# Formats that PyAV writes here, by an ending that others have too: format, codec, ending.
WRITTEN = (
    ("mpegts", "mpeg2video", ".ts"),
    ("vob", "mpeg2video", ".mod"),
    ("mpegts", "h264", ".tod"),
    ("mov", "h264", ".360"),
    ("h264", "h264", ".264"),
    ("hevc", "hevc", ".265"),
    ("mpeg1video", "mpeg1video", ".dat"),
    ("mpeg2video", "mpeg2video", ".rec"),
    ("m4v", "mpeg4", ".dat"),
    ("obu", "libaom-av1", ".obu"),
    ("ogg", "libtheora", ".ogg"),
    ("rm", "rv20", ".rm"),
    ("avi", "mpeg4", ".dat"),
    ("matroska", "h264", ".rec"),
    ("asf", "wmv2", ".rec"),
    ("wtv", "mpeg2video", ".rec"),
    ("ivf", "libvpx", ".rec"),
    ("flv", "flv", ".rec"),
    ("nut", "mpeg4", ".rec"),
    ("mxf", "mpeg2video", ".rec"),
    ("dirac", "vc2", ".drc"),
    ("apng", "apng", ".apng"),
    ("gif", "gif", ".gif"),
    ("avif", "libaom-av1", ".avif"),
)


def write(path: Path, form: str, codec: str, num_frames: int) -> Path:
    """A film of ``num_frames`` in a container that is named, not guessed by the ending."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        formats = stream.codec_context.codec.video_formats or []
        stream.width, stream.height = 176, 144
        stream.pix_fmt = "yuv420p" if any(one.name == "yuv420p" for one in formats) or not formats else formats[0].name
        for number in range(num_frames):
            picture = np.random.default_rng(number).integers(0, 255, (144, 176, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("form", "codec", "ending"), WRITTEN, ids=[f"{form}{ending}" for form, _, ending in WRITTEN])
def test_a_video_is_one_whatever_its_ending(tmp_path: Path, form: str, codec: str, ending: str) -> None:
    try:
        path = write(tmp_path / f"a{ending}", form, codec, 12)
    except (av.FFmpegError, ValueError, KeyError) as exc:
        pytest.skip(f"PyAV cannot write it here: {exc}")
    assert may_be_video(str(path))
    assert probe(str(path)).num_frames >= 10


@pytest.mark.parametrize(
    "content",
    [TYPESCRIPT, QT, TRACKER, ICON, b"G" * 5000, b"", b"\0" * 5000, b"the free moov", "wide\n".encode("utf-16") * 99],
    ids=["typescript", "qt", "tracker", "icon", "letters", "empty", "zeros", "box", "utf-16"],
)
def test_other_files_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ts").write_bytes(content)
    assert not may_be_video(str(tmp_path / "a.ts"))


@pytest.mark.parametrize(("name", "moves"), [("a.gif", True), ("a.png", True), ("a.avif", True), ("a.webp", False)])
def test_a_picture_is_a_video_where_it_moves_and_can_be_read(tmp_path: Path, name: str, moves: bool) -> None:
    """FFmpeg has no decoder for WebP that moves."""
    pictures = [
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8)) for number in range(3)
    ]
    still, moving = tmp_path / f"still-{name}", tmp_path / name
    pictures[0].save(still)
    pictures[0].save(moving, save_all=True, append_images=pictures[1:], duration=100)
    assert not may_be_video(str(still))
    assert may_be_video(str(moving)) is moves
    if moves:
        assert probe(str(moving)).num_frames == 3


def test_a_heif_sequence_is_told_from_a_photo_by_its_brands(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    film = write_video(tmp_path / "a.mp4", 10, size=(128, 96)).read_bytes()
    rest = film[int.from_bytes(film[:4]) :]
    for brands, moves in (
        (b"msf1\0\0\0\0msf1hevciso8", True),
        (b"heic\0\0\0\0mif1heicmsf1hevc", True),
        (b"heic\0\0\0\0mif1heic", False),
        (b"mp42\0\0\0\0isomavc1", True),
    ):
        path.write_bytes((8 + len(brands)).to_bytes(4) + b"ftyp" + brands + rest)
        assert may_be_video(str(path)) is moves, brands


def test_recordings_that_begin_anywhere_are_seen(tmp_path: Path, shared_cases: Path) -> None:
    whole = (shared_cases / "begins_between_keyframes.ts").read_bytes()
    for cut in (0, 1, 100, 187):
        (tmp_path / "a.rec").write_bytes(whole[cut:])
        assert may_be_video(str(tmp_path / "a.rec"))
    (tmp_path / "a.rec").write_bytes(bytes(3000) + whole)
    assert may_be_video(str(tmp_path / "a.rec"))
    for length in (100, 600, 1000, 1879, 1881, 5000):  # cut off near their beginning, they are damaged and no other thing
        (tmp_path / "a.rec").write_bytes(whole[:length])
        assert may_be_video(str(tmp_path / "a.rec"))


def test_a_gif_that_ends_early_is_what_is_there(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    picture.save(tmp_path / "a.gif")
    whole = (tmp_path / "a.gif").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "a.gif").write_bytes(whole[:length])
        assert not may_be_video(str(tmp_path / "a.gif"))
