"""What is said in a video and can be read in it, as lines that lead to their time, with the words of a question marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from index.search.highlight import Piece, highlighted
from index.search.text_query import terms_of
from schemas.search import SearchOptions
from server.libraries import ServedLibrary

# Characters of what is said or can be read that a card shows.
_REASON = 120

# By table: what its lines are called.
_NAMES = {"speech": "What is said", "screen_text": "On the screen"}

Highlight = Callable[[str], list[Piece]]


class Line(NamedTuple):
    """A line of a transcript.

    Attributes:
        pieces: its text.
        language: as BCP 47 has it; None if it is not known.
        address: of the page of its moment.
    """

    start_s: float
    end_s: float
    pieces: list[Piece]
    language: str | None
    address: str


class Transcript(NamedTuple):
    """The lines of a table in the order of time, and whether they are in several languages."""

    table: str
    name: str
    lines: list[Line]
    is_mixed: bool


def transcripts(
    channels: Mapping[str, Sequence[dict[str, Any]]], highlight: Highlight, address: Callable[[float, float], str]
) -> list[Transcript]:
    """The transcripts of a video: of what is said and of what can be read, if there is any.

    Args:
        channels: the rows of the video by table, in the order of time.
        highlight: marks the words of the question.
        address: of the page of a moment of the video, from its start and end in seconds.
    """
    found = []
    for table, name in _NAMES.items():
        rows = channels[table]
        lines = [
            Line(
                row["start_s"],
                row["end_s"],
                highlight(row["text"]),
                row.get("language"),
                address(row["start_s"], row["end_s"]),
            )
            for row in rows
        ]
        if lines:
            found.append(Transcript(table, name, lines, len({line.language for line in lines}) > 1))
    return found


def highlighter(library: ServedLibrary, options: SearchOptions | None, most: int | None = None) -> Highlight:
    """Marks the words of a question, also of what has to follow; keeps ``most`` characters (`highlighted`)."""
    languages = library.languages
    asked = [] if options is None else [*options.texts, *([options.then_text] if options.then_text else [])]
    return partial(highlighted, terms=terms_of(asked, languages), languages=languages, most=most)


def reason_highlighter(library: ServedLibrary, options: SearchOptions | None) -> Highlight:
    """The same for the reasons that cards give, which are short."""
    return highlighter(library, options, _REASON)
