"""Connects one run to Ray: to a cluster, or to a Ray embedded in this process."""

from __future__ import annotations

import logging
import os
import re
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

from jobs.cluster.embedded import start_embedded
from pipeline.child_processes import installed_only
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions

# Seconds to wait for a connection: longer than any network between the machines of a cluster takes.
_CONNECT_S = 10.0

# For each GPU, or for a machine without any. Frames wait in shared memory between decoding and annotating; while half of
# this is full, nothing more is decoded.
OBJECT_STORE_BYTES = 2 << 30


# What Ray says where its head has other versions than this process: those of the head come first.
_VERSIONS = re.compile(r"(Ray|Python): (\S+)")


class _Job(JobConfig):  # type: ignore[misc]
    """A Ray job whose workers do not look for modules in the driver's current folder and beside its script."""

    def _serialize(self) -> bytes:
        self._py_driver_sys_path: list[str] = []
        serialized: bytes = super()._serialize()
        return serialized


@contextmanager
def ray_session(options: IngestOptions) -> Iterator[None]:
    """Connect to a Ray cluster, or start an embedded Ray, for the block. A connection that is there already is used.

    Raises:
        JobError: Ray cannot be started on this machine.
        UsageError: no Ray cluster answers at the address.
    """
    if ray.is_initialized():  # the caller's own connection, which is left as it is
        yield
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    quiet["job_config"] = _Job()
    with ExitStack() as stack:
        try:
            with _silent_stderr(), installed_only():
                if options.address is not None:
                    _check_reachable(options.address)
                    stack.callback(ray.shutdown)
                    ray.init(address=options.address, **quiet)
                else:
                    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
                    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
                    shared = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
                    store = min(max(OBJECT_STORE_BYTES, min(OBJECT_STORE_BYTES * gpus, shared)), memory // 4)
                    started = start_embedded(
                        num_cpus=options.cpus, include_dashboard=False, object_store_memory=store, **quiet
                    )
                    stack.enter_context(started)
        except JobError:
            raise
        except Exception as exc:  # Ray raises Exception itself where a node does not come up
            reason = (str(exc) or type(exc).__name__).splitlines()[0]
            if options.address is None:
                raise JobError(f"Ray could not be started on this machine: {reason}") from exc
            if (versions := _VERSIONS.findall(str(exc))) and "Version mismatch" in reason:
                theirs, ours = (" and ".join(f"{what} {version}" for what, version in versions[k : k + 2]) for k in (0, 2))
                raise UsageError(
                    f"got {options.address!r}, a cluster of {theirs}, and this machine has {ours}; install the same on all",
                    argument="address",
                ) from exc
            raise UsageError(
                f"got {options.address!r}, and no Ray cluster answers there ({reason}); start one "
                "with: ray start --head; where it was started with a token, set RAY_AUTH_MODE=token; or leave `address` out",
                argument="address",
            ) from exc
        if threading.current_thread() is threading.main_thread() and on_sigterm is not None:
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own handler ends the process at once
        yield


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens, for which Ray itself takes many minutes.

    Raises:
        OSError: nobody listens at ``address``.
        ValueError: it is not a ``HOST:PORT``.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's C++ side prints at start (such as its log level); its errors come as exceptions."""
    sys.stderr.flush()
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)
