"""How the pocket checkpoints are made, from a seed: ``python -m demo.recipe WORK``, or ``make pocket``.

render a world -> decode it once -> train the classifier and the embedder, one core each -> measure on a world of another seed.
Every stage can be interrupted: run it again, and it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from demo.captions import words
from demo.render import render_all
from demo.shapes import write_classifier_base, write_embedder_base
from demo.truth import write_captions, write_truth
from demo.world import plan
from jobs.learn.base import find_base
from jobs.learn.clips import kept_input, store_clips
from jobs.learn.dataset import read_dataset

POCKET = Path(__file__).parent / "pocket"
TRAIN_SEED, TEST_SEED = 1, 2
TRAIN_CLIPS, TEST_CLIPS, TEST_FILMS = 12_000, 1_200, 40
# A clip of the world shows one action and is one window; the longest is 2.8 s.
_SHARED = [
    *("--window", "4", "--max-clips", "1", "--random-window", "0.85", "--crop", "0.85", "--light", "0.15"),
    *("--threads", "1", "--half"),
]
CLASSIFIER = ["--epochs", "24", "--batch-size", "32", "--learning-rate", "1e-3", *_SHARED]
EMBEDDER = [
    *("--epochs", "24", "--batch-size", "64", "--learning-rate", "7e-4"),
    *("--plain-weight", "0.5", "--facts-weight", "0.5", *_SHARED),
]


def make_world(folder: Path, count: int, seed: int, films: int = 0) -> None:
    """Render a world, unless it is there."""
    if (folder / "captions.csv").exists():
        return
    planned = plan(count, seed, films)
    folder.mkdir(parents=True, exist_ok=True)
    for number, _ in enumerate(render_all(planned, folder), start=1):
        if number % 1000 == 0:
            print(f"rendered {number} of {len(planned)} films", flush=True)
    write_truth(planned, folder)
    write_captions(planned, folder)


def make_bases(folder: Path) -> None:
    """Write the random models that the trainings start from, unless they are there."""
    if not (folder / "embedder" / "model.safetensors").exists():
        write_classifier_base(folder / "classifier", seed=TRAIN_SEED)
        write_embedder_base(folder / "embedder", words(), seed=TRAIN_SEED)


def decode(world: Path, base: Path, cache: Path) -> None:
    """Decode the world into the cache that both trainings read."""
    examples = read_dataset(world / "captions.csv", seed=0, want="captions").examples
    wanted = kept_input(find_base(str(base), "classifier").preprocessing.input)
    store_clips(examples, wanted, cache, window_s=4.0, max_clips=1, cpus=len(os.sched_getaffinity(0)))


def train(work: Path) -> None:
    """Run both trainings at the same time, each on one core."""
    commands = {
        "classifier": ["finetune", str(work / "world/truth.csv"), "--base", str(work / "bases/classifier"), *CLASSIFIER],
        "embedder": ["align", str(work / "world/captions.csv"), "--base", str(work / "bases/embedder"), *EMBEDDER],
    }
    running = {}
    for kind, command in commands.items():
        output = work / kind
        if (output / "README.md").exists():
            continue
        call = [sys.executable, "-m", "cli", *command, "--output", str(output), "--cache", str(work / "cache")]
        running[kind] = subprocess.Popen(call)
    failed = [kind for kind, process in running.items() if process.wait()]
    if failed:
        raise SystemExit(f"the training of {' and '.join(failed)} failed; run it again to go on")


def main() -> None:
    """Make the pocket checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where worlds, decoded clips and unfinished trainings are kept (12 GB)")
    parser.add_argument("--install", action="store_true", help="put the checkpoints into demo/pocket")
    arguments = parser.parse_args()
    work: Path = arguments.work
    for name, stage in (
        ("render the world", lambda: make_world(work / "world", TRAIN_CLIPS, TRAIN_SEED)),
        ("write random models", lambda: make_bases(work / "bases")),
        ("decode the world", lambda: decode(work / "world", work / "bases/classifier", work / "cache")),
        ("train", lambda: train(work)),
    ):
        began = time.monotonic()
        print(f"-- {name}", flush=True)
        stage()
        print(f"-- {name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    if arguments.install:
        for kind in ("classifier", "embedder"):
            shutil.rmtree(POCKET / kind, ignore_errors=True)
            shutil.copytree(work / kind, POCKET / kind)


if __name__ == "__main__":
    main()
