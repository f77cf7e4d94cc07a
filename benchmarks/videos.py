"""Videos to measure with, in the codecs and sizes that archives hold: made here, the same every time.

    python -m benchmarks.videos FOLDER

What they show is neither flat nor noise, since both would flatter one decoder or another: a landscape of 1/f texture that
pans, with patches of it crossing, cuts every few seconds, and a little grain as a camera leaves it. Ten seconds are encoded,
and their packets repeated to the wanted length. B-frames and keyframe distances are those of common encoders.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from demo.encoding import same_scheduling

FPS = 25
_PIECE_S = 10
_CUT_EVERY_S = 3.4


@dataclass(frozen=True, slots=True)
class Kind:
    """How a video is encoded.

    Attributes:
        name: the file's, whose ending chooses the container.
        encoder: FFmpeg's name of it.
        options: the encoder's.
    """

    name: str
    encoder: str
    width: int
    height: int
    options: dict[str, str]


_X264 = {"preset": "fast", "crf": "23", "g": "100"}
_X265 = {"preset": "fast", "crf": "26", "x265-params": "log-level=none:keyint=100:open-gop=0"}
_VP9 = {"crf": "34", "b": "0", "deadline": "realtime", "cpu-used": "5", "g": "100"}
KINDS = (
    Kind("h264-1080p.mp4", "libx264", 1920, 1080, _X264 | {"bf": "3"}),
    Kind("h264-1080p-no-b.mp4", "libx264", 1920, 1080, _X264 | {"bf": "0", "g": "30"}),
    Kind("h264-720p.mp4", "libx264", 1280, 720, _X264 | {"bf": "3"}),
    Kind("h264-360p.mp4", "libx264", 640, 360, _X264 | {"bf": "3"}),
    Kind("hevc-1080p.mp4", "libx265", 1920, 1080, _X265),
    Kind("hevc-720p.mp4", "libx265", 1280, 720, _X265),
    Kind("vp9-720p.webm", "libvpx-vp9", 1280, 720, _VP9),
    Kind("av1-720p.mp4", "libsvtav1", 1280, 720, {"crf": "38", "preset": "9", "g": "100"}),
    Kind("mpeg4-480p.avi", "mpeg4", 854, 480, {"qscale": "5", "g": "100"}),
)  # fmt: skip


def make_videos(folder: Path, seconds: int = 40, kinds: tuple[Kind, ...] = KINDS) -> list[Path]:
    """Write those that are not there yet; their paths, in the order of ``kinds``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for kind in kinds:
        path = folder / kind.name
        if not path.exists():
            piece, whole = folder / f".piece-{kind.name}", folder / f".whole-{kind.name}"
            encode(piece, kind)
            repeat(piece, whole, -(-seconds // _PIECE_S))
            piece.unlink()
            whole.replace(path)
        made.append(path)
    return made


def make_mixed(folder: Path, count: int) -> list[Path]:
    """``count`` files of ten seconds, of all kinds in turn; they differ in their titles, as a copy would not be read."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        piece, path = folder / f".piece-{kind.name}", folder / f"{number:04d}-{kind.name}"
        if not piece.exists():
            encode(piece, kind)
        if not path.exists():
            repeat(piece, path, 1, title=str(number))
        made.append(path)
    return made


def make_tiny(folder: Path, count: int) -> None:
    """``count`` files of two seconds in 360p H.264, which differ in their titles."""
    folder.mkdir(parents=True, exist_ok=True)
    (kind,) = (kind for kind in KINDS if kind.name == "h264-360p.mp4")
    piece = folder / f".piece-{kind.name}"
    encode(piece, kind, seconds=2)
    for number in range(count):
        repeat(piece, folder / f"{number:05d}-{kind.name}", 1, title=str(number))


def encode(path: Path, kind: Kind, seconds: int = _PIECE_S) -> None:
    """Write one piece."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    with same_scheduling(), av.open(str(path), "w") as container:
        stream = container.add_stream(kind.encoder, rate=FPS, options=kind.options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, "yuv420p"
        for picture in islice(_pictures(kind.width, kind.height), seconds * FPS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def repeat(piece: Path, path: Path, times: int, *, title: str = "") -> None:
    """Write the packets of ``piece`` one after the other, ``times`` times."""
    with av.open(str(piece)) as reader, av.open(str(path), "w") as container:
        container.metadata["title"] = title
        original = reader.streams.video[0]
        copy = container.add_stream_from_template(original, opaque=True)
        packets = [packet for packet in reader.demux(original) if packet.size]
        begun = [(packet.pts, packet.dts) for packet in packets]
        length = round(_PIECE_S / (original.time_base or Fraction(1)))
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, begun, strict=True):
                packet.pts = None if pts is None else pts + turn * length
                packet.dts = None if dts is None else dts + turn * length
                packet.stream = copy
                container.mux(packet)


def _pictures(width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 [height, width, 3], one after the other."""
    rng = np.random.default_rng(0)
    scenes = [_texture(rng, height + 256, width + 512) for _ in range(3)]
    grain = [rng.normal(0, 2.5, (height, width, 1)).astype(np.float32) for _ in range(8)]
    side = height // 3
    for number in range(_PIECE_S * FPS):
        time_s = number / FPS
        scene = scenes[int(time_s / _CUT_EVERY_S) % len(scenes)]
        other = scenes[(int(time_s / _CUT_EVERY_S) + 1) % len(scenes)]
        left, top = int(time_s * 43) % 500, int(128 + 100 * np.sin(time_s))
        picture = scene[top : top + height, left : left + width].copy()
        for patch in range(3):
            x = int((time_s * (90 + 60 * patch) + 400 * patch) % (width - side))
            y = int((height - side) * (0.5 + 0.5 * np.sin(time_s * (0.7 + 0.3 * patch) + patch)))
            picture[y : y + side, x : x + side] = other[y : y + side, patch * 90 : patch * 90 + side]
        yield np.clip(picture + grain[number % len(grain)], 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """float32 [height, width, 3] about 128, whose spectrum falls as that of photographs does: with one over frequency."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** 1.2
    channels = []
    for share in (1.0, 0.35, 0.35):  # brightness varies more than colour
        waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) * falling, s=(height, width))
        channels.append(share * 45 * waves / waves.std())
    light, red, blue = channels
    return np.stack([128 + light + red, 128 + light - (red + blue) / 2, 128 + light + blue], -1).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for made in make_videos(parser.parse_args().folder):
        print(made)
