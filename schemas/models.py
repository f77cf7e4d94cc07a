"""Facts about a model that are known before it is loaded: its files, its input, the form of its answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class PatchBudget:
    """Pictures of any shape, in at most ``max_patches`` squares of ``patch_size`` pixels.

    Attributes:
        patch_size: side of a square, in pixels.
        max_patches: the most squares.
        rounded: how a picture becomes whole squares. Up, at the largest scale at which they are not too many, as SigLIP 2
            NaFlex takes them. Down, from the scale at which its area is that of all squares, as Gemma does.
    """

    patch_size: int
    max_patches: int
    rounded: Literal["up", "down"] = "up"

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in whole patches.

        640 x 360 becomes 336 x 192 of 21 x 12 patches, for 256 patches of 16 pixels; rounded down, 720 x 384 of 15 x 8, for
        140 patches of 48.
        """
        across, down = (_patches_up if self.rounded == "up" else _patches_down)(self, width, height)
        return across * self.patch_size, down * self.patch_size


# Both are kept, since they are asked for each frame of a video.
@lru_cache(maxsize=256)
def _patches_up(budget: PatchBudget, width: int, height: int) -> tuple[int, int]:
    """Patches across and down."""

    def patches(scale: float) -> tuple[int, int]:
        across, down = (max(1, math.ceil(length * scale / budget.patch_size)) for length in (width, height))
        return across, down

    too_small, too_large = 1e-6, 100.0
    while too_large - too_small >= 1e-5:  # transformers' own tolerance, on which the last patch can depend
        scale = (too_small + too_large) / 2
        if math.prod(patches(scale)) <= budget.max_patches:
            too_small = scale
        else:
            too_large = scale
    return patches(too_small)


@lru_cache(maxsize=256)
def _patches_down(budget: PatchBudget, width: int, height: int) -> tuple[int, int]:
    """Patches across and down. A picture so long that one of them would be 0 gets a row of squares."""
    scale = math.sqrt(budget.max_patches * budget.patch_size**2 / (height * width))
    across, down = (math.floor(scale * length / budget.patch_size) for length in (width, height))
    if down == 0:
        return min(width // height, budget.max_patches), 1
    if across == 0:
        return 1, min(height // width, budget.max_patches)
    return across, down


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometry of a model's picture: how a frame is resized, then cropped at the centre.

    Attributes:
        resize: the shorter edge's length in pixels, or (height, width), or a `PatchBudget`, or None for no resizing.
        crop: (height, width) of the centre crop, or None for none.
        interpolation: the filter.
        transform: whose arithmetic it is. ``pil``: the filter antialiases when it shrinks, and a crop begins at the whole
            pixel before its exact place. ``torchvision``, as its transforms of video: each pixel is made of the nearest ones
            alone, and a crop begins at the whole pixel nearest to its exact place, of two the even one.
    """

    resize: int | tuple[int, int] | PatchBudget | None
    crop: tuple[int, int] | None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    transform: Literal["pil", "torchvision"] = "pil"

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
class Views:
    """The parts of a clip that a classifier is shown one by one.

    Attributes:
        count: how many there are of a clip that is longer than one.
        seconds: the length of each: what the model was trained to see at once.
    """

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input of a model for one clip.

    Attributes:
        num_frames: frames that the model sees at once.
        geometry: theirs.
        views: the parts of the clip that it sees ``num_frames`` of, each; None where it sees them of the whole clip.
    """

    num_frames: int
    geometry: Geometry
    views: Views | None = None

    @property
    def max_frames(self) -> int:
        """The frames of all views of a clip."""
        return self.num_frames * (self.views.count if self.views else 1)

    def subset_step(self, other: ModelInput) -> int | None:
        """Step s such that every s-th frame of ``other`` is this input, or None where there is no such step.

        X-CLIP's 8 of VideoMAE's 16 frames: step 2, samples 0, 2, ..., 14.
        """
        if (self.geometry, self.views) != (other.geometry, other.views) or other.num_frames % self.num_frames:
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
        num_frames: frames of a clip that a classifier is shown instead of as many as it was trained with; None for its own.
        views: parts of a clip that a classifier is shown one by one (`Views`); None for the whole clip at once.
    """

    name: str
    folder: str
    revision: str | None
    model_type: str
    sha256: str
    architectures: tuple[str, ...] = ()
    embedding_dim: int | None = None
    num_frames: int | None = None
    views: int | None = None

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
