"""Ray for one run: a cluster that is joined, or one within this process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig

from jobs.child_processes import installed_only
from jobs.cluster.embedded import start_embedded
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions

# Longer than any network that a cluster would be run over.
_CONNECT_S = 10.0

# For each GPU, or without any. Frames wait in shared memory between decoding and annotating; decoders are held back when
# half of this is full.
OBJECT_STORE_BYTES = 2 << 30


class _Job(JobConfig):  # type: ignore[misc]
    """A job whose workers do not look for modules in the driver's current folder and beside its script, as Ray has it."""

    def _serialize(self) -> bytes:
        self._py_driver_sys_path: list[str] = []
        serialized: bytes = super()._serialize()
        return serialized


@contextmanager
def ray_session(options: IngestOptions) -> Iterator[None]:
    """Ray for one run: a cluster that is joined, or one that lives within this process and ends with it.

    Raises:
        UsageError: no Ray cluster answers at the address.
    """
    if ray.is_initialized():  # the caller's own session, which is left as it is
        yield
        return
    stop = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    quiet["job_config"] = _Job()
    with ExitStack() as held:
        try:
            with _silent_stderr(), installed_only():
                if options.address is not None:
                    _check_reachable(options.address)
                    held.callback(ray.shutdown)
                    ray.init(address=options.address, **quiet)
                else:
                    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
                    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
                    shared = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
                    store = min(max(OBJECT_STORE_BYTES, min(OBJECT_STORE_BYTES * gpus, shared)), memory // 4)
                    started = start_embedded(
                        num_cpus=options.cpus, include_dashboard=False, object_store_memory=store, **quiet
                    )
                    held.enter_context(started)
        except JobError:
            raise
        except Exception as exc:  # Ray raises that very class where a node does not come up
            reason = (str(exc) or type(exc).__name__).splitlines()[0]
            if options.address is None:
                raise JobError(f"Ray could not be started on this machine: {reason}") from exc
            raise UsageError(
                f"--address: got {options.address!r}, and no Ray cluster answers there ({reason}); start one "
                "with: ray start --head; where it was started with a token, set RAY_AUTH_MODE=token; or leave --address out"
            ) from exc
        if threading.current_thread() is threading.main_thread() and stop is not None:
            signal.signal(signal.SIGTERM, stop)  # Ray's own handler ends the process without a word to those above
        yield


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would go on trying for many minutes.

    Raises:
        OSError: nobody listens at ``address``.
        ValueError: it is no ``HOST:PORT``.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's C++ side prints at start (its log level, of all things); its errors come as exceptions."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
