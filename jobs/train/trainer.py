"""Runs a training with transformers' Trainer: resumable, in mixed precision where it can be, keeping the best epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint

from jobs.train.clip_dataset import ClipDataset, SplitClips
from jobs.train.objectives import Objective
from jobs.train.options import TrainOptions
from pipeline.models.pixels import choose_dtype

# AdamW's beta2: shorter than the usual 0.999, since trainings of a few thousand steps are common here.
_BETA2 = 0.98


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far a training is.

    Attributes:
        epoch: epochs done, with a fraction.
        epochs: of how many.
        loss: the latest training loss; None before the first.
        metric: the measure that chooses the best epoch.
        value: its latest value on the validation split; None before the first.
        elapsed_s: seconds so far, in this run.
        remaining_s: an estimate of the seconds to go; None before there is one.
        watched: the latest values of the measures that are watched during training, by name.
    """

    epoch: float
    epochs: int
    loss: float | None
    metric: str
    value: float | None
    elapsed_s: float
    remaining_s: float | None
    watched: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch:.1f} of {self.epochs}"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        parts += [f"{name} {value:.4f}" for name, value in self.watched.items()]
        if self.value is not None:
            parts.append(f"validation {self.metric} {self.value:.3f}")
        if self.remaining_s is not None:
            parts.append(f"{_minutes(self.elapsed_s)} so far, about {_minutes(self.remaining_s)} to go")
        return ", ".join(parts)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The measures of a training.

    Attributes:
        curve: for each epoch, the measures on the validation split; empty where there is none.
        best: the kept epoch's measures; empty where there is no validation split.
        test: the same on the test split; empty where there is none.
        seconds: how long this run took.
        dtype: ``fp32``, ``bf16`` or ``fp16``: the arithmetic of the training.
        watched: epoch, loss and the objective's watched measures on the training clips, over the training: up to 200 rows,
            each the mean since the row before; empty where nothing is watched.
        kept: which epoch's weights were kept where there is a validation split.
    """

    curve: tuple[dict[str, float], ...]
    best: dict[str, float]
    test: dict[str, float]
    seconds: float
    dtype: str
    watched: tuple[dict[str, float], ...] = ()
    kept: Literal["best", "last"] = "best"


def run_training(
    objective: Objective,
    clips: SplitClips,
    folder: Path,
    options: TrainOptions,
    *,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainingResult:
    """Train ``objective.module`` in place; where ``folder`` holds an interrupted run of it, go on after its last epoch.

    Args:
        objective: what is learnt.
        clips: what it is learnt from.
        folder: where the epochs' checkpoints go.
        options: how to train.
        on_progress: called at every 200th of all steps.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    began = time.monotonic()
    arguments = _arguments(objective, clips.val is not None, folder, options)
    trainer = _ClipTrainer(
        model=objective.module,
        args=arguments,
        train_dataset=clips.train,
        eval_dataset=clips.val,
        data_collator=objective.collate,
        compute_metrics=lambda prediction: dict(
            zip(objective.measures, prediction.predictions.mean(0).tolist(), strict=False)
        ),
        callbacks=[_EpochsAndProgress(clips.train, objective, options.epochs, on_progress)],
    )
    trainer.watched = {name: [] for name in objective.watched}
    trainer.whole_batches = objective.whole_batches and len(clips.train) >= options.batch_size * max(1, options.workers)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
    log = trainer.state.log_history
    curve = tuple(_measures(entry) | {"epoch": entry["epoch"]} for entry in log if "eval_loss" in entry)
    best = {}
    if curve:
        pick = min if objective.lower_is_better else max
        best = curve[-1] if objective.keeps_last else pick(curve, key=lambda entry: entry[objective.metric])
    test = _measures(trainer.evaluate(clips.test)) if clips.test is not None else {}
    dtype = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32"
    watched = tuple(_watched(entry, objective) for entry in log if objective.watched and "loss" in entry)
    kept: Literal["best", "last"] = "last" if objective.keeps_last else "best"
    return TrainingResult(curve, best, test, time.monotonic() - began, dtype, watched, kept)


