from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.find import content_hash, find_videos
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile


def names(found: list[VideoFile | tuple[VideoFile, VideoError]]) -> list[str]:
    return [os.path.basename((item if isinstance(item, VideoFile) else item[0]).path) for item in found]


def test_videos_are_found_once_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MKV", "sub/c.webm", "notes.txt", ".hidden.mp4", ".cache/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(list(find_videos([tmp_path, tmp_path / "b.mp4", f"{tmp_path}/."]))) == ["a.MKV", "b.mp4", "c.webm"]


def test_a_file_named_outright_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "recording").write_bytes(b"x")
    (found,) = find_videos([tmp_path / "recording"])
    assert isinstance(found, VideoFile)
    assert (found.path, found.size_bytes) == (str(tmp_path / "recording"), 1)


def test_a_missing_source_is_an_error_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"SOURCE: no such file or folder: .*nowhere"):
        list(find_videos([tmp_path, tmp_path / "nowhere"]))


def test_what_is_no_regular_file_comes_with_its_reason_and_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.mp4"))
        found = list(find_videos([tmp_path]))
    reasons = {os.path.basename(item[0].path): str(item[1]) for item in found if isinstance(item, tuple)}
    assert len(found) == 4
    assert reasons == {
        "dangling.mp4": "find: cannot be looked at: No such file or directory",
        "empty.mp4": "find: the file is empty (0 bytes)",
        "fifo.mp4": "find: not a regular file but a named pipe",
        "socket.mp4": "find: not a regular file but a socket",
    }


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "in" / "a.mp4").write_bytes(b"x")
    assert names(list(find_videos([tmp_path / "in"]))) == ["a.mp4"]


def test_content_hash_sees_every_byte(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(bytes(3 << 20))
    second.write_bytes(bytes((3 << 20) - 1) + b"\x01")
    assert (
        content_hash(str(first)) == "bf46f387ccc2c66a5644671d7b59d767"
    )  # python -c "hashlib.blake2b(bytes(3 << 20), digest_size=16)"
    assert content_hash(str(first)) != content_hash(str(second))


def test_a_file_that_vanished_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="find: cannot be read: No such file or directory"):
        content_hash(str(tmp_path / "gone"))
