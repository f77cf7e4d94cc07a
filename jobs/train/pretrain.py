"""Masked pre-training: what a VideoMAE learns from videos that nobody has labelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import VideoMAEForPreTraining

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.masked_video import MaskedVideo, MaskedVideoModule
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, Session
from jobs.train.trainer import TrainProgress
from schemas.errors import ModelError, UsageError


def pretrain(
    data: str | Path,
    output: Path,
    *,
    base: str,
    options: TrainOptions,
    mask_ratio: float = 0.9,
    cache: Path | None = None,
    say: Say = lambda sentence: None,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainReport:
    """Train a VideoMAE to predict hidden tubes of video (Tong et al., 2022, "VideoMAE: Masked Autoencoders ...").

    Args:
        data: a folder of videos in any shape, or a CSV with the column path; labels are not needed.
        output: the folder to make; ``finetune --base`` takes it.
        base: a VideoMAE with its decoder, or a config.json to start from random weights.
        options: how to train.
        mask_ratio: share of the places that is hidden, the same in all frames.
        cache: as for `jobs.train.finetune.finetune`.
        say: as there.
        on_progress: as there.

    Raises:
        UsageError: the data, the output or the ratio cannot be used.
        ModelError: the base is no VideoMAE.
        JobError: nothing is left to learn from.
    """
    if not 0.1 <= mask_ratio <= 0.99:
        raise UsageError(f"--mask-ratio: got {mask_ratio:g}, expected 0.1 to 0.99")
    found = find_base(base, "classifier")
    if found.checkpoint.model_type != "videomae":
        raise ModelError(f"--base {base}: got a model of type {found.checkpoint.model_type!r}, expected videomae")
    dataset = read_dataset(data, seed=options.seed, want="nothing")
    session = Session("pretrain", found, dataset, output, options, cache, say, on_progress, {"mask_ratio": mask_ratio})
    session.open()
    prepared = session.prepare()
    torch.manual_seed(options.seed)
    model = load_base(VideoMAEForPreTraining, found)
    config = model.config
    task = MaskedVideo(
        MaskedVideoModule(model, found.preprocessing),
        tubes=config.num_frames // config.tubelet_size,
        patches=(config.image_size // config.patch_size) ** 2,
        ratio=mask_ratio,
    )
    return session.run(task, prepared)
