"""What it costs and changes to show a classifier other frames of a clip than it was trained with, on the demo's world.

    python -m benchmarks.more_frames WORK                           # the pocket classifier, more frames
    python -m benchmarks.more_frames WORK --views                   # several views of each clip, at its own frame rate
    python -m benchmarks.more_frames WORK --views --films 8         # likewise in a library of long films, in clips of 4 s
    python -m benchmarks.more_frames WORK --also ./trained-on-32    # beside it, a folder that `finetune --frames 32` made

Accuracy of the best label, on short clips of a world of another seed than the models were trained on, which is rendered in
WORK; of pairs of actions that are each other's reversal; and clips a second of the forward pass on one thread, in fp32. The
pocket classifier was trained with 16 frames of whole clips, the first row, which is what a user has without the options.
Views are 2.13 s long, as VideoMAE's family says, and the world's clips 2 to 2.8 s, as those it was trained with. Clips of
long films are 4 s, so that views show what it was trained with and whole clips are too fast; each scene's label is judged by
the clip that overlaps it most (`jobs.evaluate.library`). Clips a second are then those of the whole ingest.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from demo.measure import TEST_SEED, make_world
from demo.world import PAIRS
from jobs.evaluate.library import evaluate
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults
from jobs.ingest.ingest import ingest
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.registry import load_classifier

_BATCH, _REPEAT = 4, 20


def clips_per_s(model: str, frames: int | None) -> float:
    """The best of several forward passes."""
    classifier = load_classifier(replace(find_checkpoint(model, "classifier"), num_frames=frames), "fp32")
    shown = classifier.preprocessing.input
    assert shown.geometry.size is not None
    pixels = torch.randn(_BATCH, shown.num_frames, 3, *shown.geometry.size)
    times = []
    for _ in range(_REPEAT):
        began = time.perf_counter()
        classifier.classify(pixels, 1)
        times.append(time.perf_counter() - began)
    return _BATCH / min(times)


def row(name: str, model: str, frames: int | None, world: Path, views: int | None = None) -> None:
    """Measure, print. Clips a second are those of clips that are long enough for all views."""
    options = EvaluateOptions(
        split="all",
        frames=frames,
        views=views or "single",
        batch_size=8,
        pairs=tuple(",".join(pair) for pair in PAIRS),
    )
    results = evaluate_model(model, world / "captions.csv", kind="classifier", options=options)
    assert isinstance(results, ClassifierResults)
    of_pairs = sum(pair.right for pair in results.pairs) / len(results.pairs)
    print(f"{name:<24}{results.top1:8.3f}{of_pairs:8.3f}{clips_per_s(model, frames) / (views or 1):14.1f}", flush=True)


def film_row(name: str, work: Path, world: Path, views: int | None) -> None:
    """Ingest the long films in clips of 4 s, judge the labels, print."""
    library = work / f"library-{views or 'whole'}-{world.name}"
    report = ingest(world / "films", library, classifier="pocket", embedder="pocket", views=views, window_s=4.0)
    labels = evaluate(world / "truth.csv", library).recognition
    assert labels is not None
    print(f"{name:<24}{labels.top1:8.3f}{labels.top5:8.3f}{report.clips / report.wall_seconds:14.1f}", flush=True)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--also", nargs="*", default=[], metavar="MODEL")
    parser.add_argument("--views", action="store_true")
    parser.add_argument("--films", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.films:
        world = arguments.work / f"films-{arguments.films}"
        make_world(world, 1, TEST_SEED, arguments.films)
        print(f"{arguments.films} films{'':<16}{'top-1':>8}{'top-5':>8}{'clips/s':>14}")
        film_row("pocket, whole clips", arguments.work, world, None)
        for views in (1, 2, 3):
            film_row(f"pocket, {views} view{'s' * (views > 1)}", arguments.work, world, views)
        return
    world = arguments.work / f"world-{arguments.clips}"
    make_world(world, arguments.clips, TEST_SEED)
    print(f"{arguments.clips} clips{'':<14}{'top-1':>8}{'pairs':>8}{'clips/s':>14}")
    if arguments.views:
        row("pocket, whole clips", "pocket", None, world)
        for views in (1, 2, 3):
            row(f"pocket, {views} view{'s' * (views > 1)}", "pocket", None, world, views)
        return
    for frames in (16, 8, 32, 64):
        row(f"pocket, {frames} frames", "pocket", frames, world)
    for model in arguments.also:
        row(Path(model).name, model, None, world)


if __name__ == "__main__":
    main()
