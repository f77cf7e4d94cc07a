"""Ingests on a Ray cluster whose nodes join, die and differ: several Rays on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import jobs.ingest.make_job
from benchmarks.crashes import content
from jobs.cluster.nodes import Found, Needs, Node, problem_of
from jobs.cluster.session import ray_session
from jobs.ingest.ingest import ingest
from jobs.ingest.layout import homes_of
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.workers import Attempt, StatsActor
from schemas.errors import UsageError
from schemas.options import IngestOptions
from tests.helpers.cluster_driver import BURNT_S
from tests.helpers.inline_run import InlineRun
from tests.helpers.made_up_models import MadeUpModelsJob
from tests.helpers.ray_cluster import RayCluster
from tests.helpers.videos import write_video

ROOT = Path(__file__).parents[3]
NUM_VIDEOS = 16


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[Callable[[], RayCluster]]:
    """Gives a cluster of a head with one CPU and a node with two CPUs and a made-up GPU; another once its head is dead."""
    clusters: list[RayCluster] = []

    def give() -> RayCluster:
        if not clusters or clusters[-1].nodes[0].returncode is not None:
            folder = Path(tempfile.mkdtemp(prefix="vidsift-test-", dir="/tmp"))  # short, for sockets
            clusters.append(RayCluster(folder, num_cpus=1))
            clusters[-1].add(num_cpus=2, num_gpus=1)
        return clusters[-1]

    yield give
    for cluster in clusters:
        cluster.close()
        shutil.rmtree(cluster.folder, ignore_errors=True)


class Driver:
    """An ingest on a cluster, as a process."""

    def __init__(
        self, cluster: RayCluster, folder: Path, library: Path, models: tuple[Path, Path], slower_s: float = 0.0
    ) -> None:
        self.jobs_file = Path(f"{library}.jobs")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.cluster_driver", cluster.address, folder, library, *models, str(slower_s)],
            env=cluster.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def nodes(self) -> list[str]:
        """The machine of each decoding that has begun, in order."""
        return self.jobs_file.read_text(encoding="utf-8").split() if self.jobs_file.exists() else []

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def end(self) -> tuple[int, dict[str, Any]]:
        """The exit code and the last line that was printed."""
        stdout, stderr = self.process.communicate(timeout=120)
        assert stderr == "", "nothing is printed beside it"
        lines = [json.loads(line) for line in stdout.splitlines()]
        return self.process.returncode, lines[-1]


@pytest.fixture
def models(classifier_folder: Path, embedder_folder: Path) -> tuple[Path, Path]:
    return classifier_folder, embedder_folder


@pytest.fixture
def inline(
    inline_run: type[InlineRun], monkeypatch: pytest.MonkeyPatch, models: tuple[Path, Path]
) -> Callable[[Path, Path], Any]:
    """What the same ingest finds in this process, without Ray."""
    monkeypatch.setattr(jobs.ingest.make_job, "Job", MadeUpModelsJob)

    def run(folder: Path, library: Path) -> Any:
        ingest(folder, library, classifier=str(models[0]), embedder=str(models[1]))
        return content(library)

    return run


@pytest.mark.slow
def test_a_machine_that_joins_gets_work_and_of_one_that_dies_nothing_is_lost(
    tmp_path: Path,
    running_cluster: Callable[[], RayCluster],
    films: list[Path],
    models: tuple[Path, Path],
    inline: Callable[[Path, Path], Any],
) -> None:
    folder = shutil.copytree(films[0].parent, tmp_path / "videos")
    for number in range(NUM_VIDEOS):
        write_video(folder / f"{number:02d}.mp4", 100 + number)
    cluster = running_cluster()
    hold = tmp_path / "library.hold"
    hold.touch()
    driver = Driver(cluster, folder, tmp_path / "library", models)
    driver.wait_until(lambda: len(set(driver.nodes())) == 2)
    before = set(driver.nodes())
    dies = cluster.add(num_cpus=2)
    driver.wait_until(lambda: len(set(driver.nodes()) - before) == 1)
    cluster.kill(dies)
    hold.unlink()
    code, report = driver.end()
    assert code == 0, report
    assert report["found"] == report["indexed"] == NUM_VIDEOS + len(films)
    assert content(tmp_path / "library") == inline(folder, tmp_path / "alone")
    bill = {stage["stage"]: stage for stage in report["run"]["stages"]}
    assert bill["plan"]["count"] >= report["found"]
    assert min(bill[name]["count"] for name in ("decode", "annotate", "write")) >= report["clips"], "of all machines"
    assert bill["decode"]["cpu_s"] >= BURNT_S * report["found"]
    assert report["run"]["shape"]["on_gpus"], "of the machine that has one"
    assert report["run"]["moved_bytes"] > 0, "the head has decoders and no annotator"


@pytest.mark.slow
def test_a_machine_with_other_code_is_named_at_once(
    tmp_path: Path, running_cluster: Callable[[], RayCluster], films: list[Path], models: tuple[Path, Path]
) -> None:
    for package in ("schemas", "pipeline", "index", "jobs"):
        shutil.copytree(ROOT / package, tmp_path / "other" / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "other" / "jobs" / "overlap.py").open("a", encoding="utf-8") as module:
        module.write("# changed\n")
    cluster = running_cluster()
    other = cluster.add(environment={"PYTHONPATH": str(tmp_path / "other")})
    code, said = Driver(cluster, films[0].parent, tmp_path / "library", models).end()
    cluster.kill(other)
    assert (code, said["kind"]) == (1, "UsageError")
    assert said["error"].startswith("address: the machine ")
    assert said["error"].endswith("has other code of vidsift 0.1.0 than this one; install the same there")


@pytest.mark.slow
def test_when_the_head_dies_the_run_ends_with_that_and_what_was_finished_is_kept(
    tmp_path: Path, running_cluster: Callable[[], RayCluster], models: tuple[Path, Path]
) -> None:
    (tmp_path / "videos").mkdir()
    for number in range(NUM_VIDEOS):
        write_video(tmp_path / "videos" / f"{number:02d}.mp4", 100 + number)
    cluster = running_cluster()
    driver = Driver(cluster, tmp_path / "videos", tmp_path / "library", models, slower_s=2.5)
    assert driver.process.stdout is not None
    for line in driver.process.stdout:
        if json.loads(line).get("done", 0) >= 2:
            break
    cluster.kill(0)
    code, said = driver.end()
    assert (code, said["kind"]) == (1, "JobError")
    assert said["error"] == (
        f"the head of the Ray cluster at {cluster.address} does not answer any more; what was finished is kept, "
        "run the same command again to go on"
    )
    videos, clips, _ = content(tmp_path / "library")
    assert 2 <= len(videos) == len(clips) < NUM_VIDEOS
    assert {video["status"] for video in videos} == {"indexed"}


SHARED = (
    "'/l/library.json'; the library must be in a folder that all machines share, at the same path, or in an object store"
)
COPY = "copy its folder there, to the same path"
HERE = Found("0.1.0", "c0de", "5ame", ((("model.safetensors", 10),), (("model.safetensors", 20),)))


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (HERE, ""),
        (HERE._replace(version=None), "has no vidsift in the Python that Ray runs in there; install version 0.1.0 there"),
        (HERE._replace(version="0.0.9"), "has vidsift 0.0.9, expected 0.1.0 as here; install the same version there"),
        (HERE._replace(shared=None), f"does not see {SHARED}"),
        (HERE._replace(shared="other"), f"sees another file as {SHARED}"),
        (HERE._replace(models=(None, HERE.models[1])), f"does not have the model '/m/c'; {COPY}"),
        (HERE._replace(models=(HERE.models[0], ())), f"has other files of the model '/m/e'; {COPY}"),
    ],
)  # fmt: skip
def test_what_a_machine_lacks_is_said_with_what_to_do(there: Found, said: str) -> None:
    needs = Needs("/l/library.json", ("/m/c", "/m/e"))
    assert problem_of(there, HERE, needs, needs_models=True) == said
    if "model " in said:
        assert problem_of(there, HERE, needs, needs_models=False) == "", "machines without annotators need no models"


def test_a_library_in_a_store_need_not_be_seen_by_all_machines() -> None:
    assert problem_of(HERE._replace(shared=None), HERE, Needs("", ("/m/c", "/m/e")), needs_models=True) == ""


def test_annotators_go_where_gpus_are_else_by_cpus() -> None:
    nodes = [Node("head", "", 0, 0, 0.0), Node("a", "", 16, 2, 0.0), Node("b", "", 4, 1, 0.0), Node("c", "", 8, 0, 0.0)]
    assert homes_of(nodes, ResourcePlan(1, 3, 0, 64, on_gpus=True)) == ["a", "a", "b"]
    assert sorted(homes_of(nodes, ResourcePlan(1, 7, 4, 4))) == ["a"] * 4 + ["b"] + ["c"] * 2
    assert homes_of(nodes[:1], ResourcePlan(1, 1, 1, 4)) == [], "none has a CPU"


def test_other_versions_of_ray_and_python_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:  # as ray._private.utils.check_version_info does
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.1\n"
            "This process on vm was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
        )

    monkeypatch.setattr("jobs.cluster.session.ray.is_initialized", lambda: False)
    monkeypatch.setattr("jobs.cluster.session.ray.init", refuse)
    monkeypatch.setattr("jobs.cluster.session._check_reachable", lambda address: None)
    with pytest.raises(UsageError) as refused, ray_session(IngestOptions(address="head:6379")):
        pass
    assert str(refused.value) == (
        "address: got 'head:6379', a cluster of Ray 2.59.0 and Python 3.12.1, and this machine has Ray 2.60.0 and Python "
        "3.11.7; install the same on all"
    )


def test_a_video_is_not_blamed_for_machines_that_have_gone() -> None:
    stats, attempt = StatsActor(keep_timings=False), Attempt(b"/v/a.mp4", "decode", 0, 600.0)
    assert stats.begin(attempt, False, "first")
    assert stats.begin(attempt, False, "second"), "one worker has died"
    assert not stats.begin(attempt, False, "third"), "two have"
    assert stats.suspects(attempt) == {"first", "second"}
    assert stats.forgive(attempt, {"first"}), "the first one's machine has gone, so only one counts"
    assert not stats.begin(attempt, False, "fourth"), "the third one has died, too"
    assert list(stats.lost()) == [b"/v/a.mp4"]
    stats.stop()
    assert stats.suspects(attempt) == set(), "nothing is waited for once the run ends"
