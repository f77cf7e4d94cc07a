"""Facts about a model that are known before it is loaded: its files, its input, the form of its answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class PatchBudget:
    """Pictures of any shape, in at most ``max_patches`` squares of ``patch_size`` pixels, as SigLIP 2 NaFlex takes them."""

    patch_size: int
    max_patches: int

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in whole patches: of the largest scale at which they are not too many, both rounded up.

        640 x 360 becomes 336 x 192 of 21 x 12 patches, for 256 patches of 16 pixels.
        """
        too_small, too_large = 1e-6, 100.0
        while too_large - too_small >= 1e-5:  # transformers' own tolerance, on which the last patch can depend
            scale = (too_small + too_large) / 2
            if math.prod(self._patches(width, height, scale)) <= self.max_patches:
                too_small = scale
            else:
                too_large = scale
        across, down = self._patches(width, height, too_small)
        return across * self.patch_size, down * self.patch_size

    def _patches(self, width: int, height: int, scale: float) -> tuple[int, int]:
        return max(1, math.ceil(width * scale / self.patch_size)), max(1, math.ceil(height * scale / self.patch_size))


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometry of a model's picture: how a frame is resized, then cropped at the centre.

    Attributes:
        resize: the shorter edge's length in pixels, or (height, width), or a `PatchBudget`, or None for no resizing.
        crop: (height, width) of the centre crop, or None for none.
        interpolation: the filter; both antialias when shrinking.
    """

    resize: int | tuple[int, int] | PatchBudget | None
    crop: tuple[int, int] | None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of every picture; None where it depends on the video's shape."""
        return self.crop or (self.resize if isinstance(self.resize, tuple) else None)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after resizing. The longer edge is cut to a whole pixel: 340 x 256 at 224 gives 297 x 224."""
        if self.resize is None:
            return width, height
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        if isinstance(self.resize, PatchBudget):
            return self.resize.resized(width, height)
        if width <= height:
            return self.resize, max(1, int(self.resize * height / width))
        return max(1, int(self.resize * width / height)), self.resize


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a model for one clip: the number of frames, and their geometry."""

    num_frames: int
    geometry: Geometry

    def subset_step(self, other: ModelInput) -> int | None:
        """Step s such that every s-th frame of ``other`` is this input, or None where there is no such step.

        X-CLIP's 8 of VideoMAE's 16 frames: step 2, samples 0, 2, ..., 14.
        """
        if self.geometry != other.geometry or other.num_frames % self.num_frames:
            return None
        return other.num_frames // self.num_frames


class Label(NamedTuple):
    """An action label and its probability."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk, and what makes it that model and no other.

    Attributes:
        name: what the user called it: a hub id or a folder.
        folder: where its files are.
        revision: the hub's commit; None for a local folder.
        model_type: ``config.model_type``, such as ``videomae``.
        sha256: hash over weights, configuration, preprocessing and tokenizer: the same hash, the same answers.
        architectures: the classes its weights were saved from, as config.json says.
        embedding_dim: dimension of its embeddings, which are cut to it where a library keeps fewer than the model has; None
            for a classifier.
    """

    name: str
    folder: str
    revision: str | None
    model_type: str
    sha256: str
    architectures: tuple[str, ...] = ()
    embedding_dim: int | None = None

    @property
    def stamp(self) -> str:
        """The model's name in rows: that of its folder or repository, and 8 digits of the hash."""
        return f"{self.name.rstrip('/').rsplit('/', 1)[-1]}@{self.sha256[:8]}"


class CutText(NamedTuple):
    """A text of which a text model reads the beginning only.

    Attributes:
        text: the whole of it.
        num_tokens: how many it has, those included that mark its ends.
        max_tokens: how many of these are read.
        unread: how it goes on from the first word that is not read, or not whole.
    """

    text: str
    num_tokens: int
    max_tokens: int
    unread: str
