"""Tags by example: a linear probe is fitted to a handful of labeled moments, and scores every clip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.object_store import library_folder
from index.search.linear_probe import assign_folds, cross_validated_probabilities, fit, whitening_matrix
from index.storage.config import LibraryConfig
from index.storage.lock import open_for_writing
from index.storage.tables import Tables
from index.storage.tag_scores import embedded_clips, visible_clips
from index.storage.tags_file import read_definitions
from index.storage.transactions import read_columns
from jobs.tag.labeled_moments import LabeledMoment, MatchedClips, match, read_examples
from jobs.tag.report import TagReport, TaughtTag, TeachReport
from jobs.tag.tag import change_tags, reports
from schemas.errors import UsageError, check_utf8
from schemas.tags import LIKELY, TagDefinition

# Negatives for each positive, and the fewest of them; where too few are labeled, unlabeled clips are sampled.
_NEGATIVES_PER_POSITIVE = 10
_MIN_NEGATIVES = 100

_MAX_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class _TrainingSet:
    """The clips that all tags are taught from: labeled ones first, sampled negatives after them.

    Attributes:
        vectors: float64 [n, dim], whitened embeddings.
        whitening: float64 [dim, dim], the matrix that whitened them.
        groups: int64 [n]; clips of one group are in the same fold.
        shows: for each tag, bool [n].
        num_labeled: how many of the clips are labeled.
    """

    vectors: NDArray[np.float64]
    whitening: NDArray[np.float64]
    groups: NDArray[np.int64]
    shows: dict[str, NDArray[np.bool_]]
    num_labeled: int


def teach(
    folder: str | os.PathLike[str], examples: str | os.PathLike[str], name: str | None = None, *, seed: int = 0
) -> TeachReport:
    """Teach a library tags by example, and score every clip for them. The table ``tags`` shows it at once.

    No video is decoded. A clip shows a moment by the rule of `jobs.overlap.shows`. The negatives of a tag are the clips of
    other tags' moments and unlabeled clips sampled from the library: ten for each positive, and at least a hundred. The
    score of a clip is the probability of `index.search.linear_probe.fit`, on embeddings that
    `index.search.linear_probe.whitening_matrix` has whitened.

    Args:
        folder: the library's.
        examples: a CSV file with the columns path, start_s, end_s and tag.
        name: the one tag to teach; None teaches all that the file has.
        seed: of the sampled negatives, and of the folds of the cross-validation.

    Raises:
        UsageError: something in the file is not valid, or a tag has fewer than two moments.
        LibraryError: no library, or another job is writing it.
    """
    if name is not None:
        check_utf8("name", name)
        name = name.strip()
        if not name or not name.isprintable():
            message = f"got {name!r}, expected a text on one line; or leave it out to teach all tags"
            raise UsageError(message, argument="name")
    source = Path(examples)
    moments = read_examples(source, name)
    with open_for_writing(library_folder(folder)) as (library, config, tables):
        definitions = read_definitions(library)
        clips = visible_clips(tables)
        with tables.tags.explained():
            columns = ["video_id", "path", "duration_s", "status", "error"]
            videos = read_columns(tables.videos, columns)
        clips = clips.join(videos.select(["video_id", "path"]), "video_id").sort_by(
            [("path", "ascending"), ("start_s", "ascending")]
        )
        matched = match(moments, videos, clips, source)
        names = [name] if name is not None else list(matched.shows)
        _check_enough(names, moments, matched, source)
        training_set = _make_training_set(tables, config, matched, names, clips, seed, source)
        added = tuple(_definition(tag, training_set, matched, config) for tag in names)
        probabilities, num_folds = _cross_validate(training_set, matched, names, seed)
        change_tags(library, tables, config, definitions.changed(add=added), {"taught": len(added)})
        tag_reports = reports(library, names)
    taught = tuple(_taught(report, training_set, matched, probabilities[report.tag]) for report in tag_reports)
    return TeachReport(taught, num_folds, _top_accuracy(probabilities, training_set) if len(names) > 1 else None)


def _taught(
    report: TagReport, training_set: _TrainingSet, matched: MatchedClips, probabilities: NDArray[np.float64]
) -> TaughtTag:
    shows = training_set.shows[report.tag]
    num_positives = int(shows.sum())
    return TaughtTag(
        tag=report.tag,
        moments=len(matched.groups_of(report.tag)),
        clips=num_positives,
        others=training_set.num_labeled - num_positives,
        presumed=len(shows) - training_set.num_labeled,
        accuracy=_balanced_accuracy(probabilities, shows),
        found=report,
    )


def _check_enough(names: Sequence[str], moments: Sequence[LabeledMoment], matched: MatchedClips, source: Path) -> None:
    """Refuse a tag with fewer than two moments: cross-validation needs one to fit and one to test."""
    for tag in names:
        if (count := len(matched.groups_of(tag))) < 2:
            lines = ", ".join(str(moment.line) for moment in moments if moment.tag == tag)
            raise UsageError(
                f"got {count} moment{'s' * (count != 1)} of {tag!r} that clips show (lines: {lines}), "
                "expected 2 or more that do not overlap, so that one can be checked by what the others teach; mark another",
                argument="examples",
                value=source,
            )


def _make_training_set(
    tables: Tables,
    config: LibraryConfig,
    matched: MatchedClips,
    names: Sequence[str],
    clips: pa.Table,
    seed: int,
    source: Path,
) -> _TrainingSet:
    """The labeled clips, and as many sampled negatives as the tag with the fewest labeled negatives needs."""
    library_ids = clips["clip_id"].to_numpy()  # by path and time: a copy of the library elsewhere gives the same sample
    sampled = _sample_negatives(library_ids, matched, names, seed, source)
    # The sampled clips of one video are a group of their own.
    paths = clips["path"].take(pa.array(sampled)).to_pylist()
    first_group = int(matched.groups.max()) + 1
    group_of = {path: first_group + number for number, path in enumerate(sorted(set(paths)))}
    clip_ids = np.concatenate([matched.clip_ids, library_ids[sampled]])
    embeddings = (batch.vectors for batch in embedded_clips(tables, config.embedding_dim, library_ids))
    whitening = whitening_matrix(embeddings, config.embedding_dim)
    return _TrainingSet(
        _vectors(tables, config, clip_ids) @ whitening,
        whitening,
        np.concatenate([matched.groups, np.array([group_of[path] for path in paths], np.int64)]),
        {tag: np.concatenate([matched.shows[tag], np.zeros(len(sampled), bool)]) for tag in names},
        len(matched.clip_ids),
    )


def _sample_negatives(
    library_ids: NDArray[np.int64], matched: MatchedClips, names: Sequence[str], seed: int, source: Path
) -> NDArray[np.int64]:
    """Places in ``library_ids`` of clips that no labeled moment overlaps, ascending.

    Raises:
        UsageError: there is none, and a tag has no other negatives either.
    """
    num_labeled = len(matched.clip_ids)
    num_positives = [int(matched.shows[tag].sum()) for tag in names]
    num_negatives = max(
        max(_NEGATIVES_PER_POSITIVE * count, _MIN_NEGATIVES) - (num_labeled - count) for count in num_positives
    )
    unlabeled = np.flatnonzero(~np.isin(library_ids, matched.overlapping_clip_ids))
    sampled = np.sort(np.random.default_rng(seed).permutation(unlabeled)[: max(0, num_negatives)])
    if len(sampled) == 0 and num_labeled in num_positives:
        tag = names[num_positives.index(num_labeled)]
        raise UsageError(
            f"the library has no clip to tell {tag!r} from; mark moments of other tags, or ingest other videos too",
            argument="examples",
            value=source,
        )
    return sampled


def _vectors(tables: Tables, config: LibraryConfig, clip_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Embeddings, float64 [n, dim], in the order of ``clip_ids``."""
    batches = list(embedded_clips(tables, config.embedding_dim, np.unique(clip_ids)))
    ids = np.concatenate([batch.clip_ids for batch in batches])
    order = np.argsort(ids)
    places = order[np.searchsorted(ids[order], clip_ids)]
    vectors: NDArray[np.float64] = np.concatenate([batch.vectors for batch in batches])[places].astype(np.float64)
    return vectors


