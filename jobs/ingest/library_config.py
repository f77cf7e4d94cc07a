"""What an ingest is asked to make clips with, and whether the library was made with the same."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from index.storage.config import LibraryConfig, read_library_config, write_library_config
from index.storage.paths import Library
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import embedder_family
from pipeline.models.registry import check_classifier, check_embedder
from schemas.errors import LibraryError, UsageError
from schemas.models import Checkpoint
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER, FeatureKind, Sampling


def sampling_of(known: LibraryConfig | None, window_s: float | None, stride_s: float | None) -> Sampling:
    """What was asked for; what was not is the library's own, and the stride of a window that was asked for is its length."""
    if known is not None and window_s is None:
        return replace(known.sampling, stride_s=known.sampling.stride_s if stride_s is None else stride_s)
    window_s = Sampling().window_s if window_s is None else window_s
    return Sampling(window_s=window_s, stride_s=window_s if stride_s is None else stride_s)


def identify(
    known: LibraryConfig | None,
    classifier: str | None,
    embedder: str | None,
    sampling: Sampling,
    features: FeatureKind | None,
) -> LibraryConfig:
    """The models, sampling and features that were asked for, where they agree with the library's.

    Args:
        known: the library's; None for a new one.
        classifier: hub id or folder; None takes the library's own, or the default.
        embedder: likewise.
        sampling: as `sampling_of` gives it.
        features: how to keep them; None takes the library's own, or int8 where the embedder has an exact score.

    Raises:
        ModelError: a model cannot be found.
        UsageError: features cannot be kept in this way.
        LibraryError: the library was made otherwise.
    """
    wanted = LibraryConfig(
        known.classifier if known and not classifier else find_checkpoint(classifier or DEFAULT_CLASSIFIER, "--classifier"),
        known.embedder if known and not embedder else find_checkpoint(embedder or DEFAULT_EMBEDDER, "--embedder"),
        sampling,
    )
    check_classifier(wanted.classifier)
    check_embedder(wanted.embedder)
    wanted = replace(wanted, features=_features(known, wanted.embedder, features))
    if known is not None:
        _check_same(known, wanted)
    return wanted


def _features(known: LibraryConfig | None, embedder: Checkpoint, asked: FeatureKind | None) -> FeatureKind:
    """How features are to be kept.

    Raises:
        UsageError: there is no such way, or the embedder has no exact score to keep them for.
    """
    family = embedder_family(embedder.model_type)
    has_rerank_score = family is not None and family.rerank
    if asked is None:
        return known.features if known else "int8" if has_rerank_score else "none"
    if asked not in get_args(FeatureKind):
        raise UsageError(f"--features: got {asked!r}, expected {', '.join(get_args(FeatureKind))}")
    if asked != "none" and not has_rerank_score:
        raise UsageError(
            f"--features: got {asked}, expected none, since embedders of type {embedder.model_type!r} have no exact "
            "score; leave --features out"
        )
    return asked


def _check_same(known: LibraryConfig, wanted: LibraryConfig) -> None:
    if differences := known.differences(wanted):
        raise LibraryError(
            f"--library: {'; '.join(differences)}. What clips were made with cannot be mixed, so a library has one of each: "
            "leave the option out to use the library's own, or ingest into a new folder"
        )


def ensure_library_config(library: Library, wanted: LibraryConfig) -> LibraryConfig:
    """Make the library ``wanted``'s, or see that it is. Under the lock: another ingest may have made it meanwhile.

    Raises:
        LibraryError: it is another's.
    """
    known = read_library_config(library)
    if known is None:
        write_library_config(library, wanted)
        return wanted
    _check_same(known, wanted)
    return known
