"""One run of a training command: claim the output folder, decode the dataset once, train, and write the checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from jobs.datasets.examples import SPLITS, Dataset, Split
from jobs.train.base_model import Base
from jobs.train.clip_cache import CachedClips, LeftOut, cache_clips, cached_input
from jobs.train.clip_dataset import ClipDataset, SplitClips
from jobs.train.model_card import model_card
from jobs.train.objectives import Objective
from jobs.train.options import Augmentation, TrainOptions
from jobs.train.report import TrainReport
from jobs.train.trainer import TrainingResult, TrainProgress, run_training
from pipeline.models.checkpoint import PREPROCESSING_FILES, TOKENIZER_FILES
from pipeline.models.preprocessing import Preprocessing
from schemas.errors import JobError, UsageError

_UNFINISHED = ".training"

Say = Callable[[str], None]

MakeDataset = Callable[[Sequence[CachedClips], Preprocessing, Augmentation | None, int], ClipDataset]
"""From cached clips, the model's preprocessing, what is changed at random (None: nothing) and a seed."""


@dataclass(frozen=True, slots=True)
class DecodedDataset:
    """A dataset whose clips are in the cache.

    Attributes:
        cached: the clips of each split.
        left_out: videos that could not be used, or not whole.
    """

    cached: dict[Split, list[CachedClips]]
    left_out: tuple[LeftOut, ...]

    def num_clips(self, split: Split) -> int:
        """Clips of one split."""
        return sum(of_example.num_clips for of_example in self.cached[split])

    def check_classes(self, labels: Sequence[str]) -> None:
        """Refuse a class that has lost all its training examples.

        Raises:
            JobError: naming it.
        """
        left = {of_example.example.label for of_example in self.cached["train"]}
        gone = [label for label in labels if label not in left]
        if gone:
            raise JobError(f"no training example of {', '.join(map(repr, gone))} can be decoded; give more videos of it")


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One call of a training command. Its steps are `begin` and `train`.

    Attributes:
        command: ``finetune``, ``pretrain`` or ``align``.
        base: the model that it starts from.
        dataset: what it learns from.
        output: the folder for the checkpoint.
        options: how to train.
        cache: where decoded clips are kept; None keeps them in the output while the training is unfinished.
        say: called with each sentence that a user should read at once.
        on_progress: called with how far the training is.
        extra: the command's own options, by name.
    """

    command: str
    base: Base
    dataset: Dataset
    _: KW_ONLY
    output: Path
    options: TrainOptions
    cache: Path | None
    say: Say
    on_progress: Callable[[TrainProgress], None]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def unfinished(self) -> Path:
        """The folder, inside the output, that holds the training while it is unfinished."""
        return self.output / _UNFINISHED

    def begin(self) -> DecodedDataset:
        """Claim the output folder, decode what is not in the cache yet, and seed PyTorch.

        Raises:
            UsageError: the output folder holds something else.
            JobError: nothing is left to learn from.
        """
        self._claim_output()
        decoded = self._decode()
        torch.manual_seed(self.options.seed)
        return decoded

    def _claim_output(self) -> None:
        """Make the output folder, or find the same training in it, interrupted.

        Raises:
            UsageError: something else is there.
        """
        state = self.unfinished / "training.json"
        fingerprint = self._fingerprint()
        if self.output.exists() and not self.output.is_dir():
            raise self._output_error("got a file, expected a folder that does not exist yet")
        if state.exists():
            if json.loads(state.read_text(encoding="utf-8")).get("fingerprint") != fingerprint:
                raise self._output_error(
                    "holds an unfinished training of other data or options; run that command again "
                    "to go on with it, or give another folder"
                )
            self.say(f"going on with the training in {self.output}")
            return
        if self.output.exists() and any(self.output.iterdir()):
            raise self._output_error("is not empty, and nothing in it is overwritten; give another folder")
        try:
            self.unfinished.mkdir(parents=True)
        except OSError as exc:
            raise self._output_error(f"cannot be made: {exc.strerror}") from exc
        state.write_text(json.dumps({"fingerprint": fingerprint}), encoding="utf-8")

    def _output_error(self, message: str) -> UsageError:
        return UsageError(message, argument="output", value=self.output)

    def _fingerprint(self) -> str:
        """A hash of everything that the trained weights depend on."""
        parts = [
            self.command,
            self.base.checkpoint.folder,
            self.base.checkpoint.sha256,
            [asdict(example) for example in self.dataset.examples],
            asdict(replace(self.options, threads=None, address=None)),
            self.extra,
        ]
        return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()

    def _decode(self) -> DecodedDataset:
        """Decode what is not in the cache yet."""
        self.say(f"{len(self.dataset.examples)} examples; splits {self.dataset.how_split}")
        last_said = 0

        def say_every_tenth(done: int, total: int) -> None:
            nonlocal last_said
            if done == total or done * 10 // total > last_said * 10 // total:
                self.say(f"decoded {done} of {total} examples")
                last_said = done

        cached, left_out = cache_clips(
            self.dataset.examples,
            cached_input(self.base.preprocessing.input),
            self.cache or self.unfinished / "clips",
            window_s=self.options.window_s,
            max_clips=self.options.max_clips,
            cpus=self.options.cpus,
            on_progress=say_every_tenth,
        )
        for video in left_out:
            self.say(f"damaged: {video}")
        by_split = {split: [clips for clips in cached if clips.example.split == split] for split in SPLITS}
        if not by_split["train"]:
            raise JobError(
                f"{self.dataset.source}: no example for training can be decoded; see `vidsift dataset {self.dataset.source}`"
            )
        return DecodedDataset(by_split, tuple(left_out))

    def train(
        self,
        objective: Objective,
        decoded: DecodedDataset,
        *,
        make_dataset: MakeDataset = ClipDataset,
        check: Callable[[TrainingResult], None] = lambda result: None,
    ) -> TrainReport:
        """Train, and write the checkpoint and its model card into the output folder.

        Args:
            objective: what is learnt.
            decoded: what it is learnt from.
            make_dataset: makes the dataset of each split.
            check: refuses a training that came to nothing, by a JobError: then nothing is written, and the output folder is
                left empty.
        """
        clips = self._datasets(decoded, make_dataset)
        folder = self.unfinished / "checkpoints"
        if self.options.workers:
            from jobs.train.distributed import run_distributed  # Ray is loaded where it is asked for

            result = run_distributed(objective, clips, folder, self.options, self.on_progress)
        else:
            result = run_training(objective, clips, folder, self.options, on_progress=self.on_progress)
        try:
            check(result)
        except JobError:
            shutil.rmtree(self.unfinished)
            raise
        self._write_checkpoint(objective)
        num_clips = {split: decoded.num_clips(split) for split in SPLITS}
        report = TrainReport(self.command, self.output, num_clips, decoded.left_out, result, self.extra)
        card = model_card(report, self.base, self.dataset, self.options, self.extra)
        (self.output / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(self.unfinished)
        return report

    def _datasets(self, decoded: DecodedDataset, make: MakeDataset) -> SplitClips:
        """The datasets that the Trainer reads; training clips are augmented, the others are whole."""
        preprocessing, seed = self.base.preprocessing, self.options.seed
        val, test = (
            make(decoded.cached[split], preprocessing, None, seed) if decoded.cached[split] else None
            for split in ("val", "test")
        )
        return SplitClips(make(decoded.cached["train"], preprocessing, self.options.augmentation, seed), val, test)

    def _write_checkpoint(self, objective: Objective) -> None:
        model: Any = objective.module.model
        model = model.half() if self.options.half else model.float()
        model.to("cpu").save_pretrained(self.output)
        for name, text in self.base.files.items():
            (self.output / name).write_text(text, encoding="utf-8")
        if self.base.files:
            return
        source = Path(self.base.checkpoint.folder)
        for name in (*PREPROCESSING_FILES, *TOKENIZER_FILES):
            if (source / name).exists():
                shutil.copyfile(source / name, self.output / name)
