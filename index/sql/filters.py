"""Finds the clips that meet a condition that a user wrote in SQL.

A condition sees the columns of ``clips`` and ``videos``, where ``label`` is a clip's best label. One that names a column
which only ``labels`` has (``rank``, ``score``, ``model``) sees the clip's rows of that table instead, and holds for a clip
of which any one row meets all of it: ``label = 'waving' and rank <= 3``. The same goes for ``tags`` (``tag``, ``prompt``,
``score``, ``model``). Any other condition can be written as a sub-select: ``clip_id in (select ...)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.sql.catalog import Catalog
from schemas.errors import UnknownNameError

_TIMEOUT_S = 60.0

_LABELS = "labels join (select * exclude (label) from clips) clips using (clip_id, video_id, path, start_s, end_s)"
_KEYS = "using (clip_id, video_id, path, start_s, end_s)"
# A condition is applied to the first of these sources that has all columns it names; the first two have every clip once.
_SOURCES = (
    "select clip_id from clips",
    "select clip_id from clips join videos using (video_id, path)",
    f"select distinct clip_id from {_LABELS} join videos using (video_id, path)",
    f"select distinct clip_id from clips join tags {_KEYS} join videos using (video_id, path)",
    f"select distinct clip_id from {_LABELS} join tags {_KEYS} join videos using (video_id, path)",
)


def passing_clips(catalog: Catalog, condition: str) -> NDArray[np.int64]:
    """The ids of the clips that meet ``condition``, each once, in no order.

    Raises:
        QueryError: it is not a condition over these tables, or takes too long.
    """
    name_errors: list[UnknownNameError] = []
    for source in _SOURCES:
        try:
            clips = catalog.sql(f"{source} where (\n{condition}\n)", timeout_s=_TIMEOUT_S, argument="--where")
        except UnknownNameError as exc:
            name_errors.append(exc)
            continue
        return np.asarray(clips["clip_id"].to_numpy(), np.int64)
    raise name_errors[1]  # about the columns of clips and videos, which nearly every condition names