def _arguments(objective: Objective, has_val: bool, folder: Path, options: TrainOptions) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    bf16 = choose_dtype("auto", torch.device("cuda" if on_gpu else "cpu")) == torch.bfloat16
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup,
        lr_scheduler_type="cosine",
        weight_decay=options.weight_decay,
        adam_beta2=_BETA2,
        bf16=bf16,
        fp16=on_gpu and not bf16,
        use_cpu=not on_gpu,
        seed=options.seed,
        data_seed=options.seed,
        eval_strategy="epoch" if has_val else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=has_val and not objective.keeps_last,
        metric_for_best_model=f"eval_{objective.metric}",
        greater_is_better=not objective.lower_is_better,
        logging_steps=0.005,  # a share of all steps
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        label_names=["frames"],
        dataloader_num_workers=0,
        dataloader_drop_last=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs are for `TrainOptions.workers`, one process each
    return arguments


class _ClipTrainer(Trainer):  # type: ignore[misc]
    """A Trainer for modules that compute their own loss; their measures are means over clips.

    Attributes:
        watched: for each measure that is watched, its means over the batches since the last row of the log.
        whole_batches: whether an epoch's last batch is left out where it is smaller than the others.
    """

    watched: dict[str, list[torch.Tensor]]
    whole_batches: bool

    def get_train_dataloader(self) -> DataLoader[Any]:
        self.args.dataloader_drop_last = self.whole_batches
        try:
            loader: DataLoader[Any] = super().get_train_dataloader()
        finally:
            self.args.dataloader_drop_last = False  # validation and test are measured whole
        return loader

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {name: torch.stack(means).mean().item() for name, means in self.watched.items() if means}
            self.watched = {name: [] for name in self.watched}
        super().log(logs, start_time)

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        outputs = model(**inputs)
        for name, means in self.watched.items():
            means.append(outputs[name].detach().mean())
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def prediction_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        per_clip = [values for name, values in outputs.items() if name != "loss"]
        loss = outputs["loss"].detach()
        rows = torch.stack(per_clip, 1) if per_clip else loss.repeat(len(inputs["frames"]))[:, None]
        return loss, rows, rows


def _measures(entry: dict[str, float]) -> dict[str, float]:
    """The measures of one evaluation, without the Trainer's prefix and timings."""
    return {
        name.removeprefix("eval_"): value
        for name, value in entry.items()
        if name in ("eval_loss", "eval_accuracy", "eval_plain_accuracy")
    }


def _watched(entry: dict[str, float], objective: Objective) -> dict[str, float]:
    """One row of the Trainer's log, without its learning rate and the like."""
    return {name: entry[name] for name in ("epoch", "loss", *objective.watched) if name in entry}


class _EpochsAndProgress(TrainerCallback):  # type: ignore[misc]
    """Numbers the dataset's epochs, which changes its views, and reports how far the training is."""

    def __init__(
        self, train: ClipDataset, objective: Objective, epochs: int, on_progress: Callable[[TrainProgress], None]
    ) -> None:
        self._train, self._epochs, self._on_progress = train, epochs, on_progress
        self._metric, self._watched = objective.metric, objective.watched
        self._began, self._first_step = time.monotonic(), 0
        self._value: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._train.epoch = int(state.epoch or 0)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        self._value = metrics.get(f"eval_{self._metric}")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        done, elapsed_s = state.global_step - self._first_step, time.monotonic() - self._began
        if "loss" not in logs or not state.is_world_process_zero:
            return
        remaining_s = elapsed_s / done * (state.max_steps - state.global_step) if done else None
        watched = {name: logs[name] for name in self._watched if name in logs}
        self._on_progress(
            TrainProgress(
                state.epoch, self._epochs, logs["loss"], self._metric, self._value, elapsed_s, remaining_s, watched
            )
        )
