"""The formats of a video's streams, which decide whether a browser plays it."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import av

from pipeline.container.reading import FIRST_PACKETS, READING_ERRORS, decode, describe, open_video, track_index, video_stream
from pipeline.trim.audio import audio_stream
from schemas.errors import VideoError


class Streams(NamedTuple):
    """The formats of a video's streams.

    Attributes:
        pixel_format: FFmpeg's name of the format of its pixels, such as ``yuv420p``; None where no frame can be decoded.
        sound: the short name of the codec of the sound that a player would play; None where there is none.
    """

    pixel_format: str | None
    sound: str | None


def read_streams(path: str, track: int | None = None) -> Streams:
    """Read the formats of a video's streams; its first frame is decoded.

    Raises:
        VideoError: it is no video.
    """
    try:
        with open_video(path) as container:
            audio = audio_stream(container)
            sound = None if audio is None else audio.codec_context.codec.canonical_name
            if audio is None and container.streams.audio:
                sound = "unknown"
            stream = video_stream(container, track_index(container, track))
            stream.codec_context.thread_count = 1
            for packet in islice(container.demux(stream), FIRST_PACKETS):
                try:
                    for frame in decode(packet):
                        return Streams(frame.format.name, sound)
                except av.FFmpegError:
                    continue
            return Streams(None, sound)
    except READING_ERRORS as exc:
        raise VideoError("probe", f"no video container that FFmpeg can read: {describe(exc)}") from exc
