"""Parts of channels: immutable like segments, they hold what annotators of whole videos wrote of some videos.

    channel_parts/NAME/      NAME: the first 16 hex digits of the SHA-256 of part.json
        part.json            `PartInfo`: counts, the SHA-256 of every other file
        annotations.parquet  one row per annotation: `ANNOTATION_KEYS`
        rows.duckdb          what SQL sees of the rows; ``annotation`` numbers the rows of annotations.parquet
        text.sqlite          the full-text index of speech and screen text (`index.snapshot.channel_text`)
        passages.faiss       the vectors of their passages, if they were embedded (`index.snapshot.channel_vectors`)

An annotation is what one annotator wrote of one video in one go. A snapshot names the parts that it shows, and the live
annotations of each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.snapshot.channel_text import write_text_index
from index.snapshot.channel_vectors import TABLE as PASSAGES
from index.snapshot.channel_vectors import PassageVectors, read_passages, write_passages
from index.snapshot.segment import finish_folder, hash_or_none, name_of
from index.sql.catalog import explain
from schemas.channels import CHANNELS
from schemas.errors import LibraryError

PART_FORMAT = 1

_VECTORS = "passages.faiss"

ANNOTATION_KEYS = pa.schema([("annotation_id", pa.string()), ("video_id", pa.string()), ("rows", pa.int64())])
"""A row of annotations.parquet: an annotation, and how many rows it has in the part."""


class PartRef(NamedTuple):
    """A part of channels that a snapshot shows, by name: how many annotations it holds."""

    name: str
    annotations: int


@dataclass(frozen=True, slots=True)
class PartInfo:
    """part.json.

    Attributes:
        format: `PART_FORMAT`.
        annotations: number of annotations, dead ones included.
        rows: number of rows, by table.
        languages: of the speech, as its rows have them.
        sha256: of each file beside part.json.
        dim: dimension of the passages' vectors; 0 where it has none.
    """

    format: int
    annotations: int
    rows: dict[str, int]
    languages: list[str]
    sha256: dict[str, str] = field(default_factory=dict)
    dim: int = 0


class ChannelPart:
    """A part of channels, opened for reading; its files are opened when they are first needed."""

    def __init__(self, folder: Path) -> None:
        """Open the part in ``folder``.

        Raises:
            LibraryError: part.json is missing, damaged, or of another format.
        """
        self.folder, self.name = folder, folder.name
        try:
            text = (folder / "part.json").read_bytes()
            if name_of(text) != self.name:
                raise ValueError("it is not as it was written")
            self.info = PartInfo(**json.loads(text))
        except (OSError, ValueError, TypeError, RecursionError) as exc:
            raise _damaged(folder, exc) from exc
        if self.info.format != PART_FORMAT:
            raise LibraryError(
                f"{str(folder)!r} has format {self.info.format}, expected {PART_FORMAT}; use the vidsift that wrote it"
            )

    @property
    def catalog(self) -> Path:
        """The file of the rows that SQL sees."""
        return self.folder / "rows.duckdb"

    @property
    def text_index(self) -> Path:
        """The file of the full-text index."""
        return self.folder / "text.sqlite"

    @cached_property
    def passages(self) -> PassageVectors | None:
        """The passages and their vectors; None where it has none.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        return PassageVectors.open(self.catalog, self.folder / _VECTORS, self.info.dim) if self.info.dim else None

    @cached_property
    def annotations(self) -> pa.Table:
        """`ANNOTATION_KEYS`, by number.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        try:
            with (self.folder / "annotations.parquet").open("rb") as stream:
                table = pq.read_table(stream, schema=ANNOTATION_KEYS)
            table.validate(full=True)
        except (OSError, pa.ArrowException) as exc:
            raise _damaged(self.folder, exc) from exc
        if len(table) != self.info.annotations:
            raise _damaged(self.folder, ValueError(f"{len(table)} annotations, expected {self.info.annotations}"))
        return table

    def is_whole(self) -> bool:
        """Whether every file is there; their contents are checked by `changed_files`."""
        return all((self.folder / name).is_file() for name in self.info.sha256)

    def changed_files(self) -> list[str]:
        """The names of the files that are not as they were written."""
        return [name for name, digest in self.info.sha256.items() if hash_or_none(self.folder / name) != digest]

    def read(self, table: str, live: NDArray[np.int64]) -> pa.Table:
        """The rows of a table that belong to these annotations, with the columns of `CHANNELS`.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        if table == PASSAGES:
            if not self.info.dim:
                return CHANNELS[table].empty_table()
            rows = read_passages(self.catalog, self.folder / _VECTORS, self.info.dim, live)
        else:
            rows = self._read(table, live)
        ids = self.annotations.select(["annotation_id", "video_id"]).take(rows["annotation"])
        columns = {name: rows[name] for name in rows.column_names} | {name: ids[name] for name in ids.column_names}
        return pa.table({name: columns[name] for name in CHANNELS[table].names}).cast(CHANNELS[table])

    def _read(self, table: str, live: NDArray[np.int64]) -> pa.Table:
        try:
            with duckdb.connect(str(self.catalog.absolute()), read_only=True) as connection:
                connection.register("live", pa.table({"annotation": live.astype(np.int32)}))
                return connection.sql(f"from {table} semi join live using (annotation) order by rowid").to_arrow_table()
        except duckdb.Error as exc:
            raise _damaged(self.folder, explain(exc)) from exc


