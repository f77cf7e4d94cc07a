"""Questions for the same footage once, over a library in which duplicates were looked for and one in which they were not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobs.duplicates.duplicates import find_duplicates
from tests.server.conftest import FilmLibrary, make_client

QUESTION = {"text": "somebody juggling", "k": "5", "all": "1"}


@pytest.fixture
def searched(film_library: FilmLibrary, tmp_path: Path) -> Path:
    """A copy of the library, in which duplicates were looked for."""
    folder = tmp_path / "films"
    shutil.copytree(film_library.folder, folder)
    find_duplicates(folder)
    return folder


def test_where_nobody_looked_for_duplicates_it_is_refused(client: TestClient) -> None:
    refused = client.get("/api/search", params={**QUESTION, "distinct": "1"})
    assert refused.status_code == 400
    assert "nobody has looked for duplicates in this library" in refused.json()["detail"]
    assert 'name="distinct"' not in client.get("/").text


def test_without_shared_footage_the_answers_are_the_same(searched: Path, tmp_path: Path) -> None:
    with make_client(searched, tmp_path / "cache") as client:
        plain, distinct = (
            client.get("/api/search", params=given).json()["moments"] for given in (QUESTION, {**QUESTION, "distinct": "1"})
        )
        assert [moment["clip_id"] for moment in distinct] == [moment["clip_id"] for moment in plain]
        assert '<input type="checkbox" name="distinct" value="1" checked>' in client.get("/", params={
            "text": "somebody juggling", "distinct": "1"
        }).text  # fmt: skip
