"""Files by ranges: the same bytes as of a file, in few requests, within little memory."""

from __future__ import annotations

import io
import os
import random
import time
from pathlib import Path

import pytest

from pipeline.sources.page_cache import PAGE_BYTES, PageCache
from pipeline.sources.ranged_file import RangedFile

CONTENT = random.Random(0).randbytes(40 * PAGE_BYTES + 1000)


class Bytes:
    """Counts the ranges that are asked for."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.content)
        self.asked.append((start, end))
        return self.content[start:end]

    @property
    def num_bytes(self) -> int:
        return sum(end - start for start, end in self.asked)


def opened(fetch: Bytes, cache: PageCache | None = None) -> RangedFile:
    return RangedFile(fetch, len(fetch.content), version="v", cache=cache)


def test_reading_from_end_to_end_takes_ever_larger_requests() -> None:
    fetch = Bytes()
    with opened(fetch) as file:
        assert b"".join(iter(lambda: file.read(10_000), b"")) == CONTENT
    pages = [(end - start) / PAGE_BYTES for start, end in fetch.asked]
    assert pages[:-1] == [1, 2, 4, 8, 16]
    assert (fetch.num_bytes, sum(pages) < 41) == (len(CONTENT), True), "each byte came once"


@pytest.mark.parametrize("seed", range(4))
def test_it_reads_as_a_file_does(seed: int, tmp_path: Path) -> None:
    draw, fetch = random.Random(seed), Bytes()
    plain, cache = io.BytesIO(CONTENT), PageCache(tmp_path / "pages", 1 << 30)
    with opened(fetch, cache if seed % 2 else None) as file:
        for _ in range(200):
            if draw.random() < 0.5:
                whence = draw.choice([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END])
                offset = draw.randrange(len(CONTENT) + 5000) - (len(CONTENT) if whence == os.SEEK_END else 0)
                assert file.seek(offset, whence) == plain.seek(offset, whence)
            size = draw.choice([0, 1, 100, PAGE_BYTES, 3 * PAGE_BYTES + 7, -1])
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()
        buffer = bytearray(100)
        file.seek(len(CONTENT) - 40)
        assert (file.readinto(buffer), bytes(buffer[:40])) == (40, CONTENT[-40:])


def test_two_places_in_turn_are_both_read_ahead() -> None:
    """As FFmpeg reads pictures and sound that lie far apart."""
    fetch = Bytes()
    with opened(fetch) as file:
        for step in range(30):
            for base in (0, 20 * PAGE_BYTES):
                file.seek(base + step * 100_000)
                assert file.read(100_000) == CONTENT[base + step * 100_000 :][:100_000]
        deadline = time.monotonic() + 10
        while len(fetch.asked) < 10 and time.monotonic() < deadline:  # what is read ahead last is read by threads
            time.sleep(0.01)
    assert len(fetch.asked) == 10
    assert len(set(fetch.asked)) == 10, "none came twice"


def test_few_pages_are_held() -> None:
    fetch = Bytes(b"x" * (200 * PAGE_BYTES))
    with opened(fetch) as file:
        while file.read(PAGE_BYTES):
            assert len(file._pages) <= 64
        file.seek(0)
        file.read(1)
    assert fetch.asked[-1] == (0, PAGE_BYTES), "what was dropped comes again"


def test_pages_on_disk_are_not_fetched_again(tmp_path: Path) -> None:
    first, second = Bytes(), Bytes()
    cache = PageCache(tmp_path / "pages", 1 << 30)
    with opened(first, cache) as file:
        assert file.read() == CONTENT
    with opened(second, PageCache(tmp_path / "pages", 1 << 30)) as file:
        assert file.read() == CONTENT
    assert second.asked == []
    (tmp_path / "pages" / "v" / "3").write_bytes(b"cut short")
    with opened(second, cache) as file:
        assert file.read() == CONTENT
    assert second.asked[0] == (3 * PAGE_BYTES, 4 * PAGE_BYTES)


def test_a_failing_request_is_the_readers_error_and_can_be_made_again() -> None:
    class Failing(Bytes):
        def __call__(self, start: int, end: int) -> bytes:
            if len(self.asked) == 4 and end > 0:
                self.asked.append((start, end))
                raise OSError(5, "the connection broke off")
            return super().__call__(start, end)

    fetch = Failing()
    with opened(fetch) as file, pytest.raises(OSError, match="the connection broke off"):
        file.read()
    with pytest.raises(ValueError, match="expected 0 or more"):
        opened(fetch).seek(-1)


def test_the_cache_stays_within_its_limit(tmp_path: Path) -> None:
    limit = 64 * PAGE_BYTES
    cache = PageCache(tmp_path / "pages", limit)
    for number in range(300):
        cache.put(f"film{number // 10}", number % 10, b"x" * PAGE_BYTES)
        held = sum(path.stat().st_size for path in (tmp_path / "pages").rglob("*") if path.is_file())
        assert held <= limit * 1.1
    assert cache.get("film29", 9) == b"x" * PAGE_BYTES, "the latest is there"
    assert cache.get("film0", 0) is None, "the oldest is not"
    assert not (tmp_path / "pages" / "film0").exists()
    assert (tmp_path / "pages" / "film29").stat().st_mode & 0o077 == 0, "others may not look into it"


def test_a_cache_whose_folder_is_deleted_costs_nothing_but_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PageCache(tmp_path / "pages", PAGE_BYTES)
    monkeypatch.setattr(cache, "_pages", lambda: (tmp_path / "nowhere").iterdir())
    cache.put("film", 0, b"x" * PAGE_BYTES)
    assert cache.get("film", 0) == b"x" * PAGE_BYTES


def test_a_cache_that_cannot_be_written_costs_nothing_but_speed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = PageCache(tmp_path / "file", 1 << 30)
    fetch = Bytes()
    with opened(fetch, cache) as file:
        assert file.read() == CONTENT
