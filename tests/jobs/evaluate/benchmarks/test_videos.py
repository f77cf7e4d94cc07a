"""The names of a benchmark's videos, found among a library's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.snapshot.snapshot import Snapshot
from index.sql.catalog import Catalog
from index.storage.paths import Library
from jobs.evaluate.benchmarks.videos import find_videos
from schemas.errors import UsageError
from tests.helpers.made_library import Made, make_library


def catalog(tmp_path: Path, *videos: str) -> Catalog:
    """Of a library with these videos, ``/v/NAME.mp4``."""
    made = [Made(number, name, 0.0, 4.0) for number, name in enumerate(videos)]
    return Snapshot(Library(make_library(tmp_path / "library", made))).catalog


def test_a_name_is_that_of_a_file_without_its_suffix(tmp_path: Path) -> None:
    known = catalog(tmp_path, "a", "deep/er/j7rJ_360.0_510.0", "x@N00_1", "bXdq")
    found = find_videos(["a", "j7rJ_360.0_510.0", "x@N00_1.avi", "v_bXdq", "j7rJ_360.0_520.0", "A", "a"], "/v", known)
    assert found.ids == {
        "a": "a",
        "j7rJ_360.0_510.0": "deep/er/j7rJ_360.0_510.0",
        "x@N00_1.avi": "x@N00_1",
        "v_bXdq": "bXdq",
    }
    assert found.reasons == {"j7rJ_360.0_520.0": "not in the library", "A": "not in the library"}


def test_only_files_below_the_folder_count(tmp_path: Path) -> None:
    known = catalog(tmp_path, "test/a", "train/b", "tests/c")
    found = find_videos(["a", "b", "c"], "/v/test/", known)
    assert (list(found.ids), list(found.reasons)) == (["a"], ["b", "c"])
    (tmp_path / "link").symlink_to("/v/test")
    assert list(find_videos(["a"], str(tmp_path / "link"), known).ids) == ["a"]
    with pytest.raises(
        UsageError, match=r"^videos /w: the library has no video below it; the library has 3 others, such as "
    ):
        find_videos(["a"], "/w", known)


def test_none_of_the_names_is_there(tmp_path: Path) -> None:
    message = (
        r"^videos /v: none of the benchmark's 2 videos is among the 1 of the library below it \('p': not in the library; "
        r"'q': not in the library\); the library has there, for example, '/v/a.mp4'"
    )
    with pytest.raises(UsageError, match=message):
        find_videos(["p", "q"], "/v", catalog(tmp_path, "a"))


def test_two_files_of_one_name_cannot_be_told_apart(tmp_path: Path) -> None:
    known = catalog(tmp_path, "one/a", "two/a", "one/b")
    with pytest.raises(UsageError, match=r"two videos of the name 'a', '/v/one/a.mp4' and '/v/two/a.mp4'"):
        find_videos(["a"], "/v", known)
    assert list(find_videos(["b"], "/v", known).ids) == ["b"]
