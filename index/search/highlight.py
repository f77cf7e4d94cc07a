"""Shows which words of what is said or can be read are those of a question."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from index.search.text_query import Term
from index.snapshot.text_analysis import all_stems, word_spans, words

# Characters that are kept before the first word of the question, in a text that is shortened.
_BEFORE = 40


class Piece(NamedTuple):
    """A piece of a text, and whether it is a word of the question."""

    text: str
    is_match: bool


def highlighted(text: str, terms: Sequence[Term], languages: Sequence[str], most: int | None = None) -> list[Piece]:
    """A text in pieces.

    Args:
        text: what is said or can be read.
        terms: of the question (`index.search.text_query.terms_of`).
        languages: in which words are compared by their stems.
        most: characters to keep; of a longer text, those around the first word of the question.
    """
    text = unicodedata.normalize("NFC", text)
    spans = _matches(text, terms, languages)
    begin, end = 0, len(text)
    if most is not None and end > most:
        first = spans[0][0] if spans else 0
        begin = 0 if first <= _BEFORE else text.find(" ", first - _BEFORE, first) + 1 or first
        end = min(begin + most, end)
    pieces, at = [Piece("…", False)] if begin else [], begin
    for start, stop in spans:
        if at <= start and stop <= end:
            pieces += [Piece(text[at:start], False), Piece(text[start:stop], True)]
            at = stop
    pieces += [Piece(text[at:end], False)] + ([Piece("…", False)] if end < len(text) else [])
    return [piece for piece in pieces if piece.text]


def _matches(text: str, terms: Sequence[Term], languages: Sequence[str]) -> list[tuple[int, int]]:
    """Where the words of the question are, in order."""
    if not terms:
        return []
    spans = word_spans(text)
    folded = words(text)
    if len(folded) != len(spans):  # a word may become two, such as ½
        folded = ["".join(words(text[start:stop])) for start, stop in spans]
    found = set[int]()
    for term in terms:
        length, initials = len(term.words), {stem[0] for stem in term.stems}
        for at in range(len(spans) - length + 1):
            of_window = folded[at : at + length]
            if initials and of_window[0][:1] not in initials:  # stemming is slow, and mostly keeps the first letter
                continue
            if term.is_in(of_window, list(all_stems(of_window[0], languages)) if term.stems else ()):
                found.update(range(at, at + length))
    return [spans[at] for at in sorted(found)]
