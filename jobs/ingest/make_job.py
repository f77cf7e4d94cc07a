"""Makes the job that an ingest's workers run, from the library's configuration."""

from __future__ import annotations

from collections.abc import Sequence

from index.storage.config import LibraryConfig, read_library_config
from index.storage.paths import Library
from index.storage.working_copies import copy_of
from jobs.ingest.kept_labels import KeptLabels
from jobs.ingest.pace import Pace
from jobs.ingest.steps import Job
from pipeline.annotators import Annotator, ClassifierAnnotator, EmbedderAnnotator
from pipeline.models.checkpoint import locate
from pipeline.models.preprocessing import read_num_samples, read_preprocessing
from pipeline.models.registry import check_engine
from schemas.options import IngestOptions


def make_job(
    library: Library,
    requested: LibraryConfig,
    options: IngestOptions,
    pace: Pace | None = None,
    annotators: Sequence[Annotator] = (),
    labels_from: str | None = None,
) -> Job:
    """Make the job, after making sure that the models are still those the library was made with.

    Args:
        library: whose clips are to be made.
        requested: what this ingest asks for; it may name other folders of the same models.
        options: how to run.
        pace: how often to write.
        annotators: those beside the classifier and the embedder.
        labels_from: the absolute path, or the address, of a library with the same classifier and sampling, whose labels are
            kept.

    Raises:
        ModelError: a model is not where it was, or is not what it was.
        UsageError: the engine cannot run such models.
    """
    config = read_library_config(library) or requested
    where = requested.classifier.folder if requested.classifier != config.classifier else None
    classifier = locate(config.classifier, "classifier", where)
    where = requested.embedder.folder if requested.embedder != config.embedder else None
    embedder = locate(config.embedder, "embedder", where)
    check_engine(options.engine, classifier, embedder)
    shown = read_preprocessing(classifier, "classifier").input
    labels = ClassifierAnnotator(classifier, shown, num_samples=read_num_samples(classifier, "classifier"))
    pair: tuple[Annotator, ...] = (
        labels if labels_from is None else KeptLabels(labels, labels_from),
        EmbedderAnnotator(embedder, read_preprocessing(embedder, "embedder").input, config.features),
    )
    copy = copy_of(library.folder)
    return Job(
        (*pair, *annotators),
        config.sampling,
        library.folder.absolute(),
        options,
        pace=pace or Pace(),
        stored=None if copy is None else copy.tables,
    )
