"""A made-up film with titles and subtitles at known times, and what rows it gets; for `benchmarks.screen_text`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from benchmarks.screen_text_pictures import HEIGHT, WIDTH, Pixels, busy, draw, words
from pipeline.sources.find import find_videos
from pipeline.text.annotator import ScreenTextAnnotator
from schemas.channels import ScreenText
from schemas.records import VideoFile, VideoInfo

LENGTH_S, FPS = 60, 25


class Shown(NamedTuple):
    """A line and when it is on screen; ``rise`` is how many pixels it goes up each second."""

    start_s: float
    end_s: float
    text: str
    left: int
    top: int
    size: int
    rise: int = 0


def script() -> list[Shown]:
    """Two titles, subtitles of 1.5 to 3 s, a channel's name all the time, and credits that scroll over 8 s."""
    rng = np.random.default_rng(7)
    shown = [Shown(0, LENGTH_S, "CHANNEL FOUR", 1040, 24, 24)]
    shown += [Shown(2, 6.5, "THE LONG WAY HOME", 280, 300, 64), Shown(30, 33, "Three years later", 380, 320, 52)]
    at = 8.0
    while at < 48:
        length = float(rng.choice([1.5, 2.0, 2.6, 3.0]))
        if not (at < 34 and at + length > 29):
            shown.append(Shown(at, at + length, words(rng, 6), 300, 630, 32))
        at += length + float(rng.choice([0.0, 0.0, 0.6, 1.3]))
    for index, name in enumerate(("Written by Anna Lindstrom", "Directed by Bert Krone", "Music by Carla Weissmann")):
        shown.append(Shown(50, 60, name, 380, HEIGHT + 20 + 90 * index, 36, rise=110))
    return shown


def frames(shown: Sequence[Shown]) -> Iterator[Pixels]:
    """The frames: text over a picture that moves all the time, and is another one after each 10 s."""
    for index in range(LENGTH_S * FPS):
        time_s = index / FPS
        if index % (10 * FPS) == 0:
            ground = busy(np.random.default_rng(index))
        pixels = np.ascontiguousarray(np.roll(ground, 3 * index, axis=1))
        for line in shown:
            top = line.top - round(line.rise * (time_s - line.start_s)) if line.rise else line.top
            if line.start_s <= time_s < line.end_s and -line.size < top < HEIGHT:
                draw(pixels, line.text, line.left, top, line.size, ink=(255, 255, 255), outline=2)
        yield pixels


def write(path: Path, shown: Sequence[Shown]) -> None:
    """Write the film as H.264 with a keyframe every 2 s, as players find them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast", "g": "50"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index, pixels in enumerate(frames(shown)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def on_screen(line: Shown) -> tuple[float, float]:
    """When a line begins and ceases to be whole on screen."""
    if not line.rise:
        return line.start_s, line.end_s
    enters = line.start_s + (line.top + line.size * 1.4 - HEIGHT) / line.rise
    return enters, min(line.end_s, line.start_s + line.top / line.rise)


def decode_s(path: Path) -> float:
    """Processor seconds to decode every frame, in one thread, as an ordinary program does."""
    began = time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass
    return time.process_time() - began


def measure_film(folder: Path) -> tuple[list[str], list[list[str]]]:
    """Render the film and read it: a table by step."""
    path, shown = folder / "film.mp4", script()
    write(path, shown)
    (file,) = (file for file in find_videos([str(path)]) if isinstance(file, VideoFile))
    decoding_s = decode_s(path)
    rows = []
    for step_s in (2.0, 1.0, 0.5):
        loaded = ScreenTextAnnotator(step_s=step_s).load()
        began = time.process_time()
        found = list(loaded.annotate(VideoInfo("", file)))
        took_s = time.process_time() - began
        rows.append([f"{step_s:g} s", *_compared(shown, found), f"{took_s:.1f} s", f"{took_s / decoding_s:.1f}"])
    head = [
        "step",
        "lines found",
        "text exact",
        "other rows",
        "start off by, mean and most",
        "end off by",
        "processor",
        "x decoding",
    ]
    return head, rows


def _compared(shown: Sequence[Shown], found: Sequence[ScreenText]) -> list[str]:
    left = list(found)
    starts, ends, exact = [], [], 0
    for line in shown:
        start_s, end_s = on_screen(line)
        near = [row for row in left if row.start_s < end_s and row.end_s > start_s and _alike(row.text, line.text)]
        if not near:
            continue
        row = max(near, key=lambda row: min(row.end_s, end_s) - max(row.start_s, start_s))
        left.remove(row)
        exact += row.text == line.text
        starts.append(abs(row.start_s - start_s))
        ends.append(abs(row.end_s - end_s))
    off = [f"{np.mean(errors):.2f}, {np.max(errors):.2f} s" for errors in (starts, ends)]
    return [f"{len(starts)} of {len(shown)}", str(exact), str(len(left)), *off]


def _alike(one: str, other: str) -> bool:
    plain, other_plain = ("".join(filter(str.isalnum, text.casefold())) for text in (one, other))
    return plain == other_plain or sum(a == b for a, b in zip(plain, other_plain, strict=False)) >= 0.7 * len(other_plain)
