"""The Delta tables of channels: what annotators of whole videos wrote, and which of them has read which video.

A row of ``annotations`` makes an annotator's rows of a video visible, so it is always committed after them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from index.storage.paths import Library
from index.storage.transactions import (
    add_rows,
    create_table,
    delete_except,
    distinct,
    read_columns,
    replace_rows,
    rows_with,
)
from schemas.channels import ANNOTATIONS, CHANNELS, VECTOR_ANNOTATORS


class ChannelTables:
    """The channels' tables of one library, opened for writing by the process that holds the write lock, or to be read."""

    def __init__(self, library: Library, explained: Callable[[], AbstractContextManager[None]]) -> None:
        """Open the tables that there are; ``explained`` turns errors of Delta Lake into a LibraryError."""
        self._library, self._explained = library, explained
        self.annotations: DeltaTable | None = None
        self.tables: dict[str, DeltaTable] = {}
        self._open()

    def _open(self) -> None:
        with self._explained():
            if DeltaTable.is_deltatable(str(self._library.annotations)):
                self.annotations = DeltaTable(self._library.annotations)
            folders = {name: self._library.channel(name) for name in CHANNELS}
            self.tables = {name: DeltaTable(of) for name, of in folders.items() if DeltaTable.is_deltatable(str(of))}

    def create(self, tables: Collection[str]) -> None:
        """Make these tables, where they are not there."""
        with self._explained():
            for name in tables:
                create_table(self._library.channel(name), CHANNELS[name])
            create_table(self._library.annotations, ANNOTATIONS)
        self._open()

    def by_name(self) -> dict[str, DeltaTable]:
        """The tables by name, which is also their folder's; ``annotations`` comes first: it makes the others visible."""
        return ({} if self.annotations is None else {"annotations": self.annotations}) | self.tables

    def read_annotations(self, columns: Sequence[str] = tuple(ANNOTATIONS.names)) -> pa.Table:
        """Columns of ``annotations``."""
        if self.annotations is None:
            return pa.schema([ANNOTATIONS.field(name) for name in columns]).empty_table()
        with self._explained():
            return read_columns(self.annotations, list(columns))

    def read_row_ids(self) -> pa.ChunkedArray:
        """``annotation_id`` of every row of every table."""
        with self._explained():
            ids = [read_columns(table, ["annotation_id"])["annotation_id"] for table in self.tables.values()]
        return pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())

    def commit(self, rows: dict[str, list[pa.Table]], annotations: pa.Table) -> None:
        """Add rows by table, and then their ``annotations``, which replace those of the same video and annotator."""
        assert self.annotations is not None, "made by `create`"
        with self._explained():
            for name, of_table in rows.items():
                add_rows(self.tables[name], of_table)
            known = self.read_annotations(["annotation_id", "video_id", "annotator"])
            replaced = known["annotation_id"].filter(pc.is_in(_keys(known), value_set=_keys(annotations)))
            replace_rows(self.annotations, "annotation_id", replaced.combine_chunks(), annotations)
            self._drop_vectors()

    def drop_vectors(self, version: str | None) -> None:
        """Take out all vectors of texts but for those of the text embedder of this version; None takes out all."""
        if self.annotations is not None:
            with self._explained():
                self._drop_vectors([] if version is None else [version])
                self.drop_orphans()

    def _drop_vectors(self, versions: Collection[str] | None = None) -> None:
        """Take out the vectors of texts that are not there any more, and those of other than ``versions``, if given."""
        assert self.annotations is not None, "its callers have checked this"
        rows = self.read_annotations(["annotation_id", "annotator", "state", "version"])
        is_vectors = pc.is_in(rows["annotator"], value_set=pa.array(VECTOR_ANNOTATORS))
        goes = pc.invert(pc.is_in(rows["state"], value_set=rows["annotation_id"].combine_chunks()))
        if versions is not None:
            goes = pc.or_(goes, pc.invert(pc.is_in(rows["version"], value_set=pa.array(versions, pa.string()))))
        gone = rows["annotation_id"].filter(pc.and_(is_vectors, goes)).combine_chunks()
        if len(gone):
            replace_rows(self.annotations, "annotation_id", gone)

    def remove(self, annotator: str) -> int:
        """Take out everything of an annotator, and return how many videos it had read."""
        if self.annotations is None:
            return 0
        with self._explained():
            annotators = self.read_annotations(["annotator"])["annotator"].to_pylist()
            replace_rows(self.annotations, "annotator", pa.array([annotator]))
            self._drop_vectors()
            self.drop_orphans()
            return int(annotators.count(annotator))

    def rows_of(self, table: str, annotation_ids: pa.Array) -> pa.Table:
        """The rows of a table that belong to these annotations."""
        if table not in self.tables:
            return CHANNELS[table].empty_table()
        with self._explained():
            return pa.concat_tables(rows_with(self.tables[table], "annotation_id", annotation_ids)).select(
                CHANNELS[table].names
            )

    def drop_orphans(self) -> None:
        """Delete the rows that no row of ``annotations`` makes visible: left by a job that was stopped, or replaced."""
        if self.annotations is None:
            return
        visible = distinct(self.annotations, "annotation_id")
        for table in self.tables.values():
            delete_except(table, "annotation_id", visible)


def _keys(annotations: pa.Table) -> pa.Array:
    """A text for each row that names its video and annotator."""
    keys = pc.binary_join_element_wise(annotations["video_id"], annotations["annotator"], " ")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
