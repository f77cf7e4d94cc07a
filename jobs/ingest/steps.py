"""The steps of an ingest as plain methods, for any engine to run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.ingest.pace import Pace
from pipeline.decoders import load_decoder
from pipeline.process import decode_chain, decode_job, plan_video
from pipeline.write import write_clips
from schemas.models import Checkpoint, ModelInput
from schemas.options import FeatureKind, IngestOptions, Sampling
from schemas.records import Clip, ClipRow, JobFailed, SpanDone, SpanJob, VideoFailed, VideoFile, Written

if TYPE_CHECKING:  # decode workers import this module, and should not pay for torch
    from pipeline.annotate import Annotator


@dataclass(frozen=True, slots=True)
class BatchAnnotator:
    """Runs both models over batches; what they raise comes back as a `JobFailed`.

    Attributes:
        annotator: the models.
        device: where they compute.
        precision: the arithmetic they compute in.
    """

    annotator: Annotator
    device: str
    precision: str

    def __call__(self, clips: Sequence[Clip]) -> list[ClipRow | JobFailed]:
        """A row for each clip."""
        try:
            return list(self.annotator.annotate(clips))
        except Exception as exc:  # noqa: BLE001 - a model is the user's own; whatever it raises is no video's fault
            reason = (str(exc) or type(exc).__name__).splitlines()[0]
            return [JobFailed(f"the models could not compute a batch of {len(clips)}: {reason}")]


@dataclass(frozen=True, slots=True)
class Job:
    """All that workers need to know of an ingest; small, since every task carries it.

    Attributes:
        inputs: the distinct inputs of both models.
        clips_folder: where workers write Parquet.
        taken: video ids that new videos must not get; known only when all files are.
        features: how what exact scores need is kept.
        features_folder: where workers write that; None where it is not kept.
        pace: how often rows are written.
    """

    classifier: Checkpoint
    embedder: Checkpoint
    sampling: Sampling
    inputs: tuple[ModelInput, ...]
    clips_folder: Path
    options: IngestOptions
    taken: frozenset[str] = frozenset()
    features: FeatureKind = "none"
    features_folder: Path | None = None
    pace: Pace = field(default_factory=Pace)

    @property
    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """Of both models."""
        return self.classifier, self.embedder

    def plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        """Hash, demux, choose frames."""
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
        return decode_job(job, load_decoder(self.options.decoder))

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Clip | SpanDone]:
        """Decode the clips of jobs that start at one place; a `SpanDone` ends those of each job."""
        return decode_chain(jobs, load_decoder(self.options.decoder))

    def annotator(self, num_threads: int | None = None) -> BatchAnnotator:
        """Load both models, and return what runs them over a batch.

        Args:
            num_threads: threads that PyTorch may use on a CPU; None leaves that to PyTorch.
        """
        from pipeline.annotate import Annotator
        from pipeline.models import load_classifier, load_embedder

        annotator = Annotator(
            classifier := load_classifier(self.classifier, self.options.precision, self.options.engine),
            load_embedder(self.embedder, self.options.precision, self.options.engine),
            inputs=self.inputs,
            top_labels=self.options.top_labels,
            num_threads=num_threads,
            features=self.features,
        )

        return BatchAnnotator(annotator, classifier.device.type, "bf16" if "bfloat16" in str(classifier.dtype) else "fp32")

    def write(self, rows: Sequence[ClipRow]) -> Written | JobFailed:
        """Write one Parquet file."""
        try:
            return write_clips(
                rows,
                self.clips_folder,
                classifier=self.classifier.stamp,
                embedder=self.embedder.stamp,
                features_folder=self.features_folder,
            )
        except OSError as exc:
            reason = os.strerror(exc.errno) if exc.errno else exc
            return JobFailed(f"{str(self.clips_folder)!r} cannot be written on {os.uname().nodename}: {reason}")
