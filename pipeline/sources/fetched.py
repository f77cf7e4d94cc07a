"""Counts the bytes that this process has fetched from sources over a network."""

from __future__ import annotations

import threading

_lock = threading.Lock()
_fetched = 0


def count_fetched(num_bytes: int) -> None:
    """Add bytes that have come."""
    global _fetched
    with _lock:
        _fetched += num_bytes


def bytes_fetched() -> int:
    """The bytes so far."""
    return _fetched
