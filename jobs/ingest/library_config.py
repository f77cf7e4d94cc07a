"""The models and sampling that an ingest asks for, which have to be those that the library was made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from index.object_store import library_folder
from index.storage.config import AnnotatorTable, LibraryConfig, read_library_config, write_library_config
from index.storage.paths import Library
from pipeline.annotators import Annotator
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import embedder_family
from pipeline.models.known import licence_note
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_classifier, check_embedder, check_frames
from pipeline.models.views import check_views
from schemas.errors import LibraryError, UsageError
from schemas.models import Checkpoint
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER, FeatureKind, Sampling, ShotDetector


def choose_library_config(
    known: LibraryConfig | None,
    *,
    classifier: str | None = None,
    embedder: str | None = None,
    window_s: float | None = None,
    stride_s: float | None = None,
    features: FeatureKind | None = None,
    dim: int | None = None,
    frames: int | None = None,
    views: int | None = None,
    annotators: Sequence[Annotator] = (),
    labels_from: str | Path | None = None,
    shots: ShotDetector | None = None,
) -> LibraryConfig:
    """The models, sampling and features that are asked for; for what is not, the library's own, or the defaults.

    Args:
        known: the library's; None for a new one.
        classifier: hub id or folder.
        embedder: likewise.
        window_s: length of a clip in seconds.
        stride_s: seconds from one clip's start to the next one's; by default the window, where that is given.
        features: how to keep them; by default int8 where the embedder has a rerank score.
        dim: the number of dimensions to cut embeddings to.
        frames: frames of a clip that the classifier is shown; by default as many as it was trained with.
        views: parts of a clip that it is shown one by one; by default the whole clip at once.
        annotators: those beside the classifier and the embedder.
        shots: what finds the shots that clips are cut at; by default none.
        labels_from: a library that says what else the classifier and the sampling of a new one are.

    Raises:
        ModelError: a model cannot be found.
        UsageError: the sampling is out of its range, features cannot be kept or embeddings not be cut in this way, an
            annotator's table has the name of another's, or ``labels_from`` is not a library with the same classifier and
            sampling.
        LibraryError: the library was made otherwise.
    """
    labelled = None if labels_from is None else _config_of(labels_from)
    sampling = _sampling(known or labelled, window_s, stride_s)
    sampling = sampling if shots is None else replace(sampling, shots=shots)
    named = (
        classifier
        or embedder
        or (dim, frames, views) != (None, None, None)
        or features not in (None, known.features if known else None)
    )
    tables = _annotator_tables(annotators)
    as_known = known is not None and not named and (sampling, tables) == (known.sampling, known.annotator_tables)
    if known is not None and as_known and labelled is None:
        return known
    of_labels = known or labelled
    requested = LibraryConfig(
        of_labels.classifier
        if of_labels and not classifier
        else find_checkpoint(classifier or DEFAULT_CLASSIFIER, "classifier"),
        known.embedder if known and not embedder else find_checkpoint(embedder or DEFAULT_EMBEDDER, "embedder"),
        sampling,
    )
    check_classifier(requested.classifier)
    requested = replace(requested, classifier=_shown(of_labels, requested.classifier, frames, views))
    requested = replace(requested, embedder=_cut(known, requested.embedder, dim))
    requested = replace(requested, features=_features(known, requested.embedder, features))
    try:
        requested = replace(requested, annotator_tables=tables)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    if known is not None:
        _check_same(known, requested)
    if labelled is not None:
        _check_labelled(labelled, requested)
    return requested


def _config_of(location: str | Path) -> LibraryConfig:
    """The models and the sampling of the library whose labels are to be kept."""
    try:
        library = Library(library_folder(location))
        config = read_library_config(library)
    except (LibraryError, UsageError) as exc:
        raise UsageError(exc.message, argument="labels_from") from exc
    if config is None:
        message = "is not a vidsift library; give the folder or address of one that was ingested before"
        raise UsageError(message, argument="labels_from", value=library.shown)
    return config


def _check_labelled(labelled: LibraryConfig, requested: LibraryConfig) -> None:
    """Check that the clips of both libraries have the same seconds and the same classifier."""
    if labelled.sampling != requested.sampling:
        got, expected = (
            f"clips of {of.sampling.window_s:g} s every {of.sampling.stride_s:g} s" for of in (labelled, requested)
        )
        difference = f"got a library with {got}, expected {expected}"
    elif labelled.classifier.num_frames != requested.classifier.num_frames:
        shown = [str(of.classifier.num_frames or "the model's own") for of in (labelled, requested)]
        difference = f"got labels from {shown[0]} frames of a clip, expected {shown[1]}"
    elif labelled.classifier.views != requested.classifier.views:
        shown = [f"{of.classifier.views or 'no'} views" for of in (labelled, requested)]
        difference = f"got labels from {shown[0]} of a clip, expected {shown[1]}"
    elif labelled.classifier.sha256 != requested.classifier.sha256:
        difference = f"got labels of {labelled.classifier.stamp}, expected those of {requested.classifier.stamp}"
    else:
        return
    raise UsageError(f"{difference}, as this library has them; leave the option out", argument="labels_from")


def _annotator_tables(annotators: Sequence[Annotator]) -> tuple[AnnotatorTable, ...]:
    """The tables of annotators beside the pair."""
    return tuple(
        AnnotatorTable(annotator.name, table, tuple(columns.names))
        for annotator in annotators
        for table, columns in annotator.fills.items()
    )


def licence_notes(config: LibraryConfig) -> list[str]:
    """Sentences about those models of a library whose licences forbid commercial use."""
    notes = map(licence_note, (config.classifier.name, config.embedder.name))
    return [sentence for sentence in notes if sentence is not None]


def _sampling(known: LibraryConfig | None, window_s: float | None, stride_s: float | None) -> Sampling:
    """The sampling asked for; else the library's own. The stride of a window that is asked for is its length."""
    if known is not None and window_s is None:
        return replace(known.sampling, stride_s=known.sampling.stride_s if stride_s is None else stride_s)
    window_s = Sampling().window_s if window_s is None else window_s
    stride_s = window_s if stride_s is None else stride_s
    return Sampling(window_s=window_s, stride_s=stride_s, shots="none" if known is None else known.sampling.shots)


