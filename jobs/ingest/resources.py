"""How a run is laid out over the machines: chosen from what these have and from what the models are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.ingest.steps import Job
from pipeline.decoders.registry import ON_GPU
from pipeline.models.registry import uses_gpus
from schemas.models import ModelInput

# Pixels of clips in one forward pass: 4 clips of VideoMAE-base on a CPU, where more gain nothing, and 64 on a GPU. Of small
# models' clips as many as a minute of video holds, so that the first answers do not wait for more.
_CPU_BATCH_PIXELS, _GPU_BATCH_PIXELS = 3_300_000, 52_000_000
_LARGEST_CPU_BATCH, _LARGEST_GPU_BATCH = 16, 64

# Annotators with one thread each compute 1.2 times as much as one with two, but each holds all models. So on CPUs there are
# as many as fit in a quarter of the memory, weights in bf16 and a gigabyte for the rest; of models that look at small
# pictures, which take far less time than decoding does, one for every fourth CPU.
_SMALL_CLIP_PIXELS = 200_000
_MEMORY_SHARE = 0.25
_ANNOTATOR_BYTES = 1 << 30

# Decoders that share one GPU's own: it has a handful, and each process that uses them takes half a gigabyte of its memory.
_MAX_ON_A_GPU = 8


@dataclass(frozen=True, slots=True)
class ResourcePlan:
    """How a run is laid out over a machine or a cluster.

    Attributes:
        decoders: decode tasks that run at a time.
        annotators: processes that hold the models.
        threads: threads that each of them computes with; 0 on a GPU.
        batch_size: clips per forward pass.
        max_in_flight: calls that each of them works at. On a GPU one call's clips are computed while another's frames travel
            there, or its results are packed.
        on_gpus: whether each of them has a GPU.
        device: where they compute, as ``cpu`` or ``cuda``.
        precision: the arithmetic they compute in.
    """

    decoders: int
    annotators: int
    threads: int
    batch_size: int
    max_in_flight: int = 1
    on_gpus: bool = False
    device: str = "cpu"
    precision: str = "fp32"

    def __str__(self) -> str:
        """The plan in words."""
        threads = f" of {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return (
            f"{self.decoders} decoder{'s' * (self.decoders != 1)}, {self.annotators} annotator{'s' * (self.annotators != 1)}"
            f"{threads} on {self.device} in {self.precision}, {self.batch_size} clips at a time"
        )


def plan_resources(job: Job, cpus: int, gpus: int, memory: float) -> ResourcePlan:
    """Choose how to lay out a run: what the options ask for; else by the machines, and by what the models are shown.

    Args:
        job: its options, and its models' inputs.
        cpus: of all machines.
        gpus: likewise; each has one annotator process, where the models can compute on it.
        memory: bytes, likewise.
    """
    options = job.options
    most_decoders = _MAX_ON_A_GPU * gpus if options.decoder in ON_GPU else cpus
    if gpus and not uses_gpus(options.engine):
        gpus = 0
    pixels = max(_pixels(shown) for shown in job.inputs)
    fitting, largest = (
        (_GPU_BATCH_PIXELS // pixels, _LARGEST_GPU_BATCH) if gpus else (_CPU_BATCH_PIXELS // pixels, _LARGEST_CPU_BATCH)
    )
    threads = options.num_threads
    if gpus:
        annotators, threads = gpus, 0
    elif pixels < _SMALL_CLIP_PIXELS:
        threads = threads or 1
        annotators = max(1, cpus // threads // 4)
    else:
        weights = sum(file.stat().st_size for model in job.checkpoints for file in Path(model.folder).glob("*.safetensors"))
        fitting_annotators = int(_MEMORY_SHARE * memory // (_ANNOTATOR_BYTES + weights / 2))
        annotators = max(1, min(cpus // (threads or 1), fitting_annotators))
        threads = threads or max(1, cpus // annotators)
    return ResourcePlan(
        decoders=options.num_decoders or min(most_decoders, max(1, cpus - gpus)),
        annotators=annotators,
        threads=threads,
        batch_size=options.batch_size or min(max(1, fitting), largest),
        max_in_flight=2 if gpus else 1,
        on_gpus=gpus > 0,
    )


def clip_bytes(inputs: Sequence[ModelInput]) -> int:
    """Bytes of one decoded clip that holds these inputs."""
    return sum(3 * _pixels(shown) for shown in inputs)


def _pixels(shown: ModelInput) -> int:
    return shown.max_frames * math.prod(shown.geometry.size or (256, 256))
