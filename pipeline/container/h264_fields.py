"""Tells which packets of H.264 hold one field of a frame, as camcorders and broadcasters code it (PAFF).

Transport streams carry each field as a packet of its own, with a time of its own, and a decoder makes one frame of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.container.bits import Bits

_SLICE, _IDR_SLICE, _SPS = 1, 5, 7  # nal_unit_type
_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})  # profile_idc
_HEADER_BYTES = 64
_SPS_BYTES = 1024


class _Sps(NamedTuple):
    """The part of a sequence parameter set that is needed to read the beginning of a slice header.

    Attributes:
        frames_only: whether no picture is a single field.
        frame_num_bits: length of ``frame_num`` in bits.
        separate_planes: whether each slice says which colour plane it belongs to.
    """

    frames_only: bool
    frame_num_bits: int
    separate_planes: bool


class _Field(NamedTuple):
    """One field of a frame."""

    bottom: bool
    frame_num: int


class FieldPairs:
    """Takes a stream's packets in order, and tells those that hold the second field of a frame."""

    def __init__(self, extradata: bytes | None) -> None:
        """Take the container's ``extradata``; without any, the stream's headers are read from its packets."""
        self._sps: _Sps | None = None
        self._length_size = 0  # of MP4 and Matroska, where each unit's length stands before it
        self._open: _Field | None = None
        if extradata and extradata[0] == 1 and len(extradata) > 6:
            self._length_size = (extradata[4] & 3) + 1
            self._read_sps(extradata[8:])
        elif extradata:
            for unit in _units(extradata, 0):
                if unit[0] & 31 == _SPS:
                    self._read_sps(unit)

    @property
    def frames_only(self) -> bool:
        """Whether the stream has no fields, so that its packets need not be looked at."""
        return self._sps is not None and self._sps.frames_only

    def second_field(self, packet: bytes) -> bool:
        """Whether ``packet`` holds the second field of a frame, and the packet before it the first."""
        fields: set[_Field] = set()
        try:
            for unit in _units(packet, self._length_size):
                kind = unit[0] & 31
                if kind == _SPS:
                    self._read_sps(unit)
                elif kind in (_SLICE, _IDR_SLICE) and self._sps is not None:
                    if self._sps.frames_only or (field := self._field(unit)) is None:
                        self._open = None
                        return False
                    fields.add(field)
        except ValueError:
            fields.clear()
        if len(fields) != 1:  # both fields in one packet, or nothing that could be read
            self._open = None
            return False
        (field,) = fields
        if self._open == _Field(not field.bottom, field.frame_num):
            self._open = None
            return True
        self._open = field
        return False

    def _read_sps(self, unit: bytes) -> None:
        """Read a sequence parameter set (ITU-T H.264, 7.3.2.1.1); a broken one is passed over."""
        try:
            bits = Bits(_unescaped(unit[1:_SPS_BYTES]))
            profile = bits.take(8)
            bits.take(16)  # constraints, level
            bits.golomb()  # the set's number
            separate_planes = False
            if profile in _WITH_CHROMA_FORMAT:
                chroma_format = bits.golomb()
                separate_planes = chroma_format == 3 and bool(bits.take(1))
                bits.golomb()  # bit depths
                bits.golomb()
                bits.take(1)  # lossless
                if bits.take(1):
                    for number in range(8 if chroma_format != 3 else 12):
                        if bits.take(1):
                            _skip_scaling_list(bits, 16 if number < 6 else 64)
            frame_num_bits = bits.golomb() + 4
            order = bits.golomb()
            if order == 0:
                bits.golomb()
            elif order == 1:
                bits.take(1)
                bits.signed_golomb()
                bits.signed_golomb()
                for _ in range(min(bits.golomb(), 255)):
                    bits.signed_golomb()
            bits.golomb()  # reference frames
            bits.take(1)  # gaps
            bits.golomb()  # width, height
            bits.golomb()
            self._sps = _Sps(bool(bits.take(1)), min(frame_num_bits, 16), separate_planes)
        except ValueError:
            return

    def _field(self, unit: bytes) -> _Field | None:
        """The field that a slice belongs to (7.3.3); None for a slice of a whole frame."""
        assert self._sps is not None
        bits = Bits(_unescaped(unit[1:_HEADER_BYTES]))
        bits.golomb()  # first macroblock
        bits.golomb()  # kind of slice
        bits.golomb()  # picture parameter set
        if self._sps.separate_planes:
            bits.take(2)
        frame_num = bits.take(self._sps.frame_num_bits)
        return _Field(bool(bits.take(1)), frame_num) if bits.take(1) else None


def _units(data: bytes, length_size: int) -> Iterator[bytes]:
    """The first bytes of each NAL unit. Units follow start codes; or, with a ``length_size``, their own lengths."""
    if length_size:
        at = 0
        while at + length_size < len(data):
            size = int.from_bytes(data[at : at + length_size], "big")
            at += length_size
            if size:
                yield data[at : at + min(size, _SPS_BYTES)]
            at += size
        return
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 3 < len(data):
        yield data[at + 3 : at + 3 + _SPS_BYTES]
        at = data.find(b"\0\0\1", at + 3)


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\0\0\3", b"\0\0")


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = scale = 8
    for _ in range(size):
        if scale:
            scale = (last + bits.signed_golomb()) % 256
        last = scale or last
