"""Passages: what is said or can be read within some seconds, as one text, long enough to mean something by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MOST_WORDS = 60
"""Words of a passage: of ordinary speech, 20 to 30 s. Sentence encoders were trained on texts of about that length."""

LONGEST_S = 30.0
"""Seconds from the beginning of a passage to its end, unless one row alone lasts longer."""

# Rows that begin so many seconds after the last one has ended are another passage.
_PAUSE_S = 5.0

# Characters that count as a word where a text has no blanks between its words.
_WORD = 12


class PassageText(NamedTuple):
    """A passage.

    Attributes:
        text: of its rows, in order.
    """

    start_s: float
    end_s: float
    text: str


def passages_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[PassageText]:
    """The passages of one annotation's rows of speech or screen text, by time.

    Rows that follow each other closely, in one language, are joined. The text of a row is never lost: one of too many words
    becomes several passages of the same seconds.
    """
    group: list[PassageText] = []
    language = None
    for row in sorted(rows, key=lambda row: (row["start_s"], row["end_s"])):
        for text in _pieces(row["text"]):
            one = PassageText(row["start_s"], row["end_s"], text)
            if group and (row.get("language") != language or not _fit(group, one)):
                yield _joined(group)
                group = []
            group.append(one)
            language = row.get("language")
    if group:
        yield _joined(group)


def _fit(group: list[PassageText], one: PassageText) -> bool:
    """Whether one passage can hold a group and what follows it."""
    end_s = max(of.end_s for of in group)
    return (
        one.start_s - end_s <= _PAUSE_S
        and max(end_s, one.end_s) - group[0].start_s <= LONGEST_S
        and sum(_num_words(of.text) for of in group) + _num_words(one.text) <= MOST_WORDS
    )


def _joined(group: list[PassageText]) -> PassageText:
    return PassageText(group[0].start_s, max(of.end_s for of in group), " ".join(of.text for of in group))


def _num_words(text: str) -> int:
    return max(text.count(" ") + 1, len(text) // _WORD)


def _pieces(text: str) -> Iterator[str]:
    """A text with single blanks, in pieces of at most `MOST_WORDS`; none where there is nothing to read."""
    piece: list[str] = []
    count = 0
    for word in _words(text):
        size = _num_words(word)
        if piece and count + size > MOST_WORDS:
            yield " ".join(piece)
            piece, count = [], 0
        piece.append(word)
        count += size
    if piece and any(map(str.isalnum, "".join(piece))):
        yield " ".join(piece)


def _words(text: str) -> Iterator[str]:
    """The words of a text; one longer than a passage, as where a language has no blanks, in parts."""
    most = MOST_WORDS * _WORD
    for word in text.split():
        yield from (word[begin : begin + most] for begin in range(0, len(word), most))
