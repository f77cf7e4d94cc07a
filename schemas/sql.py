"""The tables that SQL sees: their columns, and what each means.

The one place that says so: `vidsift schema` prints it, the prompt completes it, docs/reference/tables.md comes from it, and
tests hold the catalog to it.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        type: as DuckDB's ``describe`` names it.
        meaning: what a value says, with its unit.
    """

    name: str
    type: str
    meaning: str


class TableMeaning(NamedTuple):
    """A table that SQL sees.

    Attributes:
        meaning: what one row of it is.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Its columns' names, in order."""
        return tuple(column.name for column in self.columns)


_CLIP = (
    Column("clip_id", "BIGINT", "names the clip in all tables"),
    Column("video_id", "VARCHAR", "names the video in all tables; a moved video keeps it"),
    Column("path", "VARCHAR", "the video's file; bytes that are not UTF-8 are spelled \\xNN"),
    Column("start_s", "DOUBLE", "where the clip begins, in seconds from the video's start"),
    Column("end_s", "DOUBLE", "where it ends; the clip is [start_s, end_s)"),
)

VIDEOS = TableMeaning(
    "videos",
    "a row for each video file, also if it failed",
    (
        Column("video_id", "VARCHAR", _CLIP[1].meaning),
        Column("path", "VARCHAR", "its file; bytes that are not UTF-8 are spelled \\xNN"),
        Column("size_bytes", "BIGINT", "the file's size"),
        Column("modified_at", "TIMESTAMP WITH TIME ZONE", "when the file was changed last"),
        Column("content_hash", "VARCHAR", "the same for files of the same content"),
        Column("container", "VARCHAR", "the file's format, such as mp4 or matroska"),
        Column("codec", "VARCHAR", "the video codec, such as h264"),
        Column("width", "INTEGER", "pixels across as shown: after rotation, with square pixels"),
        Column("height", "INTEGER", "pixels down as shown"),
        Column("rotation_deg", "INTEGER", "degrees by which players turn the coded picture, counter-clockwise"),
        Column("fps", "DOUBLE", "mean frames per second"),
        Column("duration_s", "DOUBLE", "seconds of video, from its packets and not from its header"),
        Column("track", "INTEGER", "which of its video tracks was indexed, from 1"),
        Column("tracks", "INTEGER", "how many video tracks it has; null if not counted"),
        Column("clip_count", "INTEGER", "its clips in this library"),
        Column("status", "VARCHAR", "indexed, partial (something is missing or damaged) or failed"),
        Column("error_stage", "VARCHAR", "the step that found what is wrong: find, probe, decode or annotate; null if none"),
        Column("error", "VARCHAR", "what is wrong, in a sentence; null if nothing is"),
        Column("annotation_error", "VARCHAR", "what shots, speech or text could not be read of it; null if nothing"),
        Column("ingested_at", "TIMESTAMP WITH TIME ZONE", "when its row was written"),
    ),
)

CLIPS = TableMeaning(
    "clips",
    "a row for each clip of a video, with its best action label",
    (
        *_CLIP,
        Column("label", "VARCHAR", "the classifier's best action label"),
        Column("label_score", "FLOAT", "that label's probability, in [0, 1]"),
    ),
)

LABELS = TableMeaning(
    "labels",
    "a row for each clip and each of its best action labels",
    (
        *_CLIP,
        Column("rank", "INTEGER", "1 is the clip's best label"),
        Column("label", "VARCHAR", "an action that the classifier knows"),
        Column("score", "FLOAT", "its probability, in [0, 1]"),
        Column("model", "VARCHAR", "the classifier that gave it"),
    ),
)

TAGS = TableMeaning(
    "tags",
    "a row for each clip and each of your tags",
    (
        *_CLIP,
        Column("tag", "VARCHAR", "the tag's name"),
        Column("score", "FLOAT", "how much the clip resembles it"),
        Column("prompt", "VARCHAR", "the texts that stand for the tag; null for a taught tag"),
        Column("model", "VARCHAR", "the embedder that the score is from; with + probe for a taught tag"),
    ),
)

_CHANNEL = (
    Column("video_id", "VARCHAR", _CLIP[1].meaning),
    Column("path", "VARCHAR", _CLIP[2].meaning),
    Column("start_s", "DOUBLE", "where it begins, in seconds from the video's start"),
    Column("end_s", "DOUBLE", "where it ends"),
)

