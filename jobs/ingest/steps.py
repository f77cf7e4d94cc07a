"""The steps of an ingest as plain methods, for any engine to run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.ingest.pace import Pace
from pipeline.annotators import Annotator, inputs_of, own_tables, samples_of
from pipeline.decoders.registry import load_decoder
from pipeline.process import decode_chain, decode_job, plan_video
from pipeline.write import write_clips
from schemas.errors import VidsiftError
from schemas.models import Checkpoint, ModelInput
from schemas.options import IngestOptions, Sampling
from schemas.records import Clip, ClipRow, JobFailed, SpanDone, SpanJob, VideoFailed, VideoFile, Written

if TYPE_CHECKING:  # decode workers import this module, and should not pay for torch
    from index.object_store.stored_tables import StoredTables
    from pipeline.annotate import Annotators


@dataclass(frozen=True, slots=True)
class BatchAnnotator:
    """Runs all annotators over batches; what they raise comes back as a `JobFailed`."""

    annotators: Annotators

    @property
    def device(self) -> str:
        """Where the models compute."""
        return self.annotators.device

    @property
    def precision(self) -> str:
        """The arithmetic they compute in."""
        return self.annotators.precision

    def __call__(self, clips: Sequence[Clip]) -> list[ClipRow | JobFailed]:
        """A row for each clip."""
        try:
            return list(self.annotators.annotate(clips))
        except Exception as exc:  # noqa: BLE001 - a model is the user's own; no video is to blame for what it raises
            reason = (str(exc) or type(exc).__name__).splitlines()[0]
            return [JobFailed(f"the models could not compute a batch of {len(clips)}: {reason}")]


@dataclass(frozen=True, slots=True)
class Job:
    """All that workers need to know of an ingest. It is small, since every task carries it.

    Attributes:
        annotators: the classifier, the embedder, and any others.
        sampling: how videos are cut into clips.
        folder: the library's, by an absolute path; workers write Parquet into its tables' folders.
        options: how to run.
        taken: video ids that new videos must not get; known only when all files are.
        pace: how often rows are written.
        stored: where the tables are, if that is an object store.
    """

    annotators: tuple[Annotator, ...]
    sampling: Sampling
    folder: Path
    options: IngestOptions
    taken: frozenset[str] = frozenset()
    pace: Pace = field(default_factory=Pace)
    stored: StoredTables | None = None

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """The frames that each clip has to hold, for all annotators."""
        return inputs_of(self.annotators)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The models that each process of annotators holds."""
        return [annotator.checkpoint for annotator in self.annotators if annotator.checkpoint is not None]

    def plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        """Hash the file, read its packets, and choose frames."""
        return plan_video(
            file,
            self.sampling,
            self.inputs,
            taken=self.taken,
            max_pixels=self.options.max_pixels,
            max_frames=self.options.max_frames,
            scaling=self.options.scaling,
            track=self.options.track,
        )

    def decode(self, job: SpanJob) -> Iterator[Clip | SpanDone]:
        """Decode one job's clips."""
        return decode_job(job, load_decoder(self.options.decoder), num_samples=samples_of(self.annotators))

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Clip | SpanDone]:
        """Decode the clips of jobs that start at one place; a `SpanDone` ends those of each job."""
        return decode_chain(jobs, load_decoder(self.options.decoder), num_samples=samples_of(self.annotators))

    def load_annotators(self, num_threads: int | None = None) -> BatchAnnotator:
        """Load all annotators, and return what runs them over a batch.

        Args:
            num_threads: threads that PyTorch may use on a CPU; None leaves that to PyTorch.

        Raises:
            ModelError: a model cannot be loaded.
        """
        from pipeline.annotate import Annotators

        loaded = [annotator.load(self.options) for annotator in self.annotators]
        return BatchAnnotator(Annotators(loaded, inputs=self.inputs, num_threads=num_threads))

    def write(self, rows: Sequence[ClipRow]) -> Written | JobFailed:
        """Write one Parquet file for each table."""
        try:
            if self.stored is None:
                return self._write(rows, self.folder)
            tables = ["clips", "features", *own_tables(self.annotators)]
            return self.stored.write(self.folder, tables, lambda folder: self._write(rows, folder))
        except VidsiftError as exc:
            return JobFailed(f"{exc} (on {os.uname().nodename})")
        except OSError as exc:
            reason = os.strerror(exc.errno) if exc.errno else exc
            return JobFailed(f"{str(self.folder / 'clips')!r} cannot be written on {os.uname().nodename}: {reason}")

    def _write(self, rows: Sequence[ClipRow], folder: Path) -> Written:
        """Write one Parquet file for each table into the tables' folders in ``folder``.

        Raises:
            OSError: a file cannot be written.
        """
        classifier, embedder = self.checkpoints[:2]
        has_features = any("features" in annotator.fills for annotator in self.annotators)
        return write_clips(
            rows,
            folder / "clips",
            classifier=classifier.stamp,
            embedder=embedder.stamp,
            features_folder=folder / "features" if has_features else None,
            annotator_tables={folder / name: columns for name, columns in own_tables(self.annotators).items()},
        )
