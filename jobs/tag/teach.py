"""Own labels by example: a linear probe on a handful of marked moments, which then scores every clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.storage.config import LibraryConfig
from index.storage.lock import open_for_writing
from index.storage.tables import Tables
from index.storage.tag_scores import embedded_clips, visible_clips
from index.storage.tags_file import read_definitions
from jobs.tag.labeled_moments import LabeledMoment, Matched, match, read_examples
from jobs.tag.linear_probe import deal, fit, held_out, whitening_matrix
from jobs.tag.report import TagReport, Taught, TeachReport
from jobs.tag.tag import change_tags, reports
from schemas.errors import UsageError, check_utf8
from schemas.tags import LIKELY, TagDefinition

# Clips of other things that a probe sees for each of its own; where not as many are marked, unmarked ones are drawn.
_OTHERS_PER_CLIP = 10
_MIN_OTHERS = 100

_MAX_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Lessons:
    """The rows that all tags are taught from: marked clips first, presumed ones after them.

    Attributes:
        vectors: float64 [n, dim], whitening_matrix.
        evening: float64 [dim, dim]: what embeddings were multiplied by for that.
        groups: int64 [n]; clips of one number are never on both sides of a check.
        shows: for each tag, bool [n].
        marked: how many of the rows are marked.
    """

    vectors: NDArray[np.float64]
    evening: NDArray[np.float64]
    groups: NDArray[np.int64]
    shows: dict[str, NDArray[np.bool_]]
    marked: int


def teach(folder: Path, examples: Path, name: str | None = None, *, seed: int = 0) -> TeachReport:
    """Teach a library what some moments show, score every clip for it, and show it in ``tags``. No video is decoded.

    A clip shows a moment if they overlap by at least half of the shorter. Each tag is told from the clips of other tags'
    moments, and, up to ten for each of its own and a hundred at least, from unmarked clips drawn from the library. Its
    score is the probe's probability where either is as likely: `jobs.tag.linear_probe.fit`, on embeddings that
    `jobs.tag.linear_probe.whitening_matrix` has whitening_matrix out over the library.

    Args:
        folder: the library's.
        examples: a CSV file with the columns path, start_s, end_s and tag.
        name: the one tag to teach; None teaches all that the file has.
        seed: of the unmarked clips, and of how the check deals the moments.

    Raises:
        UsageError: something in the file cannot be meant so, or a tag has fewer than two moments.
        LibraryError: no library, or another job is writing it.
    """
    if name is not None:
        check_utf8("NAME", name)
        name = name.strip()
        if not name or not name.isprintable():
            raise UsageError(f"NAME: got {name!r}, expected a text on one line; or leave it out to teach all tags")
    moments = read_examples(examples, name)
    with open_for_writing(folder) as (library, identity, tables):
        definitions = read_definitions(library)
        clips = visible_clips(tables)
        with tables.tags.explained():
            columns = ["video_id", "path", "duration_s", "status", "error"]
            videos = tables.videos.to_pyarrow_table(columns=columns)
        clips = clips.join(videos.select(["video_id", "path"]), "video_id").sort_by(
            [("path", "ascending"), ("start_s", "ascending")]
        )
        matched = match(moments, videos, clips, examples)
        names = [name] if name is not None else list(matched.shows)
        _check_enough(names, moments, matched, examples)
        lessons = _lessons(tables, identity, matched, names, clips, seed, examples)
        added = tuple(_definition(tag, lessons, matched, identity) for tag in names)
        judged, num_folds = _judged(lessons, matched, names, seed)
        change_tags(library, tables, identity, definitions.changed(add=added), {"taught": len(added)})
        found = reports(library, names)
    taught = tuple(_taught(one, lessons, matched, judged[one.tag]) for one in found)
    return TeachReport(taught, num_folds, _top_accuracy(judged, lessons) if len(names) > 1 else None)


def _taught(found: TagReport, lessons: _Lessons, matched: Matched, judged: NDArray[np.float64]) -> Taught:
    shows = lessons.shows[found.tag]
    clips = int(shows.sum())
    return Taught(
        tag=found.tag,
        moments=len(matched.groups_of(found.tag)),
        clips=clips,
        others=lessons.marked - clips,
        presumed=len(shows) - lessons.marked,
        accuracy=_balanced(judged, shows),
        found=found,
    )


def _check_enough(names: Sequence[str], moments: Sequence[LabeledMoment], matched: Matched, source: Path) -> None:
    for tag in names:
        if (count := len(matched.groups_of(tag))) < 2:
            lines = ", ".join(str(moment.line) for moment in moments if moment.tag == tag)
            raise UsageError(
                f"--examples {source}: got {count} moment{'s' * (count != 1)} of {tag!r} that clips show (lines: {lines}), "
                "expected 2 or more that do not overlap, so that one can be checked by what the others teach; mark another"
            )


def _lessons(
    tables: Tables,
    identity: LibraryConfig,
    matched: Matched,
    names: Sequence[str],
    clips: pa.Table,
    seed: int,
    source: Path,
) -> _Lessons:
    """Marked clips, and as many unmarked ones as the tag with the fewest others needs."""
    marked = len(matched.clip_ids)
    positives = [int(matched.shows[tag].sum()) for tag in names]
    wanted = max(max(_OTHERS_PER_CLIP * own, _MIN_OTHERS) - (marked - own) for own in positives)
    ids = clips[
        "clip_id"
    ].to_numpy()  # in the order of paths and times, so that the same library is drawn from alike anywhere
    free = np.flatnonzero(~np.isin(ids, matched.touched))
    drawn = np.sort(np.random.default_rng(seed).permutation(free)[: max(0, wanted)])
    if len(drawn) == 0 and marked in positives:
        tag = names[positives.index(marked)]
        raise UsageError(
            f"--examples {source}: the library has no clip to tell {tag!r} from; mark moments of other tags, or ingest "
            "other videos too"
        )
    owners = clips["path"].take(pa.array(drawn)).to_pylist()
    numbers = {path: number for number, path in enumerate(sorted(set(owners)))}
    first = int(matched.groups.max()) + 1
    clip_ids = np.concatenate([matched.clip_ids, ids[drawn]])
    library = (some.vectors for some in embedded_clips(tables, identity.embedding_dim, ids))
    evening = whitening_matrix(library, identity.embedding_dim)
    return _Lessons(
        _vectors(tables, identity, clip_ids) @ evening,
        evening,
        np.concatenate([matched.groups, np.array([first + numbers[owner] for owner in owners], np.int64)]),
        {tag: np.concatenate([matched.shows[tag], np.zeros(len(drawn), bool)]) for tag in names},
        marked,
    )


def _vectors(tables: Tables, identity: LibraryConfig, clip_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [n, dim], in the order of ``clip_ids``."""
    found = list(embedded_clips(tables, identity.embedding_dim, np.unique(clip_ids)))
    ids = np.concatenate([some.clip_ids for some in found])
    order = np.argsort(ids)
    places = order[np.searchsorted(ids[order], clip_ids)]
    vectors: NDArray[np.float64] = np.concatenate([some.vectors for some in found])[places].astype(np.float64)
    return vectors


