"""The rotation and the mirroring that a player applies to a decoded frame."""

from __future__ import annotations

import math
import struct

import av


def turned(frame: av.VideoFrame) -> tuple[int, bool]:
    """The rotation that a player applies, in counter-clockwise degrees; and whether it swaps left and right first."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    # Row vectors times [[a, b], [c, d]], in 16.16 fixed point; a negative determinant mirrors.
    a, b, _, c, d = struct.unpack("<5i", memoryview(matrix)[:20])  # type: ignore[arg-type]
    if a * d - b * c >= 0:
        return round(frame.rotation / 90) * 90, False
    return round(math.degrees(math.atan2(c, -a)) / 90) * 90, True
