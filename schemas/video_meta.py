"""The metadata of a video's container: where decoding can start, when frames are shown, how they are cropped and turned.

Times are in ticks of the stream's time base, or in seconds from the container's start time, as players show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Keyframe(NamedTuple):
    """A place where decoding can start.

    Attributes:
        pts: presentation time, in ticks of the stream's time base.
        dts: decoding time, in the same ticks.
        pos: the byte of the file to seek to; None to seek by the times.
    """

    pts: int
    dts: int
    pos: int | None = None


class Part(NamedTuple):
    """One of several recordings that were joined into one file, each with times of its own.

    Attributes:
        pos: the byte of the file that it begins at.
        shift: ticks of the video's time base to add to its times, so that they go on where those before it end.
    """

    pos: int
    shift: int


class Crop(NamedTuple):
    """Pixels that a player cuts off each side of every frame, before it turns the picture."""

    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True, slots=True, eq=False)
class VideoMeta:
    """The metadata of a video, as `pipeline.probe` reads it from the container's packets.

    Attributes:
        container: the demuxer's short name, such as ``mp4`` or ``matroska``.
        codec: the codec's short name, such as ``h264``.
        coded_width: width in pixels after cropping, before rotation and with pixels as they are coded.
        coded_height: height in pixels, likewise.
        rotation_deg: counter-clockwise degrees by which a player turns the coded picture, from -180 to 180.
        mirrored: whether a player swaps left and right before it turns the picture.
        pixel_aspect: width of a pixel divided by its height; 1 for square ones.
        time_base: seconds per tick.
        start_pts: the tick that is time 0 (the container's start time).
        pts: int64 [num_frames], presentation times of all frames that are to be shown, ascending, in ticks.
        last_duration: how long the last frame is shown, in ticks.
        keyframes: the places where decoding can start, ascending.
        timed: whether the file states when its frames are shown; if not, ``pts`` just counts them.
        problems: what is wrong with the container, in sentences; empty for a sound one.
        parts: the recordings of a file that was joined of several; empty for others.
        coded_as_fields: whether some packets hold one field of a frame.
        seeks_read_all: whether seeking anywhere in the file reads most of it.
        crop: the pixels to cut off decoded frames; None if none.
        wide_colours: whether colours are beyond those of BT.709: HDR, BT.2020, P3.
        late: ticks by which ``pts`` are late against the container's clock, and so against the sound.
        stream_index: the index of the stream in the container; None for the one that FFmpeg takes by itself.
        track: the number of the video track, from 1.
        num_tracks: how many video tracks there are; covers and previews of one frame do not count.
    """

    container: str
    codec: str
    coded_width: int
    coded_height: int
    rotation_deg: int
    mirrored: bool
    pixel_aspect: Fraction
    time_base: Fraction
    start_pts: int
    pts: NDArray[np.int64]
    last_duration: int
    keyframes: tuple[Keyframe, ...]
    timed: bool = True
    problems: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    coded_as_fields: bool = False
    seeks_read_all: bool = False
    crop: Crop | None = None
    wide_colours: bool = False
    late: int = 0
    stream_index: int | None = None
    track: int = 1
    num_tracks: int = 1

    @property
    def num_frames(self) -> int:
        """Frames to be shown, counted from packets and not taken from the header."""
        return len(self.pts)

    @property
    def zero_pts(self) -> int:
        """The tick of a frame that is shown at time 0."""
        return self.start_pts + self.late

    @property
    def frame_times_s(self) -> NDArray[np.float64]:
        """float64 [num_frames], when each frame appears, in seconds."""
        return (self.pts - self.zero_pts).astype("float64") * float(self.time_base)

    @property
    def first_s(self) -> float:
        """When the first frame appears."""
        return float((int(self.pts[0]) - self.zero_pts) * self.time_base)

    @property
    def duration_s(self) -> float:
        """Last pts - first pts + one frame, in seconds."""
        return float((int(self.pts[-1]) - int(self.pts[0]) + self.last_duration) * self.time_base)

    @property
    def end_s(self) -> float:
        """When the last frame disappears."""
        return self.first_s + self.duration_s

    @property
    def fps(self) -> float:
        """Mean frame rate in frames per second."""
        return self.num_frames / self.duration_s if self.duration_s > 0 else 0.0
