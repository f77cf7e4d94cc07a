"""Options of an ingest, which are checked when they are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from schemas.errors import UsageError

Precision = Literal["auto", "fp32", "bf16"]
Engine = Literal["torch", "openvino", "onnx"]  # the library that runs both models' forward passes
Scaling = Literal["fast", "exact"]  # how frames are brought to a model's size; `pipeline.picture.resize`
FeatureKind = Literal["int8", "fp16", "none"]  # how a library keeps the features of rerank scores; `schemas.rerank_features`

ShotDetector = Literal["none", "content", "transnetv2"]  # what finds the shots that clips are cut at; `pipeline.shots`

DEFAULT_CLASSIFIER = "MCG-NJU/videomae-base-finetuned-kinetics"
DEFAULT_EMBEDDER = "microsoft/xclip-base-patch32"
MAX_PIXELS = 100_000_000
MAX_FRAMES = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """The lengths by which a video is cut into clips.

    Attributes:
        window_s: length of a clip in seconds.
        stride_s: seconds from one clip's start to the next one's; at most ``window_s``, so that no second is unseen.
        shots: what finds the shots that clips are cut at as well; ``none`` for windows alone.
    """

    window_s: float = 4.0
    stride_s: float = 4.0
    shots: ShotDetector = "none"

    def __post_init__(self) -> None:
        """Refuse lengths that leave seconds of a video out, or make no progress."""
        if self.shots not in get_args(ShotDetector):
            raise UsageError(f"got {self.shots!r}, expected {', '.join(get_args(ShotDetector))}", argument="shots")
        if not 0.1 <= self.window_s <= 3600:
            raise UsageError(f"got {self.window_s:g} s, expected 0.1 to 3600 s", argument="window_s")
        if not 0.1 <= self.stride_s <= self.window_s:
            raise UsageError(
                f"got {self.stride_s:g} s, expected 0.1 s to the window ({self.window_s:g} s): "
                "a longer stride would leave seconds that no clip shows; give a shorter `stride_s` or a longer `window_s`",
                argument="stride_s",
            )


_MINIMUMS = {
    "batch_size": 1,
    "top_labels": 1,
    "video_timeout_s": 1,
    "max_pixels": 1,
    "max_memory_mb": 64,
    "max_frames": 1,
    "num_cpus": 1,
    "num_decoders": 1,
    "num_threads": 1,
    "track": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """Options of a run. They do not change what an indexed clip means; `Sampling` and the models do.

    Attributes:
        decoder: name of a decoder backend (``pipeline.decoders.registry.DECODERS``).
        scaling: ``fast`` lets the decoder's library scale frames and convert them to RGB in one step; ``exact`` does one
            after the other, as the models' published processors do.
        engine: what runs both models over clips: PyTorch, or where they are installed OpenVINO on CPUs, or ONNX Runtime in
            fp32.
        precision: arithmetic of both models; ``auto`` takes bf16 where the device computes in it, else fp32.
        batch_size: clips per forward pass; None leaves that to the machine and the models.
        top_labels: action labels kept per clip, best first.
        video_timeout_s: seconds that reading any minute of a video may take before the process that does is ended.
        max_pixels: pixels of a frame, above which a video is refused. The default passes 8K and more, and no picture of
            65,535 x 65,535 that a few bytes can claim to hold.
        max_memory_mb: megabytes that reading a video may take in one process.
        max_frames: frames of a video, above which it is refused; the default is 10 h at 60 a second eight times over.
        address: Ray cluster to join; None starts Ray inside this process.
        num_cpus: CPUs given to the embedded Ray; None takes the machine's.
        num_decoders: decode tasks at a time; None takes as many as there are CPUs.
        num_threads: threads that each process with the models computes with on CPUs; None leaves that to the machine.
        trace: keep every piece of work, for a trace.
        track: which video track to take of files that have several, from 1; None takes the one that players do.
    """

    decoder: str = "pyav"
    scaling: Scaling = "fast"
    engine: Engine = "torch"
    precision: Precision = "auto"
    batch_size: int | None = None
    top_labels: int = 5
    video_timeout_s: float = 600.0
    max_pixels: int = MAX_PIXELS
    max_memory_mb: int = 4096
    max_frames: int = MAX_FRAMES
    address: str | None = None
    num_cpus: int | None = None
    num_decoders: int | None = None
    num_threads: int | None = None
    trace: bool = False
    track: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        for argument, choices in (("precision", Precision), ("engine", Engine), ("scaling", Scaling)):
            if (chosen := getattr(self, argument)) not in get_args(choices):
                raise UsageError(f"got {chosen!r}, expected {', '.join(get_args(choices))}", argument=argument)
        if self.engine == "onnx" and self.precision == "bf16":
            message = "got bf16, expected fp32 or auto, since the `engine` onnx computes in fp32"
            raise UsageError(message, argument="precision")
        for argument, minimum in _MINIMUMS.items():
            value = getattr(self, argument)
            if value is not None and not minimum <= value < float("inf"):
                raise UsageError(f"got {value:g}, expected {minimum} or more", argument=argument)

    @property
    def cpus(self) -> int:
        """CPUs that the embedded Ray may use."""
        return self.num_cpus or len(os.sched_getaffinity(0))
