"""The files that browsers play as they are, and those of which pieces are made."""

from __future__ import annotations

import pytest

from server.media.playable import how_to_play, may_play, media_type


@pytest.mark.parametrize(
    ("container", "codec", "pixel_format", "sound"),
    [
        ("mp4", "h264", "yuv420p", "aac"),
        ("mp4", "h264", "yuvj420p", None),
        ("mov", "h264", "yuv420p", "aac"),
        ("webm", "vp9", "yuv420p", "opus"),
        ("webm", "vp8", "yuv420p", "vorbis"),
        ("mp4", "av1", "yuv420p", "opus"),
    ],
)
def test_played_as_file(container: str, codec: str, pixel_format: str, sound: str | None) -> None:
    assert how_to_play(container, codec, pixel_format, sound) == "file"


@pytest.mark.parametrize(
    ("container", "codec", "pixel_format", "sound", "track"),
    [
        ("mp4", "hevc", "yuv420p", "aac", 1),
        ("mp4", "h264", "yuv420p10le", "aac", 1),
        ("mp4", "h264", "yuv422p", "aac", 1),
        ("mov", "h264", "yuv420p", "pcm_s16le", 1),
        ("mp4", "h264", "yuv420p", "ac3", 1),
        ("matroska", "h264", "yuv420p", "aac", 1),
        ("mpegts", "h264", "yuv420p", "aac", 1),
        ("avi", "mpeg2video", "yuv420p", "mp3", 1),
        ("mp4", "h264", "yuv420p", "aac", 2),  # browsers play the first
        ("mp4", "h264", None, None, 1),
        (None, None, None, None, None),
    ],
)
def test_played_in_pieces(
    container: str | None, codec: str | None, pixel_format: str | None, sound: str | None, track: int | None
) -> None:
    assert how_to_play(container, codec, pixel_format, sound, track) == "moment"


def test_catalogue_alone_rules_out_what_no_browser_plays() -> None:
    assert may_play("mp4", "h264")
    assert not may_play("mp4", "hevc")
    assert not may_play("webm", "h264")


def test_media_types() -> None:
    assert [media_type(name) for name in ("mp4", "mov", "webm", None, "nut")] == [
        "video/mp4", "video/mp4", "video/webm", "application/octet-stream", "application/octet-stream",
    ]  # fmt: skip
