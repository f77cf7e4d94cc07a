"""Links in a library that lead out of it: nothing is written or deleted behind them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from index.snapshot.segment import Segment, name_of
from jobs.ingest.ingest import ingest
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from jobs.tag.tag import tag, untag
from schemas.errors import LibraryError
from tests.helpers.whole_library import TAG

WRITERS: dict[str, Callable[[Path], object]] = {
    "verify": verify,
    "compact": compact,
    "rollback": lambda library: rollback(library, 1),
    "tag": lambda library: tag(library, ["waving"]),
    "untag": lambda library: untag(library, [TAG]),
    "ingest": lambda library: ingest([library.parent / "none"], library, allow_empty=True),
}


@pytest.fixture
def library(whole_library: Path, tmp_path: Path) -> Path:
    (tmp_path / "none").mkdir()
    return Path(shutil.copytree(whole_library, tmp_path / "library"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "name",
    [
        "videos",
        "clips",
        "features",
        "tags",
        "snapshots",
        "segments",
        "records",
        "clips/_delta_log",
        "clips/sub",
        "snapshots/1",
        "snapshots/9",
        "segments/0123456789abcdef",
    ],
)
def test_nothing_is_done_behind_a_link_to_a_folder(library: Path, tmp_path: Path, name: str, write: str) -> None:
    outside, link = tmp_path / "outside", library / name
    if link.exists():
        shutil.move(link, outside)
    outside.mkdir(exist_ok=True)
    (outside / "bystander.parquet").write_bytes(b"not the library's")
    link.symlink_to(outside)
    before = contents(outside)
    with pytest.raises(LibraryError, match=rf"^'{link}' is a link, and nothing is written or deleted behind it"):
        WRITERS[write](library)
    assert contents(outside) == before


def test_a_lock_that_is_a_link_empties_no_file(library: Path, tmp_path: Path) -> None:
    outside = tmp_path / "letter.txt"
    outside.write_text("dear")
    (library / "ingest.lock").unlink()
    (library / "ingest.lock").symlink_to(outside)
    with pytest.raises(LibraryError, match="cannot be written: Too many levels of symbolic links"):
        compact(library)
    verify(library)  # which only reads
    assert outside.read_text() == "dear"


@pytest.mark.parametrize(
    "name",
    ["CURRENT", "tags.json", "library.json", "clips/*.parquet", "videos/_delta_log/*.json", "segments/*/vectors.f32.faiss"],
)
def test_a_file_behind_a_link_stays_as_it_is(library: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    link = sorted(library.glob(name))[-1]
    outside = tmp_path / "outside" / link.name
    shutil.move(link, outside)
    link.symlink_to(outside)
    before = contents(outside.parent)
    assert [check for check in verify(library) if check.breach is not None] == []
    for write in ("untag", "rollback", "compact", "ingest"):
        WRITERS[write](library)
        assert contents(outside.parent) == before
    assert [check for check in verify(library) if check.breach is not None] == []


def test_a_library_that_is_a_link_itself_is_a_library(library: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(library)
    compact(tmp_path / "link")
    assert [check for check in verify(tmp_path / "link") if check.breach is not None] == []


def test_features_are_read_from_no_other_folder(library: Path) -> None:
    path = sorted(library.glob("segments/*/segment.json"))[0]
    content = json.loads(path.read_text())
    content["features"]["files"] = [f"../records/{name}" for name in content["features"]["files"]]
    text = json.dumps(content).encode()
    path.write_bytes(text)
    renamed = path.parent.with_name(name_of(text))
    path.parent.rename(renamed)
    with pytest.raises(LibraryError, match=r"it names '\.\./records/.*', expected files in the folder records"):
        _ = Segment(renamed).features
