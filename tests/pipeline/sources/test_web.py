"""Videos of a web server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.probe import probe
from pipeline.sources import page_cache, remote, source_of
from pipeline.sources.base import FileChangedError
from pipeline.sources.find import find_videos
from pipeline.sources.hashing import content_hash
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile
from tests.helpers.videos import write_video
from tests.helpers.web_server import Web, web_server


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Web]:
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    page_cache.page_cache.cache_clear()
    with web_server() as web:
        yield web
    page_cache.page_cache.cache_clear()


def found(source: str) -> list[str]:
    return [item.path for item in find_videos([source]) if isinstance(item, VideoFile)]


@pytest.mark.parametrize("etags", [True, False])
def test_a_folder_is_what_its_page_links_to(web: Web, tmp_path: Path, etags: bool) -> None:
    film = write_video(tmp_path / "a.mp4", 30)
    web.files = {name: film.read_bytes() for name in ("2024/b c ü.mp4", "2024/deep/d.mkv", "a.mp4", "notes.txt", ".h.mp4")}
    web.etags = etags
    assert found(web.url) == [f"{web.url}/{name}" for name in ("2024/b%20c%20%C3%BC.mp4", "2024/deep/d.mkv", "a.mp4")]
    assert found(f"{web.url}/2024/deep") == [f"{web.url}/2024/deep/d.mkv"]
    for path in (f"{web.url}/2024/b%20c%20%C3%BC.mp4", f"{web.url}/2024/b c ü.mp4"):
        assert found(path) == [path]
        assert content_hash(path) == content_hash(str(film))
    assert probe(f"{web.url}/a.mp4").num_frames == 30
    (file,) = find_videos([f"{web.url}/a.mp4"])
    assert isinstance(file, VideoFile)
    assert file.modified_ns == 1_700_000_000 * 10**9
    assert file.version.startswith('"') if etags else file.version == "at 1700000000000000000"


def test_a_busy_server_is_asked_again_for_pages_too(web: Web) -> None:
    web.files = {"films/a.mp4": b"x", "films/b.mp4": b"x"}
    listed = source_of(web.url).list_below(f"{web.url}/films")
    assert listed is not None
    web.busy = 3
    assert [entry.name for entry in listed] == ["a.mp4", "b.mp4"]
    assert web.asked[:4] == ["GET /films/"] * 4


def test_what_a_page_links_to_elsewhere_is_not_followed(web: Web) -> None:
    web.files = {"films/a.mp4": b"x", "secret/b.mp4": b"x"}
    assert found(f"{web.url}/films") == [f"{web.url}/films/a.mp4"]
    assert not any("secret" in asked for asked in web.asked)


def test_a_replaced_file_is_found_out(web: Web) -> None:
    web.files["a.mp4"] = b"a" * 2_000_000
    with source_of(web.url).open(f"{web.url}/a.mp4") as file:
        file.read(1)
        web.files["a.mp4"] = b"b" * 2_000_000
        with pytest.raises(FileChangedError):
            file.read()


def test_errors_say_what_to_do(web: Web) -> None:
    web.files["a.mp4"] = b"a" * 2_000_000
    web.ranges = False
    with pytest.raises(VideoError, match="the server gives no parts of files"):
        content_hash(f"{web.url}/a.mp4")
    with pytest.raises(UsageError, match="no such file or folder"):
        found(f"{web.url}/nowhere.mp4")
    with pytest.raises(
        UsageError, match=r"cannot be reached: the connection failed \(ConnectionError\); 7 attempts were made"
    ):
        found("http://127.0.0.1:9/a.mp4")
