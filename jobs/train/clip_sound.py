"""The sound of cached clips: read once, kept beside the frames, and given with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from jobs.datasets.decode import decode_sound, in_decoding_processes
from jobs.train.classification import Classification, ClassificationModule
from jobs.train.clip_cache import CachedClips, training_spans
from jobs.train.clip_dataset import ClipDataset
from jobs.train.objectives import Batch
from jobs.train.options import Augmentation
from pipeline.models.preprocessing import Preprocessing

_LOUDEST = 32_767  # of 16-bit samples


@dataclass(frozen=True, slots=True)
class _Request:
    """The sound of one example's clips, which is to be read into ``file``."""

    cached: CachedClips
    file: str
    num_samples: int
    window_s: float
    max_clips: int


def cache_sound(
    cached: Sequence[CachedClips], *, num_samples: int, window_s: float, max_clips: int, cpus: int
) -> tuple[list[str], list[str]]:
    """Read the sound of all clips that is not in the cache yet, into files beside their frames.

    Args:
        cached: the clips.
        num_samples: samples of each clip.
        window_s: as for `jobs.train.clip_cache.cache_clips`.
        max_clips: likewise.
        cpus: processes to read in.

    Returns:
        The paths of the videos that have no sound, and those of videos whose sound cannot be told which clip it belongs to,
        since some of their clips hold no frame; all of these are silent.
    """
    requests = [_Request(one, _sound_file(one, num_samples), num_samples, window_s, max_clips) for one in cached]
    missing = [request for request in requests if not os.path.exists(request.file)]
    for _ in in_decoding_processes(_read_into_file, missing, min(cpus, max(1, len(missing)))):
        pass  # what cannot be read is silent, and counted below
    silent, unclear = [], []
    for request in requests:
        num_clips = len(_load(request.file)) if os.path.exists(request.file) else 0
        if not num_clips:
            silent.append(request.cached.example.path)
        elif num_clips != request.cached.num_clips:
            unclear.append(request.cached.example.path)
    return silent, unclear


def _sound_file(cached: CachedClips, num_samples: int) -> str:
    return f"{cached.file.removesuffix('.npy')}.sound-{num_samples}.npy"


def _load(file: str) -> Any:
    return np.load(file, mmap_mode="r", allow_pickle=False)


def _read_into_file(request: _Request) -> tuple[str | None, str | None]:
    """Write int16 [num_clips, num_samples], or no row where there is no sound."""
    cut = partial(training_spans, window_s=request.window_s, max_clips=request.max_clips)
    sound, problem = decode_sound(request.cached.example, cut, request.num_samples)
    if sound is None:
        sound = np.zeros((0, request.num_samples), np.float32)
    aside = f"{request.file}.{os.getpid()}"
    with open(aside, "wb") as out:
        np.save(out, np.round(sound * _LOUDEST).astype(np.int16), allow_pickle=False)
    os.replace(aside, request.file)
    return request.file, problem


class ClipsWithSound(ClipDataset):
    """Views of cached clips with ``sound``, float32 [num_samples]. The sound is whole, whichever frames a view shows."""

    def __init__(
        self,
        cached: Sequence[CachedClips],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        *,
        num_samples: int,
    ) -> None:
        """As for `ClipDataset`; `cache_sound` has been called with the same ``num_samples``."""
        super().__init__(cached, preprocessing, augmentation, seed)
        self._num_samples = num_samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        cached, number = self._clips[index]
        file = _sound_file(cached, self._num_samples)
        kept = _load(file) if os.path.exists(file) else ()
        sound = np.zeros(self._num_samples, np.float32)
        if len(kept) == cached.num_clips:
            sound = kept[number].astype(np.float32) / _LOUDEST
        return super().__getitem__(index) | {"sound": torch.from_numpy(sound)}


@dataclass
class ClassificationWithSound(Classification):
    """Cross-entropy over the dataset's classes, of clips with their sound."""

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """See `jobs.train.objectives.Objective.collate`."""
        return super().collate(items) | {"sound": torch.stack([item["sound"] for item in items])}


class ClassificationWithSoundModule(ClassificationModule):
    """A classifier that hears, and its loss."""

    def forward(  # type: ignore[override]
        self, frames: torch.Tensor, labels: torch.Tensor, sound: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """As for `ClassificationModule`; ``sound`` is float [batch, num_samples]."""
        logits = self.model(self.pixels(frames), sound=sound).logits.float()
        return {"loss": cross_entropy(logits, labels), "right": (logits.argmax(-1) == labels).float()}


def said_of_silence(silent: Sequence[str], unclear: Sequence[str], total: int, say: Callable[[str], None]) -> None:
    """Say how many videos are taken for silent, and name the first."""
    for paths, reason in ((silent, "have no sound that can be read"), (unclear, "have clips without a frame")):
        if paths:
            say(
                f"{len(paths)} of {total} examples {reason}, and are taken for silent: {paths[0]}"
                + ", ..." * (len(paths) > 1)
            )
