"""MPEG-4 of DivX and Xvid in AVI: B-frames packed into the packets of the frames that they refer to.

Such a packet is shown at once, by its B-frame; where that would have been, a packet says that nothing is new. FFmpeg takes
the packet's time for that of the other frame, and believes that decoders are a frame late, as they are with other B-frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import av

from schemas.video_meta import Keyframe

# The mark that encoders leave where they pack, and the beginning of each picture.
_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:b|Build)\d+p")
_PICTURE = b"\x00\x00\x01\xb6"


class PackedFrames:
    """Finds the packets of a stream that hold two frames.

    Attributes:
        packed_dts: the decoding times of these packets.
    """

    def __init__(self, context: av.VideoCodecContext) -> None:
        self._header = context.extradata or b""
        self._is_packed: bool | None = None if context.name == "mpeg4" else False
        self.packed_dts: set[int] = set()

    def take(self, packet: av.Packet[av.VideoStream], dts: int) -> None:
        """Look at the stream's next packet, which is decoded at ``dts``."""
        if self._is_packed is None:
            self._is_packed = _PACKED.search(self._header + bytes(packet)) is not None
        if self._is_packed and bytes(packet).count(_PICTURE) > 1:
            self.packed_dts.add(dts)

    def placed(self, keyframes: Iterable[Keyframe], frame_ticks: int) -> tuple[Keyframe, ...]:
        """The keyframes, those in packed packets shown a frame later: after the B-frame in their packet."""
        return tuple(key._replace(pts=key.pts + frame_ticks) if key.dts in self.packed_dts else key for key in keyframes)