def _shown(known: LibraryConfig | None, classifier: Checkpoint, frames: int | None, views: int | None) -> Checkpoint:
    """The classifier with the numbers of frames and views asked for; else with the library's, where it is the library's.

    Raises:
        UsageError: it cannot be shown that many.
    """
    if known is not None and classifier.sha256 == known.classifier.sha256:
        classifier = replace(classifier, num_frames=known.classifier.num_frames, views=known.classifier.views)
    if views is not None:
        check_views(classifier, views)
        classifier = replace(classifier, views=views)
    if frames is None:
        return classifier
    check_frames(classifier, frames)
    own = read_preprocessing(replace(classifier, num_frames=None), "classifier").input.num_frames
    return replace(classifier, num_frames=None if frames == own else frames)


def _cut(known: LibraryConfig | None, embedder: Checkpoint, dim: int | None) -> Checkpoint:
    """The embedder with the dimension asked for; else with that of the library, where it is the library's.

    Raises:
        ModelError: as for `check_embedder`.
        UsageError: its embeddings cannot be cut, or have fewer dimensions.
    """
    family = check_embedder(embedder)
    if known is not None and embedder.sha256 == known.embedder.sha256:
        return replace(embedder, embedding_dim=known.embedding_dim if dim is None else dim)
    if dim is None:
        return embedder
    if not family.cut_dims:
        raise UsageError(
            f"embeddings of type {embedder.model_type!r} cannot be cut; leave the option out, or take an `embedder` that "
            "was trained for it, such as Qwen/Qwen3-VL-Embedding-2B",
            argument="dim",
        )
    if not 1 <= dim <= (embedder.embedding_dim or 0):
        raise UsageError(f"got {dim}, expected 1 to {embedder.embedding_dim}, which the model has", argument="dim")
    return replace(embedder, embedding_dim=dim)


def _features(known: LibraryConfig | None, embedder: Checkpoint, asked: FeatureKind | None) -> FeatureKind:
    """How to keep features, where ``asked`` is what the user asks for.

    Raises:
        UsageError: there is no such way, or the embedder has no rerank score to keep them for.
    """
    family = embedder_family(embedder.model_type)
    has_rerank_score = family is not None and family.rerank
    if asked is None:
        return known.features if known else "int8" if has_rerank_score else "none"
    if asked not in get_args(FeatureKind):
        raise UsageError(f"got {asked!r}, expected {', '.join(get_args(FeatureKind))}", argument="features")
    if asked != "none" and not has_rerank_score:
        raise UsageError(
            f"got {asked}, expected none, since embedders of type {embedder.model_type!r} have no rerank "
            "score; leave `features` out",
            argument="features",
        )
    return asked


def _check_same(known: LibraryConfig, requested: LibraryConfig) -> None:
    if differences := known.differences(requested):
        raise LibraryError(
            f"{'; '.join(differences)}. All clips of a library are made in the same way: "
            "leave the option out to use the library's own, or ingest into a new folder"
        )


def ensure_library_config(library: Library, requested: LibraryConfig) -> LibraryConfig:
    """Write library.json, or see that the library was made with the same. To be called under the lock.

    Raises:
        LibraryError: another ingest has made it with something else meanwhile.
    """
    known = read_library_config(library)
    if known is None:
        write_library_config(library, requested)
        return requested
    _check_same(known, requested)
    return known
