"""Examples as vectors: a moment of any video, or a picture."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.frames import decode_seen
from pipeline.models.base import Embedder
from pipeline.models.pixels import make_pixels
from pipeline.picture.resize import centre_crop
from pipeline.probe import probe
from pipeline.sampling import spans_of
from pipeline.sources import decodable, exists, is_file
from pipeline.sources.paths import on_disk
from schemas.errors import UsageError, VideoError
from schemas.models import ModelInput
from schemas.options import Sampling
from schemas.records import Span, path_text
from schemas.times import SAME_MOMENT_S
from schemas.video_meta import VideoMeta

ExampleDecoder = Callable[[str, ModelInput, Sampling], NDArray[np.uint8]]
"""Gives the frames of an example, as `example_frames` does."""

LONGEST_S = 60.0
"""The longest video that is an example as a whole, without times: a longer one shows too many things."""

_IMAGES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # whatever the name; for some other formats Pillow runs programs
_MAX_PIXELS = 50_000_000
_NARROWEST = 20
_DRAFT = 2_048
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_TIMES = re.compile(r"(?P<path>.+)@(?P<start>\d+(\.\d+)?)-(?P<end>\d+(\.\d+)?)", re.DOTALL)


def clip_id_in(like: str) -> int | None:
    """The clip id that an example names; None where it names a file. A file whose name is a number needs its folder."""
    return int(like) if like.isascii() and like.isdecimal() else None


def embed_example(
    like: str, embedder: Embedder, sampling: Sampling, decode: ExampleDecoder | None = None
) -> NDArray[np.float32]:
    """The vector float32 [dim], L2-normalised, of FILE, FILE@START-END or IMAGE.

    ``decode`` gives its frames in place of `example_frames`, such as from another process.

    With times, the moment is embedded as one clip of any length. Without, a video is cut as the library's videos are, and
    the vectors of its clips are averaged. A picture is embedded as a clip in which nothing moves.

    Raises:
        UsageError: there is no such file or moment, or it cannot be decoded.
    """
    _parse(like)  # what is not there is said before a model is needed
    frames = (decode or example_frames)(like, embedder.preprocessing.input, sampling)
    pixels = make_pixels(frames, embedder.preprocessing, embedder.device, embedder.dtype)
    mean = embedder.embed_clips(pixels).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def example_frames(like: str, model_input: ModelInput, sampling: Sampling) -> NDArray[np.uint8]:
    """The decoded clips of an example, uint8 [clips, num_frames, height, width, 3]; raises as `embed_example` does."""
    path, times = _parse(like)
    if times is None and path.lower().endswith(_IMAGES):
        return still_clip(path, model_input)[None]
    return _video_clips(path, times, model_input, sampling)


def still_clip(path: str, model_input: ModelInput) -> NDArray[np.uint8]:
    """A clip uint8 [num_frames, height, width, 3] whose every frame is the picture, turned as its EXIF data says.

    Raises:
        UsageError: it cannot be read as a picture.
    """
    geometry = model_input.geometry
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _upright checks the size
            with decodable(path) as found, Image.open(found, formats=_FORMATS) as opened:
                picture = _upright(opened)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, MemoryError) as exc:
        raise UsageError(
            f"{path_text(path)!r} cannot be read as a picture ({str(exc) or 'too much memory'}); expected PNG and JPEG",
            argument="like",
        ) from exc
    picture = picture.resize(geometry.resized(*picture.size), _RESAMPLING[geometry.interpolation])
    frame = centre_crop(np.asarray(picture, np.uint8), geometry.crop)
    return np.repeat(frame[None], model_input.num_frames, axis=0)


def _upright(opened: Image.Image) -> Image.Image:
    """A picture as RGB, turned as its EXIF data says, decoded in bounded memory.

    Raises:
        ValueError: it has too many pixels, or is too narrow.
    """
    opened.draft("RGB", (_DRAFT, _DRAFT))  # JPEGs can be decoded at a half, a quarter or an eighth of their size
    width, height = opened.size
    if width * height > _MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, expected {_MAX_PIXELS // 1_000_000} million")
    if max(width, height) > _NARROWEST * min(width, height):
        raise ValueError(f"{width} x {height} pixels, expected one edge up to {_NARROWEST} times as long as the other")
    ImageOps.exif_transpose(opened, in_place=True)
    return opened.convert("RGB")


def _parse(like: str) -> tuple[str, Span | None]:
    """The file, and the moment in it where times are given. A file whose own name ends like times is taken as a whole."""
    match = None if exists(like) else _TIMES.fullmatch(like)
    path = on_disk(match["path"] if match else like)
    if not is_file(path):
        raise UsageError(
            f"no such file: {path_text(path)!r}; give FILE, FILE@START-END in seconds, IMAGE or CLIP_ID",
            argument="like",
        )
    return path, Span(float(match["start"]), float(match["end"])) if match else None


def _video_clips(path: str, times: Span | None, model_input: ModelInput, sampling: Sampling) -> NDArray[np.uint8]:
    """The decoded clips, uint8 [clips, num_frames, height, width, 3]."""
    try:
        meta = probe(path)
        return np.stack(decode_seen(path, meta, _spans(path, meta, times, sampling), model_input).frames)
    except VideoError as exc:
        raise UsageError(
            f"{path_text(path)!r} cannot be used ({exc.stage}: {exc.reason}); give another", argument="like"
        ) from exc


def _spans(path: str, meta: VideoMeta, times: Span | None, sampling: Sampling) -> list[Span]:
    if times is not None:
        if not times.start_s < times.end_s <= meta.end_s + SAME_MOMENT_S:
            raise UsageError(
                f"got {times.start_s:g}-{times.end_s:g} s of {path_text(path)!r}, expected any moment from 0 to "
                f"{meta.end_s:.3f} s, where it ends; give START before END within it",
                argument="like",
            )
        return [times]
    if meta.end_s > LONGEST_S:
        raise UsageError(
            f"got {meta.end_s:.0f} s of video, {path_text(path)!r}, expected {LONGEST_S:g} s without times; "
            "name a moment, such as FILE@12.5-16",
            argument="like",
        )
    return spans_of(meta.end_s, sampling)
