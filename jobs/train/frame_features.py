"""Features of frames as a dataset: a frozen encoder sees each clip once, and all epochs read what it said."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.train.augment import augmented_view, frame_numbers
from jobs.train.classification import ClassificationModule
from jobs.train.clip_cache import CachedClips
from jobs.train.clip_dataset import ClipDataset
from jobs.train.objectives import Pixels
from jobs.train.options import Augmentation
from pipeline.models.pixels import best_device
from pipeline.models.preprocessing import Preprocessing

Encode = Callable[[torch.Tensor], torch.Tensor]
"""From pixels [batch, num_frames, 3, height, width] to features [batch, num_frames, width]."""


def can_be_kept(augmentation: Augmentation) -> bool:
    """Whether frames look the same in all epochs: a random window only chooses among them, all else changes them."""
    return augmentation.crop == 1 and not augmentation.light and not augmentation.mirror


class FrameFeatures(ClipDataset):
    """Features of cached clips: ``frames`` of an item is float32 [num_frames, width], chosen as a view chooses frames."""

    def __init__(
        self,
        cached: Sequence[CachedClips],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        *,
        encode: Encode,
        folder: Path,
    ) -> None:
        """Encode the frames that can be chosen into a file in ``folder``, unless an interrupted training left it there.

        With a random window these are all that are kept of a clip; without, those of the whole clip.
        """
        super().__init__(cached, preprocessing, augmentation, seed)
        self._window = augmentation.window if augmentation else 1.0
        num_frames = None if self._window < 1 else self._input.num_frames
        self._file = str(folder.resolve() / f"features-{_hash_of(cached)}-{num_frames or 'all'}.npy")
        if not os.path.exists(self._file):
            _write_features(self._file, self._clips, preprocessing, encode, num_frames)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        features = np.load(self._file, mmap_mode="r", allow_pickle=False)[index]
        chosen = features[frame_numbers(len(features), self._input.num_frames, self._window, rng)]
        return {"frames": torch.from_numpy(chosen), "example": self._clips[index][0].example, "rng": rng}


def _hash_of(cached: Sequence[CachedClips]) -> str:
    files = "\n".join(of_example.file for of_example in cached)
    return blake2b(files.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


@torch.inference_mode()
def _write_features(
    file: str, clips: Sequence[tuple[CachedClips, int]], preprocessing: Preprocessing, encode: Encode, num_frames: int | None
) -> None:
    """Write float32 [clips, num_frames, width]; None takes all kept frames."""
    device = best_device()
    pixels = Pixels(preprocessing).to(device)
    rng = np.random.default_rng(0)  # asked for nothing: whole clips have no chance in them
    written: np.memmap[Any, np.dtype[np.float32]] | None = None
    for number, (cached, of_example) in enumerate(clips):
        kept = cached.clip(of_example)
        shown = replace(preprocessing.input, num_frames=num_frames or len(kept))
        frames = augmented_view(kept, shown, None, rng)
        features = encode(pixels(frames[None].to(device)))[0].float().cpu().numpy()
        if written is None:
            shape = (len(clips), *features.shape)
            written = np.lib.format.open_memmap(f"{file}.new", mode="w+", dtype=np.float32, shape=shape)
        written[number] = features
    assert written is not None, "a split without clips has no dataset"
    written.flush()
    os.replace(f"{file}.new", file)


class FrameTransformerModule(ClassificationModule):
    """A Transformer over frames and its loss: of frames, or of their features."""

    def logits(self, frames: torch.Tensor) -> torch.Tensor:
        """[batch, labels], of uint8 [batch, num_frames, height, width, 3] or of features [batch, num_frames, width]."""
        if frames.dtype == torch.uint8:
            return super().logits(frames)
        logits: torch.Tensor = self.model(features=frames).logits
        return logits
