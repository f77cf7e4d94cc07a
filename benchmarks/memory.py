"""Whether memory grows with a film's length: one of 10 minutes and one of 3 hours, 1080p H.264, ingested alone.

    python -m benchmarks.memory

Prints the peak of the sum over all processes of the job (proportional set size, so that shared memory counts once).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av

from benchmarks.crashes import children
from demo.checkpoints import write_classifier, write_embedder
from demo.films import plan_films, render


def write_long(path: Path, minutes: int, scratch: Path) -> Path:
    """A 1080p film of ``minutes``: ten seconds, encoded once, and their packets repeated."""
    (film,) = plan_films(1, seed=3)
    source = render(film, scratch)
    piece = scratch / "piece.mp4"
    with av.open(str(source)) as reader, av.open(str(piece), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "50", "preset": "veryfast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        frames = [frame.reformat(1920, 1080, "yuv420p") for frame in reader.decode(video=0)]
        for number in range(250):
            frame = frames[number % len(frames)]
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(piece)) as reader, av.open(str(path), "w") as container:
        original = reader.streams.video[0]
        copy = container.add_stream_from_template(original)
        packets = [packet for packet in reader.demux(original) if packet.size]
        times = [(packet.pts or 0, packet.dts or 0) for packet in packets]
        length = round(10 / (original.time_base or Fraction(1)))
        for turn in range(minutes * 6):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, copy
                container.mux(packet)
    return path


def peak_megabytes(command: list[str]) -> tuple[float, float]:
    """Run ``command``; the peak of the memory of all its processes together in MB, and how many seconds it took."""
    began = time.monotonic()
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while driver.poll() is None:
        total = 0
        for pid in [driver.pid, *(pid for pid, _ in children(driver.pid))]:
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
        peak = max(peak, total)
        time.sleep(0.5)
    return peak / 1024, time.monotonic() - began


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 180])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        models = ["--classifier", str(write_classifier(root / "c")), "--embedder", str(write_embedder(root / "e"))]
        print("minutes  file MB  seconds  peak MB")
        for minutes in arguments.minutes:
            film = write_long(root / f"{minutes}.mp4", minutes, root)
            command = [sys.executable, "-m", "cli", "ingest", str(film), "--library", str(root / f"l{minutes}"), *models]
            peak, seconds = peak_megabytes(command)
            print(f"{minutes:7}  {film.stat().st_size / 1e6:7.0f}  {seconds:7.0f}  {peak:7.0f}", flush=True)


if __name__ == "__main__":
    main()
