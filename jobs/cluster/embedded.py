"""Ray within a run, for nobody else: it listens on this machine alone, wants its own token, and leaves nothing behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from jobs.child_processes import changed_environment
from jobs.cluster.run_folder import place_for_sockets, run_folder, temporary_files


@contextmanager
def start_embedded(**options: Any) -> Iterator[None]:
    """Start Ray by ``ray.init(**options)``, and end it with what it needs beside it.

    Raises:
        JobError: there is no folder for its sockets.
    """
    with ExitStack() as held:
        sockets = held.enter_context(run_folder(place_for_sockets())) / "ray"  # which Ray lets everybody into
        spilled = held.enter_context(run_folder(temporary_files()))
        held.enter_context(_own_token())
        held.callback(ray.shutdown)
        with _loopback_only():
            ray.init(address="local", _temp_dir=str(sockets), object_spilling_directory=str(spilled), **options)
        yield


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let what Ray starts listen on the loopback interface: it does where it believes that there are no other machines.

    To be told so by address it refuses: it takes 127.0.0.1 for a mistake.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with changed_environment({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}):  # where trainings talk
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _own_token() -> Iterator[None]:
    """A token that Ray's processes inherit in their environment, where other users cannot read it."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_TOKEN_PATH": None}
    try:
        with changed_environment(token):
            _read_token_again()
            yield
    finally:
        _read_token_again()


def _read_token_again() -> None:
    """Ray has read the environment when it was imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