def _definition(tag: str, lessons: _Lessons, matched: Matched, identity: LibraryConfig) -> TagDefinition:
    probe = fit(lessons.vectors, lessons.shows[tag])
    return TagDefinition(
        name=tag,
        weights=tuple((lessons.evening @ probe.weights).tolist()),
        bias=probe.bias,
        embedder=identity.embedder.stamp,
        moments=len(matched.groups_of(tag)),
    )


def _judged(
    lessons: _Lessons, matched: Matched, names: Sequence[str], seed: int
) -> tuple[dict[str, NDArray[np.float64]], int]:
    """For each tag every row's cross-validated probability, and how many folds that was in."""
    groups_of = [matched.groups_of(tag) for tag in names]
    num_folds = min(_MAX_FOLDS, min(map(len, groups_of)))
    dealt = deal([*groups_of, np.unique(lessons.groups)], num_folds, seed)
    fold = np.array([dealt[group] for group in lessons.groups.tolist()], np.int64)
    return {tag: held_out(lessons.vectors, lessons.shows[tag], fold) for tag in names}, num_folds


def _balanced(judged: NDArray[np.float64], shows: NDArray[np.bool_]) -> float:
    right = (judged >= LIKELY) == shows
    known = ~np.isnan(judged)
    sides = [right[known & side].mean() for side in (shows, ~shows) if (known & side).any()]
    return float(np.mean(sides))


def _top_accuracy(judged: dict[str, NDArray[np.float64]], lessons: _Lessons) -> float:
    """Of the clips that show one of the tags, how many have the highest probability for one that they show."""
    shows = np.stack(list(lessons.shows.values()), axis=1)
    rows = shows.any(axis=1)
    best = np.nan_to_num(np.stack(list(judged.values()), axis=1)[rows], nan=-1.0).argmax(axis=1)
    return float(shows[rows][np.arange(rows.sum()), best].mean())
