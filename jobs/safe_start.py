"""Start what starts other processes so that it runs nothing that lies in the current folder."""

from __future__ import annotations

import os
from multiprocessing import forkserver

_SAFE = "PYTHONSAFEPATH"


def start_server() -> None:
    """Start Python's fork server, where it does not run yet.

    By itself it would look for its modules in the current folder first, where strangers' files may lie.
    """
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before
