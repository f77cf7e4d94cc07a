"""Starting Ray, and joining a cluster that somebody else started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cluster.session import ray_session
from schemas.errors import JobError
from schemas.options import IngestOptions
from tests.helpers.processes import in_forks
from tests.helpers.videos import write_video

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_ray_that_does_not_come_up_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nMore.")  # the class that Ray raises

    monkeypatch.setattr("jobs.ingest.ray_run.ray.is_initialized", lambda: False)
    monkeypatch.setattr("jobs.ingest.ray_run.ray.init", fail)
    with (
        pytest.raises(
            JobError, match=r"^Ray could not be started on this machine: The current node timed out during startup\.$"
        ),
        ray_session(IngestOptions()),
    ):
        pass


GPU_RUN = """
import json, sys, ray
ray.init(address="local", num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=False)
from pathlib import Path
from jobs.ingest.ingest import ingest
report = ingest([sys.argv[1]], Path(sys.argv[2]), classifier=sys.argv[3], embedder=sys.argv[4])
print(json.dumps(report.as_json()))
"""


def test_where_ray_has_gpus_each_has_an_annotator_that_works_at_two_calls(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    """Ray takes our word for two GPUs; the models find none, and compute on the CPU."""
    (tmp_path / "videos").mkdir()
    for number in range(6):
        write_video(tmp_path / "videos" / f"{number}.mp4", 60 + number)
    done = subprocess.run(
        [sys.executable, "-c", GPU_RUN, tmp_path / "videos", tmp_path / "library", classifier_folder, embedder_folder],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    report = json.loads(done.stdout.splitlines()[-1])
    plan = {name: report["run"]["shape"][name] for name in ("decoders", "annotators", "threads", "batch_size", "lanes")}
    assert plan == {"decoders": 1, "annotators": 2, "threads": 0, "batch_size": 64, "lanes": 2}
    assert (report["indexed"], report["clips"]) == (6, 6)


def test_an_address_where_nobody_listens_is_refused_at_once(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    write_video(tmp_path / "a.mp4", 5)
    addresses = [f"127.0.0.1:{free_port()}", "nonsense", "no-such-host.invalid:6379"]
    given = ["ingest", str(tmp_path / "a.mp4"), "--library", str(tmp_path / "library"),
             "--classifier", str(classifier_folder), "--embedder", str(embedder_folder)]  # fmt: skip
    runs = {address: f"cli.main({[*given, '--address', address]!r})" for address in addresses}
    for address, done in in_forks(tmp_path, "import cli, jobs.cluster.session", runs).items():
        assert done.code == 2, done.stderr
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
