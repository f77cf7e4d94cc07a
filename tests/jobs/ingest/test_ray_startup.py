from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.ingest.ingest import ingest
from jobs.ingest.ray_startup import RaySession
from jobs.ingest.steps import Job
from schemas.errors import JobError, ModelError
from schemas.options import IngestOptions, Sampling
from tests.helpers.inline_run import InlineRun
from tests.helpers.videos import write_video

pytestmark = pytest.mark.slow


class Ray:
    """Stands in for Ray: notes what is done with it, and by which thread."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.starting = threading.Event()
        self.threads: set[threading.Thread] = set()
        self.error: Exception | None = None

    @contextmanager
    def session(self, options: IngestOptions) -> Iterator[None]:
        self.starting.set()
        time.sleep(0.2)
        if self.error:
            raise self.error
        self.done.append("up")
        self.threads.add(threading.current_thread())
        yield
        self.done.append("down")
        self.threads.add(threading.current_thread())

    def run(self, job: Job) -> Ray:
        self.done.append("models")
        return self

    def close(self) -> None:
        self.done.append("closed")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.setattr("jobs.cluster.session.ray_session", ray.session)
    monkeypatch.setattr("jobs.ingest.ray_run.RayRun", ray.run)
    return ray


def make_job() -> Job:
    return Job((), Sampling(), Path(), IngestOptions())


def test_ray_starts_beside_what_the_caller_does_and_ends_in_the_same_thread(ray: Ray) -> None:
    with RaySession(make_job) as session:
        session.begin()
        session.begin()
        ray.done.append("something else")
        runs: list[object] = [session.ready(), session.ready()]
        assert runs == [ray, ray]
        assert (session.start.stage, session.start.seconds >= 0.2) == ("start", True)
        ray.done.append("used")
    assert ray.done == ["something else", "up", "models", "used", "closed", "down"]
    assert len(ray.threads - {threading.current_thread()}) == 1, "its processes end with the thread that started them"


def test_a_session_that_nobody_asks_for_starts_nothing(ray: Ray) -> None:
    with RaySession(make_job):
        pass
    assert ray.done == []


def test_ray_is_stopped_also_when_the_caller_fails_while_it_starts(ray: Ray) -> None:
    def fail() -> None:
        with RaySession(make_job) as session:
            session.begin()
            assert ray.starting.wait(10)
            raise ValueError("no such folder")

    with pytest.raises(ValueError, match="no such folder"):
        fail()
    assert ray.done == ["up", "models", "closed", "down"]


def test_ray_is_not_started_for_a_caller_who_has_failed(ray: Ray) -> None:
    failed = threading.Event()

    def slowly() -> Job:
        assert failed.wait(10)
        return make_job()

    session = RaySession(slowly)
    session.begin()
    threading.Timer(0.3, failed.set).start()
    session.__exit__(None, None, None)
    assert failed.is_set(), "it was not waited for"
    assert ray.done == []


def test_why_ray_does_not_start_is_raised_where_it_is_needed(ray: Ray) -> None:
    ray.error = JobError("Ray could not be started on this machine: no memory")
    with RaySession(make_job) as session:
        session.begin()
        with pytest.raises(JobError, match="no memory"):
            session.ready()


def test_a_job_that_cannot_be_made_starts_no_ray(ray: Ray) -> None:
    def fail() -> Job:
        raise ModelError("it has changed", argument="classifier")

    with RaySession(fail) as session:
        session.begin()
        with pytest.raises(ModelError, match="it has changed"):
            session.ready()
    assert ray.done == []


def test_an_ingest_that_finds_nothing_new_does_not_even_import_ray(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, inline_run: type[InlineRun]
) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    write_video(videos / "a.mp4", 50)
    assert ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder)).indexed == 1
    script = (
        "import sys; from jobs.ingest.ingest import ingest\n"
        f"report = ingest([{str(videos)!r}], {str(library)!r})\n"
        "seen = [report.indexed, report.unchanged, 'ray' in sys.modules]\n"
        "import jobs.ingest.ray_run\n"
        "print(*seen, 'ray' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said == "0 1 False True\n"


def test_a_signal_while_files_are_still_listed_ends_an_ingest_cleanly(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    write_video(tmp_path / "a.mp4", 50)
    script = """
import os, signal, sys, time
import cli, jobs.ingest.find
list_files = jobs.ingest.find.find_videos

def slowly(sources, **options):
    yield from list_files(sources, **options)
    while not getattr(sys.modules.get("ray"), "is_initialized", lambda: False)():
        time.sleep(0.05)
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)

jobs.ingest.find.find_videos = slowly
sys.argv[0] = "vidsift"
cli.run()
"""
    command = ["ingest", str(tmp_path / "a.mp4"), "--library", str(tmp_path / "library")]
    models = ["--classifier", str(classifier_folder), "--embedder", str(embedder_folder)]
    done = subprocess.run(
        [sys.executable, "-c", script, *command, *models], capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr == "vidsift: interrupted\n"
