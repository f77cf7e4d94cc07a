"""Pictures of which the container shows a part, states another size, or tells the times of wrongly."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.picture.crop import crop_pixels
from pipeline.picture.resize import shown_size
from pipeline.probe import probe
from schemas.video_meta import Crop
from tests.helpers.videos import number_in, write_video
from tests.pipeline.test_ordinary_files import indexed

PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def patched(path: Path, *, size: tuple[int, int] | None = None, shown: tuple[int, int] | None = None) -> Path:
    """State another size in an MP4's sample entry, and a ``clap`` box that shows the middle of it."""
    data = bytearray(path.read_bytes())
    at, starts = 0, []
    for name in PARENTS:
        at = data.index(name, at)
        starts.append(at - 4)
    assert starts[0] > data.index(b"mdat"), "sample offsets stay right"
    if size is not None:
        struct.pack_into(">HH", data, at + 4 + 24, *size)
    if shown is not None:
        clap = struct.pack(">I4s8I", 40, b"clap", shown[0], 1, shown[1], 1, 0, 1, 0, 1)
        data[at + 4 + 78 : at + 4 + 78] = clap
        for start in starts:
            (length,) = struct.unpack_from(">I", data, start)
            struct.pack_into(">I", data, start, length + len(clap))
    path.write_bytes(data)
    return path


def write_bars(path: Path, rotation: int = 0) -> Path:
    """A picture of 160 x 96 with red bars of 16 pixels above and below the middle of it, which is blue, 100 frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        picture = np.full((96, 160, 3), (0, 0, 255), np.uint8)
        picture[:16] = picture[-16:] = (255, 0, 0)
        for _ in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rotation", [0, 90])
def test_what_the_container_cuts_off_does_not_reach_the_models(tmp_path: Path, rotation: int) -> None:
    path = patched(write_bars(tmp_path / "a.mp4", rotation), shown=(160, 64))
    meta = probe(str(path))
    assert (meta.crop, meta.coded_width, meta.coded_height) == (Crop(0, 0, 16, 16), 160, 64)
    jobs, (clip,), problems = indexed(path)
    assert (jobs[0].video.width, jobs[0].video.height) == shown_size(160, 64, rotation, Fraction(1))
    assert not problems
    red, _, blue = clip.frames[0].reshape(-1, 3).astype(int).T
    assert red.max() < 40
    assert blue.min() > 210


def test_matroska_states_a_crop_too(tmp_path: Path) -> None:
    source = patched(write_bars(tmp_path / "a.mp4"), shown=(160, 64))
    with av.open(str(source)) as read, av.open(str(tmp_path / "a.mkv"), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.size:
                packet.stream = stream
                written.mux(packet)
    assert probe(str(tmp_path / "a.mkv")).crop == Crop(0, 0, 16, 16)


def test_a_crop_that_leaves_nothing_is_none(tmp_path: Path) -> None:
    meta = probe(str(patched(write_bars(tmp_path / "a.mp4"), shown=(16_000, 64))))
    assert (meta.crop, meta.coded_width, meta.coded_height) == (None, 160, 96)


@pytest.mark.parametrize(
    ("rotation_deg", "expected"),
    [(0, (slice(3, -4), slice(1, -2))), (90, (slice(2, -1), slice(3, -4))), (180, (slice(4, -3), slice(2, -1)))],
)
def test_turned_pictures_are_cropped_as_the_unturned_one(rotation_deg: int, expected: tuple[slice, slice]) -> None:
    picture = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3).astype(np.uint8)
    crop = Crop(left=1, right=2, top=3, bottom=4)
    turned = np.rot90(picture, rotation_deg // 90)
    assert (crop_pixels(turned, crop, rotation_deg) == turned[expected]).all()
    assert (crop_pixels(turned, crop, rotation_deg) == np.rot90(picture[3:-4, 1:-2], rotation_deg // 90)).all()


def test_the_stream_says_its_size_and_not_the_container(tmp_path: Path) -> None:
    meta = probe(str(patched(write_video(tmp_path / "a.mp4", 25), size=(320, 180))))
    assert (meta.coded_width, meta.coded_height) == (160, 120)


def write_packed(path: Path, num_frames: int) -> Path:
    """MPEG-4 in AVI as DivX and Xvid packed it: a B-frame in its anchor's packet, and later an empty one in its place."""

    def is_key(picture: bytes) -> bool:
        return picture[picture.index(b"\0\0\1\xb6") + 4] >> 6 == 0

    source = write_video(path.with_name("source.avi"), num_frames, codec="mpeg4", options={"bf": "1", "g": "25"})
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        pictures = [bytes(packet) for packet in read.demux(read.streams.video[0]) if packet.size]
        is_b = [picture[picture.index(b"\0\0\1\xb6") + 4] >> 6 == 2 for picture in pictures]
        packed: list[bytes] = []
        for number, picture in enumerate(pictures):
            if is_b[number]:
                packed[-1] += picture
                packed.append(b"\0\0\1\xb6\x5f\xff\xff")
            else:
                packed.append(b"\0\0\1\xb2DivX503b1393p" * is_key(picture) + picture)
        for number, data in enumerate(packed):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            packet.is_keyframe = is_key(data)
            written.mux(packet)
    return path


def test_packed_b_frames_are_shown_when_they_were_filmed(tmp_path: Path) -> None:
    jobs, clips, problems = indexed(write_packed(tmp_path / "a.avi", 1750))
    assert not problems
    assert jobs[1].seek is not None
    shown = [number_in(frame) for clip in clips for frame in clip.frames[0]]
    assert shown[:68] == [(12 + 25 * second) % 256 for second in range(68)]
    assert probe(str(tmp_path / "a.avi")).frame_times_s[[0, 1, -1]].tolist() == pytest.approx([0.0, 0.04, 69.96])
