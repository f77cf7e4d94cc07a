"""What a video shows and says beside its clips: its shots, its speech, the text on its screen. Each has rows of its own.

Times are seconds from the container's start time, as in `schemas.records`; intervals are half open, [start_s, end_s).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import pyarrow as pa

from schemas.records import Span, clip_id_of

Transition = Literal["start", "cut", "gradual"]
"""How a shot begins: with the video, at once, or over several frames (a dissolve, a fade or a wipe)."""

Picture = Literal["moving", "still", "black"]
"""What a shot shows: a changing picture, one that does not change, or none (black or of one colour)."""


class Shot(NamedTuple):
    """A part of a video that was filmed or shown without a break.

    Attributes:
        transition: how it begins.
        confidence: of its beginning, from 0 to 1; 1 for the beginning of the video.
        picture: what it shows.
    """

    start_s: float
    end_s: float
    transition: Transition
    confidence: float
    picture: Picture


class Word(NamedTuple):
    """A word that is said, with its time."""

    word: str
    start_s: float
    end_s: float


class Utterance(NamedTuple):
    """A piece of speech, some seconds long: a subtitle, or a sentence that a model heard.

    Attributes:
        text: without markup; lines are separated by a line break.
        language: as BCP 47 has it, such as ``en``; None if it is not known.
        source: where it comes from: ``sidecar``, ``embedded`` or ``whisper``.
        confidence: from 0 to 1; None where the source gives none.
        words: the words with their times; empty where the source gives none.
    """

    start_s: float
    end_s: float
    text: str
    language: str | None
    source: Literal["sidecar", "embedded", "whisper"]
    confidence: float | None
    words: tuple[Word, ...] = ()


class Box(NamedTuple):
    """A rectangle in a frame as it is shown, in shares of its width and height from the top left corner, 0 to 1."""

    left: float
    top: float
    width: float
    height: float


class ScreenText(NamedTuple):
    """A line of text that can be read on the screen for some time.

    Attributes:
        box: where, in the first frame that it was read in.
        confidence: from 0 to 1: of the best reading.
    """

    start_s: float
    end_s: float
    text: str
    box: Box
    confidence: float


Entry = Shot | Utterance | ScreenText

# What every table of a channel begins with. ``annotation_id`` names the row of ``annotations`` that makes the row visible.
_KEYS = [("annotation_id", pa.string()), ("video_id", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]

SHOTS = pa.schema(
    [*_KEYS, ("shot_id", pa.int64()), ("transition", pa.string()), ("confidence", pa.float32()), ("picture", pa.string())]
)

SPEECH = pa.schema(
    [
        *_KEYS,
        ("text", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("confidence", pa.float32()),
        ("words", pa.list_(pa.struct([("word", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))),
    ]
)

SCREEN_TEXT = pa.schema(
    [
        *_KEYS,
        ("text", pa.string()),
        ("box", pa.struct([(name, pa.float32()) for name in Box._fields])),
        ("confidence", pa.float32()),
    ]
)

# What is said or can be read within some seconds, as one text, and its vector. Made of the rows of another annotation.
PASSAGES = pa.schema([*_KEYS, ("channel", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32()))])

CHANNELS = {"shots": SHOTS, "speech": SPEECH, "screen_text": SCREEN_TEXT, "passages": PASSAGES}
"""The columns of the tables of channels, by table."""

TEXT_TABLES = ("speech", "screen_text")
"""The channels whose rows have a text, by their tables' names."""

TEXT_ANNOTATORS = ("subtitles", "speech", "text")
"""The annotators that write rows with a text."""

_VECTORS_OF = " vectors"


def vectors_of(annotator: str) -> str:
    """The name in ``annotations`` of what embeds the texts of one of `TEXT_ANNOTATORS`, such as ``speech vectors``.

    The ``state`` of such an annotation is the ``annotation_id`` of the one whose texts it embeds; its ``version`` is that of
    the library's text embedder.
    """
    return f"{annotator}{_VECTORS_OF}"


VECTOR_ANNOTATORS = tuple(map(vectors_of, TEXT_ANNOTATORS))
"""What `vectors_of` gives, of all."""

# One row per video and annotator that has read it, whatever became of it. It makes the annotator's rows visible.
ANNOTATIONS = pa.schema(
    [
        ("annotation_id", pa.string()),
        ("video_id", pa.string()),
        ("annotator", pa.string()),
        ("version", pa.string()),  # of the annotator; with another, the video is read again
        ("state", pa.string()),  # of files beside the video that it read; with another, the video is read again
        ("status", pa.string()),  # done, partial or failed
        ("error", pa.string()),
        ("num_rows", pa.int64()),
        ("wall_s", pa.float64()),
        ("annotated_at", pa.timestamp("us", tz="UTC")),
    ]
)


def channel_table(table: str, annotation_id: str, video_id: str, entries: Sequence[Entry]) -> pa.Table:
    """Rows of the table ``table`` of `CHANNELS`."""
    rows = []
    for entry in entries:
        row = entry._asdict() | {"annotation_id": annotation_id, "video_id": video_id}
        if isinstance(entry, Shot):
            row["shot_id"] = clip_id_of(video_id, Span(entry.start_s, entry.end_s))
        if isinstance(entry, Utterance):
            row["words"] = [word._asdict() for word in entry.words]
        if isinstance(entry, ScreenText):
            row["box"] = entry.box._asdict()
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=CHANNELS[table])
