"""Drops AV1 frames that no other frame refers to, by reading the headers of packets.

A frame that is stored in none of the eight reference slots affects no other: neither its pixels nor its statistics can be
used again (AV1 Bitstream & Decoding Process Specification, 5.9.2 and 7.20). Without it, all others decode to the same
pixels. Encoders make up to every second frame this way. The parser knows the headers of common streams; a frame with any
other header is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.container.bits import Bits

_SEQUENCE_HEADER, _FRAME = 1, 6  # types of open bitstream units
_KEY, _INTRA_ONLY, _SWITCH = 0, 2, 3  # frame types
_SELECT = 2  # each frame chooses for itself


class Av1FrameDropper:
    """Strips unreferenced frames from packets, which it is given in the order of the stream."""

    def __init__(self, extradata: bytes | None) -> None:
        """Read the sequence header from ``extradata``, where the container has any: in MP4 and Matroska, after 4 bytes."""
        self._order_hint_bits: int | None = None
        self._screen_content = self._integer_mv = 0
        if extradata and len(extradata) > 4 and extradata[0] == 0x81:
            self.strip_unreferenced(extradata[4:])

    def strip_unreferenced(self, packet: bytes) -> bytes:
        """``packet`` without its last unit, if that is a shown frame that no other frame refers to; else ``packet``."""
        last_start, unreferenced = 0, False
        try:
            for kind, start, payload in _units(packet):
                if kind == _SEQUENCE_HEADER:
                    self._order_hint_bits = None
                    self._read_sequence(Bits(payload))
                last_start, unreferenced = start, kind == _FRAME and self._is_unreferenced(Bits(payload))
        except ValueError:
            return packet
        return packet[:last_start] if unreferenced else packet

    def _read_sequence(self, bits: Bits) -> None:
        """Section 5.5. Returns early, so that all frames are kept, on what only broadcasts and still pictures have."""
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

    def _is_unreferenced(self, bits: Bits) -> bool:
        """Whether a frame is shown and stored in no reference slot: section 5.9.2, up to ``refresh_frame_flags``."""
        if self._order_hint_bits is None or bits.take(1):  # show_existing_frame
            return False
        frame_type, shown = bits.take(2), bits.take(1)
        if not shown or frame_type in (_KEY, _SWITCH):
            return False
        intra_only = frame_type == _INTRA_ONLY
        resilient = bits.take(1)
        bits.take(1)  # disable_cdf_update
        screen_content = bits.take(1) if self._screen_content == _SELECT else self._screen_content
        if screen_content and self._integer_mv == _SELECT:
            bits.take(1)
        bits.take(1)  # frame_size_override_flag
        bits.take(self._order_hint_bits)
        if not (intra_only or resilient):
            bits.take(3)  # primary_ref_frame
        return bits.take(8) == 0


def _units(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The packet's open bitstream units: type, byte offset, and the first 64 bytes of the payload.

    Raises:
        ValueError: the packet is not a sequence of them.
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
