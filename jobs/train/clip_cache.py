"""Decode what a model is to learn from, once: frames as files in a cache, which all epochs and all models read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.decode import decode_spans
from jobs.datasets.examples import Example
from jobs.isolated_process import in_processes
from pipeline.frames import CRASHED
from pipeline.sampling import spans_of
from pipeline.sources import source_of
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Span

# Frames kept per frame that the model is shown, so that windows of differing length and place can be drawn from them;
# and the least that are kept, so that models of 8 and of 16 frames find the same in the cache.
_DENSITY = 1.5
_MIN_FRAMES = 24
# How much larger than the model's picture they are kept, so that pieces of differing size can be cut out of them.
_MARGIN = 9 / 8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A video, or a part of one, that cannot be learnt from, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Stored:
    """Decoded clips of one example: a .npy file of uint8 [num_clips, num_frames, height, width, 3], RGB."""

    example: Example
    file: str
    num_clips: int

    def clip(self, number: int) -> NDArray[np.uint8]:
        """uint8 [num_frames, height, width, 3], read from the file as it is needed."""
        frames: NDArray[np.uint8] = np.load(self.file, mmap_mode="r", allow_pickle=False)[number]
        return frames


def kept_input(wanted: ModelInput) -> ModelInput:
    """What is kept of a clip for a model that wants ``wanted``: half as many frames again, at least 24, an eighth larger.

    16 frames of 224 x 224 are kept as 24 of 252 x 252.
    """
    resize, crop = wanted.geometry.resize, wanted.geometry.crop
    larger = Geometry(
        resize=_larger(resize) if isinstance(resize, int) else resize and (_larger(resize[0]), _larger(resize[1])),
        crop=crop and (_larger(crop[0]), _larger(crop[1])),
        interpolation=wanted.geometry.interpolation,
    )
    return ModelInput(max(round(wanted.num_frames * _DENSITY), _MIN_FRAMES), larger)


def _larger(length: int) -> int:
    return round(length * _MARGIN)


def training_spans(start_s: float, end_s: float, window_s: float, max_clips: int) -> list[Span]:
    """The clips of one example: cut as at ingest without overlap, at most ``max_clips`` of them, evenly spread."""
    cut = [
        Span(start_s + span.start_s, start_s + span.end_s)
        for span in spans_of(end_s - start_s, Sampling(window_s=window_s, stride_s=window_s))
    ]
    if len(cut) <= max_clips:
        return cut
    return [cut[int((i + 0.5) * len(cut) / max_clips)] for i in range(max_clips)]


def store_clips(
    examples: Sequence[Example],
    wanted: ModelInput,
    folder: Path,
    *,
    window_s: float,
    max_clips: int,
    cpus: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Stored], list[LeftOut]]:
    """Decode every example that is not in ``folder`` yet.

    Args:
        examples: what to decode.
        wanted: frames and geometry to keep of each clip (`kept_input`).
        folder: the cache; it may hold other models' and other data's clips as well.
        window_s: seconds of a clip.
        max_clips: clips of one example at most.
        cpus: processes to decode in.
        on_progress: told after each example how many are done, of how many.

    Returns:
        What can be learnt from, in the order of ``examples``; and what was left out, or is damaged in part, and why.

    Raises:
        UsageError: the disk that holds ``folder`` has not enough room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # workers elsewhere have another current folder
    requests = [_Request(example, _cache_file(folder, example, wanted, window_s, max_clips), wanted, window_s, max_clips)
                for example in examples]  # fmt: skip
    missing = [number for number, request in enumerate(requests) if not os.path.exists(request.file)]
    _check_room(len(missing), wanted, folder)
    outcomes: dict[int, str | None] = {}
    for number, reason in _decode_in_processes({number: requests[number] for number in missing}, cpus):
        outcomes[number] = reason
        on_progress(len(requests) - len(missing) + len(outcomes), len(requests))
    stored, left_out = [], []
    for number, (example, request) in enumerate(zip(examples, requests, strict=True)):
        if os.path.exists(request.file):
            num_clips = np.load(request.file, mmap_mode="r", allow_pickle=False).shape[0]
            stored.append(Stored(example, request.file, num_clips))
        reason = outcomes.get(number) or _told_before(request.file)
        if reason:
            left_out.append(LeftOut(example.path, reason))
    return stored, left_out


@dataclass(frozen=True, slots=True)
class _Request:
    example: Example
    file: str
    wanted: ModelInput
    window_s: float
    max_clips: int


def _cache_file(folder: Path, example: Example, wanted: ModelInput, window_s: float, max_clips: int) -> str:
    """A name made of everything that the frames depend on."""
    try:
        status = source_of(example.path).stat(example.path)
        version = (status.size_bytes, status.modified_ns)
    except OSError:
        version = (0, 0)
    what = repr((example.path, version, example.start_s, example.end_s, wanted, window_s, max_clips))
    return str(folder / f"{blake2b(what.encode(), digest_size=16).hexdigest()}.npy")


def _check_room(num_missing: int, wanted: ModelInput, folder: Path) -> None:
    height, width = wanted.geometry.crop or (wanted.geometry.resized(16, 9)[::-1])
    needed = num_missing * wanted.num_frames * height * width * 3
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"--cache {folder}: decoded clips take at least {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left; "
            "give a folder on another disk"
        )


def _decode_in_processes(requests: dict[int, _Request], cpus: int) -> Iterator[tuple[int, str | None]]:
    """What was wrong with each, in order. A decoder that takes its process down costs that one video alone."""
    cpus = min(cpus, max(1, len(requests)))
    for number, stored in zip(requests, in_processes(_store, requests.values(), cpus), strict=True):
        yield number, CRASHED if stored is None else stored.reason


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a request: what was wrong with it, if anything."""

    reason: str | None


def _store(request: _Request) -> _Done:
    """Decode one example into its file."""

    def spans(start_s: float, end_s: float) -> list[Span]:
        return training_spans(start_s, end_s, request.window_s, request.max_clips)

    try:
        frames, problem = decode_spans(request.example, spans, request.wanted)
    except (VideoError, OSError) as exc:
        return _Done(exc.reason if isinstance(exc, VideoError) else str(exc.strerror or exc))
    aside = f"{request.file}.{os.getpid()}"
    with open(aside, "wb") as out:
        np.save(out, frames, allow_pickle=False)
    if problem:
        Path(f"{request.file}.problem").write_text(problem, encoding="utf-8", errors="replace")
    os.replace(aside, request.file)
    return _Done(problem)


def _told_before(file: str) -> str | None:
    """What was wrong with an example that an earlier run decoded."""
    told = Path(f"{file}.problem")
    return told.read_text(encoding="utf-8") if told.exists() else None
