"""What the players of a cut-out piece can show: decides what is copied, and how large what is encoded may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Players:
    """What players of MP4 files can show.

    Attributes:
        video: codecs of pictures, by FFmpeg's names.
        audio: codecs of sound.
        pixel_formats: how pixels may be stored; None for any.
        largest: (width, height) that encoded pictures are scaled down to; None for any size.
    """

    video: frozenset[str]
    audio: frozenset[str]
    pixel_formats: frozenset[str] | None = None
    largest: tuple[int, int] | None = None


ANY_PLAYER = Players(
    video=frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"}),
    audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}),
)
"""Programs such as VLC and mpv."""

BROWSERS = Players(
    video=frozenset({"h264", "av1", "vp9"}),
    audio=frozenset({"aac", "mp3", "flac", "opus"}),
    pixel_formats=frozenset({"yuv420p", "yuvj420p"}),
    largest=(1280, 720),
)
"""Chromium, Firefox and Safari."""
