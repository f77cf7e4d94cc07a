"""Renders and encodes films."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import cv2

from demo.backgrounds import Picture
from demo.shot import Shot
from demo.world import KEYFRAME_EVERY_S, Film
from pipeline.child_processes import installed_only

_OPTIONS = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:pools=1:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "mpeg4": {},
}
_TURNED_BACK = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_DROPPED = 0.35
"""The share of frames that is left out of a file of variable frame rate."""


def render_all(films: Iterable[Film], folder: Path, workers: int | None = None) -> Iterator[Path]:
    """Render ``films`` into ``folder``, in ``workers`` processes (default: one per CPU); yields paths in their order."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from (render(film, folder) for film in films)
        return
    with installed_only():
        processes = multiprocessing.get_context("spawn").Pool(workers, initializer=cv2.setNumThreads, initargs=(0,))
    with processes as pool:
        yield from pool.imap(partial(render, folder=folder), films, chunksize=4)


def render(film: Film, folder: Path) -> Path:
    """Write ``film`` into ``folder`` and return its path."""
    path = folder / film.path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{film.seed}/file")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(film.codec, rate=film.fps, options=_options(film, rng))
        assert isinstance(stream, av.VideoStream)
        sideways = film.rotation in (90, 270)
        stream.width, stream.height = film.size[::-1] if sideways else film.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if film.rotation:
            stream.set_display_rotation(film.rotation)
        for number, picture in enumerate(_pictures(film)):
            inside = 0 < number < film.num_frames - 1
            if film.variable_rate and inside and rng.random() < _DROPPED:
                continue
            frame = av.VideoFrame.from_ndarray(_stored(picture, film.rotation), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, film.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _pictures(film: Film) -> Iterator[Picture]:
    """All frames, YUV planes as of `Shot.picture`; halfway between two scenes there is a cut."""
    starts = [0.0]
    starts += [(scene.end_s + following.start_s) / 2 for scene, following in pairwise(film.scenes)]
    number = 0
    for index, scene in enumerate(film.scenes):
        shot = Shot(scene, film.size, f"{film.seed}/shot/{index}")
        end_s = starts[index + 1] if index + 1 < len(starts) else film.duration_s
        while number < film.num_frames and number / film.fps < end_s - 1e-9:
            yield shot.picture(number / film.fps)
            number += 1


def _stored(picture: Picture, rotation: int) -> Picture:
    """The planes of ``picture`` turned, so that a player that turns them by ``rotation`` shows them upright."""
    if not rotation:
        return picture
    upright = cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420)
    return cv2.cvtColor(cv2.rotate(upright, _TURNED_BACK[rotation]), cv2.COLOR_RGB2YUV_I420)  # type: ignore[return-value]


def _options(film: Film, rng: random.Random) -> dict[str, str]:
    options = dict(_OPTIONS[film.codec])
    if film.codec == "mpeg4":
        options["qscale"] = str(rng.randint(3, 6))
    elif film.codec == "libvpx-vp9":
        options |= {"crf": str(rng.randint(26, 34)), "b": "0"}
    else:
        options["crf"] = str(rng.randint(20, 28))
    if not film.is_clip:
        options["g"] = str(round(KEYFRAME_EVERY_S * film.fps))
    return options
