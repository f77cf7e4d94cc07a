"""Opens a video, chooses its track, and reads its packets from any place on, with times that never start anew."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import av

from pipeline.sources import decodable, source_of
from schemas.errors import VideoError
from schemas.video_meta import Keyframe, Part

# No connections of FFmpeg's own: a playlist under a video's name must not make FFmpeg open a connection.
_OPTIONS = {"protocol_whitelist": "file"}

# Formats that FFmpeg opens which are lists of other files.
_PLAYLISTS = frozenset({"concat", "hls", "dash", "imf"})

# What reading a damaged container raises: FFmpeg's errors, and PyAV's own when a new stream turns up midway; and what a
# source raises whose files are read through file objects.
READING_ERRORS = (av.FFmpegError, IndexError, OSError)

# The boxes that MP4 and MOV files begin with. These say all of a video that is not decoded here anyway; FFmpeg would decode
# the beginning of what it opens, to learn the format of the pixels, which at 1080p takes as long as ten frames.
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"})

# Packets in which a first frame is looked for.
FIRST_PACKETS = 64

# The demuxers that find their way from any byte of a file.
BYTE_SEEKABLE = frozenset({"mpegts", "mpeg", "flv"})


@contextmanager
def open_video(path: str) -> Iterator[av.container.InputContainer]:
    """Open a video of any source, and nothing else; it is closed after the block.

    Raises:
        VideoError: it is a playlist, which would have other files read in its place.
        av.FFmpegError: it is not a video container.
        OSError: its source cannot open it.
    """
    with decodable(path) as opened:
        options = _OPTIONS | ({"skip_frame": "all"} if _beginning(opened)[4:8] in _FIRST_BOXES else {})
        file = opened if isinstance(opened, str) else _NamedFile(opened, path)
        # Titles and the like are in any encoding that a camera or a program of their time used.
        with av.open(file, "r", options=options, metadata_errors="replace") as container:
            if container.format.name in _PLAYLISTS:
                raise VideoError("probe", f"no video but a playlist ({container.format.name}) of other files; ingest those")
            yield container


def _beginning(opened: str | BinaryIO) -> bytes:
    """The first bytes; none where they cannot be read, which opening will say."""
    try:
        if isinstance(opened, str):
            return source_of(opened).read_range(opened, 0, 8)
        beginning = opened.read(8)
        opened.seek(0)
        return beginning
    except OSError:
        return b""


class _NamedFile:
    """A file object with the name by whose ending FFmpeg tells formats that begin alike."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def describe(exc: Exception) -> str:
    """An error in FFmpeg's own words, without the path."""
    return str(getattr(exc, "strerror", None) or exc)


def video_tracks(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The streams that show moving pictures: no covers, and no previews, which are one frame beside streams of many."""
    pictures = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    has_many = any(stream.frames > 1 for stream in streams)
    return [stream for stream in streams if not (has_many and stream.frames == 1)]


def track_index(container: av.container.InputContainer, track: int | None) -> int | None:
    """The index of a video track's stream.

    Args:
        container: the video.
        track: which track, from 1; None for the one that players take, and so is a track that the file lacks.

    Returns:
        The stream's index; None where FFmpeg takes that stream by itself.
    """
    indices, best = [stream.index for stream in video_tracks(container)], container.streams.best("video")
    if best is None or not indices:
        return None
    if track is not None and track <= len(indices):
        chosen = indices[track - 1]
    else:  # FFmpeg may take a preview
        chosen = best.index if best.index in indices else indices[0]
    return None if chosen == best.index else chosen


def video_stream(container: av.container.InputContainer, index: int | None = None) -> av.VideoStream:
    """The stream that a player would show, or the one with this ``index`` in the container.

    Raises:
        VideoError: there is none, it is a still cover picture, or this FFmpeg has no decoder for it.
    """
    if index is None:
        stream = container.streams.best("video")
    else:
        stream = next((other for other in container.streams.video if other.index == index), None)
    if stream is None:
        kinds = sorted({stream.type for stream in container.streams})
        raise VideoError("probe", f"no video stream; the file holds {', '.join(kinds) or 'no stream at all'}")
    assert isinstance(stream, av.VideoStream)
    if stream.disposition & av.stream.Disposition.attached_pic:
        raise VideoError("probe", "no video stream but a still cover picture")
    if stream.codec_context is None:
        raise VideoError("probe", "this FFmpeg has no decoder for its codec; re-encode it with the program that made it")
    return stream


def packets(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    others: Sequence[Any] = (),
    *,
    start: Keyframe | None = None,
    parts: Sequence[Part] = (),
) -> Iterator[av.Packet[Any]]:
    """The packets of ``stream`` and of ``others``, in the order of the file.

    Args:
        container: the video.
        stream: its video stream.
        others: more streams, such as its sound.
        start: the keyframe to begin at; None begins at the container's position.
        parts: as in `VideoMeta`; the packets' times are shifted by these.
    """
    if start is not None:
        seek_keyframe(container, stream, start)
    for packet in container.demux([stream, *others]):
        if parts and packet.time_base and (shift := shift_of(packet, stream, parts)):
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        yield packet


def decode(packet: av.Packet[av.VideoStream]) -> list[av.VideoFrame]:
    """The frames that a decoder gives for a packet of video.

    A packet of VP9 may hold several frames. Where two in a row cannot be decoded, such as those before the first keyframe,
    the decoder takes no more packets until it is emptied.

    Raises:
        av.FFmpegError: it cannot be decoded.
    """
    try:
        return packet.decode()
    except av.BlockingIOError:
        packet.stream.codec_context.flush_buffers()
        return packet.decode()


def shift_of(packet: av.Packet[Any], stream: av.VideoStream, parts: Sequence[Part]) -> int:
    """The ticks of its own stream to add to a packet's times."""
    if packet.pos is None:
        return 0
    part = parts[max(0, bisect_right(parts, packet.pos, key=lambda part: part.pos) - 1)]
    return round(part.shift * Fraction(stream.time_base or 1) / Fraction(packet.time_base or 1))


def seek_keyframe(container: av.container.InputContainer, stream: av.VideoStream, keyframe: Keyframe) -> None:
    """Go to a keyframe, or to one before it.

    Containers index by pts or by dts, so the first try may land one keyframe late; the dts of the same keyframe cannot.
    """
    if keyframe.pos is not None:
        container.seek(keyframe.pos, unsupported_byte_offset=True, stream=None)
        return
    for target in (keyframe.pts, keyframe.dts):
        container.seek(target, stream=stream)
        landed = next((packet.pts for packet in container.demux(stream) if packet.pts is not None), None)
        container.seek(target, stream=stream)
        if landed is not None and landed <= keyframe.pts:
            return
