"""Which addresses are those of libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from index.object_store import library_folder
from index.storage.paths import Library
from index.storage.working_copies import copy_of
from schemas.errors import UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "vidsift" / "libraries"


def test_a_folder_is_a_folder(tmp_path: Path) -> None:
    assert library_folder("videos.vidsift") == Path("videos.vidsift")
    assert library_folder(tmp_path) == tmp_path
    assert copy_of(tmp_path) is None


def test_an_address_has_one_working_copy_that_is_called_like_it(cache: Path) -> None:
    folder = library_folder("s3://archive/libs/films.vidsift/")
    assert (folder.parent.parent, folder.name) == (cache, "films.vidsift")
    assert folder == library_folder("s3://archive/libs/films.vidsift") != library_folder("s3://archive/old/films.vidsift")
    assert Library(folder).shown == "s3://archive/libs/films.vidsift"
    assert not cache.exists(), "nothing is made or asked for before it is needed"


def test_what_another_process_can_open(tmp_path: Path) -> None:
    address = "s3://archive/libs/films"
    assert (
        Library(library_folder(address + "/")).address == Library(library_folder(library_folder(address))).address == address
    )
    assert Library(library_folder("films")).address == str(Path.cwd() / "films")
    assert Library(library_folder(tmp_path)).address == str(tmp_path)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://archive", "expected s3://BUCKET/KEY"),
        ("s3://archive/a//b", "of which the key has no empty parts"),
        ("s3://archive/../b", "of which the key has no empty parts"),
        ("s3://archive/a?X-Amz-Signature=1", "blanks or"),
        ("s3://me:secret@archive/a", "with a password in it, expected none"),
        ("https://example.org/lib", "got an address of https://, expected a folder or one of s3://, gs://, az://"),
        ("sftp://host/lib", "got an address of sftp://, expected a folder"),
    ],
)
def test_other_addresses_are_refused(address: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        library_folder(address)
    assert said in error.value.message
    assert "secret" not in error.value.message
    assert error.value.argument == "library"


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    said = r"boto3 is not installed, which s3:// needs; install it: pip install 'vidsift\[s3\]'"
    with pytest.raises(UsageError, match=said):
        library_folder("s3://archive/none")
