"""One open library, asked by many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.errors import QueryError
from schemas.models import Checkpoint
from tests.helpers.searchable import LABELS, write_searchable
from vidsift import LibraryHandle, open_library

TEXTS = [f"text number {number}" for number in range(8)]


def ids(table: pa.Table) -> list[int]:
    found: list[int] = table["clip_id"].to_pylist()
    return found


def question(number: int) -> Callable[[LibraryHandle], object]:
    """One of four kinds of question, each about something else."""
    text, label = TEXTS[number % len(TEXTS)], LABELS[number % len(LABELS)]
    hits = "select clip_id from hits order by rank limit 5"
    return (
        lambda library: ids(library.search(text, k=3, by="clip", show_all=True)),
        lambda library: ids(library.search(text, where=f"label = '{label}'", k=3, show_all=True)),
        lambda library: ids(library.sql(hits, search=text)),
        lambda library: library.sql(f"select count(*) as n from clips where label = '{label}'").to_pylist(),
    )[number % 4]


@pytest.fixture
def folder(tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint) -> Path:
    return write_searchable(tmp_path / "library", classifier_checkpoint, embedder_checkpoint)


def test_eight_threads_get_the_answers_that_one_gets(folder: Path) -> None:
    with open_library(folder) as library:
        expected = [question(number)(library) for number in range(32)]
    for _ in range(3):  # opened anew, since the first questions load the model and the windows
        with open_library(folder) as library, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda number: question(number)(library), range(32))) == expected


def test_hits_are_those_of_the_question_that_asked_for_them(folder: Path) -> None:
    def ask(number: int) -> object:
        if number % 2:
            return library.sql("select count(*) as n from hits", search=TEXTS[0], k=number).to_pylist()[0]["n"]
        with pytest.raises(QueryError, match="hits is what a search found, and none was asked for"):
            library.sql("from hits")
        return number

    with open_library(folder) as library, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(1, 33))) == list(range(1, 33))
