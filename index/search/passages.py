"""Passages: where the words of a question are said, or can be read on the screen.

Entries of a channel that have some of the words are found by the full-text index. Those of one video that follow each other
closely are one passage, since sentences run on over several subtitles. A passage is an answer if it has most of what the
question says: its share of the question's terms, weighted by how rare each is (the inverse document frequency of BM25).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from index.search.text_query import Term, terms_of
from index.snapshot.channel_text import TextEntry, TextIndex, open_text_index
from index.snapshot.snapshot import Snapshot
from index.snapshot.text_analysis import stems, words
from schemas.search import FoundBy

MIN_COVERAGE = 0.6
"""The share of a question's terms, by weight, that a passage has to have."""

# Entries that follow within so many seconds belong to one passage, of which none lasts longer than the other number.
_JOINED_S = 3.0
_LONGEST_S = 20.0

# Entries that are looked at, for each part and channel.
_MOST_ENTRIES = 2_000

# Terms that more than this share of all entries have find nothing by themselves, if there are rarer ones.
_COMMON = 0.05


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a video in which a question's words are said or can be read.

    Attributes:
        channel: the table that it is from, ``speech`` or ``screen_text``.
        text: of its entries, in order.
        confidence: of one found by its words, the share of the question's terms that it has, by weight, up to 1; of one
            found by its meaning, what `index.search.meaning` says.
        found_by: whether its words are the question's, or its meaning.
    """

    channel: str
    video_id: str
    start_s: float
    end_s: float
    text: str
    confidence: float
    found_by: FoundBy = "words"

    def shares_seconds(self, other: Passage) -> bool:
        """Whether both show some seconds of one video."""
        is_apart = min(self.end_s, other.end_s) <= max(self.start_s, other.start_s)
        return self.video_id == other.video_id and not is_apart


@dataclass(slots=True)
class _Found:
    """An entry that has some of the terms."""

    entry: TextEntry
    video_id: str
    terms: frozenset[Term] = field(default_factory=frozenset)


def find_passages(snapshot: Snapshot, texts: Sequence[str], channels: Sequence[str]) -> list[Passage]:
    """The passages that answer a question, best first: by coverage, then the shortest.

    Args:
        snapshot: to search in.
        texts: of the question.
        channels: the tables to search.

    Raises:
        LibraryError: a file of the snapshot is missing or damaged.
    """
    terms = terms_of(texts, languages_of(snapshot))
    if not terms or not channels:
        return []
    with ExitStack() as stack:
        indexes = [stack.enter_context(open_text_index(part.text_index)) for part in snapshot.parts]
        found, weights = _entries(snapshot, indexes, terms, channels)
    total = sum(weights.values())
    passages = [_passage(group, weights, total) for group in _groups(found)]
    passages = [passage for passage in passages if passage.confidence >= MIN_COVERAGE]
    return sorted(passages, key=lambda of: (-of.confidence, of.end_s - of.start_s, of.video_id, of.start_s, of.channel))


def _entries(
    snapshot: Snapshot, indexes: Sequence[TextIndex], terms: Sequence[Term], channels: Sequence[str]
) -> tuple[list[_Found], dict[Term, float]]:
    """The entries that have some of the terms, and the terms' weights."""
    counts = {term: sum(index.count(term.expression) for index in indexes) for term in terms}
    num_entries = sum(index.num_entries() for index in indexes)
    weights = {term: _idf(counts[term], num_entries) for term in terms}
    rare = [term for term in terms if 0 < counts[term] <= max(100, _COMMON * num_entries)]
    finding = rare or [term for term in terms if counts[term]]
    expression = " OR ".join(f"({term.expression})" for term in finding)
    found: list[_Found] = []
    for number, index in enumerate(indexes if finding else ()):
        for channel in channels:
            found += _live(snapshot, number, index.matches(expression, channel, _MOST_ENTRIES))
    for one in found:
        text_words = words(one.entry.text)
        text_stems = stems(text_words, one.entry.language)
        one.terms = frozenset(term for term in terms if term.is_in(text_words, text_stems))
    return found, weights


def languages_of(snapshot: Snapshot) -> list[str]:
    """The languages of what is said and can be read, as BCP 47 has them, in order."""
    return sorted({language for part in snapshot.parts for language in part.info.languages})


def _idf(count: int, total: int) -> float:
    """The inverse document frequency of a term that ``count`` of ``total`` texts have: Robertson and Zaragoza, "The
    Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.4, kept above 0.
    """  # noqa: D205
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


def _live(snapshot: Snapshot, number: int, entries: Sequence[TextEntry]) -> Iterator[_Found]:
    """The entries of a part that the snapshot shows."""
    live = snapshot.live_annotations(number)
    for entry in entries:
        if (video_id := live.get(entry.annotation)) is not None:
            yield _Found(entry, video_id)


def _groups(found: Sequence[_Found]) -> Iterator[list[_Found]]:
    """Entries in groups that are one passage each."""
    by_source: dict[tuple[str, str, int, str | None], list[_Found]] = defaultdict(list)
    for one in found:
        by_source[one.video_id, one.entry.channel, one.entry.annotation, one.entry.language].append(one)
    for entries in by_source.values():
        group: list[_Found] = []
        for one in sorted(entries, key=lambda of: (of.entry.start_s, of.entry.end_s)):
            if group and (
                one.entry.start_s - max(of.entry.end_s for of in group) > _JOINED_S
                or one.entry.end_s - group[0].entry.start_s > _LONGEST_S
            ):
                yield group
                group = []
            group.append(one)
        yield group


def _passage(group: Sequence[_Found], weights: dict[Term, float], total: float) -> Passage:
    """The entries of a group that answer best: one alone, if it has all that the group has."""
    covered = frozenset[Term]().union(*(one.terms for one in group))
    alone = [one for one in group if one.terms == covered]
    chosen = alone[:1] or list(group)
    return Passage(
        chosen[0].entry.channel,
        chosen[0].video_id,
        min(one.entry.start_s for one in chosen),
        max(one.entry.end_s for one in chosen),
        " ".join(one.entry.text.replace("\n", " ") for one in chosen),
        sum(weights[term] for term in covered) / total,
    )
