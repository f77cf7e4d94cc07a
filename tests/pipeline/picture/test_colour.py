"""HDR reaches the models in the colours that a screen of standard range shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from numpy.typing import NDArray

from schemas.models import Geometry, ModelInput
from tests.pipeline.test_ordinary_files import indexed

BT2020 = 9
PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67
SMALL = ModelInput(2, Geometry((32, 64), None))


def write_grey(path: Path, value: float, trc: ColorTrc) -> Path:
    """A second of one grey, a value of [0, 1] as coded, in 10 bit HEVC of limited range and BT.2020."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = trc, ColorPrimaries.BT2020
        context.colorspace, context.color_range = BT2020, ColorRange.MPEG
        planes = np.concatenate([np.full(128 * 64, round(64 + 876 * value)), np.full(128 * 32, 512)]).astype(np.uint16)
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(planes.reshape(96, 128), format="yuv420p10le")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("trc", "value", "shown"),
    [
        (PQ, 0.5807, 244),  # 203 cd/m², diffuse white: room is left for highlights
        (PQ, 0.0, 0),
        (PQ, 0.7518, 255),  # 1,000 cd/m²
        (HLG, 0.75, 244),  # diffuse white, ITU-R BT.2408
        (HLG, 0.0, 0),
        (HLG, 1.0, 255),
        (ColorTrc.BT709, 0.5, 127.5),  # not HDR: as coded
    ],
)
def test_greys_of_hdr(tmp_path: Path, trc: ColorTrc, value: float, shown: float) -> None:
    _, clips, problems = indexed(write_grey(tmp_path / "a.mp4", value, trc), SMALL)
    assert problems == []
    frames = clips[0].frames[0].astype(float)
    assert np.abs(frames - shown).max() <= 2


def test_decord_leaves_hdr_to_what_maps_it(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    path = write_grey(tmp_path / "a.mp4", 0.5807, PQ)
    _, (clip,), problems = indexed(path, SMALL, "decord")
    assert problems == []
    assert np.abs(clip.frames[0].astype(float) - 244).max() <= 2


def patches(path: Path) -> NDArray[np.int64]:
    """int64 [8, 3], the middles of two rows of four patches."""
    _, clips, _ = indexed(path, ModelInput(2, Geometry((64, 128), None)))
    frame = clips[0].frames[0][0].astype(np.int64)
    return np.stack([frame[16 + 32 * row, 16 + 32 * column] for row in range(2) for column in range(4)])


def test_patches_in_pq_are_those_of_standard_range(shared_cases: Path) -> None:
    """But for white, which leaves room for highlights, and a green at the edge of what BT.709 holds."""
    standard, hdr = patches(shared_cases / "patches_bt709.mp4"), patches(shared_cases / "patches_pq.mp4")
    assert np.abs(standard - hdr).max() <= 14
    ordinary = [1, 6, 7]  # grey 128, skin 224 172 140, dark 32
    assert np.abs(standard - hdr)[ordinary].max() <= 3
