"""A cache of decoded clips: each example is decoded once, into a file that all epochs and all models read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.decode import decode_clips, in_decoding_processes
from jobs.datasets.examples import Example
from pipeline.sampling import spans_of
from pipeline.sources import source_of
from schemas.errors import UsageError
from schemas.models import ModelInput, PatchBudget
from schemas.options import Sampling
from schemas.records import Span

# Frames kept for each frame of the model's input, so that augmentation can take windows of differing length and place.
_DENSITY = 1.5
# The fewest that are kept, so that models of 8 and of 16 frames share the same files.
_MIN_FRAMES = 24
# How much larger than the model's input frames are kept, so that augmentation can crop.
_MARGIN = 9 / 8


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A video that cannot be learnt from, or not from all of it, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CachedClips:
    """Decoded clips of one example.

    Attributes:
        file: a .npy file of uint8 [num_clips, num_frames, height, width, 3], RGB.
    """

    example: Example
    file: str
    num_clips: int

    def clip(self, number: int) -> NDArray[np.uint8]:
        """One clip, uint8 [num_frames, height, width, 3], read from the file as it is needed."""
        frames: NDArray[np.uint8] = np.load(self.file, mmap_mode="r", allow_pickle=False)[number]
        return frames


def cached_input(model_input: ModelInput) -> ModelInput:
    """Frames and geometry of cached clips for a model: half as many frames again, at least 24, and an eighth larger.

    16 frames of 224 x 224 are kept as 24 of 252 x 252.
    """
    resize, crop = model_input.geometry.resize, model_input.geometry.crop
    assert not isinstance(resize, PatchBudget), "find_base refuses it"
    larger = replace(
        model_input.geometry,
        resize=_larger(resize) if isinstance(resize, int) else resize and (_larger(resize[0]), _larger(resize[1])),
        crop=crop and (_larger(crop[0]), _larger(crop[1])),
    )
    return ModelInput(max(round(model_input.num_frames * _DENSITY), _MIN_FRAMES), larger)


def _larger(length: int) -> int:
    return round(length * _MARGIN)


def training_spans(start_s: float, end_s: float, window_s: float, max_clips: int) -> list[Span]:
    """Cut an example into clips as an ingest does, without overlap; of more than ``max_clips``, evenly spread ones."""
    spans = [
        Span(start_s + span.start_s, start_s + span.end_s)
        for span in spans_of(end_s - start_s, Sampling(window_s=window_s, stride_s=window_s))
    ]
    if len(spans) <= max_clips:
        return spans
    return [spans[int((i + 0.5) * len(spans) / max_clips)] for i in range(max_clips)]


def cache_clips(
    examples: Sequence[Example],
    model_input: ModelInput,
    folder: Path,
    *,
    window_s: float,
    max_clips: int,
    cpus: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[CachedClips], list[LeftOut]]:
    """Decode every example that is not in the cache yet.

    Args:
        examples: what to decode.
        model_input: frames and geometry to keep of each clip (`cached_input`).
        folder: the cache; clips for other models and of other datasets may be in it too.
        window_s: seconds of a clip.
        max_clips: clips of one example at most.
        cpus: processes to decode in.
        on_progress: called after each example with how many are done, of how many.

    Returns:
        The cached clips of each example that has any, in the order of ``examples``; and what was left out, or is damaged in
        part, with the reason.

    Raises:
        UsageError: the disk that holds ``folder`` has not enough room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # workers on other machines have another current folder
    requests = [
        _Request(example, _cache_file(folder, example, model_input, window_s, max_clips), model_input, window_s, max_clips)
        for example in examples
    ]
    missing = [request for request in requests if not os.path.exists(request.file)]
    _check_room(len(missing), model_input, folder)
    problems: dict[str, str | None] = {}
    decoded = in_decoding_processes(_decode_into_file, missing, min(cpus, max(1, len(missing))))
    for number, (request, (_, problem)) in enumerate(zip(missing, decoded, strict=True), start=1):
        problems[request.file] = problem
        on_progress(len(requests) - len(missing) + number, len(requests))
    cached, left_out = [], []
    for request in requests:
        if os.path.exists(request.file):
            num_clips = np.load(request.file, mmap_mode="r", allow_pickle=False).shape[0]
            cached.append(CachedClips(request.example, request.file, num_clips))
        problem = problems.get(request.file) or _known_problem(request.file)
        if problem:
            left_out.append(LeftOut(request.example.path, problem))
    return cached, left_out


@dataclass(frozen=True, slots=True)
class _Request:
    """One example that is to be decoded into ``file``."""

    example: Example
    file: str
    model_input: ModelInput
    window_s: float
    max_clips: int


def _cache_file(folder: Path, example: Example, model_input: ModelInput, window_s: float, max_clips: int) -> str:
    """The file for an example's clips, named by a hash of everything that its frames depend on."""
    try:
        status = source_of(example.path).stat(example.path)
        version = (status.size_bytes, status.modified_ns)
    except OSError:
        version = (0, 0)
    key = repr((example.path, version, example.start_s, example.end_s, model_input, window_s, max_clips))
    return str(folder / f"{blake2b(key.encode(), digest_size=16).hexdigest()}.npy")


def _check_room(num_missing: int, model_input: ModelInput, folder: Path) -> None:
    height, width = model_input.geometry.crop or (model_input.geometry.resized(16, 9)[::-1])
    needed = num_missing * model_input.num_frames * height * width * 3
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"decoded clips take at least {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left; "
            "give a folder on another disk",
            argument="cache",
            value=folder,
        )


def _decode_into_file(request: _Request) -> tuple[str | None, str | None]:
    """Decode one example into its file: the file, or None where there is nothing to decode; and the problem, or None."""
    cut = partial(training_spans, window_s=request.window_s, max_clips=request.max_clips)
    frames, problem = decode_clips(request.example, cut, request.model_input)
    if frames is None:
        return None, problem
    aside = f"{request.file}.{os.getpid()}"
    with open(aside, "wb") as out:
        np.save(out, frames, allow_pickle=False)
    if problem:
        _problem_file(request.file).write_text(problem, encoding="utf-8", errors="replace")
    os.replace(aside, request.file)
    return request.file, problem


def _known_problem(file: str) -> str | None:
    """The problem with an example that an earlier run decoded, or None."""
    path = _problem_file(file)
    return path.read_text(encoding="utf-8") if path.exists() else None


def _problem_file(file: str) -> Path:
    return Path(f"{file}.problem")
