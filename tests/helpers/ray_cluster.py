"""A Ray cluster on this machine: a head and nodes, each a `ray start` of its own session, which can be killed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

BIN = Path(sys.executable).parent

# Nodes that die are noticed within seconds; by default Ray gives them 15.
_QUICK = (
    '{"health_check_initial_delay_ms":0,"health_check_period_ms":500,"health_check_timeout_ms":1000,'
    '"health_check_failure_threshold":2}'
)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RayCluster:
    """A cluster with a token of its own; `close` kills all of it.

    Attributes:
        address: what `--address` takes.
        folder: where its files are.
        environment: what a driver needs beside it.
        nodes: the processes of its nodes, the head's first.
    """

    def __init__(self, folder: Path, *, num_cpus: int = 1) -> None:
        """Start the head, whose files are in ``folder``."""
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "HOME": str(folder),
            "RAY_worker_niceness": "0",
        }
        self.nodes: list[subprocess.Popen[str]] = []
        self.folder = folder
        self._start(
            ["--head", "--port", self.address.rpartition(":")[2], "--temp-dir", str(folder), "--include-dashboard", "false",
             "--system-config", _QUICK, "--num-cpus", str(num_cpus)],
            {},
        )  # fmt: skip

    def add(self, *, num_cpus: int = 1, num_gpus: int = 0, environment: Mapping[str, str] | None = None) -> int:
        """Add a node with so many CPUs and made-up GPUs, and return its number."""
        options = ["--address", self.address, "--num-cpus", str(num_cpus), "--num-gpus", str(num_gpus)]
        self._start(options, environment or {})
        return len(self.nodes) - 1

    def _start(self, options: list[str], environment: Mapping[str, str]) -> None:
        store = ["--object-store-memory", str(150 << 20)]
        node = subprocess.Popen(
            [str(BIN / "ray"), "start", "--block", "--disable-usage-stats", *store, *options],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.nodes.append(node)
        assert node.stdout is not None
        said = []
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        raise AssertionError("".join(said))

    def kill(self, number: int) -> None:
        """End a node as a power cut does: each of its processes by SIGKILL."""
        node = self.nodes[number]
        if node.returncode is None:
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()

    def close(self) -> None:
        """Kill all nodes."""
        for number in range(len(self.nodes)):
            self.kill(number)
