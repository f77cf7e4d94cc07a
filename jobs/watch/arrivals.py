"""Waits, and says what has changed in folders of this machine meanwhile, by the system's own notices (inotify)."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from watchfiles import watch

from pipeline.sources import is_folder, source_of

# Milliseconds in which notices are gathered: a file that is being written gives one with every write.
_GATHER_MS = 500


class Arrivals(Protocol):
    """A clock to wait by, and what wakes it."""

    def now(self) -> float:
        """Seconds, from any beginning."""

    def wait(self, timeout_s: float) -> set[str]:
        """Wait until something has changed, or for ``timeout_s`` seconds; the paths of what has, if it is known."""

    def follow(self, sources: Sequence[str]) -> None:
        """Follow the folders among ``sources`` from now on, as far as the system can."""


class FolderArrivals:
    """Folders of this machine, followed in a thread of their own.

    What the system cannot follow (a mounted drive that another machine writes, more folders than it allows) is left to
    listing.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """``say`` is told where folders cannot be followed."""
        self._say = say
        self._changes: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._followed: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()

    def now(self) -> float:
        """Seconds that pass evenly, whatever is done to the machine's clock."""
        return time.monotonic()

    def wait(self, timeout_s: float) -> set[str]:
        """Wait for notices; all that have come by then."""
        paths: set[str] = set()
        with suppress(queue.Empty):
            paths |= self._changes.get(timeout=max(0.0, timeout_s))
            while True:
                paths |= self._changes.get_nowait()
        return paths

    def follow(self, sources: Sequence[str]) -> None:
        """Begin anew where the folders are others than before: one that was away and came back is another."""
        folders = {}
        for source in sources:
            local = source_of(source).local_path(source)
            if local is not None and is_folder(source):
                with suppress(OSError):
                    status = os.stat(local)
                    folders[local] = (status.st_dev, status.st_ino)
        if folders == self._followed:
            return
        self._stop.set()
        self._followed, self._stop = folders, threading.Event()
        if folders:
            threading.Thread(target=self._follow, args=(list(folders), self._stop), daemon=True).start()

    def close(self) -> None:
        """Follow nothing more."""
        self._stop.set()

    def _follow(self, folders: list[str], stop: threading.Event) -> None:
        try:
            for changes in watch(
                *folders,
                watch_filter=None,
                debounce=2 * _GATHER_MS,
                step=_GATHER_MS,
                rust_timeout=1000,
                stop_event=stop,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._changes.put({path for _, path in changes})
        except (OSError, RuntimeError) as exc:  # too many folders for fs.inotify.max_user_watches, or one is gone
            if not stop.is_set():
                self._say(f"the system gives no notice of new files ({exc}); they are found by listing")
