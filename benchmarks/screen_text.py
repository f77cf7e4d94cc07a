"""What text on screen is read as, what that costs, and what rows whole films get.

    python -m benchmarks.screen_text [--count 4] [--film | --costs]

Pictures are made with known text (`benchmarks.screen_text_pictures`), in DejaVu Sans (Debian's fonts-dejavu-core) and, for
Chinese, Noto Sans CJK (fonts-noto-cjk). Without the latter Chinese is left out, and the table says so. The character error
rate is the edit distance to what stands there, spaces and case included, divided by its length; text that is read where none
stands counts as inserted. Beside vidsift's reader: tesseract on the same pictures, where it is installed, looking for text
anywhere (``--psm 11``).

Costs are processor seconds, which other work on the machine changes little, and seconds on the clock.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.screen_text_films import measure_film
from benchmarks.screen_text_pictures import (
    CHINESE_FONT,
    HEIGHT,
    KINDS,
    WIDTH,
    Line,
    Picture,
    Pixels,
    levels_of_contrast,
    of_kind,
    page,
)
from pipeline.text.reader import Reading, TextEngine, TextReader
from schemas.channels import Box

SIZES = (10, 12, 14, 16, 20, 24, 32, 48)
CONTRASTS = (1.5, 2.0, 3.0, 4.5, 7.0, 21.0)
ENGINES: tuple[TextEngine, ...] = ("openvino", "onnxruntime")

Read = Callable[[Pixels], Sequence[Reading]]


def tesseract(languages: str) -> Read:
    """Tesseract's reading, a word at a time."""

    def read(pixels: Pixels) -> list[Reading]:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Image.fromarray(pixels).save(file.name, compress_level=1)
            command = ["tesseract", file.name, "stdout", "-l", languages, "--psm", "11", "tsv"]
            environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found = []
        for row in csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["text"] and row["text"].strip() and float(row["conf"]) >= 0:
                left, top, width, height = (int(row[name]) for name in ("left", "top", "width", "height"))
                box = Box(left / WIDTH, top / HEIGHT, width / WIDTH, height / HEIGHT)
                found.append(Reading(row["text"].strip(), box, float(row["conf"]) / 100))
        return found

    return read


def distance(one: str, other: str) -> int:
    """The edit distance (Levenshtein)."""
    above = list(range(len(other) + 1))
    for row, character in enumerate(one, 1):
        here = [row]
        for column, other_character in enumerate(other, 1):
            replaced = above[column - 1] + (character != other_character)
            here.append(min(above[column] + 1, here[-1] + 1, replaced))
        above = here
    return above[-1]


def errors(lines: Sequence[Line], readings: Sequence[Reading]) -> tuple[int, int]:
    """Wrong characters, and characters in all: each reading counts for the line in whose box its middle is."""
    by_line: dict[int, list[tuple[float, str]]] = {}
    wrong = 0
    for reading in readings:
        x = (reading.box.left + reading.box.width / 2) * WIDTH
        y = (reading.box.top + reading.box.height / 2) * HEIGHT
        inside = [
            i for i, (_, (left, top, right, bottom), _) in enumerate(lines) if left <= x <= right and top <= y <= bottom
        ]
        if not inside:
            wrong += len(reading.text)
            continue
        angle = math.radians(lines[inside[0]].angle_deg)
        by_line.setdefault(inside[0], []).append((x * math.cos(angle) - y * math.sin(angle), reading.text))
    for index, line in enumerate(lines):
        separator = " " if " " in line.text else ""
        wrong += distance(line.text, separator.join(text for _, text in sorted(by_line.get(index, []))))
    return wrong, sum(len(line.text) for line in lines)


def error_rate(pictures: Iterable[Picture], read: Read) -> str:
    """The character error rate over pictures."""
    counts = [errors(picture.lines, read(picture.pixels)) for picture in pictures]
    return f"{sum(wrong for wrong, _ in counts) / sum(length for _, length in counts):.3f}"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as Markdown, each when it is known."""
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def quality(readers: dict[str, Read], count: int) -> None:
    """Print the tables of error rates."""

    def kinds() -> Iterator[list[str]]:
        for kind in KINDS:
            if "Chinese" in kind and not CHINESE_FONT.exists():
                yield [kind, "left out: no fonts-noto-cjk"]
                continue
            yield [kind, *(error_rate(of_kind(kind, count), read) for read in readers.values())]

    def pages(size: int, contrast: float) -> list[Picture]:
        ink, ground = levels_of_contrast(contrast)
        return [page(np.random.default_rng(seed), size, ink, ground) for seed in range(max(1, count // 2))]

    def rates(size: int, contrast: float) -> list[str]:
        return [error_rate(pages(size, contrast), read) for read in readers.values()]

    print_table(["kind", *readers], kinds())
    print_table(["pixels high, contrast 7:1", *readers], ([str(size), *rates(size, 7)] for size in SIZES))
    print_table(["contrast, 24 pixels", *readers], ([f"{contrast:g}:1", *rates(24, contrast)] for contrast in CONTRASTS))


@contextmanager
def timed(times: list[tuple[float, float]]) -> Iterator[None]:
    """Append the seconds on the clock and of processors that the block takes, its programs' included."""

    def processor_s() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    wall, processor = time.perf_counter(), processor_s()
    yield
    times.append((time.perf_counter() - wall, processor_s() - processor))


def costs(repeats: int) -> None:
    """Print what frames cost, by engine and threads."""
    empty = Picture(np.full((HEIGHT, WIDTH, 3), 60, np.uint8), [])
    chosen = {
        "no text": empty,
        "2 lines": next(of_kind("subtitles over a picture", 1)),
        "8 lines": next(of_kind("slides", 1)),
    }
    readers: dict[str, Callable[[], Read]] = {}

    def loading(engine: TextEngine, num_threads: int) -> Callable[[], Read]:
        return lambda: TextReader(engine=engine, num_threads=num_threads).read

    for engine in ENGINES:
        if find_spec(engine):
            readers |= {f"{engine}, {threads}": loading(engine, threads) for threads in (1, 2)}
    if shutil.which("tesseract"):
        readers["tesseract, 1"] = lambda: tesseract("eng")

    def rows() -> Iterator[list[str]]:
        for name, load in readers.items():
            cells, read = [], load()
            for picture in chosen.values():
                read(picture.pixels)
                times: list[tuple[float, float]] = []
                for _ in range(repeats):
                    with timed(times):
                        read(picture.pixels)
                wall, processor = np.median(times, axis=0) * 1000
                cells.append(f"{wall:.0f} ({processor:.0f})")
            yield [name, *cells]

    print("Median ms a frame of 1,280 x 720, on the clock (of processors):\n")
    print_table(["engine, threads", *chosen], rows())


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4, help="pictures of each kind")
    parser.add_argument("--film", action="store_true", help="the film alone")
    parser.add_argument("--costs", action="store_true", help="the costs alone")
    args = parser.parse_args()
    if not args.film and not args.costs:
        readers: dict[str, Read] = {"vidsift": TextReader(num_threads=2).read}
        if shutil.which("tesseract"):
            readers["tesseract"] = tesseract("eng+deu+chi_sim")
        quality(readers, args.count)
    if not args.film:
        costs(5)
    if not args.costs:
        with tempfile.TemporaryDirectory() as folder:
            print_table(*measure_film(Path(folder)))


if __name__ == "__main__":
    main()
