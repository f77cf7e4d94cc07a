"""A library from Python: opened once, asked often."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from index.reader import MOMENTS
from index.search.highlights import HighlightOptions, highlights
from index.search.hits import hits_options, hits_table
from index.search.searcher import search
from index.snapshot.publish import publish_tables
from index.status import library_status
from index.storage.config import read_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.evaluate.library import evaluate
from pipeline.models.registry import load_text_embedder
from schemas.errors import LibraryError, QueryError, UsageError
from schemas.models import Checkpoint
from schemas.search import SearchOptions, moment_json
from schemas.sql import HITS
from tests.helpers.searchable import write_searchable
from vidsift import LibraryHandle, open_library

CAKE = "people baking a cake"


@pytest.fixture
def folder(tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint) -> Path:
    return write_searchable(tmp_path / "library", classifier_checkpoint, embedder_checkpoint)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model loaded is a name in this list."""
    found: list[str] = []

    def counted(checkpoint: Checkpoint, precision: Any) -> Any:
        found.append(checkpoint.name)
        return load_text_embedder(checkpoint, precision)

    monkeypatch.setattr("index.search.text_encoder.load_text_embedder", counted)
    return found


def republish(folder: Path, keep_videos: int) -> None:
    """Publish a snapshot of fewer videos, as an ingest would whose files are gone."""
    library = Library(folder)
    config = read_library_config(library)
    assert config is not None
    tables = Tables(library)
    tables.remove_videos([f"v{number:02d}" for number in range(keep_videos, 10)])
    publish_tables(library, tables, config)


def same(found: pa.Table, expected: pa.Table) -> bool:
    """Whether two tables differ by no more than texts do that are embedded in another company."""
    assert found.schema == expected.schema
    for name in ("score", "confidence"):
        assert found[name].to_pylist() == pytest.approx(expected[name].to_pylist(), abs=1e-6)
    exact = [name for name in found.column_names if name not in ("score", "confidence", "parts")]
    return bool(found.select(exact) == expected.select(exact))


@pytest.mark.parametrize(
    "options",
    [{}, {"by": "clip", "k": 3}, {"by": "video", "where": "label = 'dancing'"}, {"then_text": "a dog", "within_s": 5.0}],
)
def test_answers_are_the_command_lines(folder: Path, options: dict[str, Any]) -> None:
    with open_library(folder) as library:
        found = library.search(CAKE, show_all=True, **options)
        moments = search(folder, SearchOptions(texts=(CAKE,), show_all=True, **options)).moments
        assert found.num_rows == len(moments) > 0
        assert list(moment_json(moments[0])) == MOMENTS.names
        assert same(found, pa.Table.from_pylist([moment_json(moment) for moment in moments], schema=MOMENTS))


def test_one_text_or_example_needs_no_tuple(folder: Path) -> None:
    with open_library(folder) as library:
        one = library.answer(CAKE, without="a cat", like="11", show_all=True)
        assert one == library.answer(CAKE, without=("a cat",), like=["11"], show_all=True)
        assert one.clips == 40
        assert one.moments != library.answer(CAKE, show_all=True).moments


def test_sql_with_and_without_a_search(folder: Path) -> None:
    with open_library(str(folder)) as library:
        found = library.sql("select * from hits order by rank", CAKE, without="a dog", k=5)
        assert found.column_names == list(HITS.column_names)
        assert same(found, hits_table(search(folder, hits_options([CAKE], ["a dog"], k=5)).moments))
        assert library.sql("select count(*) as n from hits", [CAKE, "a dog"]).to_pylist() == [{"n": 40}]
        with pytest.raises(QueryError, match=r"hits is what a search found, and none was asked for"):
            library.sql("from hits")
        with pytest.raises(QueryError, match=r"expected reading"):
            library.sql("drop table clips")
        frame = library.sql("select label, count(*) as n from clips group by label order by label").to_pandas()
        assert frame["label"].tolist() == ["dancing", "running", "sleeping"]
        assert int(frame["n"].sum()) == 40


def test_what_is_loaded_stays(folder: Path, loads: list[str]) -> None:
    library = open_library(folder)
    assert library.sql("select 1 as one").to_pylist() == [{"one": 1}]
    assert loads == []
    library.search(CAKE)
    library.sql("from hits", "a dog")
    library.search("a cat")
    assert len(loads) == 1
    library.close()


def test_a_newer_snapshot_is_noticed_and_the_model_kept(folder: Path, loads: list[str]) -> None:
    library = open_library(folder)
    assert library.status() == library_status(folder)
    assert (library.snapshot, library.status().videos["indexed"]) == (1, 10)
    before = library.search(CAKE, by="clip", show_all=True)
    republish(folder, 4)
    assert (library.snapshot, library.status().videos["indexed"]) == (2, 4)
    assert library.sql("select count(*) as n from videos").to_pylist() == [{"n": 4}]
    after = library.search(CAKE, by="clip", show_all=True)
    assert {row["path"] for row in before.to_pylist()} - {f"/v/{number:02d}.mp4" for number in range(4)}
    assert {row["path"] for row in after.to_pylist()} <= {f"/v/{number:02d}.mp4" for number in range(4)}
    assert len(loads) == 1
    shutil.rmtree(folder)
    with pytest.raises(LibraryError, match="is not a vidsift library"):
        library.sql("select 1")
    library.close()


def test_an_evaluation_is_the_commands(folder: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("path,start_s,end_s,action,caption\n/v/00.mp4,0,4,dancing,a dance\n/v/03.mp4,4,8,running,a run\n")
    with open_library(folder, memory_mb=512) as library:
        library.sql("select 1")
        found, expected = library.evaluate(truth, rerank=0), evaluate(truth, folder, rerank=0)
        assert (found.recognition, found.retrieval) == (expected.recognition, expected.retrieval)
        assert library.sql("select count(*) as n from clips").to_pylist() == [{"n": 40}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 3}, "search: got top, expected like, without, then_text, within_s, where, by, k, rerank, recall, show_all"),
        ({"by": "second"}, "by: got 'second', expected moment, clip, video"),
        ({"k": 0}, "k: got 0, expected 1 or more"),
        ({"without": " "}, "without: got nothing but blanks"),
    ],
)
def test_options_that_are_off_say_so(folder: Path, options: dict[str, Any], message: str) -> None:
    with open_library(folder) as library, pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        library.search(CAKE, **options)


def test_no_library_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="is not a vidsift library"):
        open_library(tmp_path)


def test_a_closed_library_opens_again_when_asked(folder: Path) -> None:
    library = open_library(folder, memory_mb=512)
    library.close()
    library.close()
    assert library.sql("select 1 as one").to_pylist() == [{"one": 1}]
    assert isinstance(library, LibraryHandle)
    assert repr(library) == f"LibraryHandle({str(folder)!r})"
    library.close()


def test_highlights_and_duplicates_of_an_open_library(folder: Path) -> None:
    with open_library(folder) as library:
        found = library.highlights(where="true", k=3)
        assert found == highlights(folder, HighlightOptions(where="true", k=3))
        assert len(found) == 3
        report = library.find_duplicates()  # whose videos are no files
        assert (report.interrupted, report.duplicates) == (False, [])
        assert library.sql("select count(*) as n from duplicates").to_pylist() == [{"n": 0}]
        with pytest.raises(UsageError, match="got neither a video nor a condition"):
            library.highlights()
