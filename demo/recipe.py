"""How the pocket checkpoints are made, from a seed: ``python -m demo.recipe WORK``, or ``make pocket``.

render a world -> decode it once -> train classifier and embedder, one core each -> measure on a world of another seed.
Every stage can be interrupted: run it again, and it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demo.bases import write_classifier_base, write_embedder_base
from demo.captions import words
from demo.measure import (
    TEST_CLIPS,
    TEST_FILMS,
    TEST_SEED,
    make_world,
    measure_classifier,
    measure_embedder,
    measure_moments,
    table,
)
from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base
from jobs.train.clip_cache import cache_clips, cached_input

POCKET = Path(__file__).parent / "pocket"
TRAIN_SEED, TRAIN_CLIPS = 1, 12_000
# A clip of the world shows one action and is one window; the longest is 2.8 s.
_SHARED = [
    *("--window", "4", "--max-clips", "1", "--random-window", "0.85", "--crop", "0.85", "--light", "0.15"),
    *("--threads", "1", "--half"),
]
CLASSIFIER = ["--epochs", "24", "--batch-size", "32", "--learning-rate", "1e-3", *_SHARED]
_LIMITS = (
    "This model knows the rendered figures of vidsift's demo, their actions, shirts and places, and nothing else: it says "
    "nothing of use about any other video. It is there to try vidsift with."
)
EMBEDDER = [
    *("--epochs", "24", "--batch-size", "64", "--learning-rate", "7e-4"),
    *("--plain-weight", "0.5", "--facts-weight", "0.5", *_SHARED),
]


def make_bases(folder: Path) -> None:
    """Write the random models that the trainings start from, unless they are there."""
    if not (folder / "embedder" / "model.safetensors").exists():
        write_classifier_base(folder / "classifier", seed=TRAIN_SEED)
        write_embedder_base(folder / "embedder", words(), seed=TRAIN_SEED)


def decode(world: Path, base: Path, cache: Path) -> None:
    """Decode the world into the cache that both trainings read."""
    examples = read_dataset(world / "captions.csv", seed=0, want="captions").examples
    kept = cached_input(find_base(str(base), "classifier").preprocessing.input)
    cache_clips(examples, kept, cache, window_s=4.0, max_clips=1, cpus=len(os.sched_getaffinity(0)))


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


def measure(work: Path) -> None:
    """Measure both on a world of another seed, and write that into their model cards."""
    if (work / "measured.json").exists():
        return
    make_world(work / "test", TEST_CLIPS, TEST_SEED, TEST_FILMS)
    models = {kind: str(work / kind) for kind in ("classifier", "embedder")}
    measured = {
        "classifier": measure_classifier(models["classifier"], work / "test"),
        "embedder": measure_embedder(models["embedder"], work / "test")
        + measure_moments(models["classifier"], models["embedder"], work / "test"),
    }
    for kind, rows in measured.items():
        card = (work / kind / "README.md").read_text(encoding="utf-8").rstrip("\n")
        text = f"{card}\n\n## On a world of another seed\n\n{_LIMITS}\n\n{table(rows)}\n"
        (work / kind / "README.md").write_text(text, encoding="utf-8")
        print(f"\n{kind}\n\n{table(rows)}\n", flush=True)
    (work / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Make the pocket checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where worlds, decoded clips and unfinished trainings are kept (6 GB)")
    parser.add_argument("--install", action="store_true", help="put the checkpoints into demo/pocket")
    arguments = parser.parse_args()
    work: Path = arguments.work
    stages: tuple[tuple[str, Callable[[], None]], ...] = (
        ("render the world", lambda: make_world(work / "world", TRAIN_CLIPS, TRAIN_SEED)),
        ("write random models", lambda: make_bases(work / "bases")),
        ("decode the world", lambda: decode(work / "world", work / "bases/classifier", work / "cache")),
        ("train", lambda: train(work)),
        ("measure", lambda: measure(work)),
    )
    for name, stage in stages:
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
