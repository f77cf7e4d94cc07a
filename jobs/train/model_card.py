"""The model card of a trained checkpoint: its base, its data, its measures and its recipe."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from jobs.datasets.examples import Dataset
from jobs.train.base_model import Base
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport, full_spread, spread_rows

_MEASURES = {
    "accuracy": "right at the first place",
    "plain_accuracy": "right at the first place, plain dot product",
    "loss": "loss",
}
_KINDS = {
    "finetune": "A video classifier",
    "pretrain": "A video encoder after masked pre-training, without a head",
    "pretrain simsiam": "An encoder of single frames after SimSiam pre-training, without its projector and predictor",
    "align": "An embedder of clips and texts",
}


def model_card(report: TrainReport, base: Base, dataset: Dataset, options: TrainOptions, extra: dict[str, Any]) -> str:
    """Markdown with the front matter that model hubs read.

    Args:
        report: what the training did.
        base: what it started from.
        dataset: what it learnt from.
        options: how it was run.
        extra: the command's own options, by name.
    """
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [video, {base.checkpoint.model_type}]",
        "---",
        "",
        f"# {report.output.resolve().name}",
        "",
        f"{_kind(report.command, extra)}, trained with vidsift from "
        + (f"`{base.given}`." if base.has_weights else f"random weights, shaped as `{base.given}` says."),
        "",
        "## Data",
        "",
        f"`{dataset.source}`: {len(dataset.examples)} examples; splits {dataset.how_split}. Clips decoded: "
        + ", ".join(f"{count} {split}" for split, count in report.clips.items())
        + f". Left out or damaged: {len(report.left_out)}.",
    ]
    if report.command == "finetune":
        lines += ["", f"Classes ({len(dataset.labels)}): {', '.join(dataset.labels)}."]
    lines += ["", "## Measured", ""]
    trained = report.trained
    if trained.best:
        lines += ["| split | " + " | ".join(_MEASURES[name] for name in _present(trained.best)) + " |"]
        lines += ["|---|" + "---|" * len(_present(trained.best))]
        lines += [f"| validation, {trained.kept} epoch ({trained.best['epoch']:g}) | " + _row(trained.best) + " |"]
        lines += [f"| test | {_row(trained.test)} |"] if trained.test else []
    else:
        lines += ["There was no validation split: the last epoch was kept, and nothing was measured."]
    if report.command == "align":
        lines += ["", "These count a clip as right where its best caption of one batch is true of it; "
                  "`vidsift evaluate-model` measures against all captions."]  # fmt: skip
    lines += _spread_lines(report)
    lines += [
        "",
        "## Recipe",
        "",
        f"    {shlex.join(['vidsift', *sys.argv[1:]])}",
        "",
        f"AdamW, learning rate {options.learning_rate:g} after {options.warmup:.0%} warm-up, then a cosine to 0; weight "
        f"decay {options.weight_decay:g}; {options.epochs} epochs in batches of {options.batch_size * options.accumulate}; "
        f"{trained.dtype}; seed {options.seed}; {trained.seconds / 60:.1f} minutes.",
    ]
    lines += [f"{name.replace('_', ' ')}: {value}." for name, value in extra.items()]
    return "\n".join(lines) + "\n"


def _kind(command: str, extra: dict[str, Any]) -> str:
    return _KINDS.get(f"{command} {extra.get('method')}", _KINDS[command])


def _spread_lines(report: TrainReport) -> list[str]:
    """The spread of the outputs over the training, where it was watched."""
    rows = spread_rows(report.trained.watched, num_rows=11)
    if not rows:
        return []
    return [
        "",
        "## Spread of the outputs",
        "",
        "Spread: the deviation of the L2-normalised outputs over a batch, in training; "
        f"{full_spread(report.extra['output_dim']):.4f} where they cover the whole sphere, 0 where all are the same. "
        "Directions: in how many they differ; 1 where they lie on a line.",
        "",
        "| epoch | loss | spread | directions |",
        "|---|---|---|---|",
        *(f"| {row['epoch']:.1f} | {row['loss']:.3f} | {row['spread']:.4f} | {row['directions']:.1f} |" for row in rows),
    ]


def _present(measures: dict[str, float]) -> list[str]:
    """The measures of a training that the card has a column for."""
    return [name for name in _MEASURES if name in measures]


def _row(measures: dict[str, float]) -> str:
    return " | ".join(f"{measures[name]:.3f}" for name in _present(measures))
