"""What it costs to decode files in which going to a place does not help, as a multiple of one pass over them.

    python -m benchmarks.seeking [--minutes 10] [--rounds 2]

Of each file 16 frames per 4 s window come out at 224 x 224, as the full-size models want them. A pass is the loop that a
user would write: every frame decoded in order, four in a second to RGB and scaled. Prints CPU seconds and bytes read, as
multiples of that pass and of the file: for jobs that are each decoded alone, which costs the square of the length where
seeking does not help (left out with ``--minutes`` above 10), and for what an ingest does, planning included. The best of
the rounds. Needs the program ffmpeg to make the files.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av

from pipeline.decoders.registry import load_decoder
from pipeline.process import decode_job, decode_jobs, plan_video
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import SpanJob, VideoFile

INPUT = ModelInput(16, Geometry(224, (224, 224)))

# Longer files are not decoded job by job: an hour of one keyframe would take thirty passes.
_MAX_MINUTES_ALONE = 10


def make_files(folder: Path, minutes: int) -> list[Path]:
    """Files of the same frames: with an index and a keyframe every 2 s, and without one or the other."""

    def ffmpeg(*arguments: str | Path) -> None:
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)

    source = ["-f", "lavfi", "-i", f"testsrc2=s=640x360:r=25:d={60 * minutes}", "-c:v", "libx264", "-preset", "ultrafast"]
    usual, single = folder / "usual.mp4", folder / "one keyframe.mp4"
    ffmpeg(*source, "-g", "50", usual)
    ffmpeg(*source, "-g", "999999", "-keyint_min", "999999", "-sc_threshold", "0", single)
    others = {"one keyframe.ts": single, "no index.flv": usual, "raw.h264": usual, "usual.ts": usual}
    for name, of in others.items():
        ffmpeg("-i", of, "-c", "copy", folder / name)
    ffmpeg("-i", usual, "-c", "copy", "-live", "1", folder / "no index.mkv")
    return [
        usual,
        folder / "usual.ts",
        single,
        *(folder / name for name in others if "usual" not in name),
        folder / "no index.mkv",
    ]


def one_pass(file: VideoFile) -> None:
    """Decode every frame, and scale four of every 25."""
    with av.open(file.path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number * 4 % 25 < 4:
                frame.reformat(width=398, height=224, format="rgb24").to_ndarray()


def planned(file: VideoFile) -> list[SpanJob]:
    """The file's jobs."""
    return [job for job in plan_video(file, Sampling(), (INPUT,)) if isinstance(job, SpanJob)]


def as_ingest_does(file: VideoFile) -> None:
    """Plan and decode the file, jobs that start at one place in one pass."""
    for _ in decode_jobs(planned(file), load_decoder("pyav")):
        pass


def each_alone(file: VideoFile) -> None:
    """The same, but each job for itself."""
    for job in planned(file):
        for _ in decode_job(job, load_decoder("pyav")):
            pass


def cost(call: Callable[[], object]) -> tuple[float, int]:
    """CPU seconds of a call, and the bytes that it read."""
    began_s, before = time.process_time(), _bytes_read()
    call()
    return time.process_time() - began_s, _bytes_read() - before


def _bytes_read() -> int:
    with open("/proc/self/io", encoding="ascii") as lines:
        return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10, help="how long the files are")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    minutes = arguments.minutes
    print(f"{minutes} min of 640 x 360 at 25 fps; multiples of one pass (CPU) and of the file (bytes read)\n")
    print(f"{'file':18} {'pass, s':>8} {'each job alone':>16} {'ingest':>14}")
    with tempfile.TemporaryDirectory() as folder:
        for path in make_files(Path(folder), minutes):
            (file,) = find_videos([path])
            assert isinstance(file, VideoFile)
            calls = [as_ingest_does] if minutes > _MAX_MINUTES_ALONE else [as_ingest_does, each_alone]
            rounds = [[cost(partial(call, file)) for call in (one_pass, *calls)] for _ in range(arguments.rounds)]
            (pass_s, _), *costs = map(min, zip(*rounds, strict=True))
            columns = [f"{cpu_s / pass_s:.2f} x, {read / file.size_bytes:.1f} x" for cpu_s, read in costs]
            print(f"{path.name:18} {pass_s:8.1f} {columns[1] if len(columns) > 1 else '-':>16} {columns[0]:>14}", flush=True)


if __name__ == "__main__":
    main()