SHOTS = TableMeaning(
    "shots",
    "a row for each shot: what was filmed or shown without a break",
    (
        Column("shot_id", "BIGINT", "names the shot"),
        *_CHANNEL,
        Column("transition", "VARCHAR", "how it begins: start (of the video), cut or gradual (a dissolve, fade or wipe)"),
        Column("confidence", "FLOAT", "how sure its beginning is, in [0, 1]"),
        Column("picture", "VARCHAR", "what it shows: moving, still or black"),
    ),
)

SPEECH = TableMeaning(
    "speech",
    "a row for each piece of speech: a subtitle, or a sentence that a model heard",
    (
        *_CHANNEL,
        Column("text", "VARCHAR", "what is said"),
        Column("language", "VARCHAR", "its language, such as en; null if not known"),
        Column("source", "VARCHAR", "sidecar (a file beside the video), embedded (a text track in it) or whisper"),
        Column("confidence", "FLOAT", "how sure the model is, in [0, 1]; null for subtitles"),
        Column(
            "words",
            "STRUCT(word VARCHAR, start_s DOUBLE, end_s DOUBLE)[]",
            "its words with their times; empty for subtitles",
        ),
    ),
)

SCREEN_TEXT = TableMeaning(
    "screen_text",
    "a row for each line of text that can be read on the screen for a time",
    (
        *_CHANNEL,
        Column("text", "VARCHAR", "the line"),
        Column(
            "box",
            'STRUCT("left" FLOAT, top FLOAT, width FLOAT, height FLOAT)',
            "where it is, in shares of the frame from its top left corner",
        ),
        Column("confidence", "FLOAT", "how sure the reading is, in [0, 1]"),
    ),
)

ANNOTATIONS = TableMeaning(
    "annotations",
    "a row for each video and each annotator (shots, subtitles, speech, text) that has read it",
    (
        *_CHANNEL[:2],
        Column("annotator", "VARCHAR", "shots, subtitles, speech or text; 'speech vectors' embeds what speech has found"),
        Column("version", "VARCHAR", "the annotator's model and settings"),
        Column("status", "VARCHAR", "done, partial (something could not be read) or failed"),
        Column("error", "VARCHAR", "what is wrong, in a sentence; null if nothing is"),
        Column("num_rows", "BIGINT", "the rows that it wrote"),
        Column("wall_s", "DOUBLE", "how long it took, in seconds"),
        Column("annotated_at", "TIMESTAMP WITH TIME ZONE", "when its row was written"),
    ),
)

DUPLICATES = TableMeaning(
    "duplicates",
    "a row for each span of a video that shows the same footage as a span of another (vidsift duplicates)",
    (
        *_CHANNEL,
        Column("other_video_id", "VARCHAR", "the video that shows it too; each pair has a row from either side"),
        Column("other_path", "VARCHAR", "that video's file"),
        Column("other_start_s", "DOUBLE", "where it begins in that video, in seconds"),
        Column("other_end_s", "DOUBLE", "where it ends there"),
        Column("speed", "DOUBLE", "seconds there per second here: 1.25 where this video plays it faster"),
        Column("mirrored", "BOOLEAN", "whether one of the two shows left and right swapped"),
        Column("confidence", "FLOAT", "how well what moves in the pictures agrees, in [0, 1]"),
        Column("group_id", "BIGINT", "the same for all videos that share footage, directly or through others"),
    ),
)

HITS = TableMeaning(
    "hits",
    "a row for each clip that a search found; only in queries with a search (sql --search TEXT)",
    (
        Column("rank", "INTEGER", "1 is the best"),
        Column("score", "DOUBLE", "how well the clip matches; only comparable within one search"),
        Column("confidence", "DOUBLE", "how far it stands out from the rest of the library, in [0, 1]"),
        *_CLIP,
        Column("label", "VARCHAR", "the classifier's best action label"),
        Column("label_score", "FLOAT", "that label's probability, in [0, 1]"),
    ),
)

# The tables that a library always has.
TABLES = (VIDEOS, CLIPS, LABELS, TAGS, SHOTS, SPEECH, SCREEN_TEXT, ANNOTATIONS, DUPLICATES)

FORMAT_1_TABLES = (VIDEOS, CLIPS, LABELS, TAGS)
"""Those of a snapshot of format 1."""

CHANNELS = (SHOTS, SPEECH, SCREEN_TEXT)
"""The tables of channels: rows of annotators of whole videos."""
