"""Lets files arrive for an hour at a watched folder, and tells how long each took until it could be searched.

    python -m benchmarks.watch --files 60

The waiting is skipped, the work is done: the clock goes on while the watch works, and jumps while it waits. The models are
the pocket ones. The first table compares a round for one file with a fresh `vidsift ingest` of one file into the library.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from benchmarks.crashes import VIDSIFT, children
from demo.films import plan_films, render
from jobs.watch.watch import Round, Watch, WatchOptions
from schemas.text import columns_text
from tests.helpers.simulated_arrivals import SimulatedArrivals

_MODELS = {"classifier": "pocket", "embedder": "pocket"}


def resident_mb(pid: int | str = "self") -> float:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def all_resident_mb() -> float:
    """Memory of this process and all below it; what they share is counted by each."""
    total = resident_mb()
    for pid, _ in children(os.getpid()):
        try:
            total += resident_mb(pid)
        except OSError:
            continue
    return total


def arrives(film: Path, folder: Path) -> Callable[[], Iterable[object]]:
    """A film that is copied into a folder."""
    return lambda: [shutil.copy(film, folder / film.name)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("films", "in", "ingested"):
            (root / folder).mkdir()
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # what encoders leave in memory is not the watch's
            films = list(pool.map(render, plan_films(given.files + 1, seed=given.seed), repeat(root / "films")))
        rng = random.Random(given.seed)
        plan = [(rng.uniform(0, 3600), arrives(film, root / "in")) for film in films[:-1]]
        arrivals = SimulatedArrivals(plan, 3700, counts_work=True)
        rounds: list[tuple[float, Round, float, float]] = []

        def enter(done: Round) -> None:
            rounds.append((arrivals.now(), done, resident_mb(), all_resident_mb()))

        watch = Watch(
            [str(root / "in")],
            root / "library",
            arrivals,
            options=WatchOptions(),
            on_round=enter,
            ingest_arguments=_MODELS,
        )
        with suppress(KeyboardInterrupt):
            watch.run()
        shutil.copy(films[-1], root / "ingested")
        began = time.monotonic()
        command = [*VIDSIFT, "ingest", str(root / "ingested"), "--library", str(root / "library")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        fresh_s = time.monotonic() - began
    report(rounds, fresh_s)


def report(rounds: list[tuple[float, Round, float, float]], fresh_s: float) -> None:
    """Print the tables."""
    assert all(done.report is not None for _, done, _, _ in rounds)
    walls = sorted(done.wall_s for _, done, _, _ in rounds[1:])
    print(columns_text(("one new file", "seconds"), [
        ("a fresh ingest", f"{fresh_s:.1f}"),
        ("the first round of a watch", f"{rounds[0][1].wall_s:.1f}"),
        ("a later round, median", f"{walls[len(walls) // 2]:.2f}"),
        ("a later round, the longest", f"{walls[-1]:.2f}"),
    ]))  # fmt: skip
    print()
    rows = []
    for quarter in range(4):
        of = [
            item for item in rounds if 900 * quarter <= item[0] < 900 * (quarter + 1) or (quarter == 3 and item[0] >= 3600)
        ]
        if not of:
            continue
        longest_s = max(done.searchable_s or 0.0 for _, done, _, _ in of)
        indexed = sum(done.report.indexed for _, done, _, _ in of if done.report)
        rows.append((f"{15 * quarter} to {15 * quarter + 15}", str(len(of)), str(indexed), f"{longest_s:.1f}",
                     f"{of[-1][2]:.0f}", f"{of[-1][3]:.0f}"))  # fmt: skip
    heading = ("minutes", "rounds", "files", "searchable within s", "MB of the watch", "MB with Ray")
    print(columns_text(heading, rows))


if __name__ == "__main__":
    main()
