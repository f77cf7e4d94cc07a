"""Embeds what is said and can be read in a library's videos, so that a search finds it in other words too.

The vectors are rows of the table ``passages``, made visible by annotations of their own (`schemas.channels.vectors_of`), so
that what is new is embedded by itself, and what is gone or has changed takes its vectors along.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from index.storage.config import LibraryConfig, TextEmbedder, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.annotate.passages import passages_of
from jobs.annotate.report import AnnotateReport, AnnotatorReport
from jobs.count_progress import CountProgress
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.sentence_format import ARGUMENT, read_sentence_format
from schemas.channels import ANNOTATIONS, PASSAGES, TEXT_ANNOTATORS, TEXT_TABLES, VECTOR_ANNOTATORS, vectors_of
from schemas.models import Checkpoint

if TYPE_CHECKING:
    from pipeline.models.embedders.sentences import SentenceEncoder

NONE = "none"
"""What is given in the place of a model to take the vectors out."""

# Changes with how texts become passages.
_VERSION = "1"

# Annotations whose texts are read at a time, and embedded before they are committed, in one transaction.
_TOGETHER = 64

# Questions and statements that have nothing to do with each other: what an encoder says of them is the zero of its scale.
_QUESTIONS = (
    "how to bake bread", "a football match", "the price of houses", "learning to swim", "a divorce", "quantum computers",
    "repairing a bicycle", "who won the election", "symptoms of a cold", "travelling by train", "a dog barks at the postman",
    "the history of Rome", "playing the guitar", "a storm at sea", "how to tie a tie", "a job interview",
)  # fmt: skip
_STATEMENTS = (
    "The invoice was sent to the wrong address.", "Please press the green button twice.", "My sister collects old stamps.",
    "They painted the fence white.", "The meeting was moved to Thursday.", "He forgot his umbrella in the theatre.",
    "The soup needs more salt.", "Photosynthesis happens in the leaves.", "Her shoes are made of leather.",
    "The museum is closed on Mondays.", "We ordered two coffees and a tea.", "The moon has no atmosphere.",
    "The lawyer read the contract aloud.", "There is a crack in the window.", "The baby is asleep.",
    "Our flight leaves from gate seven.",
)  # fmt: skip


def choose_text_embedder(library: Library, tables: Tables, config: LibraryConfig, name: str | None) -> LibraryConfig:
    """Enter a sentence encoder into library.json, or take it out with all vectors that it made.

    Args:
        library: the library.
        tables: its tables, opened for writing.
        config: library.json.
        name: hub id or folder; `NONE` takes it out, None leaves it as it is.

    Returns:
        What library.json holds now.

    Raises:
        ModelError: it cannot be found or loaded, or is no sentence encoder.
    """
    if name is None:
        return config
    if name == NONE:
        changed = replace(config, text_embedder=None)
    else:
        checkpoint = find_checkpoint(name, ARGUMENT)
        changed = replace(config, text_embedder=_entry(checkpoint, config.text_embedder))
    if changed != config:
        write_library_config(library, changed)
    tables.channels.drop_vectors(changed.text_embedder.version if changed.text_embedder else None)
    return changed


def _entry(checkpoint: Checkpoint, known: TextEmbedder | None) -> TextEmbedder:
    """What library.json says of a sentence encoder."""
    version = f"{_VERSION} {checkpoint.sha256[:16]} {read_sentence_format(checkpoint).text}"
    if known is not None and known.version == version and known.checkpoint.sha256 == checkpoint.sha256:
        return known._replace(checkpoint=checkpoint)
    encoder = _loaded(checkpoint)
    cosines = encoder.embed_queries(_QUESTIONS) @ encoder.embed_passages(_STATEMENTS).T
    return TextEmbedder(checkpoint, version, round(float(cosines.mean()), 6), round(float(cosines.std()), 6))


@lru_cache(maxsize=1)
def _loaded(checkpoint: Checkpoint) -> SentenceEncoder:
    from pipeline.models.embedders.sentences import SentenceEncoder

    return SentenceEncoder(checkpoint)


def embed_texts(
    tables: Tables,
    config: LibraryConfig,
    report: AnnotateReport,
    *,
    on_progress: Callable[[CountProgress], None] | None = None,
) -> None:
    """Embed the texts of a library that have no vectors yet, and commit these as they come. Nothing is published.

    Args:
        tables: the library's, opened for writing.
        config: library.json; without a text embedder, nothing is done.
        report: is completed, with a line for each annotator whose texts are embedded.
        on_progress: called after each transaction.

    Raises:
        ModelError: the encoder is not where it was, or is not what it was.
    """
    if config.text_embedder is None:
        return
    began = time.monotonic()
    embedder = config.text_embedder
    tables.channels.drop_vectors(embedder.version)  # a rollback may have brought others back
    pending = _pending(tables, report)
    if not pending:
        return
    tables.channels.create(["passages"])
    encoder = _loaded(_located(embedder.checkpoint))
    for begin in range(0, len(pending), _TOGETHER):
        _embed(tables, encoder, embedder.version, pending[begin : begin + _TOGETHER], report)
        if on_progress is not None:
            done = min(begin + _TOGETHER, len(pending))
            on_progress(CountProgress(done, len(pending), time.monotonic() - began, "texts of videos embedded"))
    tables.merge_small_files()
    report.wall_seconds += time.monotonic() - began


def _located(checkpoint: Checkpoint) -> Checkpoint:
    from pipeline.models.checkpoint import locate

    return locate(checkpoint, ARGUMENT)


def _pending(tables: Tables, report: AnnotateReport) -> list[dict[str, Any]]:
    """The annotations with texts that have no vectors yet."""
    rows = tables.channels.read_annotations(["annotation_id", "video_id", "annotator", "state", "num_rows"])
    rows = rows.filter(pc.is_in(rows["video_id"], value_set=tables.video_keys()["video_id"].combine_chunks()))
    vectors = rows.filter(pc.is_in(rows["annotator"], value_set=pa.array(VECTOR_ANNOTATORS)))
    embedded = set(vectors["state"].to_pylist())
    rows = rows.filter(pc.is_in(rows["annotator"], value_set=pa.array(TEXT_ANNOTATORS)))
    pending = []
    for row in rows.filter(pc.greater(rows["num_rows"], 0)).to_pylist():
        counts = report.annotators.setdefault(vectors_of(row["annotator"]), AnnotatorReport())
        if row["annotation_id"] in embedded:
            counts.unchanged += 1
        else:
            pending.append(row)
    return pending


def _embed(
    tables: Tables, encoder: SentenceEncoder, version: str, sources: Sequence[dict[str, Any]], report: AnnotateReport
) -> None:
    """Embed the texts of some annotations, and commit their vectors."""
    began = time.monotonic()
    by_source = {source["annotation_id"]: source for source in sources}
    found = list(_passages(tables, pa.array(by_source, pa.string())))
    vectors = encoder.embed_passages([passage["text"] for _, passage in found]).astype(np.float16)
    ids = {source: uuid.uuid4().hex[:16] for source in by_source}
    num_rows: dict[str, int] = defaultdict(int)
    rows = []
    for (source, passage), vector in zip(found, vectors, strict=True):
        num_rows[source] += 1
        key = {"annotation_id": ids[source], "video_id": by_source[source]["video_id"]}
        rows.append(key | passage | {"vector": vector.astype(np.float32)})
    wall_s = (time.monotonic() - began) / len(sources)
    annotations = []
    for source, row in by_source.items():
        counts = report.annotators[vectors_of(row["annotator"])]
        counts.done += 1
        counts.rows += num_rows[source]
        counts.busy_seconds += wall_s
        annotations.append(
            {
                "annotation_id": ids[source],
                "video_id": row["video_id"],
                "annotator": vectors_of(row["annotator"]),
                "version": version,
                "state": source,
                "status": "done",
                "num_rows": num_rows[source],
                "wall_s": wall_s,
                "annotated_at": datetime.now(UTC),
            }
        )
    table = pa.Table.from_pylist(rows, schema=PASSAGES)
    tables.channels.commit({"passages": [table]} if rows else {}, pa.Table.from_pylist(annotations, schema=ANNOTATIONS))


def _passages(tables: Tables, annotation_ids: pa.Array) -> Iterator[tuple[str, dict[str, Any]]]:
    """The passages of some annotations, each with the id of its annotation, without its vector."""
    for channel in TEXT_TABLES:
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        found = tables.channels.rows_of(channel, annotation_ids)
        columns = [name for name in ("annotation_id", "start_s", "end_s", "text", "language") if name in found.column_names]
        for row in found.select(columns).to_pylist():
            rows[row["annotation_id"]].append(row)
        for annotation_id, of_one in rows.items():
            for passage in passages_of(of_one):
                yield annotation_id, {"channel": channel} | passage._asdict()
