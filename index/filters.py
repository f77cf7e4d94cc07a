"""Which clips meet a condition that a user wrote in SQL.

A condition sees the columns of ``clips`` and ``videos``, where ``label`` is a clip's best label. One that names a column
which only ``labels`` has (``rank``, ``score``, ``model``) sees the clip's rows of that table instead, and holds for a clip
of which any one row meets all of it: ``label = 'waving' and rank <= 3``. The same goes for ``tags`` (``tag``, ``prompt``,
``score``, ``model``). Whatever else is wanted can be written as a sub-select: ``clip_id in (select ...)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from schemas.errors import QueryError, UnknownNameError

_TIMEOUT_S = 60.0

_LABELS = "labels join (select * exclude (label) from clips) clips using (clip_id, video_id, path, start_s, end_s)"
_KEYS = "using (clip_id, video_id, path, start_s, end_s)"
# The first in which all names of the condition mean something.
_SOURCES = ("clips", _LABELS, f"clips join tags {_KEYS}", f"{_LABELS} join tags {_KEYS}")


def passing_clips(catalog: Catalog, condition: str) -> NDArray[np.int64]:
    """The ids of the clips that meet ``condition``, each once, in no order.

    Raises:
        QueryError: it is no condition over these tables, or takes too long.
    """
    first: QueryError | None = None
    for source in _SOURCES:
        query = f"select distinct clip_id from {source} join videos using (video_id, path) where (\n{condition}\n)"
        try:
            found = catalog.sql(query, timeout_s=_TIMEOUT_S, argument="--where")
        except UnknownNameError as exc:
            first = first or exc
            continue
        return np.asarray(found["clip_id"].to_numpy(), np.int64)
    assert first is not None
    raise first
