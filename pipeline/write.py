"""Write rows of clips as one Parquet file beside a table, to be committed by whoever runs the job."""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from schemas.records import ClipRow, Written
from schemas.tables import clips_table


def write_clips(rows: Sequence[ClipRow], folder: Path, *, classifier: str, embedder: str) -> Written:
    """Write ``rows`` to a new file in ``folder``.

    The file belongs to the table only once its name is committed; one that never is, is rubbish and harms nobody.

    Args:
        rows: at least one.
        folder: the table's folder.
        classifier: stamp of the model behind the labels.
        embedder: stamp of the model behind the embeddings.
    """
    name = f"part-{uuid.uuid4().hex}.parquet"
    path = folder / name
    with path.open("wb") as stream:
        pq.write_table(clips_table(rows, classifier=classifier, embedder=embedder), stream, compression="zstd")
        stream.flush()
        os.fsync(stream.fileno())
    clip_ids: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        clip_ids[row.video_id].append(row.clip_id)
    return Written(name, path.stat().st_size, {video_id: tuple(ids) for video_id, ids in clip_ids.items()})
