"""An image-text embedder beside X-CLIP, both trained on the demo's world: what a mean of frames finds, and what it cannot.

    python -m benchmarks.pocket_clip WORK                  # render, decode, train and measure; half an hour on one core
    python -m benchmarks.pocket_clip WORK --clips 5000 --epochs 12

Trains a small CLIP with ``vidsift align``, on films and settings of the recipe for the pocket X-CLIP (`demo.recipe`), and
measures both on a world of another seed: text-to-video recall by the dot product and by the rerank score, actions that are
each other's reversal, and the bounds of moments in long films.

The temperature of the weights of frames is chosen on the clips that the training held back: alone, and four at a time in one
clip, of which a caption is true of one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from demo.bases import write_image_text_base
from demo.captions import words
from demo.measure import TEST_CLIPS, TEST_FILMS, TEST_SEED, Row, make_world, measure_embedder, measure_moments, table
from demo.recipe import EMBEDDER, TRAIN_CLIPS, TRAIN_SEED
from jobs.datasets.reader import read_dataset
from jobs.evaluate.captions import draw_captions
from jobs.evaluate.model_inputs import EvaluateOptions, ExampleLoader, choose_split
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.image_text import ImageTextEmbedder, query_weighted_cosines

TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, float("inf"))
_RERANK = 100
_DRAWS, _CAPTIONS = 5, 200


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
    rows = measure_embedder(embedder, world, unseen=False)
    for rerank in (0, _RERANK):
        rows += [(f"rerank {rerank}: {name}", value) for name, value in measure_moments("pocket", embedder, world, rerank)]
    return rows


def temperature_rows(embedder: str, captions: Path, split: str) -> list[tuple[float, float, float]]:
    """For each temperature in logits, the share of captions that find their clip: alone, and as one of four in a clip.

    Of 8 frames that show four clips, each gives two. A caption's clip comes first among 200 alone, and among 50 of four.
    The means over draws of captions, each of which is true of one of the drawn clips.
    """
    _, examples = choose_split(read_dataset(captions, seed=0, want="captions"), split)
    model = ImageTextEmbedder(find_checkpoint(embedder, "embedder"), "fp32")
    loader = ExampleLoader(examples, model.preprocessing, EvaluateOptions(), print, lambda progress: None)
    features = np.zeros((len(examples), model.preprocessing.input.num_frames, model.dim), np.float32)
    for numbers, pixels in loader.batches(model.device, model.dtype):
        features[numbers] = model.embed_clips_with_features(pixels).features
    found = np.zeros((_DRAWS, len(TEMPERATURES), 2))
    for draw in range(_DRAWS):
        drawn = draw_captions(examples, _CAPTIONS, np.random.default_rng((0, draw)))
        drawn = drawn[: len(drawn) // 4 * 4]
        texts = torch.from_numpy(model.embed_texts([caption for _, caption in drawn]))
        alone = torch.from_numpy(features[[number for number, _ in drawn]])
        of_four = alone[:, [2, 5]].reshape(len(drawn) // 4, 8, -1)
        own = torch.arange(len(drawn))
        for place, temperature in enumerate(TEMPERATURES):
            in_cosines = min(temperature / model.logit_scale, 1e6)
            for kind, (clips, answers) in enumerate(((alone, own), (of_four, own // 4))):
                best = query_weighted_cosines(texts, clips, in_cosines).argmax(1)
                found[draw, place, kind] = (best == answers).float().mean()
    return [(temperature, *row) for temperature, row in zip(TEMPERATURES, found.mean(0).tolist(), strict=True)]


def main() -> None:
    """Train, measure, and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where worlds, decoded clips and the model are kept")
    parser.add_argument("--clips", type=int, default=TRAIN_CLIPS, help="clips of the world to train on")
    parser.add_argument("--epochs", type=int, default=24)
    arguments = parser.parse_args()
    clip, world = str(train(arguments.work, arguments.clips, arguments.epochs)), arguments.work / "test"
    make_world(world, TEST_CLIPS, TEST_SEED, TEST_FILMS)
    for name, captions, split in (
        ("held-back clips", arguments.work / "world/captions.csv", "test"),
        ("a world of another seed", world / "captions.csv", "all"),
    ):
        print(f"\nCLIP over frames, {name}, R@1\n\n| temperature, logits | alone | four in one |\n|---|---|---|")
        for row in temperature_rows(clip, captions, split):
            print("| {:g} | {:.3f} | {:.3f} |".format(*row), flush=True)
    for name, embedder in (("CLIP over frames", clip), ("X-CLIP", "pocket")):
        print(f"\n{name}\n\n{table(measure(embedder, world))}", flush=True)


if __name__ == "__main__":
    main()
