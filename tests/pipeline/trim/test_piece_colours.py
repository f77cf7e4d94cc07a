"""Pieces that are encoded anew show the colours of their source, and say what they are.

Colours are worked out here from coded values, by the matrix, the range and the transfer that a stream states.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from numpy.typing import NDArray

from pipeline.picture.colour import Converter
from pipeline.picture.colour_table import TableConverter
from pipeline.probe import probe
from pipeline.trim.cut import cut_video
from schemas.records import Span

PATCHES = np.array(
    [[255, 255, 255], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [224, 172, 140], [32, 32, 32]]
)
SIDE = 32
FULL, LIMITED = ColorRange.JPEG, ColorRange.MPEG
RGB, BT709, OPEN, BT470BG, SMPTE170M, BT2020 = 0, 1, 2, 5, 6, 9
WEIGHTS = {BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])

Tags = tuple[int, int, int, int]
"""Matrix, primaries, transfer, range."""


def to_yuv(space: int) -> NDArray[np.float64]:
    """From R'G'B' to Y'CbCr, both in [0, 1] and [-.5, .5]."""
    kr, kb = WEIGHTS.get(space, (0.299, 0.114))
    luma = np.array([kr, 1 - kr - kb, kb])
    return np.stack([luma, (np.array([0, 0, 1]) - luma) / (2 - 2 * kb), (np.array([1, 0, 0]) - luma) / (2 - 2 * kr)])


def coded(values: NDArray[np.float64], space: int, color_range: int, bits: int) -> NDArray[np.int64]:
    """Y'CbCr as stored of R'G'B' in [0, 1]."""
    yuv = values @ to_yuv(space).T
    if color_range == FULL:
        stored = yuv * (2**bits - 1) + np.array([0, 1, 1]) * 2 ** (bits - 1)
    else:
        stored = (yuv * np.array([219, 224, 224]) + np.array([16, 128, 128])) * 2 ** (bits - 8)
    return np.asarray(stored.round().clip(0, 2**bits - 1).astype(np.int64))


def shown(path: Path) -> tuple[NDArray[np.int64], Tags, str]:
    """The patches of a file's first frame in 8 bit R'G'B', and what it says of its colours."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        planes = frame.reformat(format="yuv444p", interpolation="POINT").to_ndarray().astype(float)
        tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        name = frame.format.name
    rows, columns = (np.arange(2) * SIDE + SIDE // 2), (np.arange(4) * SIDE + SIDE // 2)
    yuv = planes[:, rows][:, :, columns].reshape(3, -1).T
    if tags[3] == FULL:
        yuv = (yuv - np.array([0, 128, 128])) / 255
    else:
        yuv = (yuv - np.array([16, 128, 128])) / np.array([219, 224, 224])
    return (yuv @ np.linalg.inv(to_yuv(tags[0])).T * 255).round().clip(0, 255).astype(np.int64), tags, name


def write(path: Path, codec: str, pix_fmt: str, tags: Tags, values: NDArray[np.float64], options: dict[str, str]) -> Path:
    """Two seconds of eight patches of R'G'B' in [0, 1], of one keyframe."""
    bits = 10 if "10" in pix_fmt else 8
    if "444" in pix_fmt or "420" in pix_fmt:
        small = coded(values, tags[0], tags[3], bits)
    else:
        small = np.round(values[:, [1, 2, 0]] * 255).astype(int)  # planes of gbrp
    picture = small.reshape(2, 4, 3).repeat(SIDE, 0).repeat(SIDE, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "250", **options})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 4 * SIDE, 2 * SIDE, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        for number in range(50):
            frame = planes_of(picture, pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = tags
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def planes_of(picture: NDArray[np.int64], pix_fmt: str) -> av.VideoFrame:
    dtype = np.uint16 if "10" in pix_fmt else np.uint8
    planes = [picture[..., n].astype(dtype) for n in range(3)]
    if "420" in pix_fmt:
        stacked = np.concatenate([planes[0].ravel(), *(plane[::2, ::2].ravel() for plane in planes[1:])])
        return av.VideoFrame.from_ndarray(stacked.reshape(-1, picture.shape[1]), format=pix_fmt)
    if pix_fmt in ("rgb24", "bgr0", "gbrp"):
        green, blue, red = planes
        if pix_fmt == "gbrp":
            return av.VideoFrame.from_ndarray(np.stack([red, green, blue], axis=-1), format="gbrp")
        if pix_fmt == "rgb24":
            return av.VideoFrame.from_ndarray(np.stack([red, green, blue], axis=-1), format="rgb24")
        return av.VideoFrame.from_ndarray(np.stack([blue, green, red, red], axis=-1), format="bgra").reformat(format="bgr0")
    return av.VideoFrame.from_ndarray(np.stack(planes), format=pix_fmt)


def piece_of(source: Path) -> tuple[NDArray[np.int64], Tags, str]:
    output = source.with_name("piece.mp4")
    made = cut_video(str(source), probe(str(source)), Span(1.2, 1.6), output)
    assert made.how == "re-encoded"
    assert made.problems == ()
    return shown(output)


OF_709 = (BT709, ColorPrimaries.BT709, ColorTrc.BT709)
OF_170M = (SMPTE170M, ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M)
ALL_OPEN = (OPEN, ColorPrimaries.UNSPECIFIED, ColorTrc.UNSPECIFIED)
NO_RGB = (RGB, ColorPrimaries.BT709, ColorTrc.IEC61966_2_1)
X264 = {"crf": "4"}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "tags", "said"),
    [
        ("limited.mp4", "libx264", "yuv420p", (*OF_709, LIMITED), (*OF_709, LIMITED)),
        ("full.mp4", "libx264", "yuv420p", (*OF_709, FULL), (*OF_709, FULL)),
        ("full-j.mp4", "libx264", "yuvj420p", (*OF_709, FULL), (*OF_709, FULL)),
        ("full.mkv", "libx264", "yuv420p", (*OF_709, FULL), (*OF_709, FULL)),
        ("no-box.ts", "libx264", "yuv420p", (*OF_709, FULL), (*OF_709, FULL)),
        ("no-box-601.ts", "libx264", "yuv420p", (*OF_170M, LIMITED), (*OF_170M, LIMITED)),
        ("matrix-alone.ts", "libx264", "yuv420p", (BT709, *ALL_OPEN[1:], LIMITED), (*OF_709, LIMITED)),
        ("container-alone.mkv", "mpeg4", "yuv420p", (*OF_709, LIMITED), (*OF_709, LIMITED)),
        ("container-alone.mov", "mpeg4", "yuv420p", (*OF_709, LIMITED), (*OF_709, LIMITED)),
        ("open.mp4", "libx264", "yuv420p", (*ALL_OPEN, 0), (*OF_170M, LIMITED)),
        ("deep.mp4", "libx264", "yuv420p10le", (*OF_709, LIMITED), (*OF_709, LIMITED)),
        ("deep-full.mp4", "libx265", "yuv420p10le", (*OF_709, FULL), (*OF_709, FULL)),
        ("whole-colour.mkv", "ffv1", "yuv444p", (*OF_709, LIMITED), (*OF_709, LIMITED)),
        ("rgb.mp4", "libx264rgb", "rgb24", (*NO_RGB, FULL), (*OF_709, LIMITED)),
        ("rgb.mkv", "ffv1", "bgr0", (*NO_RGB, FULL), (*OF_709, LIMITED)),
        ("gbr.mp4", "libx265", "gbrp", (*NO_RGB, FULL), (*OF_709, LIMITED)),
    ],
)
def test_colours_stay(tmp_path: Path, name: str, codec: str, pix_fmt: str, tags: Tags, said: Tags) -> None:
    options = {"libx265": {"x265-params": "log-level=none:lossless=1"}, "ffv1": {}, "mpeg4": {"qmin": "1", "qmax": "2"}}.get(
        codec, X264
    )
    source = write(tmp_path / name, codec, pix_fmt, tags, PATCHES / 255, options)
    colours, found, pixels = piece_of(source)
    assert found == said
    assert pixels == ("yuvj420p" if said[3] == FULL else "yuv420p")
    assert np.abs(colours - PATCHES).max() <= 4


