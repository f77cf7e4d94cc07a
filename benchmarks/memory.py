"""Whether memory grows with a film's length, and what a mixed folder takes; and whether all cores have work.

    python -m benchmarks.memory

A 1080p H.264 film of 10 minutes, one of 3 hours, each ingested alone with random small models; then 200 clips of ten seconds
in all codecs and sizes of `benchmarks.videos`, and 2,000 of two seconds in 360p, with the shipped models. Prints the peak of
the sum over all processes of the job (proportional set size, so that shared memory counts once), and the share of the cores
that were idle from when Ray was there until the last clip was written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av

from benchmarks.crashes import children
from benchmarks.videos import make_mixed, make_tiny
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


def peak_megabytes(command: list[str]) -> tuple[float, float, str]:
    """Run ``command``: the peak of the memory of all its processes together in MB, its seconds, and what it printed."""
    began = time.monotonic()
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
    assert driver.stdout is not None
    return peak / 1024, time.monotonic() - began, driver.stdout.read()


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="*", default=[10, 180])
    parser.add_argument("--mixed", type=int, default=200)
    parser.add_argument("--tiny", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        models = ["--classifier", str(write_classifier(root / "c")), "--embedder", str(write_embedder(root / "e"))]
        pocket = ["--classifier", "pocket", "--embedder", "pocket"]
        sources = [(f"{m} minutes", write_long(root / f"{m}.mp4", m, root), models) for m in arguments.minutes]
        if arguments.mixed:
            make_mixed(root / "mixed", arguments.mixed)
            sources.append((f"{arguments.mixed} mixed", root / "mixed", pocket))
        if arguments.tiny:
            make_tiny(root / "tiny", arguments.tiny)
            sources.append((f"{arguments.tiny} tiny", root / "tiny", pocket))
        print(f"{'':<12} {'MB':>8} {'seconds':>8} {'peak MB':>8} {'idle':>6}")
        for number, (name, source, chosen) in enumerate(sources):
            command = [sys.executable, "-m", "cli", "ingest", str(source), "--library", str(root / f"l{number}"), *chosen]
            peak, seconds, report = peak_megabytes([*command, "--json"])
            idle = json.loads(report)["run"]["idle_share"]
            files = [source] if source.is_file() else list(source.glob("[!.]*"))
            size = sum(file.stat().st_size for file in files) / 1e6
            print(f"{name:<12} {size:8.0f} {seconds:8.0f} {peak:8.0f} {idle:6.1%}", flush=True)


if __name__ == "__main__":
    main()
