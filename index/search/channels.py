"""Search in several channels: what can be seen, what is said, and what can be read on the screen.

What is said or read is found by its words (`passages`), so it is an answer by itself; pictures answer only where one stands
out. What the channels found is fused (`fusion`), and shown with the clips that it is in (`places`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.search.fusion import Found, found_moment, found_passage, fused, pairs
from index.search.passages import find_passages
from index.search.places import Places
from index.snapshot.snapshot import Snapshot
from schemas.errors import UsageError
from schemas.search import Answer, Channel, SearchOptions

TABLES: Mapping[Channel, str] = {"speech": "speech", "text": "screen_text"}
"""The tables of channels that have a text."""

# Answers that are taken from each channel, at least.
_DEPTH = 200


def search_channels(
    snapshot: Snapshot,
    passing: Callable[[str | None], NDArray[np.bool_] | None],
    by_pictures: Callable[[SearchOptions], Answer],
    tracks: Mapping[str, int],
    options: SearchOptions,
) -> Answer:
    """The best answers to one question, of all channels that it is to be looked for in.

    Args:
        snapshot: of the library.
        passing: gives the clips that meet a condition, bool [rows of the snapshot]; None for all.
        by_pictures: answers a question by pictures.
        tracks: by path, the video track that was indexed of videos that have several.
        options: the question.

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
    found = _find(snapshot, by_pictures, places, alone, channels)
    answers: list[tuple[Found, tuple[Found, ...]]] = [(one, (one,)) for one in found]
    if options.then_text is not None:
        then = replace(alone, texts=(options.then_text,), like=(), without=())
        answers = list(pairs(found, _find(snapshot, by_pictures, places, then, then_channels), options.gap_s))
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
    places: Places,
    options: SearchOptions,
    channels: Sequence[Channel],
) -> list[Found]:
    """What is found in some channels, fused, best first."""
    ranked: list[list[Found]] = []
    for channel in channels:
        if channel == "pictures":
            answer = by_pictures(options)
            ranked.append([found_moment(moment) for moment in answer.moments if answer.stands_out or options.show_all])
        else:
            passages = find_passages(snapshot, options.texts, [TABLES[channel]])
            avoided = [one for text in options.without for one in find_passages(snapshot, [text], [TABLES[channel]])]
            kept = (passage for passage in passages if not any(map(passage.shares_seconds, avoided)))
            ranked.append([found_passage(passage, channel) for passage in places.shown(kept, options.k)])
    return fused(ranked)
