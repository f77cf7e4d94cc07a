"""What becomes of damaged and carelessly made files: seeded mutations of nine containers and codecs, ingested in one job.

    python -m benchmarks.mutations --count 1000

Half of them are damaged. The others are as people make them: cut without a keyframe at the start, joined end to end, under
another container's ending. Prints how many ended in which status, by ending and by mutation, and with which reasons.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from demo.checkpoints import write_classifier, write_embedder
from demo.films import plan_films, render
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.maintain.verify import verify
from schemas.options import IngestOptions

# (ending, encoder): what is mutated.
KINDS = (
    ("mp4", "libx264"),
    ("mkv", "libx265"),
    ("avi", "mpeg4"),
    ("webm", "libvpx-vp9"),
    ("ts", "mpeg2video"),
    ("mov", "mjpeg"),
    ("flv", "libx264"),
    ("mpg", "mpeg2video"),
    ("ts", "libx264"),
)

DAMAGE = ("flip", "flip", "cut", "drop", "splice", "repeat", "zero")
HABITS = ("late packet", "late byte", "joined", "other ending")

# What vidsift says where a library raised what was not foreseen.
_UNFORESEEN = re.compile(r"cannot be (?:read|decoded): (\w+):")


class Original(NamedTuple):
    """A whole file, and the one that a tool would make of it that copies packets from a later one on."""

    ending: str
    data: bytes
    late: tuple[bytes, ...]


def mutate_all(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` mutated files into ``folder``, the same for the same seed, with the mutation in their names."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        (film,) = plan_films(1, seed=3)
        source = render(film, Path(scratch))
        originals = [_original(source, ending, codec) for ending, codec in KINDS]
        for number in range(count):
            original = originals[number % len(originals)]
            if rng.random() < 0.5:
                kind, ending, data = "damaged", original.ending, damage(original.data, originals, rng)
            else:
                kind = rng.choice(HABITS)
                ending, data = mishandle(kind, original, originals, rng)
            (folder / f"{number:04d} {kind}.{ending}").write_bytes(data)


def mishandle(kind: str, original: Original, originals: list[Original], rng: random.Random) -> tuple[str, bytes]:
    """The ending and bytes of a file as people make it: one of ``HABITS``."""
    ending, data = original.ending, original.data
    if kind == "late packet":
        data = rng.choice(original.late)
    elif kind == "late byte":
        data = data[rng.randrange(len(data)) :]
    elif kind == "joined":
        other = rng.choice([other for other in originals if other.ending == ending])
        data = data[: rng.choice((len(data), rng.randrange(len(data))))] + rng.choice((other.data, *other.late))
    else:
        ending = rng.choice(sorted({other.ending for other in originals} - {ending}))
    return ending, data


def damage(data: bytes, originals: list[Original], rng: random.Random) -> bytes:
    """One of: flipped bits, a cut, bytes dropped, a piece of another file put in, a piece repeated, zeros written over."""
    damaged = bytearray(data)
    kind = rng.choice(DAMAGE)
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
        other = rng.choice(originals).data
        begin = rng.randrange(len(other))
        damaged[at:at] = other[begin : begin + length]
    elif kind == "repeat":
        damaged[at:at] = damaged[at : at + length]
    else:
        damaged[at : at + length] = bytes(len(damaged[at : at + length]))
    return bytes(damaged)


def _original(source: Path, ending: str, codec: str) -> Original:
    """Two seconds of the film ``source`` in the given container, with a keyframe every half second."""
    path = source.with_name(f"original.{ending}")
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
    target = source.with_name(f"late.{ending}")
    late = [_copied(path, target, first, anew=anew) for first in (1, 7, 20, 45) for anew in (False, True)]
    return Original(ending, path.read_bytes(), tuple(late))


def _copied(source: Path, target: Path, first: int, *, anew: bool) -> bytes:
    """Copy packets from number ``first`` on, with their own times or with times that count ``anew``."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as container:
        stream = reader.streams.video[0]
        copy = container.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size and packet.dts is not None][first:]
        zero = (packets[0].dts or 0) if anew else 0
        for packet in packets:
            dts = packet.dts or 0
            packet.pts, packet.dts = (dts if packet.pts is None else packet.pts) - zero, dts - zero
            packet.stream = copy
            container.mux(packet)
    return target.read_bytes()


def reason_classes(reasons: Iterable[str]) -> Counter[str]:
    """How often each reason was given, whatever its numbers."""
    return Counter(re.sub(r"-?\d[\d.]*", "N", part) for reason in reasons for part in reason.split("; "))


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
        mutated = [row for row in rows if "moving" not in row["path"]]
        for ending in sorted({ending for ending, _ in KINDS}):
            print(f"{ending:13}", _statuses(row for row in mutated if row["path"].endswith(ending)))
        for kind in ("damaged", *HABITS):
            print(f"{kind:13}", _statuses(row for row in mutated if f" {kind}." in row["path"]))
        print("untouched", dict(Counter(row["status"] for row in rows if "moving" in row["path"])))
        for word in ("crashed", "timed out"):
            print(word, sum(1 for row in rows if word in (row["error"] or "")))
        errors = [row["error"] for row in mutated if row["error"]]
        for reason, number in reason_classes(errors).most_common():
            print(f"{number:5} {reason}")
        print("unforeseen exceptions", dict(Counter(name for error in errors for name in _UNFORESEEN.findall(error))))
        print("breaches", [str(check) for check in verify(library) if check.breach])


def _statuses(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    return dict(sorted(Counter(row["status"] for row in rows).items()))


if __name__ == "__main__":
    main()
