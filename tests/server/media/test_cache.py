"""Renderings are kept up to a limit; what else is in their folder is left alone."""

from __future__ import annotations

import os
from pathlib import Path

from server.media.cache import RenderingCache

KEYS = [f"{number:040x}" for number in range(5)]


def put(cache: RenderingCache, key: str, content: bytes = b"x" * 100) -> Path:
    folder = cache.work_folder()
    (folder / "made.jpg").write_bytes(content)
    path = cache.put(key, folder / "made.jpg")
    cache.discard(folder)
    return path


def test_rendering_is_found_again_also_by_another_process(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path / "cache", 1000)
    assert cache.get(KEYS[0]) is None
    path = put(cache, KEYS[0], b"picture")
    assert path.read_bytes() == b"picture"
    assert cache.get(KEYS[0]) == path
    later = RenderingCache(tmp_path / "cache", 1000)
    assert (later.get(KEYS[0]), later.size_bytes, len(later)) == (path, 7, 1)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [path.name]  # no folder of work is left


def test_used_least_recently_is_deleted_beyond_the_limit(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path, 300, in_use_s=0)
    for key in KEYS[:3]:
        put(cache, key)
    assert cache.get(KEYS[0])
    put(cache, KEYS[3])
    assert [cache.get(key) is not None for key in KEYS[:4]] == [True, False, True, True]
    assert (cache.size_bytes, cache.deleted, len(list(tmp_path.iterdir()))) == (300, 1, 3)


def test_order_of_use_outlasts_the_process(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path, 300)
    for age_s, key in ((3, KEYS[0]), (2, KEYS[1]), (1, KEYS[2])):
        path = put(cache, key)
        os.utime(path, (path.stat().st_atime - age_s, 1000.0))
    first = cache.get(KEYS[0])
    assert first is not None
    assert first.stat().st_mtime == 1000  # what an answer's Last-Modified says
    smaller = RenderingCache(tmp_path, 200)
    assert [smaller.get(key) is not None for key in KEYS[:3]] == [True, False, True]


def test_rendering_just_given_out_is_not_deleted(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path, 100, in_use_s=60)
    paths = [put(cache, key) for key in KEYS]
    assert all(path.exists() for path in paths)


def test_damaged_rendering_is_no_rendering(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path, 10_000)
    cut, gone, link, folder = (put(cache, key) for key in KEYS[:4])
    cut.write_bytes(b"x" * 50)
    gone.unlink()
    link.unlink()
    link.symlink_to("/etc/passwd")
    folder.unlink()
    folder.mkdir()
    for known in (cache, RenderingCache(tmp_path, 10_000)):
        assert [known.get(key) for key in KEYS[:4]] == [None] * 4
        assert known.size_bytes == 0
    assert put(cache, KEYS[0]).read_bytes() == b"x" * 100
    assert Path("/etc/passwd").exists()


def test_foreign_files_stay(tmp_path: Path) -> None:
    foreign = ("notes.txt", f"{KEYS[0]}.jpg", f"{KEYS[0]}-100.png", "-100.jpg")
    for name in foreign:
        (tmp_path / name).write_bytes(b"x" * 1000)
    cache = RenderingCache(tmp_path, 50, in_use_s=0)
    put(cache, KEYS[0])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(foreign)


def test_work_that_was_given_up_is_deleted_after_hours(tmp_path: Path) -> None:
    cache = RenderingCache(tmp_path, 50)
    old, new = cache.work_folder(), cache.work_folder()
    (old / "made.mp4").write_bytes(b"half")
    os.utime(old, (0, 0))
    RenderingCache(tmp_path, 50)
    assert (old.exists(), new.exists()) == (False, True)