def write_part(parts: Path, scratch: Path, keys: pa.Table, rows: Mapping[str, Sequence[pa.Table]]) -> ChannelPart:
    """Write a part of these annotations.

    Args:
        parts: the folder of all parts.
        scratch: a folder on the same disk for what is not finished.
        keys: ``annotation_id`` and ``video_id`` of the annotations.
        rows: their rows, by table of `CHANNELS`, in pieces.

    Raises:
        LibraryError: it cannot be written.
    """
    aside = scratch / "part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    keys = keys.select(["annotation_id", "video_id"]).sort_by([("video_id", "ascending"), ("annotation_id", "ascending")])
    numbered = {name: list(_numbered(tables, keys)) for name, tables in rows.items()}
    counts = np.zeros(len(keys), np.int64)
    for table in (table for tables in numbered.values() for table in tables):
        counts += np.bincount(table["annotation"].to_numpy(), minlength=len(keys))
    pq.write_table(keys.append_column("rows", pa.array(counts)).cast(ANNOTATION_KEYS), aside / "annotations.parquet")
    in_tables = _write_rows(aside / "rows.duckdb", numbered)
    languages = write_text_index(aside / "text.sqlite", aside / "rows.duckdb")
    dim = write_passages(aside / "rows.duckdb", aside / _VECTORS, numbered.get(PASSAGES, []))
    info = asdict(PartInfo(PART_FORMAT, len(keys), in_tables, languages, dim=dim))
    if not dim:
        del info["dim"]  # which earlier versions do not know
    return ChannelPart(finish_folder(aside, parts, "part.json", info))


def _numbered(tables: Sequence[pa.Table], keys: pa.Table) -> Iterator[pa.Table]:
    """The rows with ``annotation``, the number of their annotation, in the place of its id and the video's."""
    ids = keys["annotation_id"].combine_chunks()
    for table in tables:
        numbers = pc.index_in(table["annotation_id"], value_set=ids).cast(pa.int32())
        numbers = numbers.combine_chunks() if isinstance(numbers, pa.ChunkedArray) else numbers
        yield table.drop_columns(["annotation_id", "video_id"]).add_column(0, "annotation", numbers)


def _write_rows(path: Path, rows: Mapping[str, Sequence[pa.Table]]) -> dict[str, int]:
    """Write the rows of each table by annotation and time, and return how many there are."""
    counts = {}
    try:
        with duckdb.connect(str(path)) as connection:
            for name, schema in CHANNELS.items():
                if name == PASSAGES:
                    continue  # `write_passages` writes these, if there are any
                columns = [column for column in schema if column.name not in ("annotation_id", "video_id")]
                empty = pa.schema([("annotation", pa.int32()), *columns]).empty_table()
                connection.register("arriving", pa.concat_tables([empty, *rows.get(name, ())]))
                connection.execute(f"create table {name} as from arriving order by annotation, start_s, end_s")
                connection.unregister("arriving")
                ((counts[name],),) = connection.execute(f"select count(*) from {name}").fetchall()
    except duckdb.Error as exc:
        raise LibraryError(f"{str(path)!r} cannot be written: {explain(exc)}") from exc
    return counts


def _damaged(folder: Path, why: object) -> LibraryError:
    return LibraryError(f"{str(folder)!r} is damaged ({why}); run vidsift annotate on the library again")
