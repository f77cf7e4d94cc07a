"""How alike pictures of two videos are, and how alike what changes in them.

Two films of one room are alike in every picture. That footage is the same shows in what changes: the difference of the
pictures a quarter of a second before and after. Where nothing changes, nothing is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.footage.pictures import SIDE

# Pictures that the difference at a picture reaches to either side.
_REACH = 2

# Grey levels, root mean square: flatter pictures show nothing, and smaller changes are noise.
_FLAT = 6.0
_STILL = 1.5

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Pictures of one crop as vectors of length 1; of length 0 where they say nothing.

    Attributes:
        looks: float32 [n, SIDE * SIDE]: what they show.
        changes: likewise: what changes in them.
    """

    looks: Features
    changes: Features

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Bool [n]: where something changes in a picture that is not flat."""
        return np.asarray(self.changes.any(axis=1) & self.looks.any(axis=1))

    def mirrored(self) -> Seen:
        """The same with left and right swapped."""
        return Seen(_mirrored(self.looks), _mirrored(self.changes))


def seen(pictures: NDArray[np.uint8], known: NDArray[np.bool_]) -> Seen:
    """Pictures of one crop, uint8 [n, SIDE * SIDE], as `Seen`; those that are not known say nothing."""
    levels = pictures.astype(np.float32)
    before = np.arange(len(levels)) - _REACH
    after = before + 2 * _REACH
    at_edges = (before < 0) | (after >= len(levels))
    before, after = before.clip(0), after.clip(max=len(levels) - 1)
    changes = levels[after] - levels[before]
    changes[at_edges | ~known[before] | ~known[after]] = 0
    levels[~known] = 0
    return Seen(_unit(levels, _FLAT), _unit(changes, _STILL))


def agreement(first: Seen, second: Seen, least_alike: float) -> NDArray[np.float32]:
    """float32 [n, m]: how alike the changes of each two pictures are, from -1 to 1; 0 where their looks are not alike.

    By numpy's own loops: the threads of a BLAS wait for each other far longer than such small products take.
    """
    alike = np.einsum("ik,jk->ij", first.looks, second.looks) >= least_alike
    return np.asarray(np.where(alike, np.einsum("ik,jk->ij", first.changes, second.changes), 0), np.float32)


def _unit(levels: Features, least: float) -> Features:
    """Vectors without their mean, brought to length 1; to 0 where their root mean square is less than ``least``."""
    centred = levels - levels.mean(axis=1, keepdims=True)
    rms = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    return np.asarray(np.where(rms >= least, centred / np.maximum(rms, 1e-6) / SIDE, 0), np.float32)


def _mirrored(vectors: Features) -> Features:
    return np.ascontiguousarray(vectors.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(vectors), -1))
