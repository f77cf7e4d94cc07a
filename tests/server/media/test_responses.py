"""Requests for a video's file are answered as RFC 9110 says."""

from __future__ import annotations

import asyncio
import os
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.requests import Request
from starlette.responses import Response

from server.media.responses import file_response, rendering_response
from server.media.video_file import MediaError, VideoFile
from tests.helpers.media import Answer, exchange, video_file

CONTENT = bytes(range(256)) * 1000


async def answer(video: VideoFile | Path, method: str, headers: dict[str, str], *, swap: bool, extension: bool) -> Answer:
    async def respond(request: Request) -> Response:
        return await (rendering_response(video, request) if isinstance(video, Path) else file_response(video, request))

    def swapped() -> None:
        if swap and isinstance(video, VideoFile):
            os.unlink(video.path)
            os.symlink("/etc/passwd", video.path)

    extensions: dict[str, Any] = {"http.response.pathsend": {}} if extension else {}
    return await exchange(respond, method, headers, extensions=extensions, before_sending=swapped)


def get(
    video: VideoFile | Path, method: str = "GET", *, swap: bool = False, extension: bool = False, **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    before = len(os.listdir("/proc/self/fd"))
    answered = asyncio.run(answer(video, method, named, swap=swap, extension=extension))
    assert len(os.listdir("/proc/self/fd")) == before  # the file is closed
    return answered


@pytest.fixture
def video(tmp_path: Path) -> VideoFile:
    path = tmp_path / "a.mp4"
    path.write_bytes(CONTENT)
    return video_file(path, container="mp4")


def test_whole_file(video: VideoFile) -> None:
    answered = get(video)
    assert (answered.status, answered.body) == (200, CONTENT)
    assert answered.headers == {
        "content-type": "video/mp4",
        "content-length": "256000",
        "accept-ranges": "bytes",
        "etag": f'"3e800-{video.modified_us:x}"',
        "last-modified": formatdate(video.modified_us // 1_000_000, usegmt=True),
        "cache-control": "private, no-cache",
        "content-disposition": "inline",
        "x-content-type-options": "nosniff",
    }


def test_head_says_the_same_without_a_body(video: VideoFile) -> None:
    whole, head = get(video), get(video, "HEAD")
    assert (head.status, head.headers, head.body) == (200, whole.headers, b"")
    part = get(video, "HEAD", range="bytes=0-9")
    assert (part.status, part.headers["content-length"], part.body) == (206, "10", b"")


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=255990-", 255_990, 255_999),
        ("bytes=-10", 255_990, 255_999),
        ("bytes=-9999999", 0, 255_999),
        ("bytes=255000-9999999", 255_000, 255_999),
        ("bytes=100000-200000", 100_000, 200_000),  # more than one read of the file
    ],
)
def test_one_range(video: VideoFile, asked: str, first: int, last: int) -> None:
    answered = get(video, range=asked)
    assert answered.status == 206
    assert answered.headers["content-range"] == f"bytes {first}-{last}/256000"
    assert answered.headers["content-length"] == str(last - first + 1)
    assert answered.body == CONTENT[first : last + 1]


def test_several_ranges_come_as_parts(video: VideoFile) -> None:
    answered = get(video, range="bytes=0-1,1000-1003,-2")
    assert answered.status == 206
    kind, _, boundary = answered.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert len(answered.body) == int(answered.headers["content-length"])
    parts = answered.body.split(f"--{boundary}".encode())[1:-1]
    found = [part.strip(b"\r\n").split(b"\r\n\r\n", 1) for part in parts]
    assert [head.decode().lower().rpartition("content-range: ")[2] for head, _ in found] == [
        "bytes 0-1/256000",
        "bytes 1000-1003/256000",
        "bytes 255998-255999/256000",
    ]
    assert [body for _, body in found] == [CONTENT[:2], CONTENT[1000:1004], CONTENT[-2:]]


def test_many_ranges_are_answered_with_the_whole_file(video: VideoFile) -> None:
    answered = get(video, range="bytes=" + ",".join(f"{start}-{start}" for start in range(0, 90, 10)))
    assert (answered.status, len(answered.body)) == (200, 256_000)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-3",
        "bytes=0-1,5-3",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=x",
        "bytes=1-2-3",
        "pages=0-1",
        "5",
        "bytes=" + 5000 * "9",
    ],
)
def test_what_is_no_range_is_ignored(video: VideoFile, asked: str) -> None:
    answered = get(video, range=asked)
    assert (answered.status, answered.body, answered.headers["content-length"]) == (200, CONTENT, "256000")


def test_range_beyond_the_end(video: VideoFile) -> None:
    answered = get(video, range="bytes=256000-")
    assert (answered.status, answered.headers["content-range"]) == (416, "bytes */256000")


def test_if_range_gives_a_part_of_the_same_file_alone(video: VideoFile) -> None:
    etag = get(video).headers["etag"]
    assert get(video, range="bytes=0-9", if_range=etag).status == 206
    for other in ('"another"', f"W/{etag}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        answered = get(video, range="bytes=0-9", if_range=other)
        assert (answered.status, len(answered.body)) == (200, 256_000)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"another", {}', "*"])
def test_browser_that_has_the_file_gets_none(video: VideoFile, form: str) -> None:
    etag = get(video).headers["etag"]
    for method in ("GET", "HEAD"):
        answered = get(video, method, if_none_match=form.format(etag), range="bytes=0-9")
        assert (answered.status, answered.body, answered.headers["etag"]) == (304, b"", etag)
    assert get(video, if_none_match='"another"').status == 200


@pytest.mark.parametrize("extension", [False, True])
def test_what_is_sent_is_what_was_checked(video: VideoFile, extension: bool) -> None:
    answered = get(video, swap=True, extension=extension)
    assert (answered.status, answered.body) == (200, CONTENT)


def test_changed_file_is_an_error_and_no_answer(video: VideoFile) -> None:
    Path(video.path).write_bytes(b"other")
    with pytest.raises(MediaError, match="has changed since it was indexed"):
        get(video)


def test_rendering_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "0123-256000.mp4"
    path.write_bytes(CONTENT)
    whole = get(path)
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert (whole.headers["etag"], whole.headers["cache-control"]) == ('"0123-256000"', "private, max-age=600")
    os.utime(path, (1, 1))  # used again, or made again
    assert get(path, range="bytes=5-6", if_range=whole.headers["etag"]).body == CONTENT[5:7]
    assert get(path, if_none_match=whole.headers["etag"]).status == 304
    path.unlink()
    with pytest.raises(MediaError, match="ask for it again"):
        get(path)
