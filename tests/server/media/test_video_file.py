"""The file that is opened is the one that was indexed, or an error says what has become of it."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from server.media.video_file import MediaError, VideoFile, open_checked
from tests.helpers.media import video_file


def opened(video: VideoFile) -> bytes:
    descriptor = open_checked(video)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def refusal(video: VideoFile) -> tuple[str, int]:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(MediaError) as caught:
        open_checked(video)
    assert set(os.listdir("/proc/self/fd")) == before  # nothing stays open
    return caught.value.problem, caught.value.status


@pytest.fixture
def video(tmp_path: Path) -> VideoFile:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"content")
    return video_file(path)


def test_unchanged_file_is_opened(video: VideoFile) -> None:
    assert opened(video) == b"content"


def test_link_to_unchanged_file_is_followed_as_an_ingest_does(video: VideoFile, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(video.path)
    assert opened(replace(video, path=str(tmp_path / "link.mp4"))) == b"content"


def test_file_that_is_gone(video: VideoFile) -> None:
    os.unlink(video.path)
    assert refusal(video) == ("gone", 404)
    assert refusal(replace(video, path=f"{video.path}/below")) == ("gone", 404)
    assert refusal(replace(video, path="/nul\0byte")) == ("gone", 404)


def test_file_of_another_size_or_time(video: VideoFile) -> None:
    assert refusal(replace(video, size_bytes=8)) == ("changed", 409)
    assert refusal(replace(video, modified_us=video.modified_us + 2)) == ("changed", 409)


def test_link_swapped_in_is_not_shown(video: VideoFile, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secrets")  # of the same size
    os.unlink(video.path)
    os.symlink(tmp_path / "secret", video.path)
    assert refusal(video) == ("changed", 409)


def test_named_pipe_swapped_in_is_not_waited_for(video: VideoFile) -> None:
    os.unlink(video.path)
    os.mkfifo(video.path)
    assert refusal(video) == ("not a file", 403)


def test_folder_loop_of_links_and_device(video: VideoFile) -> None:
    os.unlink(video.path)
    os.symlink(video.path, video.path)
    assert refusal(video) == ("not a file", 403)
    os.unlink(video.path)
    os.mkdir(video.path)
    assert refusal(video) == ("not a file", 403)
    assert refusal(replace(video, path="/dev/null")) == ("not a file", 403)


def test_error_comes_whole_from_another_process() -> None:
    copied = pickle.loads(pickle.dumps(MediaError("changed", "why")))
    assert (copied.problem, copied.reason, str(copied), copied.status) == ("changed", "why", "why", 409)
