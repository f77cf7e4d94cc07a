"""Whether a browser plays a video's file as it is."""

from __future__ import annotations

from typing import Literal

Play = Literal["file", "moment"]

# What Chromium and Firefox play everywhere. Theirs are also names of MOV, which both read as MP4.
_CODECS = {
    "mp4": frozenset({"h264", "vp9", "av1"}),
    "mov": frozenset({"h264", "vp9", "av1"}),
    "m4v": frozenset({"h264"}),
    "webm": frozenset({"vp8", "vp9", "av1"}),
}
_SOUND = frozenset({"aac", "mp3", "opus", "vorbis", "flac"})
_FORMATS = frozenset({"yuv420p", "yuvj420p"})

_MEDIA_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/mp4",  # as video/quicktime, browsers would not try
    "webm": "video/webm",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
    "ogg": "video/ogg",
}


def may_play(container: str | None, codec: str | None, track: int | None = None) -> bool:
    """Whether a browser may play a file of this container and codec; what decides further is in the file.

    Args:
        container: the container's short name, as in ``videos.container``.
        codec: the codec's, as in ``videos.codec``.
        track: the video track that was indexed, from 1; browsers play the first.
    """
    return (track or 1) == 1 and codec in _CODECS.get(container or "", ())


def how_to_play(
    container: str | None, codec: str | None, pixel_format: str | None, sound: str | None, track: int | None = None
) -> Play:
    """``file`` where a browser plays the file as it is, with its sound; ``moment`` where a piece has to be made for it.

    Args:
        container: as in `may_play`.
        codec: as in `may_play`.
        pixel_format: FFmpeg's name of the format of its pixels, such as ``yuv420p``.
        sound: the short name of the codec of its sound; None where it has none.
        track: as in `may_play`.
    """
    plays = may_play(container, codec, track) and pixel_format in _FORMATS and (sound is None or sound in _SOUND)
    return "file" if plays else "moment"


def media_type(container: str | None) -> str:
    """The media type of a file of a container, such as ``video/mp4``."""
    return _MEDIA_TYPES.get(container or "", "application/octet-stream")