def _definition(tag: str, training_set: _TrainingSet, matched: MatchedClips, config: LibraryConfig) -> TagDefinition:
    """A tag as weights and a bias, for embeddings as the library stores them."""
    probe = fit(training_set.vectors, training_set.shows[tag])
    return TagDefinition(
        name=tag,
        weights=tuple((training_set.whitening @ probe.weights).tolist()),
        bias=probe.bias,
        embedder=config.embedder.stamp,
        moments=len(matched.groups_of(tag)),
    )


def _cross_validate(
    training_set: _TrainingSet, matched: MatchedClips, names: Sequence[str], seed: int
) -> tuple[dict[str, NDArray[np.float64]], int]:
    """For each tag the cross-validated probability of every clip, and the number of folds."""
    groups_of = [matched.groups_of(tag) for tag in names]
    num_folds = min(_MAX_FOLDS, min(map(len, groups_of)))
    fold_of = assign_folds([*groups_of, np.unique(training_set.groups)], num_folds, seed)
    folds = np.array([fold_of[group] for group in training_set.groups.tolist()], np.int64)
    vectors, shows = training_set.vectors, training_set.shows
    return {tag: cross_validated_probabilities(vectors, shows[tag], folds) for tag in names}, num_folds


def _balanced_accuracy(probabilities: NDArray[np.float64], shows: NDArray[np.bool_]) -> float:
    """The mean of the accuracies on positives and on negatives; NaN probabilities do not count."""
    right = (probabilities >= LIKELY) == shows
    known = ~np.isnan(probabilities)
    accuracies = [right[known & of_class].mean() for of_class in (shows, ~shows) if (known & of_class).any()]
    return float(np.mean(accuracies))


def _top_accuracy(probabilities: dict[str, NDArray[np.float64]], training_set: _TrainingSet) -> float:
    """Of the clips that show one of the tags, the share whose highest probability is of a tag that they show."""
    shows = np.stack(list(training_set.shows.values()), axis=1)
    labeled = shows.any(axis=1)
    best = np.nan_to_num(np.stack(list(probabilities.values()), axis=1)[labeled], nan=-1.0).argmax(axis=1)
    return float(shows[labeled][np.arange(labeled.sum()), best].mean())
