"""Pre-training of an encoder of single frames, from videos without labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jobs.datasets.reader import read_dataset
from jobs.train.frame_base import find_frame_base, load_frame_base
from jobs.train.frame_views import FrameViews, views_of
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.simsiam import SimSiam, SimSiamModule, check_collapse, is_collapsed
from jobs.train.trainer import TrainProgress
from schemas.errors import JobError, UsageError

# A batch shows one direction fewer than it has frames, and the watch over a collapse has to see two.
_MIN_BATCH = 4


def pretrain_frames(
    data: str | Path,
    output: Path,
    *,
    base: str,
    options: TrainOptions,
    image_size: int | None = None,
    cache: Path | None = None,
    say: Say = lambda sentence: None,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainReport:
    """Train an encoder of single frames by SimSiam (Chen and He, 2020, arXiv 2011.10566).

    Each clip gives one frame an epoch, at random. Both views of it are cut, recoloured and blurred as in the paper; ``crop``
    and ``light`` of ``options.augmentation`` change how much, and ``mirror`` mirrors half of them, which the paper does and
    this leaves off. The last epoch is kept: a lower loss is no better, since a collapse has the lowest.

    Args:
        data: a folder of videos in any shape, or a CSV with the column path; labels are not needed.
        output: the folder to make, which holds the encoder alone; ``finetune --base`` takes it.
        base: ``resnet18``, ``resnet34`` or ``resnet50`` for random weights, or a ResNet's folder, config.json or hub id.
        options: how to train; batches of 4 frames and more, and rather of hundreds.
        image_size: side of the pictures in pixels, where ``base`` is a name; None is 224.
        cache: as for `jobs.train.finetune.finetune`.
        say: likewise.
        on_progress: likewise.

    Raises:
        UsageError: the data, the output, the size or an option cannot be used.
        ModelError: the base is not a ResNet.
        JobError: nothing is left to learn from, or the training collapsed.
    """
    if options.batch_size < _MIN_BATCH:
        message = f"got {options.batch_size}, expected {_MIN_BATCH} or more, since outputs are compared within a batch"
        raise UsageError(message, argument="batch_size")
    if options.augmentation.window < 1:
        message = f"got {options.augmentation.window:g}, but simsiam takes single frames of whole clips; leave it out"
        raise UsageError(message, argument="augmentation.window")
    start = find_frame_base(base, image_size)
    dataset = read_dataset(data, seed=options.seed, want="nothing")
    extra: dict[str, object] = {"method": "simsiam"}
    warned = False

    def watch(progress: TrainProgress) -> None:
        nonlocal warned
        watched = progress.watched
        if watched and not warned and progress.epoch >= 1 and is_collapsed(watched, module.output_dim):
            values = ", ".join(f"{name} {value:.4f}" for name, value in watched.items())
            say(f"the outputs may have collapsed ({values}); the training goes on, and is refused if it ends so")
            warned = True
        on_progress(progress)

    run = TrainingRun(
        "pretrain", start, dataset, output=output, options=options, cache=cache, say=say, on_progress=watch, extra=extra
    )
    decoded = run.begin()
    fewest = _MIN_BATCH * max(1, options.workers)
    if (num_clips := decoded.num_clips("train")) < fewest:
        raise JobError(
            f"got {num_clips} clips to learn from, expected {fewest} or more, since each process compares {_MIN_BATCH} or "
            "more; give more videos"
        )
    model = load_frame_base(start)
    module = SimSiamModule(model, start.preprocessing, width=model.config.hidden_sizes[-1])
    extra["output_dim"] = module.output_dim
    return run.train(
        SimSiam(module),
        decoded,
        make_dataset=partial(FrameViews, views=views_of(options.augmentation)),
        check=partial(check_collapse, output_dim=module.output_dim),
    )
