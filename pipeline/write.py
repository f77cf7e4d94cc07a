"""Writes rows of clips as one Parquet file for each table, to be committed by whoever runs the job."""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.records import ClipRow, Written, WrittenFile
from schemas.tables import annotator_table, clips_table, features_table


def write_clips(
    rows: Sequence[ClipRow],
    folder: Path,
    *,
    classifier: str,
    embedder: str,
    features_folder: Path | None = None,
    annotator_tables: Mapping[Path, pa.Schema] | None = None,
) -> Written:
    """Write ``rows`` to a new file in ``folder``, and what belongs to other tables to one in each of their folders.

    A file belongs to its table only once its name is committed. One that never is does no harm.

    Args:
        rows: at least one.
        folder: the clips table's folder.
        classifier: stamp of the model behind the labels.
        embedder: stamp of the model behind the embeddings.
        features_folder: the features table's folder; None where the library keeps none.
        annotator_tables: the columns of annotators' own tables, by the table's folder, which has the table's name.

    Raises:
        OSError: a file cannot be written.
    """
    annotators = {
        table.name: _write(annotator_table(rows, table.name, columns), table)
        for table, columns in (annotator_tables or {}).items()
    }
    features = None if features_folder is None else _write(features_table(rows), features_folder)
    written = _write(clips_table(rows, classifier=classifier, embedder=embedder), folder)
    clip_ids: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        clip_ids[row.video_id].append(row.clip_id)
    return Written(*written, {video_id: tuple(ids) for video_id, ids in clip_ids.items()}, features, annotators)


def _write(table: pa.Table, folder: Path) -> WrittenFile:
    name = f"part-{uuid.uuid4().hex}.parquet"
    path = folder / name
    with path.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd")
        stream.flush()
        os.fsync(stream.fileno())
    return WrittenFile(name, path.stat().st_size)
