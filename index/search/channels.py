"""Search in several channels: what can be seen, what is said, and what can be read on the screen.

What is said or read is found by its words (`passages`), and by its meaning where the library has a text embedder
(`meaning`), so it is an answer by itself; pictures answer only where one stands out. What was found in both ways, and then
what the channels found, is fused (`fusion`), and shown with the clips that it is in (`places`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.search.fusion import Found, found_moment, found_passage, fused, of_one_channel, pairs
from index.search.meaning import MeaningSearch
from index.search.passages import Passage, find_passages
from index.search.places import Places
from index.snapshot.snapshot import Snapshot
from schemas.errors import UsageError
from schemas.search import Answer, Channel, SearchOptions

TABLES: Mapping[Channel, str] = {"speech": "speech", "text": "screen_text"}
"""The tables of channels that have a text."""

# Answers that are taken from each channel, at least.
_DEPTH = 200

# Passages found by their meaning that are looked at: more than are taken, since a condition may leave most of them out.
_MOST_MEANT = 5_000


def search_channels(
    snapshot: Snapshot,
    passing: Callable[[str | None], NDArray[np.bool_] | None],
    by_pictures: Callable[[SearchOptions], Answer],
    tracks: Mapping[str, int],
    options: SearchOptions,
    by_meaning: MeaningSearch | None = None,
) -> Answer:
    """The best answers to one question, of all channels that it is to be looked for in.

    Args:
        snapshot: of the library.
        passing: gives the clips that meet a condition, bool [rows of the snapshot]; None for all.
        by_pictures: answers a question by pictures.
        tracks: by path, the video track that was indexed of videos that have several.
        options: the question.
        by_meaning: finds what is said or can be read in other words; None for a library without a text embedder.

    Raises:
        UsageError: the library has no such channel.
    """
    # What is like an example can be seen, and an answer has to meet all that is asked for together.
    channels = _channels(snapshot, options.channels, "channels", () if options.like else options.texts)
    then_channels = _channels(snapshot, options.then_channels, "then_channels", (options.then_text or "",))
    if channels == ("pictures",) and (options.then_text is None or then_channels == ("pictures",)):
        return by_pictures(options)
    clips = len(snapshot.clips())
    is_passing = passing(options.where)
    passed = clips if is_passing is None else int(np.count_nonzero(is_passing))
    if not passed:
        return Answer((), clips, passed, 0.0, False)
    places = Places(snapshot, is_passing)
    alone = replace(options, then_text=None, within_s=None, then_channels=(), by="moment", k=max(options.k, _DEPTH))
    found = _find(snapshot, by_pictures, by_meaning, places, alone, channels)
    answers: list[tuple[Found, tuple[Found, ...]]] = [(one, (one,)) for one in found]
    if options.then_text is not None:
        then = replace(alone, texts=(options.then_text,), like=(), without=())
        following = _find(snapshot, by_pictures, by_meaning, places, then, then_channels)
        answers = list(pairs(found, following, options.gap_s))
    moments = places.moments(answers, options, tracks)
    best = max((moment.confidence for moment in moments), default=0.0)
    return Answer(moments, clips, passed, best, bool(moments))


def channels_of(snapshot: Snapshot) -> tuple[Channel, ...]:
    """The channels that a library has."""
    rows = Counter[str]()
    for part in snapshot.parts:
        rows.update(part.info.rows)
    return ("pictures", *(channel for channel, table in TABLES.items() if rows[table]))


def _channels(snapshot: Snapshot, named: Sequence[Channel], argument: str, texts: Sequence[str]) -> tuple[Channel, ...]:
    """The channels to look in: those named, or all that the library has; pictures alone for a question without texts."""
    has = channels_of(snapshot)
    if lacking := [channel for channel in named if channel not in has]:
        raise UsageError(
            f"the library has no {lacking[0]}; find it with vidsift annotate, or look in {', '.join(has)}", argument=argument
        )
    return tuple(channel for channel in has if channel in (named or has) and (texts or channel == "pictures"))


def _find(
    snapshot: Snapshot,
    by_pictures: Callable[[SearchOptions], Answer],
    by_meaning: MeaningSearch | None,
    places: Places,
    options: SearchOptions,
    channels: Sequence[Channel],
) -> list[Found]:
    """What is found in some channels, fused, best first."""
    ranked: list[list[Found]] = []
    with_text = [channel for channel in channels if channel in TABLES]
    by_words = _by_words(snapshot, options.texts, with_text)
    avoided = [one for text in options.without for found in _by_words(snapshot, [text], with_text).values() for one in found]

    def shown(passages: Sequence[Passage], channel: Channel) -> list[Found]:
        kept = (passage for passage in passages if not any(map(passage.shares_seconds, avoided)))
        return [found_passage(passage, channel) for passage in places.shown(kept, options.k)]

    for channel in channels:
        if channel == "pictures":
            answer = by_pictures(options)
            ranked.append([found_moment(moment) for moment in answer.moments if answer.stands_out or options.show_all])
        elif by_meaning is None:
            ranked.append(shown(by_words[TABLES[channel]], channel))
        else:
            meant = by_meaning.find(options.texts, TABLES[channel], _MOST_MEANT, also_weak=options.show_all)
            avoided += [one for text in options.without for one in by_meaning.find([text], TABLES[channel], _MOST_MEANT)]
            ranked.append(of_one_channel(shown(by_words[TABLES[channel]], channel), shown(meant, channel)))
    return fused(ranked)


def _by_words(snapshot: Snapshot, texts: Sequence[str], channels: Sequence[Channel]) -> dict[str, list[Passage]]:
    """What has the words of a question, best first, by table."""
    found: dict[str, list[Passage]] = {TABLES[channel]: [] for channel in channels}
    for passage in find_passages(snapshot, texts, list(found)):
        found[passage.channel].append(passage)
    return found
