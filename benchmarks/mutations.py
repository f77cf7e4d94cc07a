"""What becomes of damaged files: seeded mutations of five containers and codecs, ingested in one job.

    python -m benchmarks.mutations --count 1000

Prints how many ended in which status, and with which reason.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av

from demo.checkpoints import write_classifier, write_embedder
from demo.films import plan_films, render
from index.library import Library
from index.snapshot import Snapshot
from jobs.ingest import ingest
from jobs.upkeep import verify
from schemas.options import IngestOptions

# (ending, encoder): what is mutated.
KINDS = (
    ("mp4", "libx264"),
    ("mkv", "libx265"),
    ("avi", "mpeg4"),
    ("webm", "libvpx-vp9"),
    ("ts", "mpeg2video"),
    ("mov", "mjpeg"),
)


def mutate_all(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` damaged files into ``folder``, the same for the same seed."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        originals = [_original(Path(scratch), ending, codec) for ending, codec in KINDS]
        for number in range(count):
            ending, data = originals[number % len(originals)]
            (folder / f"{number:04d}.{ending}").write_bytes(mutate(data, originals, rng))


def mutate(data: bytes, originals: list[tuple[str, bytes]], rng: random.Random) -> bytes:
    """One of: flipped bits, a cut, bytes dropped, a piece of another file put in, a piece repeated, zeros written over."""
    damaged = bytearray(data)
    kind = rng.choice(("flip", "flip", "cut", "drop", "splice", "repeat", "zero"))
    at = rng.randrange(len(damaged))
    length = rng.choice((1, 16, 256, 4096))
    if kind == "flip":
        for _ in range(rng.choice((1, 4, 32, 256))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del damaged[at:]
    elif kind == "drop":
        del damaged[at : at + length]
    elif kind == "splice":
        other = rng.choice(originals)[1]
        begin = rng.randrange(len(other))
        damaged[at:at] = other[begin : begin + length]
    elif kind == "repeat":
        damaged[at:at] = damaged[at : at + length]
    else:
        damaged[at : at + length] = bytes(len(damaged[at : at + length]))
    return bytes(damaged)


def _original(scratch: Path, ending: str, codec: str) -> tuple[str, bytes]:
    """Two seconds of a demo film in the given container, with a keyframe every half second."""
    (film,) = plan_films(1, seed=3)
    path = scratch / f"original.{ending}"
    source = render(film, scratch)
    with av.open(str(source)) as reader, av.open(str(path), "w") as container:
        quiet = {"x265-params": "log-level=none:keyint=12"} if codec == "libx265" else {"g": "12", "deadline": "realtime"}
        stream = container.add_stream(codec, rate=25, options=quiet)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, frame in enumerate(reader.decode(video=0)):
            if number == 50:
                break
            resized = frame.reformat(width=160, height=120, format="rgb24")
            resized.pts, resized.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(resized))
        container.mux(stream.encode(None))
    return ending, path.read_bytes()


def main() -> None:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--untouched", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, library = Path(scratch) / "videos", Path(scratch) / "library"
        folder.mkdir()
        mutate_all(folder, arguments.count, arguments.seed)
        for film in plan_films(arguments.untouched, seed=9):
            render(film, folder)
        models = [str(write_classifier(Path(scratch) / "c")), str(write_embedder(Path(scratch) / "e"))]
        began = time.monotonic()
        options = IngestOptions(video_timeout_s=30.0)
        report = ingest([folder], library, classifier=models[0], embedder=models[1], options=options)
        print(f"{report.found} files in {time.monotonic() - began:.0f} s: {report.as_json()}")
        rows = Snapshot(Library(library)).catalog.sql("select path, status, error from videos").to_pylist()
        for ending, _ in KINDS:
            counts = Counter(row["status"] for row in rows if row["path"].endswith(ending) and "moving" not in row["path"])
            print(f"{ending:5}", dict(sorted(counts.items())))
        print("untouched", dict(Counter(row["status"] for row in rows if "moving" in row["path"])))
        for word in ("crashed", "timed out"):
            print(word, sum(1 for row in rows if word in (row["error"] or "")))
        print("breaches", [str(check) for check in verify(library) if check.breach])


if __name__ == "__main__":
    main()
