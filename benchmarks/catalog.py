"""The catalog's files compared: a DuckDB file for each segment, Parquet files for each segment, or one DuckDB file of all.

    python -m benchmarks.catalog --clips 1000000
    python -m benchmarks.catalog --clips 10000000 --folder /tmp/10m    # keeps the files there, and asks them again

Clips are made up: 4 s each, 100 in a video, 5 of 400 labels each, in five segments of which the largest has 60 %. For each
layout: seconds to write it and its size; then a process that opens it with no page of it in memory, looks up one clip and
ends; then queries in a process that has it open, each as the best of several, in milliseconds of wall time and of CPU time
over all threads, which a busy machine changes least. The last rows are what a search asks, of a DuckDB file for each segment
alone: rows that meet a condition, and clips by row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from index.snapshot.catalog_build import write_segment_catalog, write_videos
from index.sql import remembered
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from index.sql.filters import passing_mask
from tests.helpers.format_1 import write_catalog

_SHARES = (0.6, 0.25, 0.1, 0.04, 0.01)
_PER_VIDEO = 100
_MADE = """
copy (
  select (hash(i) >> 1)::bigint as clip_id, printf('%016x', i // {per_video}) as video_id,
    ((i - {begin}) // {per_video})::int as video, (4 * (i % {per_video}))::double as start_s,
    (4 * (i % {per_video}) + 4)::double as end_s,
    [{{'label': 'action number ' || (pow(hash(i + r * 7919) % 1000003 / 1000003, 3) * 400)::int,
      'score': (0.9 / (r + 1) * (1 - hash(i + r) % 1000 / 3000))::float}} for r in range(5)] as labels,
    'made@1c038c35' as classifier
  from range({begin}, {end}) t(i)
) to '{path}'
"""
_MADE_VIDEOS = """
copy (
  select printf('%016x', n) as video_id, '/mnt/videos/project ' || n // 500 || '/recording number ' || n || '.mp4' as path,
    ['h264', 'hevc', 'av1'][n % 3 + 1] as codec, 400.0::double as duration_s, {per_video} as clip_count, 'indexed' as status
  from range({count}) t(n)
) to '{path}'
"""
_PARQUET = {
    "clips": "select clip_id, video, start_s, end_s, label, label_score from clips",
    "labels": "select clip_id, video, start_s, end_s, rank, label, score, model from labels",
}

QUERIES = {
    "one clip by clip_id": "select * from clips where clip_id = {clip_id}",
    "its labels": "select * from labels where clip_id = {clip_id} order by rank",
    "group by label, over labels": "select label, count(*) as n from labels group by label order by n desc limit 5",
    "group by label, over clips": "select label, count(*) as n, avg(label_score) from clips group by label order by n",
    "one label's clips": "select clip_id, path, start_s from clips where label = 'action number 250'",
    "one label's best 20": "select path, start_s, score from labels where label = 'action number 250' and rank = 1 "
    "order by score desc limit 20",
    "one label's videos": "select path, count(*) as n from labels where label = 'action number 3' and score > 0.2 "
    "group by path order by n desc limit 10",
    "join with videos": "select v.codec, count(*), sum(c.end_s - c.start_s) from clips c join videos v using (video_id) "
    "group by v.codec",
    "one video by path": "select * from clips where path = '/mnt/videos/project 3/recording number 1507.mp4'",
    "count of clips": "select count(*) from clips",
    "count of labels": "select count(*) from labels",
    "any five clips": "select * from clips limit 5",
}
CONDITIONS = (
    "label_score > 0.75",
    "codec = 'h264'",
    "label = 'action number 250'",
    "label = 'action number 250' and rank < 4",
)


def make(folder: Path, clips: int) -> None:
    """Write the tables that catalogs are made from: Parquet files of each segment's clips, and of the videos."""
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection:
        begin = 0
        for number, share in enumerate(_SHARES):
            end = begin + max(1, round(clips * share / _PER_VIDEO)) * _PER_VIDEO
            path = folder / f"made-{number}.parquet"
            connection.execute(_MADE.format(begin=begin, end=end, per_video=_PER_VIDEO, path=path))
            begin = end
        path = folder / "made-videos.parquet"
        connection.execute(_MADE_VIDEOS.format(count=begin // _PER_VIDEO, per_video=_PER_VIDEO, path=path))


def files_of(folder: Path) -> CatalogFiles:
    """The files of the layout that vidsift has."""
    return CatalogFiles(folder / "segments-videos", [folder / f"segments-{number}" for number in range(len(_SHARES))])


def _write_segments(folder: Path) -> None:
    files, places = files_of(folder), []
    for number, path in enumerate(files.segments):
        made = pq.ParquetFile(folder / f"made-{number}.parquet")
        write_segment_catalog(path, made.iter_batches())
        of_segment = made.read(columns=["video_id", "video"]).group_by(["video_id", "video"]).aggregate([])
        places.append(of_segment.append_column("segment", pa.array([number] * len(of_segment), pa.int32())))
    write_videos(files.videos, [str(folder / "made-videos.parquet")], pa.concat_tables(places))


def _write_parquet(folder: Path) -> None:
    """The same rows in the same order as in a segment's DuckDB file, written from there."""
    files = files_of(folder)
    for number, path in enumerate(files.segments):
        with duckdb.connect(str(path), read_only=True) as connection:
            for table, select in _PARQUET.items():
                connection.execute(f"copy ({select}) to '{folder}/parquet-{table}-{number}' (format parquet, codec zstd)")
    (folder / "parquet-videos").write_bytes(files.videos.read_bytes())


def _write_one(folder: Path) -> None:
    clips = [str(folder / f"made-{number}.parquet") for number in range(len(_SHARES))]
    write_catalog(folder / "one-catalog", [str(folder / "made-videos.parquet")], clips)


class ParquetCatalog:
    """Views over Parquet files, as good as they get: the same ones that vidsift makes over DuckDB files."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(f"attach '{folder}/parquet-videos' as _videos (read_only)")
        self._connection.execute("create view videos as select * exclude (segment, video) from _videos.videos")
        names = (
            "select segment, video, any_value(video_id) as video_id, any_value(path) as path from _videos.live group by all"
        )
        for table in _PARQUET:
            parts = " union all ".join(
                f"select {number} as segment, * from read_parquet('{folder}/parquet-{table}-{number}')"
                for number in range(len(_SHARES))
            )
            self._connection.execute(
                f"create view {table} as "
                "select clip_id, video_id, path, * exclude (clip_id, video_id, path, segment, video) "
                f"from ({parts}) left join ({names}) using (segment, video)"
            )

    def sql(self, query: str) -> pa.Table:
        """The result of a query."""
        return self._connection.sql(query).to_arrow_table()


LAYOUTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "segments": (_write_segments, lambda folder: Catalog(files_of(folder))),
    "parquet": (_write_parquet, ParquetCatalog),
    "one": (_write_one, lambda folder: Catalog(folder / "one-catalog")),
}


def cost_of(ask: Callable[[], object], times: int = 4) -> tuple[float, float]:
    """Milliseconds of wall time and of CPU time, the best of several."""
    wall, cpu = [], []
    for _ in range(times):
        began, cpu_began = time.perf_counter(), time.process_time()
        ask()
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - cpu_began))
    return min(wall), min(cpu)


def ask_all(folder: Path, layout: str) -> dict[str, tuple[float, float]]:
    """The cost of all queries in one process."""
    catalog = LAYOUTS[layout][1](folder)
    (clip_id,) = pq.ParquetFile(folder / "made-0.parquet").read_row_group(0, ["clip_id"])["clip_id"][-1:].to_pylist()
    costs = {
        name: cost_of(lambda query=query: catalog.sql(query.format(clip_id=clip_id)))  # type: ignore[misc]
        for name, query in QUERIES.items()
    }
    if layout == "segments":
        for condition in CONDITIONS:

            def ask(condition: str = condition) -> object:
                remembered._ANSWERS.clear()
                return passing_mask(catalog, condition)

            costs[f"rows: {condition}"] = cost_of(ask)
    return costs


def ask_once(folder: Path, layout: str) -> None:
    """Open a catalog and look one clip up, in a process of its own."""
    catalog = LAYOUTS[layout][1](folder)
    assert catalog.sql(QUERIES["one clip by clip_id"].format(clip_id=1)).num_rows == 0


def _forget(paths: Iterator[Path]) -> None:
    """Drop files from the page cache."""
    for path in paths:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(folder: Path, task: str, layout: str) -> str:
    command = [sys.executable, "-m", "benchmarks.catalog", "--folder", str(folder), "--task", task, "--layout", layout]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compare(folder: Path, clips: int) -> None:
    """Write what is not there yet, ask, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "made-videos.parquet").exists():
        make(folder, clips)
    table: dict[str, dict[str, str]] = {}
    for layout, (write, _) in LAYOUTS.items():
        if not list(folder.glob(f"{layout}-*")):
            wall, cpu = cost_of(lambda write=write: write(folder), 1)  # type: ignore[misc]
            table.setdefault("writing, s", {})[layout] = f"{wall / 1000:.1f} {cpu / 1000:8.1f}"
        size = sum(path.stat().st_size for path in folder.glob(f"{layout}-*"))
        table.setdefault("size, MB", {})[layout] = f"{size / 1e6:.0f}"
    for layout in LAYOUTS:
        _run(folder, "once", layout)  # so that Python's own modules are in memory
        _forget(folder.glob(f"{layout}-*"))
        cpu_began = sum(os.times()[2:4])
        wall, _ = cost_of(lambda layout=layout: _run(folder, "once", layout), 1)  # type: ignore[misc]
        cpu = 1000 * (sum(os.times()[2:4]) - cpu_began)
        table.setdefault("a process that looks up one clip, cold", {})[layout] = f"{wall:.1f} {cpu:8.1f}"
    for layout in LAYOUTS:
        for name, (wall, cpu) in json.loads(_run(folder, "all", layout)).items():
            table.setdefault(name, {})[layout] = f"{wall:.1f} {cpu:8.1f}"
    print(f"{'milliseconds: wall, CPU':<52}" + "".join(f"{layout:>20}" for layout in LAYOUTS))
    for name, values in table.items():
        print(f"{name:<52}" + "".join(f"{values.get(layout, ''):>20}" for layout in LAYOUTS))


def main() -> None:
    """Parse, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--task", choices=["once", "all"], help=argparse.SUPPRESS)
    parser.add_argument("--layout", choices=list(LAYOUTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task == "once":
        ask_once(options.folder, options.layout)
    elif options.task == "all":
        print(json.dumps(ask_all(options.folder, options.layout)))
    elif options.folder is not None:
        compare(options.folder, options.clips)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), options.clips)


if __name__ == "__main__":
    main()
