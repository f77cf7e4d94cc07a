"""Cues of subtitles, which FFmpeg reads in every text format, and their text without markup."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import av
from av.subtitles.subtitle import AssSubtitle

Format = Literal["srt", "webvtt", "ass"]

# Characters of one cue's text. More is no subtitle: a page of a book holds 3,000.
MAX_CHARS = 10_000
# Cues of one file or track: a word a cue, for 14 hours.
MAX_CUES = 100_000

# Times that are damaged come out as thousands of years.
_LATEST_S = 1000 * 3600.0

# The first eight fields of a decoded line of ASS stand before its text: number, layer, style, name, three margins, effect.
_FIELDS = 8
# A block of overrides, such as {\an8\k50}.
_OVERRIDES = re.compile(r"(\{\\[^{}]*\})")
# Braces around anything else are a comment in ASS, and text elsewhere.
_COMMENT = re.compile(r"\{[^{}\\][^{}]*\}")
# SubRip, which is left as it is written: FFmpeg takes out the signs of drawings, and leaves their strokes.
_AS_WRITTEN = frozenset({"srt", "subrip", "text"})
_WITH_COMMENTS = frozenset({"ass", "ssa"})
_DRAWING = re.compile(r"\\p(\d+)")
_TAGS = re.compile(r"</?(?:[ibus]|font|c|v|lang|ruby|rt|span|br|em|strong)\b[^<>]*>", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# FFmpeg overlooks the sign of a time, as tools write it that shift subtitles too far to the front.
_NEGATIVE = re.compile(r"-\d+(:\d+)?:\d+[,.]\d+(?=[ \t]*-->)|(?<=-->)([ \t]*)-\d+(:\d+)?:\d+[,.]\d+")


class Cue(NamedTuple):
    """A text and when it is shown, in seconds from time 0 on."""

    start_s: float
    end_s: float
    text: str


def parse_cues(text: str, form: Format) -> Iterator[Cue]:
    """The cues of a file's text, by time. Text that holds none gives none.

    A cue whose end is before its start is shown until the next one, and dropped where it is the last. What comes before
    time 0 is cut off.
    """
    if form == "srt":
        text = _NEGATIVE.sub(r"\g<2> 00:00:00,000", text)
    # A file object and a format of text: FFmpeg has no way to another file from there.
    with av.open(io.BytesIO(text.encode("utf-8", "replace")), "r", format=form, metadata_errors="replace") as container:
        for stream in container.streams.subtitles:
            for packet in container.demux(stream):
                if cue := cue_of(packet):
                    yield cue


def cue_of(packet: av.Packet[Any], zero_s: float = 0.0) -> Cue | None:
    """What a packet of subtitles says; None where it is empty, without a time, or over before it or time 0 begins.

    Args:
        packet: of a track of text.
        zero_s: when time 0 is on the packet's clock.

    Raises:
        av.FFmpegError: it cannot be decoded.
    """
    if not packet.size or packet.pts is None or not packet.duration or packet.time_base is None:
        return None
    begin, end = packet.pts * packet.time_base, (packet.pts + packet.duration) * packet.time_base
    start_s, end_s = max(0.0, float(begin) - zero_s), float(end) - zero_s
    if end_s <= start_s or start_s > _LATEST_S:
        return None
    text = "\n".join(filter(None, map(plain_text, _marked(packet))))
    return Cue(start_s, end_s, text) if text else None


def _marked(packet: av.Packet[Any]) -> list[str]:
    """The texts of a packet, in ASS's markup or in HTML's."""
    codec = packet.stream.codec_context.name
    if codec in _AS_WRITTEN:
        return [bytes(packet).decode("utf-8", "replace")]
    events = [shown.ass for shown in packet.decode() if isinstance(shown, AssSubtitle)]
    texts = [event.decode("utf-8", "replace").split(",", _FIELDS)[-1] for event in events]
    return [_COMMENT.sub("", text) for text in texts] if codec in _WITH_COMMENTS else texts


def plain_text(marked: str) -> str:
    r"""The text of a line in ASS's markup, without overrides, drawings and leftover tags.

    ``{\an8}Good{\i1} day{\i0}\N{\p1}m 0 0 l 9 9{\p0}`` is ``Good day``. Empty lines are left out, spaces put together.
    """
    pieces: list[str] = []
    draws = False
    for number, piece in enumerate(_OVERRIDES.split(marked[: 10 * MAX_CHARS])):
        if number % 2:  # of overrides
            scales = _DRAWING.findall(piece)
            draws = int(scales[-1]) > 0 if scales else draws
        elif not draws:
            pieces.append(piece)
    text = "".join(pieces).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    text = _CONTROLS.sub("", html.unescape(_TAGS.sub("", text)).replace("\t", " "))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)[:MAX_CHARS]
