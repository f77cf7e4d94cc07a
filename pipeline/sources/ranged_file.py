"""A file that is somewhere else, read at random by ranges."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sources.page_cache import PAGE_BYTES, PageCache

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Pages that one request fetches: twice as many each time that reading goes on where the last request ended.
_MAX_PAGES = 32

# Requests of so many pages are made before their pages are asked for, beside what the reader does.
_AHEAD_FROM = 8

# Pages of one open file in memory, and places that it is read at in turn, as pictures and sound that lie far apart.
_KEPT_PAGES = 2 * _MAX_PAGES
_MAX_PLACES = 4


class _Ahead(NamedTuple):
    """A request for ``num_pages`` that is under way."""

    num_pages: int
    data: Future[bytes]


class RangedFile(io.RawIOBase):
    """A file object over ranges of bytes, of which 16 MiB are in memory, and 8 MiB more for each place that it is read at.

    What is read comes from the pages in memory, from those on this machine's disk, or by a request.
    """

    def __init__(
        self, fetch: Callable[[int, int], bytes], size_bytes: int, *, version: str = "", cache: PageCache | None = None
    ) -> None:
        """Open at byte 0.

        Args:
            fetch: gives the bytes from a start to an end, both within the file. It may be called from another thread.
            size_bytes: of the file.
            version: names this content in ``cache``.
            cache: where pages are kept for other processes; None keeps none.
        """
        super().__init__()
        self._fetch, self._size_bytes, self._version, self._cache = fetch, size_bytes, version, cache
        self._position = 0
        self._pages: OrderedDict[int, bytes] = OrderedDict()  # the latest last
        self._places: OrderedDict[int, int] = OrderedDict()  # the page after a request's last -> pages of the next request
        self._ahead: dict[int, _Ahead] = {}  # by the first page

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The next byte's number."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, also beyond the end.

        Raises:
            ValueError: the byte is before the first.
        """
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if position < 0:
            raise ValueError(f"seek to byte {position}, expected 0 or more")
        self._position = position
        return position

    def read(self, size: int | None = -1) -> bytes:
        """The next ``size`` bytes, fewer at the end; all that are left where it is negative.

        Raises:
            OSError: they cannot be fetched.
        """
        end = self._size_bytes if size is None or size < 0 else min(self._position + size, self._size_bytes)
        parts = []
        while self._position < end:
            number, offset = divmod(self._position, PAGE_BYTES)
            part = self._page(number)[offset : offset + end - self._position]
            self._position += len(part)
            parts.append(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: Buffer) -> int:
        """`read` into memory that is there."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _page(self, number: int) -> bytes:
        page = self._pages.get(number)
        if page is not None:
            self._pages.move_to_end(number)
            return page
        page = self._cache.get(self._version, number) if self._cache else None
        if page is not None and len(page) == min(PAGE_BYTES, self._size_bytes - number * PAGE_BYTES):
            self._keep(number, page)
            return page
        self._request(number)
        return self._pages[number]

    def _keep(self, number: int, page: bytes) -> None:
        self._pages[number] = page
        if len(self._pages) > _KEPT_PAGES:
            self._pages.popitem(last=False)

    def _request(self, number: int) -> None:
        """Fetch a page, and as many after it as reading so far lets expect to be read."""
        num_pages = self._places.pop(number, 1)
        ahead = self._ahead.pop(number, None)
        if ahead:
            num_pages, data = ahead.num_pages, ahead.data.result()
        else:
            data = self._fetch(*self._range(number, num_pages))
        for index in range(0, -(-len(data) // PAGE_BYTES)):
            page = data[index * PAGE_BYTES : (index + 1) * PAGE_BYTES]
            if self._cache:
                self._cache.put(self._version, number + index, page)
            self._keep(number + index, page)
        self._pages.move_to_end(number)
        after, num_next = number + num_pages, min(2 * num_pages, _MAX_PAGES)
        if after * PAGE_BYTES >= self._size_bytes:
            return
        self._places[after] = num_next
        if len(self._places) > _MAX_PLACES:
            dropped, _ = self._places.popitem(last=False)
            self._ahead.pop(dropped, None)
        if num_next >= _AHEAD_FROM and not (self._cache and self._cache.has(self._version, after)):
            data_ahead = _threads(os.getpid()).submit(self._fetch, *self._range(after, num_next))
            self._ahead[after] = _Ahead(num_next, data_ahead)

    def _range(self, first: int, num_pages: int) -> tuple[int, int]:
        return first * PAGE_BYTES, min((first + num_pages) * PAGE_BYTES, self._size_bytes)


@cache
def _threads(pid: int) -> ThreadPoolExecutor:
    """The threads of this process that fetch ahead."""
    return ThreadPoolExecutor(4, "fetch-ahead")
