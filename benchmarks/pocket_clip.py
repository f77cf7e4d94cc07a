"""An image-text embedder beside X-CLIP, both trained on the demo's world: what a mean of frames finds, and what it cannot.

    python -m benchmarks.pocket_clip WORK                  # render, decode, train and measure; half an hour on one core
    python -m benchmarks.pocket_clip WORK --clips 5000 --epochs 12

Trains a small CLIP with ``vidsift align``, on films and settings of the recipe for the pocket X-CLIP (`demo.recipe`), and
measures both on a world of another seed: text-to-video recall by the dot product and by the rerank score, for several
temperatures of the weights of frames; actions that are each other's reversal; and the bounds of moments in long films.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from demo.bases import write_image_text_base
from demo.captions import words
from demo.measure import TEST_CLIPS, TEST_FILMS, TEST_SEED, Row, make_world, measure_embedder, measure_moments, table
from demo.recipe import EMBEDDER, TRAIN_CLIPS, TRAIN_SEED
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import EmbedderResults
from pipeline.models.embedders import image_text

_TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 16.0)
_RERANK = 100


def train(work: Path, clips: int, epochs: int) -> Path:
    """The trained CLIP's folder, which is made unless it exists."""
    make_world(work / "world", clips, TRAIN_SEED)
    output = work / "clip"
    if not (output / "README.md").exists():
        base = write_image_text_base(work / "base", words(), seed=TRAIN_SEED)
        data = ["align", str(work / "world/captions.csv"), "--base", str(base), "--output", str(output)]
        settings = [*EMBEDDER, "--epochs", str(epochs), "--cache", str(work / "cache")]
        subprocess.run([sys.executable, "-m", "cli", *data, *settings], check=True)
    return output


def measure(embedder: str, world: Path) -> list[Row]:
    """Retrieval and pairs, then moments by the dot product and with rerank scores."""
    rows = [row for row in measure_embedder(embedder, world) if not row[0].startswith("unseen wording")]
    for rerank in (0, _RERANK):
        rows += [(f"rerank {rerank}: {name}", value) for name, value in measure_moments("pocket", embedder, world, rerank)]
    return rows


def main() -> None:
    """Train, measure, and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where worlds, decoded clips and the model are kept")
    parser.add_argument("--clips", type=int, default=TRAIN_CLIPS, help="clips of the world to train on")
    parser.add_argument("--epochs", type=int, default=24)
    arguments = parser.parse_args()
    clip, world = str(train(arguments.work, arguments.clips, arguments.epochs)), arguments.work / "test"
    make_world(world, TEST_CLIPS, TEST_SEED, TEST_FILMS)
    for name, embedder in (("X-CLIP", "pocket"), ("CLIP over frames", clip)):
        print(f"\n{name}\n\n{table(measure(embedder, world))}", flush=True)
    print("\nCLIP over frames, rerank score by the temperature of the weights, in logits\n\n| temperature | R@1 | R@5 |")
    print("|---|---|---|")
    for temperature in _TEMPERATURES:
        image_text.TEMPERATURE = temperature
        options = EvaluateOptions(split="all")
        results = evaluate_model(clip, world / "captions.csv", kind="embedder", options=options)
        assert isinstance(results, EmbedderResults)
        (row,) = (row for row in results.retrieval if row.score == "exact")
        print(f"| {temperature:g} | {row.recall_at_1:.3f} | {row.recall_at_5:.3f} |", flush=True)


if __name__ == "__main__":
    main()
