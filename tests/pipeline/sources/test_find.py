from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from index.storage.config import write_library_config
from index.storage.paths import Library
from jobs.export.moments_table import COLUMNS
from pipeline.sources.find import Choice, PassedOver, find_videos
from pipeline.sources.hashing import content_hash
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile
from tests.helpers.made_library import IDENTITY


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
    with pytest.raises(UsageError, match=r"sources: no such file or folder: .*nowhere"):
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


TYPESCRIPT = b'import { the } from "./other";\n'
STREAM = b"".join(b"G" + bytes([number]) * 187 for number in range(40))


def look(*sources: Path, choice: Choice | None = None, known: tuple[str, ...] = ()) -> tuple[list[str], PassedOver]:
    passed = PassedOver()
    found = find_videos(
        sources, choice=choice or Choice(), is_known=lambda file: os.path.basename(file.path) in known, passed=passed
    )
    return names(list(found)), passed


def write(folder: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_an_ending_that_others_have_too_is_judged_by_the_first_bytes(tmp_path: Path) -> None:
    write(tmp_path, **{"a.ts": STREAM, "app.ts": TYPESCRIPT, "x.MTS": TYPESCRIPT, "index.ts": b"", "go.mod": b"module x\n"})
    write(tmp_path, **{"b.m2ts": TYPESCRIPT, "notes.txt": b"", "README": b"", "more.txt": b"", ".hidden": b""})
    found, passed = look(tmp_path)
    assert found == ["a.ts", "b.m2ts"]
    assert passed.endings == {".ts": 2, ".mts": 1, ".mod": 1, ".txt": 2, "": 1}
    judged = ("app.ts", "x.MTS", "index.ts", "go.mod")
    assert passed.no_videos == {str(tmp_path / name) for name in judged}
    assert look(tmp_path, known=("app.ts",))[0] == ["a.ts", "app.ts", "b.m2ts"], "what is known needs no look"
    assert look(tmp_path / "app.ts")[0] == ["app.ts"], "nor does what is named outright"
    assert look(tmp_path, tmp_path)[1].endings == passed.endings, "a source that is named twice is counted once"


def test_a_pipe_whose_ending_says_little_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ts")
    os.mkfifo(tmp_path / "moments.csv")
    os.mkfifo(tmp_path / "library.json")
    found, passed = look(tmp_path)
    assert (found, passed.no_videos) == (["a.ts"], set())


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), ("proxies",), ["a.mp4", "b.MOV", "c.mov", "d.mp4"]),
        ((), ("*.mov",), ["a.mp4", "d.mp4", "e.mp4"]),
        (("*.mov",), (), ["b.MOV", "c.mov"]),
        (("2024",), (), ["c.mov", "d.mp4", "e.mp4", "film.bin"]),
        (("2024/*.mp4",), (), ["d.mp4", "e.mp4"]),
        (("./2024/",), ("2024/ü*",), ["c.mov", "e.mp4", "film.bin"]),
        (("*.bin", "a.*"), (), ["a.mp4", "film.bin"]),
        (("u\u0308ber*", "A.mp4"), (), ["a.mp4", "d.mp4"]),
        (("nothing",), (), []),
    ],
)
def test_globs_choose_by_name_and_by_path_below_the_source(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], expected: list[str]
) -> None:
    write(tmp_path, **{"a.mp4": b"x", "b.MOV": b"x", "2024/c.mov": b"x", "2024/über/d.mp4": b"x"})
    write(tmp_path, **{"2024/raw/proxies/e.mp4": b"x", "2024/film.bin": STREAM, "2024/other.bin": b"x"})
    found, passed = look(tmp_path, choice=Choice(include, exclude))
    assert sorted(found) == expected
    if "proxies" not in exclude and "2024/ü*" not in exclude:
        assert len(found) + passed.endings.total() == 7


def test_globs_choose_among_files_that_are_named_too(tmp_path: Path) -> None:
    write(tmp_path, **{"a.mp4": b"x", "a-proxy.mp4": b"x"})
    found, passed = look(tmp_path / "a.mp4", tmp_path / "a-proxy.mp4", choice=Choice(exclude=("*-proxy*",)))
    assert (found, passed.endings) == (["a.mp4"], {".mp4": 1})


@pytest.mark.parametrize("glob", ["", "/home/me/*"])
def test_a_glob_that_can_match_nothing_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match=r"exclude: got '.*', expected a name or a path below a source"):
        Choice(exclude=(glob,))


def test_what_vidsift_wrote_is_left_out_and_films_beside_it_are_not(tmp_path: Path) -> None:
    library, exports = tmp_path / "library", tmp_path / "moments"
    write_library_config(Library(tmp_path), IDENTITY)
    library.mkdir()
    write_library_config(Library(library), IDENTITY)
    write(library, **{"clips/_delta_log/0.json": b"", "clips/p.parquet": b"", "videos/film.mp4": b"x", "CURRENT": b"1"})
    write(library, **{"snapshots/1/clips.faiss": b"", "tags/_delta_log/0.json": b"", "tags/x.mp4": b"x"})
    write(exports, **{"001-a.mp4": b"x", "moments.csv": (",".join(COLUMNS) + "\n").encode()})
    write(tmp_path / "others", **{"moments.csv": b"path,start_s\n", "b.mp4": b"x", "library.json": b"{}"})
    write(tmp_path, **{"a.mp4": b"x"})
    found, passed = look(tmp_path)
    assert found == ["a.mp4", "film.mp4", "b.mp4"]
    assert passed.endings == {".csv": 1, ".json": 1}
    assert passed.folders == {
        str(tmp_path): "a vidsift library",
        str(library): "a vidsift library",
        str(exports): "exported by vidsift",
    }
    assert look(exports)[0] == ["001-a.mp4"], "a source is what its user says"
