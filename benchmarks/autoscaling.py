"""Whether Ray's autoscaler adds machines while an ingest has work for them, and lets idle ones go.

    python -m benchmarks.autoscaling

A head with one CPU, and Ray's made-up provider of machines, which starts up to three more with two CPUs each, all on this
machine. An ingest of `--videos` small videos, each of which takes a second longer to decode, with made-up models. Prints
how many machines there are each time that changes.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from itertools import takewhile
from pathlib import Path

from demo.checkpoints import write_classifier, write_embedder
from tests.helpers.ray_cluster import BIN
from tests.helpers.videos import write_video

_IDLE_MINUTES = 0.2
_PORT = 6379  # where the made-up provider's machines look for the head


def config() -> dict[str, object]:
    """What `ray up` would be given."""
    machine = {
        "resources": {"CPU": 2, "object_store_memory": 150 << 20},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 3,
    }
    return {
        "cluster_name": "made-up",
        "max_workers": 3,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "machine": machine,
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": _IDLE_MINUTES,
        "auth": {},
        "docker": {},
        **{f"{name}_commands": [] for name in ("initialization", "setup", "head_setup", "worker_setup")},
        **{f"{name}_start_ray_commands": [] for name in ("head", "worker")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
    }


def watch(ingest: subprocess.Popen[str], after_s: float) -> None:
    """Print the number of machines whenever it changes, until the ingest has ended and the idle ones have gone."""
    import ray

    began, last, ended_s = time.monotonic(), 0, 0.0
    while not ended_s or (last > 1 and time.monotonic() - began - ended_s < after_s):
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if len(nodes) != last:
            cpus = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
            print(f"{time.monotonic() - began:6.1f} s  machines: {len(nodes)}, CPUs: {cpus}", flush=True)
            last = len(nodes)
        if not ended_s and ingest.poll() is not None:
            ended_s = time.monotonic() - began
            assert ingest.stdout is not None
            report = json.loads(ingest.stdout.read().splitlines()[-1])
            print(f"{ended_s:6.1f} s  the ingest has ended: {report.get('error') or report['indexed']} indexed", flush=True)
        time.sleep(0.5)


def main() -> None:
    """Run, and print what comes and goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vidsift-", dir="/tmp") as scratch:
        folder = Path(scratch)
        (folder / "videos").mkdir()
        for number in range(arguments.videos):
            write_video(folder / "videos" / f"{number:03d}.mp4", 30 + number)  # no two alike
        models = write_classifier(folder / "classifier"), write_embedder(folder / "embedder")
        (folder / "config.json").write_text(json.dumps(config()), encoding="utf-8")
        environment = {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "HOME": scratch, "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_worker_niceness": "0",
        }  # fmt: skip
        os.environ.update(environment)
        head = subprocess.Popen(
            [BIN / "ray", "start", "--head", "--block", "--port", str(_PORT), "--num-cpus", "1",
             "--include-dashboard", "false", "--disable-usage-stats", "--object-store-memory", str(150 << 20),
             "--temp-dir", str(folder / "ray"), "--autoscaling-config", str(folder / "config.json")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert head.stdout is not None
            said = list(takewhile(lambda line: "Ray runtime started" not in line, head.stdout))
            if not said or head.poll() is not None:
                raise SystemExit("".join(said))
            import ray  # it reads the token at import

            ray.init(address=f"127.0.0.1:{_PORT}", log_to_driver=False, logging_level="ERROR")
            given = [f"127.0.0.1:{_PORT}", folder / "videos", folder / "library", *models, "1.0"]
            ingest = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.cluster_driver", *map(str, given)], stdout=subprocess.PIPE, text=True
            )
            watch(ingest, after_s=90.0)
        finally:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()


if __name__ == "__main__":
    main()
