"""Tells by a file's first bytes whether it may be a video, without a demuxer: for endings that other files have too."""

from __future__ import annotations

import re
from typing import BinaryIO

from pipeline.sources import source_of

_HEAD_BYTES = 1 << 16

# The first bytes of containers and raw streams.
_MAGIC = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: WMV, DVR-MS
    b"\xb7\xd8\x00 7I\xda\x11",  # WTV
    b"FLV\x01",
    b".RMF",  # RealMedia
    b".R1M",
    b"\x06\x0e+4",  # MXF
    b"\0\0\0\0\x01\xbc",  # GXF
    b"nut/multimedia container\0",
    b"YUV4MPEG2 ",
    b"DKIF",  # IVF
    b"\x12\0\x0a",  # AV1 in OBUs
    b"BBCD",  # Dirac
    b"\x1f\x07\0",  # DV
    b"NSVf",
    b"NSVs",
    b"DHAV",  # recorders of cameras
    b"HXVS",
    b"HXVT",
    b"\xf5Fz\xbd",  # TiVo
    b"NuppelVideo\0",
    b"MythTVVideo\0",
    b"BIK",  # films in games
    b"SMK2",
    b"SMK4",
    b"THP\0",
    b"\x84\x10\xff\xff\xff\xff",
)

# A start code and what it starts: MPEG-PS, and raw MPEG-1, -2, -4, H.264, HEVC, VVC and VC-1. An icon begins 00 00 01 00.
_START_CODE = re.compile(rb"\0{2,}\x01(?:[^\0]|\0[\x71\x79\x81\xa1])")

_RIFF_FORMS = frozenset({b"AVI ", b"AMV ", b"CDXA"})
_OGG_VIDEO = (b"\x80theora", b"\x01video\0", b"OVP80", b"BBCD")
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"})
_PICTURE_BRANDS = frozenset({b"mif1", b"heic", b"heix", b"heim", b"heis", b"avif", b"avci", b"miaf"})
_SEQUENCE_BRANDS = frozenset({b"msf1", b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"avcs"})

# Lengths of a transport stream's packets: plain, with a time before each, with a checksum after each.
_TS_PACKETS = (188, 192, 204)
_TS_PACKETS_SEEN = 10

# Blocks of a GIF that are walked through to its second picture; what is longer is taken for a film.
_MAX_BLOCKS = 1 << 18


def may_be_video(path: str) -> bool:
    """Whether a file begins as a video does. A picture is one where it moves: GIF, APNG, AVIF and HEIF of several pictures.

    Raises:
        OSError: the file cannot be read.
    """
    with source_of(path).open(path) as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _has_second_picture(file)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" in head.partition(b"IDAT")[0]
    if head.startswith(_MAGIC):
        return True
    if b"\0" not in head:
        return False  # a text; whatever else is a video has zeros in its first tables
    if head[4:8] in _BOXES:
        return _moves(head)
    if head.startswith(b"RIFF"):
        return head[8:12] in _RIFF_FORMS
    if head.startswith(b"OggS"):
        return any(name in head for name in _OGG_VIDEO)
    return _START_CODE.match(head) is not None or _is_flic(head) or _is_transport_stream(head)


def _moves(head: bytes) -> bool:
    """Whether a file of boxes is more than a still picture, by its brands."""
    if head[4:8] != b"ftyp":
        return True
    length = min(int.from_bytes(head[:4]), len(head))
    brands = {head[start : start + 4] for start in (8, *range(16, length - 3, 4))}
    return bool(brands & _SEQUENCE_BRANDS) or not brands & _PICTURE_BRANDS


def _is_flic(head: bytes) -> bool:
    return head[4:6] in (b"\x11\xaf", b"\x12\xaf", b"\x44\xaf") and head[12:14] in (b"\x08\0", b"\x10\0", b"\x18\0")


def _is_transport_stream(head: bytes) -> bool:
    """Whether several packets in a row begin with their sync byte, wherever the first one is.

    A file too short for so many has to begin with a packet, and each of its packets with the sync byte.
    """
    if len(head) < _TS_PACKETS_SEEN * min(_TS_PACKETS):
        return any(set(head[first::length]) == {ord("G")} for first, length in ((0, 188), (4, 192), (0, 204)))
    run = b"G" * _TS_PACKETS_SEEN
    return any(run in head[first::length] for length in _TS_PACKETS for first in range(length))


def _has_second_picture(file: BinaryIO) -> bool:
    """Whether a GIF holds more than one picture."""
    file.seek(0)
    header = file.read(13)
    if len(header) < 13:
        return False
    file.seek(_colours(header[10]), 1)
    pictures, within = 0, False
    for _ in range(_MAX_BLOCKS):
        byte = file.read(1)
        if not byte:
            return False
        if within:  # blocks of data, each with its length before it; an empty one ends them
            within = byte != b"\0"
            file.seek(byte[0], 1)
        elif byte == b"\x21":  # an extension
            file.seek(1, 1)
            within = True
        elif byte == b"\x2c" and len(described := file.read(9)) == 9:
            pictures += 1
            if pictures == 2:
                return True
            file.seek(_colours(described[8]) + 1, 1)
            within = True
        else:
            return False
    return True


def _colours(flags: int) -> int:
    """Size in bytes of the colour table that ``flags`` announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
