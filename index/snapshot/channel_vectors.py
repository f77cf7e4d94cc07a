"""The passages of a part of channels: texts of some seconds each, and their vectors as fp16 in a FAISS file.

rows.duckdb, passages    annotation, start_s, end_s, channel, text, by annotation and time
passages.faiss           the vector of each, in that order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.snapshot.flat_vectors import FlatVectors, FlatWriter, faiss
from index.sql.catalog import explain
from schemas.channels import TEXT_TABLES
from schemas.errors import LibraryError

TABLE = "passages"

_BATCH = 8_192


def write_passages(catalog: Path, vectors: Path, tables: Sequence[pa.Table]) -> int:
    """Write passages into a catalog, and their vectors into a file of their own; nothing for none.

    Args:
        catalog: the part's rows.duckdb.
        vectors: the file to write.
        tables: rows of `schemas.channels.PASSAGES` with the number of their annotation in the place of its id.

    Returns:
        The dimension of the vectors; 0 where there are none.

    Raises:
        LibraryError: the vectors are of several models, or a file cannot be written.
    """
    rows = pa.concat_tables(tables).combine_chunks() if tables else pa.table({})
    if not len(rows):
        return 0
    lists = rows["vector"].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.unique(lists.value_lengths().to_numpy())
    if len(lengths) != 1:
        raise LibraryError(
            f"the passages have vectors of {', '.join(map(str, lengths))} dimensions; embed them again: vidsift annotate "
            "--text-embedder none, and then with the model"
        )
    dim = int(lengths[0])
    values = lists.flatten().to_numpy().reshape(-1, dim)
    numbered = rows.drop_columns(["vector"]).append_column("number", pa.array(np.arange(len(rows))))
    try:
        with duckdb.connect(str(catalog)) as connection:
            connection.register("arriving", numbered)
            order = "order by annotation, start_s, end_s, number"
            connection.execute(f"create table {TABLE} as select * exclude (number) from arriving {order}")
            numbers = connection.sql(f"select number from arriving {order}").to_arrow_table()["number"].to_numpy()
    except duckdb.Error as exc:
        raise LibraryError(f"{str(catalog)!r} cannot be written: {explain(exc)}") from exc
    with FlatWriter(
        vectors, faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    ) as file:
        for begin in range(0, len(numbers), _BATCH):
            file.add(values[numbers[begin : begin + _BATCH]])
    return dim


@dataclass(frozen=True, slots=True, eq=False)
class PassageVectors:
    """The passages of a part, opened for reading.

    Attributes:
        annotations: int32 [n], the number of each one's annotation in the part.
        channels: int8 [n], the position of each one's table in `TEXT_TABLES`.
        vectors: theirs.
    """

    catalog: Path
    annotations: NDArray[np.int32]
    channels: NDArray[np.int8]
    vectors: FlatVectors

    @classmethod
    def open(cls, catalog: Path, vectors: Path, dim: int) -> PassageVectors:
        """Open the passages of a part, whose vectors have ``dim`` dimensions.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        rows = _query(catalog, f"select annotation, channel from {TABLE} order by rowid")
        positions = {name: number for number, name in enumerate(TEXT_TABLES)}
        channels = np.array([positions[name] for name in rows["channel"].to_pylist()], np.int8)
        return cls(catalog, rows["annotation"].to_numpy(), channels, FlatVectors(vectors, dim=dim, rows=len(rows)))

    def texts(self, rows: NDArray[np.int64]) -> pa.Table:
        """``start_s``, ``end_s`` and ``text`` of the passages in these rows, in that order.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        wanted = pa.table({"place": np.arange(len(rows)), "at": rows})
        query = f"select start_s, end_s, text from {TABLE} join wanted on {TABLE}.rowid = wanted.at order by place"
        return _query(self.catalog, query, wanted)


def read_passages(catalog: Path, vectors: Path, dim: int, live: NDArray[np.int64]) -> pa.Table:
    """The passages of these annotations, with ``annotation`` in the place of ids, and their vectors.

    Raises:
        LibraryError: a file is missing or damaged.
    """
    wanted = pa.table({"annotation": live.astype(np.int32)})
    rows = _query(catalog, f"select *, rowid as at from {TABLE} semi join wanted using (annotation) order by rowid", wanted)
    at = rows["at"].to_numpy()
    opened = FlatVectors(vectors, dim=dim, rows=_query(catalog, f"select count(*) as n from {TABLE}")["n"][0].as_py())
    values = opened.vectors_at(at) if len(at) else np.empty((0, dim), np.float32)
    offsets = pa.array(np.arange(len(at) + 1) * dim, pa.int32())
    return rows.drop_columns(["at"]).append_column("vector", pa.ListArray.from_arrays(offsets, values.reshape(-1)))


def _query(catalog: Path, query: str, wanted: pa.Table | None = None) -> pa.Table:
    try:
        with duckdb.connect(str(catalog.absolute()), read_only=True) as connection:
            if wanted is not None:
                connection.register("wanted", wanted)
            return connection.sql(query).to_arrow_table()
    except duckdb.Error as exc:
        raise LibraryError(
            f"{str(catalog)!r} cannot be read ({explain(exc)}); run vidsift annotate on the library again"
        ) from exc
