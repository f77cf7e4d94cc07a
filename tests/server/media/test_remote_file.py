"""Videos that are on no disk of the server's machine: parts of them, and pictures of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("starlette")

import pipeline.sources
from schemas.records import Span
from server.media.responses import file_response
from server.media.tasks import RenderTask, render_moment, render_picture
from server.media.video_file import MediaError, VideoFile
from tests.helpers.media import exchange
from tests.helpers.memory_source import Memory
from tests.helpers.videos import write_video

PATH = "memory://films/a.mp4"
CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory()
    monkeypatch.setitem(pipeline.sources.SOURCES, "memory", lambda: memory)
    memory.files[PATH] = CONTENT
    return memory


def video(memory: Memory) -> VideoFile:
    return VideoFile("0", PATH, len(memory.files[PATH]), 1, container="mp4")


def get(asked: VideoFile, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = asyncio.run(exchange(lambda request: file_response(asked, request), method, named))
    return answer.status, answer.headers, answer.body


def test_whole_file(memory: Memory) -> None:
    status, headers, body = get(video(memory))
    assert (status, body, headers["content-length"]) == (200, CONTENT, str(len(CONTENT)))
    assert (headers["accept-ranges"], headers["content-type"], headers["cache-control"]) == (
        "bytes",
        "video/mp4",
        "private, no-cache",
    )
    status, head, body = get(video(memory), "HEAD")
    assert (status, head, body) == (200, headers, b"")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=0-", 0, len(CONTENT)),
        ("bytes=100-", 100, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
        ("bytes=2559990-9999999", 2_559_990, len(CONTENT)),
    ],
)
def test_one_range(memory: Memory, asked: str, start: int, end: int) -> None:
    status, headers, body = get(video(memory), range=asked)
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "pages=1-2", "bytes=x", "bytes=-", "bytes=10-5"])
def test_other_requests_get_the_whole_file(memory: Memory, asked: str) -> None:
    status, _, body = get(video(memory), range=asked)
    assert (status, len(body)) == (200, len(CONTENT))


@pytest.mark.parametrize("asked", ["bytes=2560000-", "bytes=-0"])
def test_a_range_that_the_file_does_not_have(memory: Memory, asked: str) -> None:
    status, headers, body = get(video(memory), range=asked)
    assert (status, headers["content-range"], body) == (416, "bytes */2560000", b"")


def test_a_part_of_the_same_version_alone(memory: Memory) -> None:
    etag = get(video(memory))[1]["etag"]
    assert get(video(memory), range="bytes=0-9", if_range=etag)[0] == 206
    assert get(video(memory), range="bytes=0-9", if_range='"older"')[0] == 200
    assert get(video(memory), if_none_match=etag)[::2] == (304, b"")


def test_what_is_not_what_was_indexed_is_an_error(memory: Memory) -> None:
    asked = video(memory)
    memory.files[PATH] = CONTENT[1:]
    with pytest.raises(MediaError, match="has changed since it was indexed") as changed:
        get(asked)
    memory.files.clear()
    with pytest.raises(MediaError, match="not there any more") as gone:
        get(asked)
    assert (changed.value.status, gone.value.status) == (409, 404)


def test_pictures_and_moments(memory: Memory, tmp_path: Path) -> None:
    memory.files[PATH] = write_video(tmp_path / "a.mp4", 75).read_bytes()
    (tmp_path / "out").mkdir()
    picture = RenderTask(video(memory), Span(1.0, 2.0), 80, tmp_path / "out", "a.jpg")
    render_picture(picture)
    assert picture.output.read_bytes()[:2] == b"\xff\xd8"
    moment = RenderTask(video(memory), Span(1.0, 2.0), 80, tmp_path / "out", "a.mp4")
    render_moment(moment)
    assert moment.output.read_bytes()[4:8] == b"ftyp"
