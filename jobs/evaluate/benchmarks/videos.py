"""Finds the videos that a benchmark names among those of a library."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from index.sql.catalog import Catalog
from pipeline.sources import absolute_path, real_path
from pipeline.sources.paths import Paths, spelling
from schemas.errors import UsageError

_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class BenchmarkVideos:
    """The videos that a benchmark names.

    Attributes:
        ids: by name, the video id of those that the library has clips of.
        reasons: by name, why there is none of the others.
    """

    ids: dict[str, str]
    reasons: dict[str, str]


def find_videos(names: Iterable[str], folder: str, catalog: Catalog) -> BenchmarkVideos:
    """Find each name among the library's videos below a folder: it is the name of a file without the suffix.

    Where there is no such file, a name of ``x.avi`` is that of ``x.mp4`` too, as DiDeMo's films have been converted; and
    ActivityNet's ``v_x`` is that of ``x.mp4``.

    Args:
        names: as the benchmark has them.
        folder: the folder that was ingested.
        catalog: of the library.

    Raises:
        UsageError: the library has nothing below the folder, or none of the videos, or two of one name.
    """
    rows = {row["path"]: row for row in _rows_below(folder, catalog)}
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for path in rows:
        by_stem[os.path.splitext(os.path.basename(spelling(path)))[0]].append(path)
    ids, reasons = {}, {}
    for name in dict.fromkeys(names):
        paths = next((by_stem[stem] for stem in _stems(name) if stem in by_stem), [])
        if len(paths) > 1:
            message = (
                f"the library has two videos of the name {name!r}, {paths[0]!r} and {paths[1]!r}; give a folder with one"
            )
            raise UsageError(message, argument="videos", value=folder)
        row = rows[paths[0]] if paths else None
        if row is None:
            reasons[name] = "not in the library"
        elif not row["clip_count"]:
            reasons[name] = f"in the library, but without clips: {row['error'] or row['status']}"
        else:
            ids[name] = row["video_id"]
    if not ids:
        named = "; ".join(f"{name!r}: {reason}" for name, reason in list(reasons.items())[:_MAX_NAMED])
        message = (
            f"none of the benchmark's {len(reasons)} videos is among the {len(rows)} of the library below it ({named}); "
            f"the library has there, for example, {min(rows)!r}: give the folder of the benchmark's videos"
        )
        raise UsageError(message, argument="videos", value=folder)
    return BenchmarkVideos(ids, reasons)


def _rows_below(folder: str, catalog: Catalog) -> list[dict[str, Any]]:
    """The library's videos below a folder, in any spelling of it."""
    columns = "path, video_id, clip_count, status, error"
    rows = catalog.sql(f"select {columns} from videos order by path").to_pylist()
    absolute = absolute_path(folder)
    tops = tuple(spelling(top).rstrip("/") + "/" for top in (absolute, real_path(absolute)))
    below = [row for row in rows if spelling(row["path"]).startswith(tops)]
    if not below:
        instead = Paths(row["path"] for row in rows).instead(folder)
        message = f"the library has no video below it; {instead}; give the folder that was ingested"
        raise UsageError(message, argument="videos", value=folder)
    return below


def _stems(name: str) -> list[str]:
    """What the file of a video may be called, without its suffix, the likeliest first."""
    stem, suffix = os.path.splitext(spelling(name))
    without_suffix = [stem] if any(map(str.isalpha, suffix)) else []  # j7rJstUseKg_360.0_510.0 has none
    return [spelling(name), *without_suffix, spelling(name).removeprefix("v_")]
