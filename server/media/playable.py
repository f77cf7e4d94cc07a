"""What browsers play."""

from __future__ import annotations

from typing import Literal

# Codecs by container, as the catalogue names both, that Chromium, Firefox and Safari play from a file.
_PLAYED = {
    "mp4": frozenset({"h264", "av1", "vp9"}),
    "mov": frozenset({"h264"}),
    "m4v": frozenset({"h264"}),
    "webm": frozenset({"vp8", "vp9", "av1"}),
}

MEDIA_TYPES = {"mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/mp4", "webm": "video/webm"}
"""By container; browsers refuse ``video/quicktime``, and play what such files mostly hold."""


def how_to_play(codec: str | None, container: str | None) -> Literal["file", "moment"]:
    """Whether a browser can be given the file itself, or only a moment that was made for it.

    The catalogue does not know the depth of colours: where a browser does not play a file that it is given, the page asks
    for the moment.
    """
    return "file" if codec in _PLAYED.get(container or "", frozenset()) else "moment"
