"""Frames learnt without labels: the same Transformer over features of SimSiam, of chance, and of labels.

    python -m benchmarks.frames WORK              # render, decode, train and measure; half an hour on two busy cores
    python -m benchmarks.frames WORK --clips 12000 --epochs 100 --base resnet18

Trains an encoder of single frames on the demo's world (`demo.world`) twice, on the same views of the same frames for the
same number of epochs: by ``vidsift pretrain --method simsiam``, which sees no labels, and by the actions' names. A third is
left as it was drawn. ``vidsift finetune`` then trains the same Transformer over each, frozen, on the first clips alone, and
all are measured on a world of another seed. Prints the spread of SimSiam's outputs over the training, too.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import ResNetConfig

from demo.measure import TEST_SEED, make_world
from demo.recipe import TRAIN_SEED
from jobs.datasets.reader import read_dataset
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults
from jobs.train.clip_cache import cache_clips, cached_input
from jobs.train.clip_dataset import SplitClips
from jobs.train.finetune import finetune
from jobs.train.frame_base import find_frame_base, load_frame_base
from jobs.train.frame_views import FrameViews, views_of
from jobs.train.objectives import Batch, Pixels
from jobs.train.options import Augmentation, TrainOptions
from jobs.train.pretrain_frames import pretrain_frames
from jobs.train.report import full_spread, spread_rows
from jobs.train.trainer import TrainProgress, run_training
from pipeline.models.preprocessing import Preprocessing

_SIDE = 64  # pixels, as the pocket models see the world
_VIEWS = Augmentation(crop=0.4, light=0.4)


@dataclass
class Labels:
    """Cross-entropy over both views of a frame."""

    module: nn.Module
    labels: tuple[str, ...]
    metric: str = "loss"
    lower_is_better: bool = True
    measures: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    keeps_last: bool = True
    whole_batches: bool = True

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """See `jobs.train.objectives.Objective.collate`."""
        labels = [self.labels.index(item["example"].label) for item in items]
        return {"frames": torch.stack([item["frames"] for item in items]), "labels": torch.tensor(labels)}


class LabelsModule(nn.Module):
    """An encoder of single frames with a linear head."""

    def __init__(self, model: Any, preprocessing: Preprocessing, num_labels: int) -> None:
        super().__init__()
        self.model = model
        self.pixels = Pixels(preprocessing)
        self.head = nn.Linear(model.config.hidden_sizes[-1], num_labels)

    def forward(self, frames: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """``loss``, of uint8 frames [batch, 2, height, width, 3]."""
        features = self.model(self.pixels(frames).flatten(0, 1)).pooler_output.flatten(1)
        return {"loss": cross_entropy(self.head(features).float(), labels.repeat_interleave(2))}


def write_narrow_base(folder: Path) -> Path:
    """A ResNet of 4 blocks, 16 to 128 wide: config.json and preprocessing for pictures of 64 x 64."""
    folder.mkdir(parents=True, exist_ok=True)
    widths = [16, 32, 64, 128]
    ResNetConfig(embedding_size=16, hidden_sizes=widths, depths=[1] * 4, layer_type="basic").save_pretrained(folder)
    settings = find_frame_base("resnet18", _SIDE).files["preprocessor_config.json"]
    (folder / "preprocessor_config.json").write_text(settings, encoding="utf-8")
    return folder


def train_with_labels(world: Path, output: Path, base: str, options: TrainOptions, cache: Path) -> None:
    """Train the encoder to name the action of a single frame."""
    start = find_frame_base(base, None)
    dataset = read_dataset(world / "truth.csv", seed=options.seed, want="labels")
    kept = cached_input(start.preprocessing.input)
    cpus = len(os.sched_getaffinity(0))
    cached, _ = cache_clips(
        dataset.of("train"), kept, cache, window_s=options.window_s, max_clips=options.max_clips, cpus=cpus
    )
    torch.manual_seed(options.seed)
    model = load_frame_base(start)
    views = FrameViews(cached, start.preprocessing, None, options.seed, views=views_of(options.augmentation))
    module = LabelsModule(model, start.preprocessing, len(dataset.labels))
    folder = output.with_name(f"{output.name}-training")
    run_training(Labels(module, dataset.labels), SplitClips(views, None, None), folder, options, on_progress=show)
    model.save_pretrained(output)
    settings = (Path(base) / "preprocessor_config.json").read_text(encoding="utf-8")
    (output / "preprocessor_config.json").write_text(settings, encoding="utf-8")


def first_rows(truth: Path, count: int) -> Path:
    """A CSV file beside ``truth`` with the first ``count`` of its rows."""
    lines = truth.read_text(encoding="utf-8").splitlines(keepends=True)
    path = truth.with_name(f"truth-{count}.csv")
    path.write_text("".join(lines[: count + 1]), encoding="utf-8")
    return path


def show(progress: TrainProgress) -> None:
    """Print progress once an epoch or so."""
    if progress.epoch % 1 < 0.02:
        print(progress, flush=True)


def top1(model: Path, world: Path) -> float:
    """The share of clips whose action comes first."""
    results = evaluate_model(str(model), world / "truth.csv", kind="classifier", options=EvaluateOptions(split="all"))
    assert isinstance(results, ClassifierResults)
    return results.top1


def main() -> None:
    """Train, measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="where worlds, decoded clips and models are kept")
    parser.add_argument("--clips", type=int, default=1_600, help="clips of the world to train on")
    parser.add_argument("--test-clips", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=20, help="of the encoders")
    parser.add_argument("--labelled", type=int, default=400, help="clips whose labels the Transformers learn from")
    parser.add_argument("--transformer-epochs", type=int, default=20)
    parser.add_argument("--base", help="a ResNet's folder with pictures of 64 x 64; by default one of 4 blocks is made")
    arguments = parser.parse_args()
    work: Path = arguments.work
    make_world(work / "world", arguments.clips, TRAIN_SEED)
    make_world(work / "test", arguments.test_clips, TEST_SEED)
    base = arguments.base or str(write_narrow_base(work / "narrow"))
    shared: dict[str, Any] = {"max_clips": 1, "threads": 1}
    options = TrainOptions(epochs=arguments.epochs, batch_size=64, learning_rate=5e-4, augmentation=_VIEWS, **shared)
    cache = work / "cache"
    if not (work / "simsiam").exists():
        report = pretrain_frames(
            work / "world/truth.csv", work / "simsiam", base=base, options=options, cache=cache, say=print, on_progress=show
        )
        dim = report.extra["output_dim"]
        (work / "spread.json").write_text(json.dumps([full_spread(dim), spread_rows(report.trained.watched, 9)]))
    if not (work / "labels").exists():
        train_with_labels(work / "world", work / "labels", base, options, cache)
    bases = {"random": f"{base}/config.json", "SimSiam": str(work / "simsiam"), "labels": str(work / "labels")}
    rows = []
    labelled = first_rows(work / "world/truth.csv", arguments.labelled)
    options = TrainOptions(epochs=arguments.transformer_epochs, batch_size=32, learning_rate=5e-4, **shared)
    for name, encoder in bases.items():
        output = work / f"transformer-{arguments.labelled}-{name}"
        if not (output / "README.md").exists():
            finetune(labelled, output, base=encoder, options=options, cache=cache, say=print)
        rows.append((name, top1(output, work / "test")))
        print(rows[-1], flush=True)
    full, spreads = json.loads((work / "spread.json").read_text())
    print("\n| frame encoder | top-1 of the Transformer over it |\n|---|---|")
    print("\n".join(f"| {name} | {value:.3f} |" for name, value in rows))
    print(f"\n| epoch | SimSiam's loss | spread ({full:.4f} is full) | directions |\n|---|---|---|---|")
    for row in spreads:
        print(f"| {row['epoch']:.1f} | {row['loss']:.3f} | {row['spread']:.4f} | {row['directions']:.1f} |")


if __name__ == "__main__":
    main()
