"""The channels of sound, as files order them: some do so in ways that end a process."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

# FFmpeg's channels of ordinary layouts, in the order in which it stores them.
_CHANNELS = (
    "FL",
    "FR",
    "FC",
    "LFE",
    "BL",
    "BR",
    "FLC",
    "FRC",
    "BC",
    "SL",
    "SR",
    "TC",
    "TFL",
    "TFC",
    "TFR",
    "TBL",
    "TBC",
    "TBR",
)
# The layouts that are assumed for channels without a place, by their number.
_BY_NUMBER = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
# Of more channels, the first two are heard.
_STEREO = 2


class Channels:
    """Brings the channels of a decoder into an order that FFmpeg has a name for.

    PyAV frees the order of a layout with an order of its own, though the decoder and its frames still refer to it, which
    ends the process. So the decoder is given, before it begins, an ordinary layout of as many channels, and the channels are
    put into their places here.

    Attributes:
        number: number of channels.
    """

    def __init__(self, decoder: av.AudioCodecContext) -> None:
        """Prepare ``decoder``, which has not begun."""
        layout = decoder.layout
        names = [channel.name for channel in layout.channels]
        self.number = len(names)
        self._order: list[int] | None = None
        known = len(set(names)) == len(names) and set(names) <= set(_CHANNELS)
        if known:
            order = sorted(range(len(names)), key=lambda number: _CHANNELS.index(names[number]))
            self._layout = "+".join(names[number] for number in order)
            if order != list(range(len(names))):
                self._order = order
        elif len(names) <= len(_BY_NUMBER):
            self._layout = _BY_NUMBER[len(names) - 1]
        else:
            self._layout, self._order = "stereo", list(range(_STEREO))
        decoder.layout = self._layout if known or not self._order else f"{len(names)} channels"
        del layout  # and with it, what it refers to

    def in_order(self, frame: av.AudioFrame) -> av.AudioFrame:
        """The frame with its channels in FFmpeg's order."""
        if self._order is None or len(frame.layout.channels) != self.number:
            return frame
        samples: NDArray[Any] = frame.to_ndarray()
        planes = samples if frame.format.is_planar else samples.reshape(-1, self.number).T
        placed = planes[self._order]
        packed = placed if frame.format.is_planar else placed.T.reshape(1, -1)
        ordered = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=frame.format.name, layout=self._layout)
        ordered.sample_rate = frame.sample_rate
        return ordered
