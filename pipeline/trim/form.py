"""The forms that a piece of a video is written in: what is copied into it, and how the rest is encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PieceForm:
    """What a piece may hold, and how what it may not hold is encoded.

    Attributes:
        codecs: codecs of the picture whose packets may be copied.
        sound: codecs of the sound whose packets may be copied; other sound becomes AAC.
        formats: formats of pixels of which packets may be copied; None for all.
        x264: options of the encoder.
        max_size: width and height in pixels that an encoded picture is scaled down to fit into, on its side or not; None
            leaves its size.
        mp4: options of the container.
    """

    codecs: frozenset[str]
    sound: frozenset[str]
    formats: frozenset[str] | None = None
    x264: Mapping[str, str] = field(default_factory=dict)
    max_size: tuple[int, int] | None = None
    mp4: Mapping[str, str] = field(default_factory=dict)

    def encoded_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an encoded picture, both even. 1920 x 1080 becomes 1280 x 720 where that is the largest."""
        scale = 1.0
        if self.max_size is not None:
            scale = min(1.0, max(self.max_size) / max(width, height), min(self.max_size) / min(width, height))
        return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)


FOR_PLAYERS = PieceForm(
    codecs=frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"}),
    sound=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}),
    # Quality that is hard to tell from the source; and no B-frames, so that every frame's time is stored as it is.
    x264={"crf": "18", "preset": "veryfast", "bf": "0"},
)
"""What MP4 holds and players know, at a quality that is hard to tell from the source."""

FOR_BROWSERS = PieceForm(
    codecs=frozenset({"h264", "vp9", "av1"}),
    sound=frozenset({"aac", "mp3", "flac", "opus"}),
    formats=frozenset({"yuv420p", "yuvj420p"}),
    x264={"crf": "23", "preset": "superfast", "bf": "0"},
    max_size=(1280, 720),
    mp4={"movflags": "faststart"},  # the index comes first: a browser plays and seeks with its first request
)
"""What all browsers play, encoded quickly: no larger than 1280 x 720, of 8 bit."""
