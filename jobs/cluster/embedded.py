"""Starts Ray for this process alone: it listens on the loopback interface, asks for a token, and leaves no files behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from jobs.cluster.run_folder import place_for_sockets, run_folder, temporary_files
from pipeline.child_processes import changed_environment


@contextmanager
def start_embedded(**options: Any) -> Iterator[None]:
    """Start Ray by ``ray.init(**options)`` for the block, with folders and a token of its own.

    Raises:
        JobError: there is no folder for its sockets.
    """
    with ExitStack() as stack:
        sockets = stack.enter_context(run_folder(place_for_sockets())) / "ray"  # which Ray makes readable for everybody
        spilled = stack.enter_context(run_folder(temporary_files()))
        stack.enter_context(_own_token())
        stack.callback(ray.shutdown)
        with _loopback_only():
            ray.init(address="local", _temp_dir=str(sockets), object_spilling_directory=str(spilled), **options)
        yield


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let Ray's processes listen on the loopback interface, which they do where Ray supports no cluster.

    Ray refuses 127.0.0.1 as an address: it takes it for a mistake.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with changed_environment(
            {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
        ):  # what training processes talk over
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _own_token() -> Iterator[None]:
    """Give Ray's processes a token, in their environment, where other users cannot read it."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_TOKEN_PATH": None}
    try:
        with changed_environment(token):
            _read_token_again()
            yield
    finally:
        _read_token_again()


def _read_token_again() -> None:
    """Let Ray read the token from the environment again: it read it at import."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