def test_grey_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    greys = np.array([0, 16, 64, 100, 128, 200, 235, 255])
    picture = greys.astype(np.uint8).reshape(2, 4).repeat(SIDE, 0).repeat(SIDE, 1)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25, options={"g": "250"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 4 * SIDE, 2 * SIDE, "gray"
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode(None))
    colours, found, _ = piece_of(source)
    assert found == (*OF_709, LIMITED)
    assert np.abs(colours - greys[:, None]).max() <= 2


def test_a_box_that_was_taken_away_is_not_missed(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mp4", "libx264", "yuv420p", (*OF_709, FULL), PATCHES / 255, X264)
    data = source.read_bytes()
    assert data.count(b"colr") == 1
    source.write_bytes(data.replace(b"colr", b"free"))
    colours, found, _ = piece_of(source)
    assert found == (*OF_709, FULL)
    assert np.abs(colours - PATCHES).max() <= 4


@pytest.mark.parametrize("start_s", [0.0, 1.2])
def test_box_and_stream_say_the_same(tmp_path: Path, start_s: float) -> None:
    """QuickTime's box of colours says no range; that of MP4 does, and would call full range limited."""
    source = write(tmp_path / "a.mov", "libx264", "yuv420p", (*OF_709, FULL), PATCHES / 255, X264)
    assert b"colrnclc" in source.read_bytes()
    cut_video(str(source), probe(str(source)), Span(start_s, start_s + 0.4), tmp_path / "piece.mp4")
    written = (tmp_path / "piece.mp4").read_bytes()
    place = written.index(b"colr")
    assert written[place + 4 : place + 15] == b"nclx\0\1\0\1\0\1\x80"


def test_a_piece_of_an_open_large_picture_stays_open(tmp_path: Path) -> None:
    """Players take it for BT.709 and converters for BT.601, the piece like the source."""
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "250", "preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((720, 1280, 3), 90, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    assert piece_of(source)[1][:3] == ALL_OPEN


def hdr_of(trc: ColorTrc) -> NDArray[np.float64]:
    """The patches' light in BT.2020, diffuse white at 203 cd/m², in the values of an HDR transfer."""
    values = PATCHES / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ TO_BT2020.T
    if trc == ColorTrc.SMPTE2084:
        power = (light * 203 / 10_000) ** 0.1593017578125
        return np.asarray(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)
    shown_light = light * 203 / 1000  # of a screen of 1,000 cd/m²
    luminance = np.maximum(shown_light @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[:, None]
    scene = shown_light * luminance ** (1 / 1.2 - 1)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright))


