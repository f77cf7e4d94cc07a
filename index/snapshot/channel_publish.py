"""Publishes channels: which parts a snapshot shows, and which annotations of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.snapshot.channel_part import ChannelPart, PartRef, write_part
from index.snapshot.merging import SegmentSize, plan_merge
from index.snapshot.segment_build import writing_folder
from index.sql.catalog import explain
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.working_copies import local_files
from schemas.channels import ANNOTATIONS, CHANNELS
from schemas.errors import LibraryError


@dataclass(frozen=True, slots=True, eq=False)
class ShownPart:
    """A part of channels, and what the snapshot to be written shows of it.

    Attributes:
        live: int64, ascending: numbers of the annotations that it shows.
    """

    part: ChannelPart
    live: NDArray[np.int64]

    @property
    def size(self) -> SegmentSize:
        """Rows that are shown, and all; an annotation counts as a row too."""
        rows = self.part.annotations["rows"].to_numpy() + 1
        return SegmentSize(int(rows[self.live].sum()), int(rows.sum()))


def publish_channels(
    library: Library, tables: Tables, previous: Sequence[PartRef], known_files: Collection[str], most_merged: int
) -> tuple[list[ShownPart], pa.Table]:
    """Write a part of what is new, merge small parts with it, and give the parts to show and the live `ANNOTATIONS`.

    Args:
        library: to publish in.
        tables: of the library.
        previous: the parts that the current snapshot shows.
        known_files: names of the Parquet files that these were made from.
        most_merged: the most rows of parts that are merged.

    Raises:
        LibraryError: the tables cannot be read, or a part cannot be written.
    """
    annotations = _live_annotations(tables)
    shown = _still_shown(library, previous, annotations)
    there = [of.part.annotations["annotation_id"].take(of.live).combine_chunks() for of in shown]
    known = pa.concat_arrays(there) if there else pa.array([], pa.string())
    new = annotations.filter(pc.invert(pc.is_in(annotations["annotation_id"], value_set=known)))
    num_new = int(pc.sum(new["num_rows"]).as_py() or 0) + len(new)
    merged = plan_merge([of.size for of in shown], num_new, most_merged) if num_new <= most_merged else []
    if len(new) or merged:
        rows = _new_rows(tables, new, known_files)
        for position in merged:
            part, live = shown[position].part, shown[position].live
            for name in CHANNELS:
                rows[name].append(part.read(name, live))
        kept = [of for position, of in enumerate(shown) if position not in merged]
        ids = [new, *(shown[position].part.annotations.take(shown[position].live) for position in merged)]
        keys = pa.concat_tables([table.select(["annotation_id", "video_id"]) for table in ids])
        with writing_folder(library.channel_parts) as scratch:
            written = write_part(library.channel_parts, scratch, keys, rows)
        shown = [*kept, ShownPart(written, np.arange(len(keys)))]
    return sorted(shown, key=lambda of: (-of.size.clips, of.part.name)), annotations


def rebuild_channels(tables: Tables, scratch: Path) -> tuple[pa.Table, tuple[Path | None, list[Path]]]:
    """The live `ANNOTATIONS`, and the files that a catalog has of them, built anew of the tables in the folder ``scratch``.

    Raises:
        LibraryError: the tables cannot be read.
    """
    annotations = _live_annotations(tables)
    if not len(annotations):
        return annotations, (None, [])
    rows = _rows_of(tables.channel_files(), annotations["annotation_id"].combine_chunks())
    part = write_part(scratch, scratch, annotations, rows)
    write_annotations(scratch / "annotations.duckdb", [ShownPart(part, np.arange(len(part.annotations)))], annotations)
    return annotations, (scratch / "annotations.duckdb", [part.catalog])


def _live_annotations(tables: Tables) -> pa.Table:
    """The rows of ``annotations`` whose videos the library has."""
    annotations = tables.channels.read_annotations()
    video_ids = tables.video_keys()["video_id"].combine_chunks()
    return annotations.filter(pc.is_in(annotations["video_id"], value_set=video_ids))


def _still_shown(library: Library, previous: Sequence[PartRef], annotations: pa.Table) -> list[ShownPart]:
    """The parts that can be read, with the annotations that are live."""
    ids = annotations["annotation_id"].combine_chunks()
    shown = []
    for ref in previous:
        try:
            part = ChannelPart(library.channel_parts / ref.name)
            live = pc.is_in(part.annotations["annotation_id"], value_set=ids).to_numpy()
            if part.is_whole():
                shown.append(ShownPart(part, np.flatnonzero(live)))
        except LibraryError:
            continue  # what it held is read from the tables again
    return [of for of in shown if len(of.live)]


def _new_rows(tables: Tables, new: pa.Table, known_files: Collection[str]) -> dict[str, list[pa.Table]]:
    """The rows of new annotations, from files that are new or, where these lack some, from all."""
    files = tables.channel_files()
    likely = {name: [file for file in of if Path(file).name not in known_files] for name, of in files.items()}
    ids = new["annotation_id"].combine_chunks()
    expected = int(pc.sum(new["num_rows"]).as_py() or 0)
    rows = _rows_of(likely, ids)
    if sum(len(table) for tables_ in rows.values() for table in tables_) < expected:
        rows = _rows_of(files, ids)
    return rows


def _rows_of(files: Mapping[str, Sequence[str]], ids: pa.Array) -> dict[str, list[pa.Table]]:
    """The rows of these annotations in Parquet files, by table."""
    rows: dict[str, list[pa.Table]] = {}
    for name, schema in CHANNELS.items():
        rows[name] = []
        for file in files.get(name, ()):
            try:
                table = dataset.dataset(local_files([file]), schema=schema, format="parquet").to_table()
                table.validate(full=True)
            except (OSError, pa.ArrowException) as exc:
                raise LibraryError(f"a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc
            rows[name].append(table.filter(pc.is_in(table["annotation_id"], value_set=ids)))
    return rows


def write_annotations(path: Path, shown: Sequence[ShownPart], annotations: pa.Table) -> int:
    """Write the live annotations of a snapshot with the place of each, ``part`` and ``annotation``, for SQL.

    Raises:
        LibraryError: the file cannot be written.
    """
    schema = pa.schema([("annotation_id", pa.string()), ("part", pa.int32()), ("annotation", pa.int32())])
    places = [
        pa.table(
            [of.part.annotations["annotation_id"].take(of.live), np.full(len(of.live), number), of.live], names=schema.names
        ).cast(schema)
        for number, of in enumerate(shown)
    ]
    try:
        with duckdb.connect(str(path)) as connection:
            connection.register("places", pa.concat_tables(places) if places else schema.empty_table())
            connection.register("known", annotations.select(ANNOTATIONS.names))
            connection.execute(
                "create table annotations as from known left join places using (annotation_id) order by video_id, annotator"
            )
    except duckdb.Error as exc:
        raise LibraryError(f"{str(path)!r} cannot be written: {explain(exc)}") from exc
    return len(annotations)
