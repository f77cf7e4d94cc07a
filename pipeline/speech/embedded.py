"""Subtitles inside a video: its tracks of text. Subtitles that are pictures hold no text to read."""

from __future__ import annotations

from typing import Any, NamedTuple

import av

from pipeline.container.reading import READING_ERRORS, describe, open_video, shift_of, video_stream
from pipeline.speech.cues import MAX_CUES, Cue, cue_of
from pipeline.speech.languages import language_of_tag
from schemas.channels import Utterance
from schemas.video_meta import VideoMeta

TEXT_CODECS = frozenset({"subrip", "srt", "text", "mov_text", "webvtt", "ass", "ssa"})
"""FFmpeg's names of the codecs whose subtitles are text."""

_PICTURES = {
    "hdmv_pgs_subtitle": "PGS",
    "pgssub": "PGS",
    "dvb_subtitle": "DVB",
    "dvbsub": "DVB",
    "dvd_subtitle": "DVD",
    "dvdsub": "DVD",
    "xsub": "XSUB",
}


class Track(NamedTuple):
    """A track of subtitles in a video.

    Attributes:
        stream_index: its stream's index in the container.
        codec: the codec's short name; None where this FFmpeg does not know it.
        language: as the container states it, in BCP 47; None where it does not.
        forced: whether it holds only what is foreign or written on the screen.
    """

    stream_index: int
    codec: str | None
    language: str | None
    forced: bool

    @property
    def is_text(self) -> bool:
        """Whether it can be read."""
        return self.codec in TEXT_CODECS

    @property
    def unread(self) -> str | None:
        """Why it cannot be read, as a sentence; None where it can."""
        if self.is_text:
            return None
        language = f" ({self.language})" if self.language else ""
        kind = _PICTURES.get(self.codec or "")
        if kind:
            return f"subtitle track {self.stream_index}{language} holds pictures ({kind}), no text"
        return f"subtitle track {self.stream_index}{language} is in {self.codec or 'a codec'} that vidsift does not read"


def subtitle_tracks(path: str) -> list[Track]:
    """The tracks of subtitles in a video.

    Raises:
        VideoError: it is a playlist.
        av.FFmpegError: it is no video.
        OSError: it cannot be read.
    """
    with open_video(path) as container:
        return [_track(stream) for stream in container.streams if stream.type == "subtitle"]


def _track(stream: av.stream.Stream) -> Track:
    forced = bool(stream.disposition & av.stream.Disposition.forced)
    codec = stream.codec_context.name if stream.codec_context is not None else None
    return Track(stream.index, codec, language_of_tag(stream.metadata.get("language")), forced)


def read_tracks(path: str, meta: VideoMeta, tracks: list[Track]) -> tuple[dict[int, list[Utterance]], str | None]:
    """The cues of tracks of text, in one pass over the file.

    Args:
        path: the video.
        meta: its metadata, which says when its time 0 is.
        tracks: what to read, of `subtitle_tracks`.

    Returns:
        The cues by their track's index, by time; and why reading broke off, None where it did not.
    """
    found: dict[int, list[Utterance]] = {track.stream_index: [] for track in tracks}
    languages = {track.stream_index: track.language for track in tracks}
    zero_s = float(meta.start_pts * meta.time_base)
    broken = None
    try:
        with open_video(path) as container:
            video = video_stream(container, meta.stream_index)
            for stream in container.streams:
                if stream.index not in found and not (meta.parts and stream is video):
                    stream.discard = av.stream.Discard.all
            for packet in container.demux([stream for stream in container.streams if stream.index in found]):
                if meta.parts and packet.pts is not None and (shift := shift_of(packet, video, meta.parts)):
                    packet.pts += shift
                cue = _cue(packet, zero_s)
                index = packet.stream.index
                if cue and len(found[index]) < MAX_CUES:
                    found[index].append(Utterance(*cue, languages[index], "embedded", None))
    except READING_ERRORS as exc:
        broken = f"its subtitle tracks break off: {describe(exc)}"
    for said in found.values():
        said.sort(key=lambda utterance: utterance.start_s)
    return found, broken


def _cue(packet: av.Packet[Any], zero_s: float) -> Cue | None:
    try:
        return cue_of(packet, zero_s)
    except av.FFmpegError:  # damaged; those after it may be sound
        return None
