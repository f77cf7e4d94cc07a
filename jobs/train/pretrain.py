"""Pre-training: a VideoMAE learns from videos without labels, by predicting hidden parts of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import VideoMAEForPreTraining

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.masked_video import MaskedVideo, MaskedVideoModule
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress
from schemas.errors import UsageError


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
        mask_ratio: share of the patches that is hidden, the same ones in all frames; from 0.1 to 0.99.
        cache: as for `jobs.train.finetune.finetune`.
        say: likewise.
        on_progress: likewise.

    Raises:
        UsageError: the data, the output or the ratio cannot be used.
        ModelError: the base is not a VideoMAE.
        JobError: nothing is left to learn from.
    """
    if not 0.1 <= mask_ratio <= 0.99:
        raise UsageError(f"got {mask_ratio:g}, expected 0.1 to 0.99", argument="mask_ratio")
    start = find_base(base, "classifier", model_types=("videomae",))
    dataset = read_dataset(data, seed=options.seed, want="nothing")
    extra = {"mask_ratio": mask_ratio}
    run = TrainingRun(
        "pretrain",
        start,
        dataset,
        output=output,
        options=options,
        cache=cache,
        say=say,
        on_progress=on_progress,
        extra=extra,
    )
    decoded = run.begin()
    model = load_base(VideoMAEForPreTraining, start)
    config = model.config
    objective = MaskedVideo(
        MaskedVideoModule(model, start.preprocessing),
        tubes=config.num_frames // config.tubelet_size,
        patches=(config.image_size // config.patch_size) ** 2,
        ratio=mask_ratio,
    )
    return run.train(objective, decoded)
