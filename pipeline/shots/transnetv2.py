"""Finds transitions with TransNet V2, as its authors run it: windows of 100 frames, of which the middle 50 count."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.pixels import best_device, choose_dtype
from pipeline.shots.boundaries import Boundary, runs
from pipeline.shots.network import Network
from pipeline.shots.weights import published_tensors
from schemas.options import Precision

WINDOW, STRIDE = 100, 50
_MARGIN = (WINDOW - STRIDE) // 2

_THRESHOLD = 0.5  # the authors' own, for both heads

# A run of frames of a transition up to this long is a cut: the network marks the last frame of the old shot, or the first of
# the new one too.
_CUT_FRAMES = 3


class TransNetV2:
    """The network, ready to run on the best device of this process."""

    def __init__(self, precision: Precision = "auto") -> None:
        """Load it.

        Args:
            precision: what its convolutions compute in. In bf16 its probabilities move by less than .01.

        Raises:
            ModelError: its weights are not there.
        """
        self._device = best_device()
        self._dtype = choose_dtype(precision, self._device)
        self._network = Network.of(published_tensors()).to(self._device)

    def probabilities(self, window: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [STRIDE, 2], for the middle frames of a window uint8 [WINDOW, 27, 48, 3]: see `Network.forward`."""
        frames = torch.from_numpy(window[None]).to(self._device)
        with torch.inference_mode():
            kept = self._network(frames, slice(_MARGIN, _MARGIN + STRIDE), self._dtype)
        probabilities: NDArray[np.float32] = kept[0].float().cpu().numpy()
        return probabilities


class TransNetV2Detector:
    """Finds the boundaries of one video; see `pipeline.shots.boundaries.Detector`."""

    def __init__(self, model: TransNetV2) -> None:
        self._model = model
        self._waiting: NDArray[np.uint8] | None = None  # frames of windows that are not full yet
        self._count = 0
        self._probabilities: list[NDArray[np.float32]] = []

    def add(self, frames: NDArray[np.uint8]) -> None:
        """See `Detector.add`."""
        if not len(frames):
            return
        # Before the first frame, and after the last, a window is filled up with that frame.
        before = np.repeat(frames[:1], _MARGIN, axis=0) if self._waiting is None else self._waiting
        self._count += len(frames)
        self._run(np.concatenate([before, frames]))

    def probabilities(self) -> NDArray[np.float32]:
        """float32 [n, 2], for all frames that were added: those of the two heads. To be called once, at the end."""
        if self._waiting is None:
            return np.zeros((0, 2), np.float32)
        missing = _MARGIN + STRIDE - (self._count % STRIDE or STRIDE)
        self._run(np.concatenate([self._waiting, np.repeat(self._waiting[-1:], missing, axis=0)]))
        return np.concatenate(self._probabilities)[: self._count]

    def boundaries(self) -> list[Boundary]:
        """See `Detector.boundaries`."""
        return boundaries_of(self.probabilities())

    def _run(self, frames: NDArray[np.uint8]) -> None:
        start = 0
        while start + WINDOW <= len(frames):
            self._probabilities.append(self._model.probabilities(frames[start : start + WINDOW]))
            start += STRIDE
        self._waiting = frames[start:]


def boundaries_of(probabilities: NDArray[np.float32]) -> list[Boundary]:
    """Boundaries by float32 [n, 2]: that a frame is the middle of a transition, and that it is any frame of one."""
    single, every = probabilities.T
    extents = runs(every > _THRESHOLD)
    found: list[Boundary] = []
    for first, end in runs(single > _THRESHOLD):
        confidence = float(single[first:end].max())
        around = [extent for extent in extents if extent[0] < end and first < extent[1]]
        low, high = min([first, *(extent[0] for extent in around)]), max([end, *(extent[1] for extent in around)])
        if high - low <= _CUT_FRAMES:
            found.append(Boundary(end, 0, confidence))
        else:
            found.append(Boundary((first + end) // 2, high - low, confidence))
    return [boundary for boundary in found if 0 < boundary.frame < len(probabilities)]
