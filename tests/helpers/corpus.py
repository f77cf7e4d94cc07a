"""A folder of everything that archives hold, made here from a seed, with the status that each file is to get."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
from fractions import Fraction
from pathlib import Path

import av

from tests.helpers.videos import numbered_frame, write_audio, write_video

INDEXED, PARTIAL, FAILED = "indexed", "partial", "failed"


def write_corpus(folder: Path) -> dict[str, str]:
    """Write the corpus into an empty ``folder``, and return the status each file is to get, by its name in the library."""
    expected: dict[str, str] = {}
    _good_files(folder, expected)
    _odd_files(folder, expected)
    _broken_files(folder, expected)
    _odd_places(folder, expected)
    return expected


def _good_files(folder: Path, expected: dict[str, str]) -> None:
    """Codecs, containers and shapes that are whole."""
    for name, codec, options in (
        ("h264.mp4", "libx264", {}),
        ("h264.mkv", "libx264", {"bf": "3"}),
        ("h264.flv", "libx264", {}),
        ("h264.ts", "libx264", {}),
        ("h264.avi", "libx264", {"bf": "2"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none"}),
        ("vp8.webm", "libvpx", {"deadline": "realtime"}),
        ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("av1.mp4", "libsvtav1", {"preset": "12"}),
        ("mpeg1.mpg", "mpeg1video", {}),
        ("mpeg2.ts", "mpeg2video", {}),
        ("mpeg4.avi", "mpeg4", {}),
        ("mpeg4.3gp", "mpeg4", {}),
        ("mjpeg.avi", "mjpeg", {}),
        ("wmv2.wmv", "wmv2", {}),
    ):
        write_video(folder / name, 30, size=(176, 144), codec=codec, options=options)
        expected[name] = INDEXED
    for name, codec, pix_fmt, size in (
        ("prores.mov", "prores_ks", "yuv422p10le", (96, 64)),
        ("ten-bit.mp4", "libx264", "yuv420p10le", (96, 64)),
        ("yuv444.mp4", "libx264", "yuv444p", (96, 64)),
        ("alpha.mov", "qtrle", "argb", (96, 64)),
        ("gif.gif", "gif", "rgb8", (96, 64)),
        ("one-pixel.avi", "ffv1", "yuv444p", (1, 1)),
        ("three-by-seven.mkv", "ffv1", "yuv444p", (3, 7)),
        ("8k.mkv", "mjpeg", "yuvj420p", (7680, 4320)),
    ):
        _write_pixels(folder / name, codec, pix_fmt, size, 2 if size[0] > 1000 else 20)
        expected[name] = INDEXED
    write_video(folder / "one-frame.mp4", 1)
    write_video(folder / "rotated.mp4", 20, rotation=90)
    write_video(folder / "mirrored.mp4", 20, rotation=180, mirrored=True)
    write_video(folder / "wide-pixels.mp4", 20, pixel_aspect=Fraction(4, 3))
    write_video(folder / "variable-rate.mkv", 10, pts=[0, 1, 2, 10, 11, 30, 31, 32, 33, 50])
    write_video(folder / "interlaced.ts", 20, codec="mpeg2video", options={"flags": "+ilme+ildct"})
    for name in ("one-frame.mp4", "rotated.mp4", "mirrored.mp4", "wide-pixels.mp4", "variable-rate.mkv", "interlaced.ts"):
        expected[name] = INDEXED


def _odd_files(folder: Path, expected: dict[str, str]) -> None:
    """Whole in their way, and strange."""
    write_video(folder / "negative-times.mkv", 30, pts=range(-10, 20))
    _write_two_streams(folder / "two-streams.mkv")
    small, large = (
        write_video(folder / f".part-{n}.ts", 25, codec="mpeg2video", size=size, pts=range(25 * n, 25 * n + 25))
        for n, size in ((0, (96, 64)), (1, (192, 144)))
    )
    (folder / "changes-size.ts").write_bytes(small.read_bytes() + large.read_bytes())
    (folder / "starts-again.ts").write_bytes(_long_ts(folder) + small.read_bytes())
    raw = write_video(folder / ".raw.h264", 25)
    raw.rename(folder / "no-times.mpg")  # FFmpeg looks at the content
    expected |= {
        "negative-times.mkv": INDEXED,
        "two-streams.mkv": INDEXED,
        "changes-size.ts": INDEXED,
        "starts-again.ts": INDEXED,
        "no-times.mpg": PARTIAL,
    }


def _broken_files(folder: Path, expected: dict[str, str]) -> None:
    """Cut off, damaged, or no video at all."""
    rng = random.Random(0)
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "page.avi").write_text("<!doctype html><title>404</title>")
    (folder / "archive.mov").write_bytes(b"PK\x03\x04" + rng.randbytes(5000))
    (folder / "random.mkv").write_bytes(rng.randbytes(20_000))
    (folder / "zeros.mp4").write_bytes(bytes(20_000))
    (folder / "empty.webm").touch()
    (folder / "playlist.mp4").write_text("ffconcat version 1.0\nfile h264.mp4\n")
    write_audio(folder / "audio.mp4")
    _write_cover(folder / "cover.mp4")
    whole = write_video(folder / ".whole.mkv", 250, options={"g": "10"}).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (folder / "says-hours.mkv").write_bytes(_patched_duration(whole, 3 * 3600 * 1000.0))
    no_index = write_video(folder / ".whole.mp4", 100).read_bytes()
    (folder / "cut.mp4").write_bytes(no_index[: len(no_index) // 2])  # its index is at its end, and lost
    at_front = write_video(folder / ".front.mp4", 100, muxing={"movflags": "faststart"}).read_bytes()
    (folder / "cut-late.mp4").write_bytes(at_front[: len(at_front) * 2 // 3])
    for name in ("text.mp4", "page.avi", "archive.mov", "random.mkv", "zeros.mp4", "empty.webm", "playlist.mp4"):
        expected[name] = FAILED
    expected |= {
        "audio.mp4": FAILED,
        "cover.mp4": FAILED,
        "cut.mkv": PARTIAL,
        "says-hours.mkv": PARTIAL,
        "cut.mp4": FAILED,
        "cut-late.mp4": PARTIAL,
    }


def _odd_places(folder: Path, expected: dict[str, str]) -> None:
    """Names, links, and things that are no files."""
    sample = folder / "h264.mp4"
    for name in ("with space.mp4", "new\nline.mp4", 'it\'s "quoted".mp4', "🎂 ünï.mp4", "per%cent [1].mp4"):
        shutil.copy(sample, folder / name)
        expected[name] = INDEXED
    shutil.copy(sample, folder / os.fsdecode(b"latin-\xe9.mp4"))
    expected["latin-\\xe9.mp4"] = INDEXED
    (folder / "link.mp4").symlink_to(sample)
    expected["link.mp4"] = INDEXED
    (folder / "dangling.mp4").symlink_to(folder / "gone.mp4")
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path may have 108 bytes
        listener.bind("socket.mp4")
        os.chdir(here)
    (folder / "folder.mp4").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / ".hidden.mp4").write_bytes(sample.read_bytes())
    (folder / "loading.mp4.part").write_bytes(sample.read_bytes())
    expected |= {"dangling.mp4": FAILED, "pipe.mp4": FAILED, "socket.mp4": FAILED}


def _write_pixels(path: Path, codec: str, pix_fmt: str, size: tuple[int, int], num_frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        for number in range(num_frames):
            drawn = numbered_frame(number, min(size[0], 960), min(size[1], 540))
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24").reformat(*size, format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_two_streams(path: Path) -> None:
    with av.open(str(path), "w") as container:
        streams = []
        for size in ((64, 48), (160, 120)):
            stream = container.add_stream("libx264", rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = size
            streams.append((stream, size))
        for number in range(20):
            for stream, size in streams:
                frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
                container.mux(stream.encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode(None))


def _write_cover(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(1, 64, 64), format="rgb24")))
        container.mux(stream.encode(None))


def _long_ts(folder: Path) -> bytes:
    return write_video(folder / ".long.ts", 100, codec="mpeg2video", size=(96, 64)).read_bytes()


def _patched_duration(matroska: bytes, milliseconds: float) -> bytes:
    """The same file with another Duration in its header: element 0x4489, a float of 8 bytes."""
    at = matroska.index(b"\x44\x89\x88") + 3
    return matroska[:at] + struct.pack(">d", milliseconds) + matroska[at + 8 :]
