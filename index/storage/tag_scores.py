"""Brings ``tags`` up to date: every visible clip gets a score for every tag of the library.

The scores follow from tags.json and the clips' embeddings alone. So no model is loaded, and where a job was stopped
anywhere, the next one that publishes completes the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions
from index.storage.transactions import read_columns
from index.storage.working_copies import local_files
from schemas.errors import LibraryError
from schemas.tables import CLIPS, TAGS
from schemas.tags import TagDefinition

_BATCH_CLIPS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Clips and their embeddings.

    Attributes:
        clip_ids: int64 [n].
        video_ids: string [n].
        vectors: float32 [n, dim].
    """

    clip_ids: NDArray[np.int64]
    video_ids: pa.Array
    vectors: NDArray[np.float32]


def settle_tags(library: Library, tables: Tables, config: LibraryConfig) -> None:
    """Score the clips that lack the score of a tag, and delete the scores of definitions that the library no longer has.

    Raises:
        LibraryError: tags.json is damaged or made for another embedder, or the tables cannot be read or written.
    """
    definitions = checked_definitions(library, config)
    tables.tags.keep([tag.digest for tag in definitions])
    if not definitions:
        return
    scored = tables.tags.scored()
    done = {
        tag.digest: scored["clip_id"].filter(pc.equal(scored["definition"], tag.digest)).to_numpy() for tag in definitions
    }
    visible = visible_clips(tables)["clip_id"].to_numpy()
    lacking = [np.setdiff1d(visible, ids) for ids in done.values()]
    if any(map(len, lacking)):
        clip_ids = np.unique(np.concatenate(lacking))
        tables.tags.append(_rows(embedded_clips(tables, config.embedding_dim, clip_ids), definitions, done))


def checked_definitions(library: Library, config: LibraryConfig) -> tuple[TagDefinition, ...]:
    """The definitions of the library's tags.

    Raises:
        LibraryError: tags.json is damaged, or made for another embedder than the library's.
    """
    definitions = read_definitions(library).tags
    for tag in definitions:
        if tag.embedder != config.embedder.stamp or len(tag.weights) != config.embedding_dim:
            raise LibraryError(
                f"{str(library.tags_file)!r} has the tag {tag.name!r} for the embedder {tag.embedder} "
                f"({len(tag.weights)} dimensions), the library's is {config.embedder.stamp} ({config.embedding_dim}); "
                "restore the file, or delete it and tag again: no video is decoded"
            )
    return definitions


def visible_clips(tables: Tables) -> pa.Table:
    """Columns ``clip_id``, ``video_id``, ``start_s`` and ``end_s`` of the clips whose video has a row in ``videos``."""
    columns = ["clip_id", "video_id", "start_s", "end_s"]
    with tables.tags.explained():
        owners = pc.unique(read_columns(tables.videos, ["video_id"])["video_id"])
        clips = _clips(tables).to_table(columns)
        # Not as a filter of the dataset: files that Delta Lake has rewritten have texts of another type, whose statistics
        # Arrow cannot compare with these.
        return clips.filter(pc.is_in(clips["video_id"], value_set=owners))


def embedded_clips(tables: Tables, dim: int, clip_ids: NDArray[np.int64]) -> Iterator[Embedded]:
    """The clips with these ids and their embeddings, in batches, in the order in which they are stored."""
    has_id = pc.field("clip_id").isin(pa.array(clip_ids, pa.int64()))
    batches = _clips(tables).to_batches(["clip_id", "video_id", "embedding"], filter=has_id, batch_size=_BATCH_CLIPS)
    for batch in batches:
        if batch.num_rows:
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            yield Embedded(batch["clip_id"].to_numpy(), batch["video_id"], flat.reshape(-1, dim))


def scores(vectors: NDArray[np.float32], definitions: Sequence[TagDefinition]) -> NDArray[np.float32]:
    """Probabilities float32 [n, definitions] of embeddings float32 [n, dim], by `TagDefinition`."""
    weights = np.array([tag.weights for tag in definitions], np.float64).T
    logits = vectors.astype(np.float64) @ weights + np.array([tag.bias for tag in definitions])
    return sigmoid(logits).astype(np.float32)


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logits)), without overflow of the exponential."""
    return np.exp(-np.logaddexp(0.0, -logits))


def _clips(tables: Tables) -> dataset.Dataset:
    files = local_files(tables.parquet_files()[1])
    return dataset.dataset(files, schema=CLIPS, format="parquet") if files else dataset.dataset(CLIPS.empty_table())


def _rows(
    clips: Iterator[Embedded], definitions: Sequence[TagDefinition], done: dict[str, NDArray[np.int64]]
) -> Iterator[pa.RecordBatch]:
    for batch in clips:
        batch_scores = scores(batch.vectors, definitions)
        for column, tag in enumerate(definitions):
            lacking = ~np.isin(batch.clip_ids, done[tag.digest])
            count = int(lacking.sum())
            texts = [pa.repeat(pa.scalar(text, pa.string()), count) for text in (tag.prompt, tag.model, tag.digest)]
            columns = [
                pa.array(batch.clip_ids[lacking]),
                batch.video_ids.filter(pa.array(lacking)),
                pa.repeat(pa.scalar(tag.name, pa.string()), count),
                pa.array(batch_scores[lacking, column]),
                *texts,
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=TAGS)
