"""AV1 without the frames that nobody wants and no other frame needs, as the headers of its packets tell.

A frame that goes into none of the eight reference slots leaves nothing behind: neither its pixels nor its statistics can be
used by another (AV1 Bitstream & Decoding Process Specification, 5.9.2 and 7.20). Without it, all others decode to the same
pixels. Encoders make up to every second frame so. Only what the headers of common streams hold is understood here; anything
else counts as needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.container.bits import Bits

_SEQUENCE_HEADER, _FRAME = 1, 6  # kinds of units
_KEY, _SWITCH, _SELECT = 0, 3, 2


class Av1FrameDropper:
    """Takes packets in the order of the stream, and what is not needed out of them."""

    def __init__(self, extradata: bytes | None) -> None:
        """``extradata`` is the container's, where it has any: of MP4 and Matroska, four bytes and the sequence header."""
        self._order_hint_bits: int | None = None
        self._screen_content = self._integer_mv = 0
        if extradata and len(extradata) > 4 and extradata[0] == 0x81:
            self.needed(extradata[4:])

    def needed(self, packet: bytes) -> bytes:
        """``packet`` without the frame that it shows, if that is its last unit and no other frame needs it."""
        last, gone = 0, False
        try:
            for kind, start, payload in _units(packet):
                if kind == _SEQUENCE_HEADER:
                    self._order_hint_bits = None
                    self._read_sequence(Bits(payload))
                last, gone = start, kind == _FRAME and self._shown_and_gone(Bits(payload))
        except ValueError:
            return packet
        return packet[:last] if gone else packet

    def _read_sequence(self, bits: Bits) -> None:
        """Section 5.5; gives up, and so finds nothing, on what only broadcasts and still pictures have."""
        bits.take(3)  # profile
        bits.take(1)  # a still picture
        if bits.take(1) or bits.take(1):  # a reduced header; times in the stream
            return
        if bits.take(1):  # display delays
            return
        for _ in range(bits.take(5) + 1):  # operating points
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
        width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
        bits.take(width_bits)
        bits.take(height_bits)
        if bits.take(1):  # frame ids
            return
        bits.take(3)  # 128 x 128 superblocks, filter-intra, intra edge filter
        bits.take(4)  # inter-intra, masked and warped prediction, dual filter
        has_order = bits.take(1)
        if has_order:
            bits.take(2)  # jnt_comp, ref_frame_mvs
        self._screen_content = _SELECT if bits.take(1) else bits.take(1)
        self._integer_mv = _SELECT
        if self._screen_content:
            self._integer_mv = _SELECT if bits.take(1) else bits.take(1)
        self._order_hint_bits = bits.take(3) + 1 if has_order else 0

    def _shown_and_gone(self, bits: Bits) -> bool:
        """Section 5.9.2, as far as ``refresh_frame_flags``."""
        if self._order_hint_bits is None or bits.take(1):  # another frame is shown again
            return False
        kind, shown = bits.take(2), bits.take(1)
        if not shown or kind in (_KEY, _SWITCH):
            return False
        intra = kind == 2
        resilient = bits.take(1)
        bits.take(1)  # disable_cdf_update
        screen_content = bits.take(1) if self._screen_content == _SELECT else self._screen_content
        if screen_content and self._integer_mv == _SELECT:
            bits.take(1)
        bits.take(1)  # frame_size_override_flag
        bits.take(self._order_hint_bits)
        if not (intra or resilient):
            bits.take(3)  # primary_ref_frame
        return bits.take(8) == 0


def _units(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The open bitstream units: their kinds, where they begin, and the beginnings of their payloads.

    Raises:
        ValueError: the packet is no sequence of them.
    """
    at = 0
    while at < len(packet):
        header = packet[at]
        if header & 0x80:
            raise ValueError("no unit begins here")
        begin, start = at, at + 1 + bool(header & 0x04)
        size = len(packet) - start
        if header & 0x02:
            size = shift = 0
            while True:
                if start >= len(packet) or shift > 28:
                    raise ValueError("a unit's size is cut off")
                byte = packet[start]
                size |= (byte & 0x7F) << shift
                shift, start = shift + 7, start + 1
                if not byte & 0x80:
                    break
        yield header >> 3 & 0x0F, begin, packet[start : start + min(size, 64)]
        at = start + size
