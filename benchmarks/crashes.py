"""Checks that kills lose nothing: an ingest of 150 videos is killed at random moments, again and again, then completed.

    python -m benchmarks.crashes --kills 50

Each round starts `vidsift ingest`, kills its driver, one of its workers or Ray itself (its raylet, or an agent, with which
the raylet ends) with SIGKILL after a random time, and searches the library meanwhile. At the end the library's content is
compared with that of an uninterrupted ingest.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from demo.checkpoints import write_classifier, write_embedder
from demo.films import plan_films, render
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.maintain.verify import verify
from schemas.errors import LibraryError

VIDSIFT = [sys.executable, "-m", "cli"]
_QUERIES = (
    "select video_id, path, content_hash, duration_s, clip_count, status, error from videos order by path",
    "select clip_id, video_id, path, start_s, end_s, label, label_score from clips order by clip_id",
    "select clip_id, rank, label, score, model from labels order by clip_id, rank",
)


def content(library: Path) -> list[list[dict[str, object]]]:
    """All rows of a library that do not depend on when it was made."""
    catalog = Snapshot(Library(library)).catalog
    return [catalog.sql(query).to_pylist() for query in _QUERIES]


def children(pid: int) -> list[tuple[int, str]]:
    """All processes below ``pid``, with their command lines."""
    processes, waiting = [], [pid]
    while waiting:
        try:
            below = Path(f"/proc/{waiting.pop()}/task").glob("*/children")
            pids = [int(word) for path in below for word in path.read_text().split()]
        except OSError:
            continue
        waiting += pids
        for child in pids:
            try:
                processes.append((child, Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:
                continue
    return processes


def kill_something(driver: subprocess.Popen[bytes], rng: random.Random) -> str:
    """Kill the driver, a worker or Ray itself, and return which."""
    below = children(driver.pid)
    victim = rng.choice(("driver", "worker", "worker", "ray"))
    ray = [pid for pid, command in below if "raylet/raylet" in command or re.match("ray::.*Agent", command)]
    workers = [pid for pid, command in below if "ray::" in command and "ray::IDLE" not in command and pid not in ray]
    target = driver.pid
    if victim == "worker" and workers:
        target = rng.choice(workers)
    elif victim == "ray" and ray:
        target = rng.choice(ray)
    else:
        victim = "driver"
    os.kill(target, signal.SIGKILL)
    return victim


def reads_whole(library: Path) -> bool:
    """Whether readers see every video with all its clips; also where nothing has been published yet."""
    try:
        catalog = Snapshot(Library(library)).catalog
    except LibraryError as exc:
        return "nothing has been published" in str(exc) or "is not a vidsift library" in str(exc)
    query = "select 1 from videos v where clip_count <> (select count(*) from clips c where c.video_id = v.video_id)"
    return bool(catalog.sql(query).num_rows == 0)


def main() -> None:
    """Kill ingests, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--videos", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "videos").mkdir()
        for film in plan_films(arguments.videos, seed=5):
            render(film, root / "videos")
        models = ["--classifier", str(write_classifier(root / "c")), "--embedder", str(write_embedder(root / "e"))]

        def command(library: str) -> list[str]:
            return [*VIDSIFT, "ingest", str(root / "videos"), "--library", str(root / library), "--json", *models]

        began = time.monotonic()
        subprocess.run(command("whole"), check=True, stdout=subprocess.DEVNULL)
        length_s = time.monotonic() - began
        print(f"uninterrupted: {length_s:.1f} s")
        killed: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        reads = broken_reads = finished = 0
        while sum(killed.values()) < arguments.kills:
            if finished:  # start over, so that every kill meets work to do
                subprocess.run(["rm", "-rf", str(root / "killed")], check=True)
                finished = 0
            driver = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            until = time.monotonic() + rng.uniform(0.5, length_s)
            while time.monotonic() < until and driver.poll() is None:
                broken_reads += not reads_whole(root / "killed")
                reads += 1
                time.sleep(0.2)
            if driver.poll() is None:
                victim = kill_something(driver, rng)
                killed[victim] += 1
                try:
                    driver.wait(120)
                except subprocess.TimeoutExpired:
                    ends[f"{victim}: hung"] += 1
                    driver.kill()
                    driver.wait()
                ends[f"{victim}: exit {driver.returncode}"] += 1
                assert driver.stderr is not None
                if victim != "driver" and (errors := driver.stderr.read().decode().strip()):
                    print(f"{victim}: {errors.splitlines()[-1]}", flush=True)
            finished = driver.returncode == 0
        subprocess.run(command("killed"), check=True, stdout=subprocess.DEVNULL)
        print("killed", dict(killed), "ended", dict(sorted(ends.items())))
        print(f"reads meanwhile {reads}, of them broken {broken_reads}")
        print("same content as uninterrupted:", content(root / "killed") == content(root / "whole"))
        print("breaches", [str(check) for check in verify(root / "killed") if check.breach])


if __name__ == "__main__":
    main()
