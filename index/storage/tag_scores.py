"""Brings ``tags`` up to date: every visible clip gets a score for every tag of the library.

The scores follow from tags.json and the clips' embeddings alone. So no model is loaded, and where a job was stopped
anywhere, the next one that publishes completes the table. Where it is known which clips lack scores, no others are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions
from index.storage.transactions import read_columns, read_with_files
from index.storage.working_copies import local_files
from schemas.errors import LibraryError
from schemas.tables import CLIPS, TAGS
from schemas.tags import TagDefinition

_BATCH_CLIPS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Unscored:
    """Clips that lack the scores of all tags, where it is known that no others do.

    Attributes:
        video_ids: of their videos, whose clips all lack them.
        files: Parquet files of ``clips`` that have these, and may have others.
    """

    video_ids: pa.Array
    files: Sequence[str]


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


def settle_tags(library: Library, tables: Tables, config: LibraryConfig, unscored: Unscored | None = None) -> pa.Array:
    """Score the clips that lack the score of a tag, and delete the scores of definitions that the library no longer has.

    Args:
        library: whose tags.
        tables: of the library.
        config: of the library.
        unscored: the clips to score, where it is known that there is nothing else to do; None looks at every clip.

    Returns:
        The ids of the videos whose clips got scores.

    Raises:
        LibraryError: tags.json is damaged or made for another embedder, or the tables cannot be read or written.
    """
    definitions = checked_definitions(library, config)
    if not definitions:
        tables.tags.keep([])
        return pa.array([], pa.string())
    if unscored is not None:
        batches = _embedded(unscored.files, config.embedding_dim, video_ids=unscored.video_ids)
        lacks, scored = [_Lack(tag) for tag in definitions], unscored.video_ids
    else:
        lacks, clips = _find_lacks(tables, definitions)
        files = [clips.files[number] for number in sorted(pc.unique(clips.rows["file"]).to_pylist())]
        batches = _embedded(files, config.embedding_dim, clip_ids=pc.unique(clips.rows["clip_id"]))
        scored = pc.unique(clips.rows["video_id"]).cast(pa.string())
    first = next(batches, None) if len(scored) else None
    if first is not None:
        tables.tags.append(_rows(chain([first], batches), lacks))
    return scored


class _Lack(NamedTuple):
    """A tag, and the ids of the clips that lack its score, ascending; None for all that are looked at."""

    tag: TagDefinition
    clip_ids: NDArray[np.int64] | None = None


class _StoredClips(NamedTuple):
    """Clips - clip_id, video_id and file, a number - and the paths of the files."""

    rows: pa.Table
    files: list[str]


def _find_lacks(tables: Tables, definitions: Sequence[TagDefinition]) -> tuple[list[_Lack], _StoredClips]:
    """The tags that a clip lacks, and the clips that lack one, by reading the ids of all; deletes other tags' scores."""
    scored = tables.tags.scored()
    digests = pa.array([tag.digest for tag in definitions], pa.string())
    if not pc.all(pc.is_in(scored["definition"], value_set=digests), min_count=0).as_py():
        tables.tags.keep(digests.to_pylist())
    with tables.tags.explained():
        rows, names = read_with_files(tables.clips, ["clip_id", "video_id"])
        owners = pc.unique(read_columns(tables.videos, ["video_id"])["video_id"])
    rows = rows.filter(pc.is_in(rows["video_id"], value_set=owners))
    lacks = []
    for tag in definitions:
        done = scored["clip_id"].filter(pc.equal(scored["definition"], tag.digest))
        # By Arrow: NumPy's routines for sets take seconds for a million.
        lacks.append(~pc.is_in(rows["clip_id"], value_set=done.combine_chunks()).to_numpy())
    lacks_any = np.logical_or.reduce(lacks)
    clip_ids = rows["clip_id"].to_numpy()
    of_tags = [
        _Lack(tag, None if np.array_equal(lacking, lacks_any) else np.sort(clip_ids[lacking]))
        for tag, lacking in zip(definitions, lacks, strict=True)
        if lacking.any()
    ]
    paths = {Path(path).name: path for path in tables.parquet_files()[1]}
    return of_tags, _StoredClips(rows.filter(pa.array(lacks_any)), [paths[name] for name in names])


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
        clips = _clips(tables.parquet_files()[1]).to_table(columns)
        # Not as a filter of the dataset: files that Delta Lake has rewritten have texts of another type, whose statistics
        # Arrow cannot compare with these.
        return clips.filter(pc.is_in(clips["video_id"], value_set=owners))


def embedded_clips(tables: Tables, dim: int, clip_ids: NDArray[np.int64]) -> Iterator[Embedded]:
    """The clips with these ids and their embeddings, in batches, in the order in which they are stored."""
    return _embedded(tables.parquet_files()[1], dim, clip_ids=pa.array(clip_ids, pa.int64()))


def _embedded(
    files: Sequence[str], dim: int, *, clip_ids: pa.Array | None = None, video_ids: pa.Array | None = None
) -> Iterator[Embedded]:
    """The clips in these files that have one of these ids, or are of one of these videos."""
    columns, clips = ["clip_id", "video_id", "embedding"], _clips(files)
    has_id = None if clip_ids is None else pc.field("clip_id").isin(clip_ids)
    for batch in clips.to_batches(columns, has_id, batch_size=_BATCH_CLIPS, batch_readahead=2, fragment_readahead=2):
        # Not as a filter of the dataset: files that Delta Lake has rewritten have texts of another type, whose statistics
        # Arrow cannot compare with these.
        if video_ids is not None:
            batch = batch.filter(pc.is_in(batch["video_id"], value_set=video_ids))
        if batch.num_rows:
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            yield Embedded(batch["clip_id"].to_numpy(), batch["video_id"], flat.reshape(-1, dim))


def scores(vectors: NDArray[np.float32], definitions: Sequence[TagDefinition]) -> NDArray[np.float32]:
    """Probabilities float32 [n, definitions] of embeddings float32 [n, dim], by `TagDefinition`.

    Those of a clip do not depend on the others: a product of matrices could differ in the last bit.
    """
    weights = np.array([tag.weights for tag in definitions], np.float64)
    logits = np.vecdot(vectors.astype(np.float64)[:, None], weights) + np.array([tag.bias for tag in definitions])
    return sigmoid(logits).astype(np.float32)


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logits)), without overflow of the exponential."""
    return np.exp(-np.logaddexp(0.0, -logits))


def _clips(files: Sequence[str]) -> dataset.Dataset:
    """Files of ``clips``."""
    files = local_files(files)
    return dataset.dataset(files, schema=CLIPS, format="parquet") if files else dataset.dataset(CLIPS.empty_table())


def _rows(clips: Iterator[Embedded], lacks: Sequence[_Lack]) -> Iterator[pa.RecordBatch]:
    for batch in clips:
        batch_scores = scores(batch.vectors, [tag for tag, _ in lacks])
        for column, (tag, clip_ids) in enumerate(lacks):
            lacking = np.ones(len(batch.clip_ids), bool) if clip_ids is None else _is_among(batch.clip_ids, clip_ids)
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


def _is_among(values: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values are among some others, of which there is at least one."""
    at = np.searchsorted(ascending, values).clip(max=len(ascending) - 1)
    return np.asarray(ascending[at] == values)
