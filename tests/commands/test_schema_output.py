"""The one place that says what SQL sees: held to what the catalog has. tests/test_docs.py holds the docs to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from commands.schema_output import row_counts, schema_json, schema_text
from index.search.hits import hits_table
from index.snapshot.catalog_build import write_videos
from index.snapshot.publish import places_of
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.sql import CLIPS, HITS, TABLES
from tests.helpers.searchable import write_searchable


def test_the_catalog_has_just_these_tables_and_columns(tmp_path: Path) -> None:
    write_videos(tmp_path / "v.duckdb", [], places_of([]))
    catalog = Catalog(CatalogFiles(tmp_path / "v.duckdb"))
    assert catalog.sql("show tables")["name"].to_pylist() == sorted(table.name for table in TABLES)
    catalog.show_hits(hits_table([]))
    for table in (*TABLES, HITS):
        found = catalog.sql(f"describe {table.name}")
        described = list(zip(found["column_name"].to_pylist(), found["column_type"].to_pylist(), strict=True))
        assert described == [(column.name, column.type) for column in table.columns]


def test_every_column_says_what_it_means() -> None:
    for table in (*TABLES, HITS):
        assert table.meaning
        assert all(column.meaning for column in table.columns)
        assert len(set(table.column_names)) == len(table.columns)


def test_the_schema_as_text() -> None:
    assert schema_text([CLIPS], {"clips": 1}).splitlines() == [
        "clips (1 row): a row for each clip of a video, with its best action label",
        "column       type     meaning",
        "-----------  -------  -----------------------------------------------------------",
        "clip_id      BIGINT   names the clip in all tables",
        "video_id     VARCHAR  names the video in all tables; a moved video keeps it",
        "path         VARCHAR  the video's file; bytes that are not UTF-8 are spelled \\xNN",
        "start_s      DOUBLE   where the clip begins, in seconds from the video's start",
        "end_s        DOUBLE   where it ends; the clip is [start_s, end_s)",
        "label        VARCHAR  the classifier's best action label",
        "label_score  FLOAT    that label's probability, in [0, 1]",
    ]


def test_the_command_prints_it_with_and_without_a_library(
    tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> None:
    folder = write_searchable(tmp_path / "library", classifier_checkpoint, embedder_checkpoint)
    assert row_counts(folder) == {"videos": 10, "clips": 40, "labels": 80} | dict.fromkeys(
        ("tags", "shots", "speech", "screen_text", "annotations", "duplicates"), 0
    )
    assert CliRunner().invoke(main, ["schema"]).output == schema_text() + "\n"
    found = CliRunner().invoke(main, ["schema", "--library", str(folder)]).output
    assert found == schema_text(counts=row_counts(folder)) + "\n"
    assert "\nlabels (80 rows): a row for each clip and each of its best action labels\n" in found
    assert "\nhits: a row for each clip that a search found;" in found
    lines = CliRunner().invoke(main, ["schema", "--library", str(folder), "--json"]).output.splitlines()
    assert [json.loads(line) for line in lines] == schema_json(row_counts(folder))
    first = json.loads(lines[1])
    assert (first["table"], first["rows"], first["columns"][0]) == (
        "clips",
        40,
        {"name": "clip_id", "type": "BIGINT", "meaning": "names the clip in all tables"},
    )
    assert "rows" not in schema_json()[0]
    with pytest.raises(LibraryError, match="is not a vidsift library"):
        row_counts(tmp_path)
