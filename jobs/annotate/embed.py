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

# Annotations whose texts are read at a time: each reading goes over the whole table.
_READ_TOGETHER = 256

# Passages after which those of whole annotations are committed: half a minute's work of one core.
_COMMITTED_TOGETHER = 2_000

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


_Row = dict[str, Any]


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
    done = 0
    for sources in _together(tables, pending):
        _embed(tables, encoder, embedder.version, sources, report)
        done += len(sources)
        if on_progress is not None:
            elapsed_s = time.monotonic() - began
            on_progress(CountProgress(done, len(pending), elapsed_s, "texts of videos embedded"))
    tables.merge_small_files()
    report.wall_seconds += time.monotonic() - began


def _located(checkpoint: Checkpoint) -> Checkpoint:
    from pipeline.models.checkpoint import locate

    return locate(checkpoint, ARGUMENT)


def _pending(tables: Tables, report: AnnotateReport) -> list[_Row]:
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


def _together(tables: Tables, pending: Sequence[_Row]) -> Iterator[list[tuple[_Row, list[_Row]]]]:
    """Annotations with their passages, those together that are to be committed together."""
    for begin in range(0, len(pending), _READ_TOGETHER):
        read = pending[begin : begin + _READ_TOGETHER]
        passages = _passages(tables, pa.array([row["annotation_id"] for row in read], pa.string()))
        group: list[tuple[_Row, list[_Row]]] = []
        for row in read:
            group.append((row, passages[row["annotation_id"]]))
            if sum(len(of_one) for _, of_one in group) >= _COMMITTED_TOGETHER:
                yield group
                group = []
        if group:
            yield group


def _embed(
    tables: Tables,
    encoder: SentenceEncoder,
    version: str,
    sources: Sequence[tuple[_Row, list[_Row]]],
    report: AnnotateReport,
) -> None:
    """Embed the passages of some annotations, and commit their vectors."""
    began = time.monotonic()
    texts = [passage["text"] for _, passages in sources for passage in passages]
    vectors = iter(encoder.embed_passages(texts).astype(np.float16).astype(np.float32))
    wall_s = (time.monotonic() - began) / len(sources)
    rows, annotations = [], []
    for source, passages in sources:
        counts = report.annotators[vectors_of(source["annotator"])]
        counts.done += 1
        counts.rows += len(passages)
        counts.busy_seconds += wall_s
        key = {"annotation_id": uuid.uuid4().hex[:16], "video_id": source["video_id"]}
        rows += [key | passage | {"vector": next(vectors)} for passage in passages]
        annotations.append(
            key
            | {
                "annotator": vectors_of(source["annotator"]),
                "version": version,
                "state": source["annotation_id"],
                "status": "done",
                "num_rows": len(passages),
                "wall_s": wall_s,
                "annotated_at": datetime.now(UTC),
            }
        )
    table = pa.Table.from_pylist(rows, schema=PASSAGES)
    tables.channels.commit({"passages": [table]} if rows else {}, pa.Table.from_pylist(annotations, schema=ANNOTATIONS))


def _passages(tables: Tables, annotation_ids: pa.Array) -> dict[str, list[_Row]]:
    """The passages of some annotations by the id of their annotation, without their vectors."""
    passages: dict[str, list[_Row]] = defaultdict(list)
    for channel in TEXT_TABLES:
        rows: dict[str, list[_Row]] = defaultdict(list)
        found = tables.channels.rows_of(channel, annotation_ids)
        columns = [name for name in ("annotation_id", "start_s", "end_s", "text", "language") if name in found.column_names]
        for row in found.select(columns).to_pylist():
            rows[row["annotation_id"]].append(row)
        for annotation_id, of_one in rows.items():
            passages[annotation_id] += [{"channel": channel} | passage._asdict() for passage in passages_of(of_one)]
    return passages
