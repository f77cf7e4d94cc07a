from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from index.storage.atomic_file import replace_file
from index.storage.config import LibraryConfig, read_library_config, write_library_config
from index.storage.paths import Library
from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.options import Sampling

CLASSIFIER = Checkpoint("org/videomae", "/m/c", "abc", "videomae", "1" * 64, ("VideoMAEForVideoClassification",))
EMBEDDER = Checkpoint("/m/e", "/m/e", None, "xclip", "2" * 64, ("XCLIPModel",), 512)
IDENTITY = LibraryConfig(CLASSIFIER, EMBEDDER, Sampling())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    library = Library(tmp_path)
    assert read_library_config(library) is None
    write_library_config(library, IDENTITY)
    assert read_library_config(library) == IDENTITY
    assert json.loads((tmp_path / "library.json").read_text())["sampling"] == {"window_s": 4.0, "stride_s": 4.0}


def test_differences_name_the_arguments(tmp_path: Path) -> None:
    other = LibraryConfig(replace(CLASSIFIER, sha256="3" * 64), EMBEDDER, Sampling(window_s=2.0, stride_s=1.0))
    assert IDENTITY.differences(other) == [
        "`classifier` is videomae@33333333 here and videomae@11111111 in the library",
        "`window_s` is 2 here and 4 in the library",
        "`stride_s` is 1 here and 4 in the library",
    ]


def test_the_same_weights_in_another_folder_are_the_same_model() -> None:
    moved = LibraryConfig(CLASSIFIER, replace(EMBEDDER, name="/n/e", folder="/n/e"), Sampling())
    assert IDENTITY.differences(moved) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("{}", "is damaged"),
        ('{"format_version": 99}', "has format 99, this vidsift reads 1; use the vidsift that made it"),
        ('{"format_version": 1, "classifier": 3}', "is damaged"),
        ("\udcff", "is damaged"),
        ('{"format_version": 1, "classifier": {"name": 5}, "embedder": {}, "sampling": {}}', "is damaged"),
    ],
)
def test_a_damaged_or_foreign_library_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "library.json").write_bytes(os.fsencode(content))
    with pytest.raises(LibraryError, match=message):
        read_library_config(Library(tmp_path))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    replace_file(tmp_path / "CURRENT", "1\n")
    replace_file(tmp_path / "CURRENT", "2\n")
    assert (tmp_path / "CURRENT").read_text() == "2\n"
    assert [path.name for path in tmp_path.iterdir()] == ["CURRENT"]
