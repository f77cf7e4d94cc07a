"""Views of single frames for learning without labels: what SimSiam changes in a picture, drawn twice for each frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d, interpolate

from jobs.train.augment import Rng
from jobs.train.clip_cache import CachedClips
from jobs.train.clip_dataset import ClipDataset
from jobs.train.options import Augmentation
from pipeline.models.preprocessing import Preprocessing

# As in section 3 of Chen and He, 2020 (arXiv 2011.10566), which takes them from MoCo v2 and SimCLR.
DEFAULT_CROP, DEFAULT_LIGHT = 0.2, 0.4
_ASPECTS = (3 / 4, 4 / 3)
_JITTER, _GREY, _BLUR = 0.8, 0.2, 0.5  # shares of the views that are changed so
_HUE = 0.1  # of a whole turn
_SIGMA = (0.1, 2.0)  # pixels of a picture of 224

# RGB to YIQ, where a turn of I and Q changes the hue and leaves the light (NTSC; FCC 47 CFR 73.682).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)


def views_of(augmentation: Augmentation) -> Augmentation:
    """What changes between two views: SimSiam's crop and light, where ``augmentation`` leaves them at "no change"."""
    crop = augmentation.crop if augmentation.crop < 1 else DEFAULT_CROP
    light = augmentation.light or DEFAULT_LIGHT
    return Augmentation(crop=crop, light=light, mirror=augmentation.mirror)


class FrameViews(ClipDataset):
    """Two views of one frame of each clip, drawn anew in each epoch: ``frames`` is uint8 [2, height, width, 3]."""

    def __init__(
        self,
        cached: Sequence[CachedClips],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        *,
        views: Augmentation,
    ) -> None:
        """As for `ClipDataset`; views of a validation split are changed too, or there were nothing to compare."""
        super().__init__(cached, preprocessing, augmentation, seed)
        self._views = views

    def __getitem__(self, index: int) -> dict[str, Any]:
        cached, number = self._clips[index]
        rng = np.random.default_rng((self._seed, self.epoch, index))
        clip = cached.clip(number)
        frame = np.array(clip[int(rng.integers(len(clip)))])
        size = self._input.geometry.size
        assert size is not None, "any other preprocessing was refused when it was read"
        frames = torch.stack([frame_view(frame, size, self._views, rng) for _ in range(2)])
        return {"frames": frames, "example": cached.example, "rng": rng}


def frame_view(frame: NDArray[np.uint8], size: tuple[int, int], change: Augmentation, rng: Rng) -> torch.Tensor:
    """One view of a frame: a part of it in another shape, then other colours, no colours or blur, each by chance.

    Args:
        frame: uint8 [height, width, 3].
        size: (height, width) of the view.
        change: the smallest part of the area; the most that brightness, contrast and colour change; whether half are
            mirrored.
        rng: the source of chance.

    Returns:
        uint8 [height, width, 3].
    """
    top, left, height, width = _part(frame.shape[0], frame.shape[1], change.crop, rng)
    part = torch.from_numpy(frame[top : top + height, left : left + width].copy()).permute(2, 0, 1)[None].float()
    view = interpolate(part, size=size, mode="bilinear", antialias=True)[0]
    if rng.random() < _JITTER:
        view = _jittered(view, change.light, rng)
    if rng.random() < _GREY:
        view = _luma(view).expand(3, -1, -1)
    if rng.random() < _BLUR:
        view = _blurred(view, rng.uniform(*_SIGMA) * size[0] / 224)
    if change.mirror and rng.random() < 0.5:
        view = view.flip(-1)
    return view.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def _part(height: int, width: int, least: float, rng: Rng) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random part of ``least`` to all of the area, 3:4 to 4:3 times as wide as the frame."""
    area = rng.uniform(least, 1.0)
    aspect = math.exp(rng.uniform(math.log(_ASPECTS[0]), math.log(_ASPECTS[1])))
    kept_height = min(height, max(1, round(height * math.sqrt(area / aspect))))
    kept_width = min(width, max(1, round(width * math.sqrt(area * aspect))))
    top, left = rng.integers(0, height - kept_height + 1), rng.integers(0, width - kept_width + 1)
    return int(top), int(left), kept_height, kept_width


def _jittered(view: torch.Tensor, most: float, rng: Rng) -> torch.Tensor:
    brightness, contrast, saturation = rng.uniform(1 - most, 1 + most, 3)
    view = (view * brightness).clamp(0, 255)
    view = (view * contrast + _luma(view).mean() * (1 - contrast)).clamp(0, 255)
    view = (view * saturation + _luma(view) * (1 - saturation)).clamp(0, 255)
    turn = 2 * math.pi * rng.uniform(-_HUE, _HUE)
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = _RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ
    return torch.einsum("ij,jhw->ihw", torch.from_numpy(matrix).to(view), view).clamp(0, 255)


def _luma(view: torch.Tensor) -> torch.Tensor:
    """[1, height, width]: how light each place is."""
    return torch.einsum("j,jhw->hw", torch.from_numpy(_YIQ[0]).to(view), view)[None]


def _blurred(view: torch.Tensor, sigma: float) -> torch.Tensor:
    """The view after a Gaussian of ``sigma`` pixels, along one axis and then the other."""
    radius = max(1, math.ceil(3 * sigma))
    weights = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    weights = (weights / weights.sum()).to(view)
    padded = torch.nn.functional.pad(view[:, None], (radius,) * 4, mode="replicate")
    return conv2d(conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))[:, 0]
