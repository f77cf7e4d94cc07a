"""The shared way of every training: look at the data, decode it once, train, and leave a folder that ingest takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from jobs.datasets.examples import SPLITS, Dataset, Split
from jobs.train.base_model import Base
from jobs.train.clip_cache import LeftOut, Stored, kept_input, store_clips
from jobs.train.model_card import model_card
from jobs.train.objectives import ClipDataset, Task
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.trainer import TrainProgress, run_training
from pipeline.models.checkpoint import PREPROCESSING_FILES, TOKENIZER_FILES
from schemas.errors import JobError, UsageError

_UNFINISHED = ".training"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data ready to learn from.

    Attributes:
        stored: per split, decoded clips.
        left_out: what could not be used, or not whole.
    """

    stored: dict[Split, list[Stored]]
    left_out: tuple[LeftOut, ...]

    def num_clips(self, split: Split) -> int:
        """Clips of one split."""
        return sum(stored.num_clips for stored in self.stored[split])


@dataclass(frozen=True, slots=True)
class Session:
    """One call of a training command.

    Attributes:
        command: ``finetune``, ``pretrain`` or ``align``.
        base: what it starts from.
        output: the folder to be made.
        cache: where decoded clips are kept; None keeps them in the output while it is unfinished.
        say: told sentences that a user should read at once.
        on_progress: told how far the training is.
    """

    command: str
    base: Base
    dataset: Dataset
    output: Path
    options: TrainOptions
    cache: Path | None
    say: Say
    on_progress: Callable[[TrainProgress], None]
    extra: dict[str, Any]

    @property
    def unfinished(self) -> Path:
        """Where an unfinished training is kept, inside the output."""
        return self.output / _UNFINISHED

    def open(self) -> None:
        """Take the output folder, or find in it the same training, interrupted.

        Raises:
            UsageError: something else is there.
        """
        state = self.unfinished / "training.json"
        wanted = self._fingerprint()
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output}: got a file, expected a folder that does not exist yet")
        if state.exists():
            if json.loads(state.read_text(encoding="utf-8")).get("fingerprint") != wanted:
                raise UsageError(
                    f"--output {self.output}: holds an unfinished training of other data or options; run that command again "
                    "to go on with it, or give another folder"
                )
            self.say(f"going on with the training in {self.output}")
            return
        if self.output.exists() and any(self.output.iterdir()):
            raise UsageError(f"--output {self.output}: is not empty, and nothing in it is overwritten; give another folder")
        try:
            self.unfinished.mkdir(parents=True)
        except OSError as exc:
            raise UsageError(f"--output {self.output}: cannot be made: {exc.strerror}") from exc
        state.write_text(json.dumps({"fingerprint": wanted}), encoding="utf-8")

    def _fingerprint(self) -> str:
        examples = [asdict(example) for example in self.dataset.examples]
        options = replace(self.options, threads=None, address=None)
        what = [
            self.command,
            self.base.checkpoint.folder,
            self.base.checkpoint.sha256,
            examples,
            asdict(options),
            self.extra,
        ]
        return blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=16).hexdigest()

    def prepare(self) -> Prepared:
        """Decode what is not in the cache yet.

        Raises:
            JobError: nothing is left to learn from.
        """
        self.say(f"{len(self.dataset.examples)} examples; splits {self.dataset.how_split}")
        told = [0]

        def tell(done: int, total: int) -> None:
            if done == total or done * 10 // total > told[0] * 10 // total:
                self.say(f"decoded {done} of {total} examples")
                told[0] = done

        stored, left_out = store_clips(
            self.dataset.examples,
            kept_input(self.base.preprocessing.input),
            self.cache or self.unfinished / "clips",
            window_s=self.options.window_s,
            max_clips=self.options.max_clips,
            cpus=self.options.cpus,
            on_progress=tell,
        )
        for damaged in left_out:
            self.say(f"damaged: {damaged}")
        prepared = Prepared({s: [one for one in stored if one.example.split == s] for s in SPLITS}, tuple(left_out))
        if not prepared.stored["train"]:
            raise JobError(
                f"{self.dataset.source}: no example for training can be decoded; see `vidsift dataset {self.dataset.source}`"
            )
        return prepared

    def datasets(self, prepared: Prepared) -> dict[Split, ClipDataset | None]:
        """Per split what the Trainer reads; None for a split without clips."""
        how, seed = self.base.preprocessing, self.options.seed
        return {
            split: ClipDataset(stored, how, self.options.augmentation if split == "train" else None, seed)
            if stored
            else None
            for split, stored in prepared.stored.items()
        }

    def run(self, task: Task, prepared: Prepared) -> TrainReport:
        """Train, and put the result where the user wants it."""
        sets = self.datasets(prepared)
        train = sets["train"]
        assert train is not None
        where = self.unfinished / "checkpoints"
        if self.options.workers:
            from jobs.train.distributed import run_distributed

            trained = run_distributed(task, train, sets["val"], sets["test"], where, self.options, self.on_progress)
        else:
            trained = run_training(task, train, sets["val"], sets["test"], where, self.options, on_progress=self.on_progress)
        self._publish(task)
        clips = {split: prepared.num_clips(split) for split in SPLITS}
        report = TrainReport(self.command, self.output, clips, prepared.left_out, trained)
        card = model_card(report, self.base, self.dataset, self.options, self.extra)
        (self.output / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(self.unfinished)
        return report

    def _publish(self, task: Task) -> None:
        model: Any = task.module.model
        model = model.half() if self.options.half else model.float()
        model.to("cpu").save_pretrained(self.output)
        source = Path(self.base.checkpoint.folder)
        for name in (*PREPROCESSING_FILES, *TOKENIZER_FILES):
            if (source / name).exists():
                shutil.copyfile(source / name, self.output / name)


def check_classes(prepared: Prepared, labels: Sequence[str]) -> None:
    """Refuse a class that lost all its training examples.

    Raises:
        JobError: naming it.
    """
    left = {stored.example.label for stored in prepared.stored["train"]}
    gone = [label for label in labels if label not in left]
    if gone:
        raise JobError(f"no training example of {', '.join(map(repr, gone))} can be decoded; give more videos of it")
