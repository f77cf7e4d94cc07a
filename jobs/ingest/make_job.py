"""Makes the job that an ingest's workers run, from the library's configuration."""

from __future__ import annotations

from index.storage.config import LibraryConfig, read_library_config
from index.storage.paths import Library
from jobs.ingest.pace import Pace
from jobs.ingest.steps import Job
from pipeline.models import check_engine
from pipeline.models.checkpoint import locate
from pipeline.models.preprocessing import read_preprocessing
from pipeline.sampling import distinct_inputs
from schemas.options import IngestOptions


def make_job(library: Library, wanted: LibraryConfig, options: IngestOptions, pace: Pace) -> Job:
    """Make the job, after making sure that the models are still those the library was made with.

    Args:
        library: whose clips are to be made.
        wanted: what this ingest asks for; it may name other folders of the same models.
        options: how to run.
        pace: how often to write.

    Raises:
        ModelError: a model is not where it was, or is not what it was.
        UsageError: the engine cannot run such models.
    """
    config = read_library_config(library) or wanted
    where = wanted.classifier.folder if wanted.classifier != config.classifier else None
    classifier = locate(config.classifier, "--classifier", where)
    where = wanted.embedder.folder if wanted.embedder != config.embedder else None
    embedder = locate(config.embedder, "--embedder", where)
    check_engine(options.engine, embedder)
    inputs = [
        read_preprocessing(classifier, "--classifier").input,
        read_preprocessing(embedder, "--embedder").input,
    ]
    return Job(
        classifier,
        embedder,
        config.sampling,
        distinct_inputs(inputs),
        library.clips.absolute(),
        options,
        features=config.features,
        features_folder=None if config.features == "none" else library.features.absolute(),
        pace=pace,
    )
