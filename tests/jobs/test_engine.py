"""Joining a cluster that somebody else started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.videos import write_video

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nonsense", "no-such-host.invalid:6379"])
def test_an_address_where_nobody_listens_is_refused_at_once(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, address: str
) -> None:
    write_video(tmp_path / "a.mp4", 5)
    address = address.format(port=free_port())
    done = subprocess.run(
        [BIN / "vidsift", "ingest", tmp_path / "a.mp4", "--library", tmp_path / "library", "--address", address,
         "--classifier", classifier_folder, "--embedder", embedder_folder],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"vidsift: --address: got {address!r}, and no Ray cluster answers there (")
    assert "; start one with: ray start --head; " in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_same_command_joins_a_cluster(tmp_path: Path, classifier_folder: Path, embedder_folder: Path) -> None:
    """A head node of its own session, with its token, on this machine; it is stopped without touching other Rays here."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 100)
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path), "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    head = subprocess.Popen(
        [BIN / "ray", "start", "--head", "--block", "--port", address.rpartition(":")[2], "--num-cpus", "2",
         "--include-dashboard", "false", "--object-store-memory", str(200 << 20)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert head.stdout is not None
        for line in head.stdout:
            if "Ray runtime started" in line:
                break
        done = subprocess.run(
            [BIN / "vidsift", "ingest", tmp_path / "videos", "--library", tmp_path / "library", "--address", address,
             "--classifier", classifier_folder, "--embedder", embedder_folder],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # Ray takes half a minute to stop when asked
        head.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 videos found: 1 indexed, 0 partial, 0 failed")