@pytest.mark.parametrize("trc", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_hdr_becomes_what_other_screens_show(tmp_path: Path, trc: ColorTrc) -> None:
    """White leaves room for highlights, and the strongest colours lie at the edge of BT.709; never 8 bit of PQ."""
    tags = (BT2020, ColorPrimaries.BT2020, trc, LIMITED)
    options = {"x265-params": "log-level=none:lossless=1"}
    source = write(tmp_path / "hdr.mp4", "libx265", "yuv420p10le", tags, hdr_of(trc), options)
    colours, found, pixels = piece_of(source)
    assert (found, pixels) == ((*OF_709, LIMITED), "yuv420p")
    assert np.abs(colours - PATCHES).max() <= 20
    ordinary = [1, 6, 7]  # grey 128, skin, dark 32
    assert np.abs(colours - PATCHES)[ordinary].max() <= 4


@pytest.mark.parametrize(
    ("space", "trc"),
    [
        (BT2020, ColorTrc.SMPTE2084),
        (BT2020, ColorTrc.ARIB_STD_B67),
        (BT2020, ColorTrc.BT709),
        (OPEN, ColorTrc.SMPTE2084),
        (14, ColorTrc.SMPTE2084),  # ICtCp
        (8, ColorTrc.BT709),  # YCgCo
    ],
)
def test_pieces_have_the_colours_that_models_are_shown(space: int, trc: ColorTrc) -> None:
    """A table of colours against the formulas: half a level off on average."""
    luma, *chroma = np.random.default_rng(0).integers(64, 940, (3, 64, 64))
    picture = np.stack([luma, *((plane - 512) // 4 + 512 for plane in chroma)], axis=-1).repeat(4, 0).repeat(4, 1)
    frame = planes_of(picture, "yuv420p10le")
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = space, ColorPrimaries.BT2020, trc, LIMITED
    expected = Converter()(frame, 256, 256).astype(int)
    found = TableConverter()(frame, 256, 256).reformat(format="rgb24").to_ndarray().astype(int)
    off = np.abs(found - expected)[2::4, 2::4]
    assert off.mean() <= 1
    assert np.percentile(off, 99) <= 4


def test_cases_show_their_colours(shared_cases: Path, tmp_path: Path) -> None:
    for name in ("full_range_nclc.mov", "patches_pq.mp4", "patches_bt709.mp4"):
        source = shared_cases / name
        output = tmp_path / f"{name}.mp4"
        cut_video(str(source), probe(str(source)), Span(1.2, 1.6), output)
        with av.open(str(output)) as container:
            frame = next(container.decode(video=0))
            assert frame.color_trc == ColorTrc.BT709
            pixels = frame.to_ndarray(format="rgb24").astype(int)
        height, width = pixels.shape[:2]
        for patch, (row, column) in ((6, (1, 2)), (7, (1, 3))):
            found = pixels[height // 4 + row * height // 2, width // 8 + column * width // 4]
            assert np.abs(found - PATCHES[patch]).max() <= 4, name
