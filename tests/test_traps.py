"""Whoever starts vidsift in a folder of strangers' files runs none of them, whatever they are called."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from demo.films import Film, render
from tests.helpers.processes import BIN, watch
from tests.helpers.videos import write_video

pytestmark = pytest.mark.slow

TRAP = """import os, sys
with open(os.path.join({sprung!r}, __name__), "a") as out:
    out.write(f"process {{os.getpid()}}: {{sys.argv}}\\n")
raise ImportError("a trap")
"""


class Traps:
    """A folder with a module for every name that Python may look for here, and videos among them.

    Attributes:
        sprung: the folder with a file for each that was imported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.sprung = folder / "archive", folder / "sprung"
        for made in (self.folder, self.sprung):
            made.mkdir()
        own = {
            "cli",
            "schemas",
            "pipeline",
            "index",
            "jobs",
            "demo",
            "tests",
            "benchmarks",
            "sitecustomize",
            "usercustomize",
        }
        for name in own | set(sys.stdlib_module_names) | set(packages_distributions()):
            if name.isidentifier():
                (self.folder / f"{name}.py").write_text(TRAP.format(sprung=str(self.sprung)))

    def run(self, *command: str | Path, **environment: str) -> str:
        """What the installed command says when it is started in the folder."""
        done = subprocess.run(
            [BIN / "vidsift", *command], cwd=self.folder, env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
            capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip
        told = {file.name: file.read_text() for file in self.sprung.iterdir()}
        assert told == {}
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path, embedder_folder: Path) -> Traps:
    """The folder after an ingest of it."""
    traps = Traps(tmp_path_factory.mktemp("traps"))
    write_video(traps.folder / "a.mp4", 100)
    for motion in ("left", "right"):
        (traps.folder / "data" / motion).mkdir(parents=True)
        for number in range(3):
            render(Film(f"{number}.mp4", "red", "disc", motion, 2.0, "libx264"), traps.folder / "data" / motion)
    said = traps.run("ingest", ".", "--library", "library", "--classifier", classifier_folder, "--embedder", embedder_folder)
    assert said.startswith("7 videos found: 7 indexed, 0 partial, 0 failed")
    return traps


def test_a_trap_springs(traps: Traps, tmp_path: Path) -> None:
    """Or the others would prove nothing: Python itself, asked to import from the current folder, runs into them."""
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=traps.folder, capture_output=True, check=False)
    (sprung,) = traps.sprung.iterdir()
    assert sprung.name == "numpy"
    sprung.unlink()


def test_questions_run_nothing_of_the_current_folder(traps: Traps) -> None:
    traps.run("sql", "from videos", "--library", "library")
    traps.run("tag", "something red", "--library", "library")
    (traps.folder / "hits.jsonl").write_text(
        traps.run("search", "red", "--like", "a.mp4", "-k", "1", "--json", "--library", "library")
    )
    traps.run("export", "hits.jsonl", "--to", "pieces")
    traps.run("verify", "--library", "library")


def test_training_runs_nothing_of_the_current_folder(traps: Traps, classifier_folder: Path) -> None:
    traps.run("finetune", "data", "--base", classifier_folder, "--output", "model", "--epochs", "1", "--batch-size", "2")
    traps.run("evaluate-model", "model", "data", "--split", "all")


def test_training_in_several_processes_runs_nothing_of_it_and_listens_on_the_loopback_interface_alone(
    traps: Traps, classifier_folder: Path
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="v") as short:
        printed, addresses, names = watch(
            Path(short), "finetune", "data", "--base", classifier_folder, "--output", "model2", "--epochs", "1",
            "--batch-size", "2", "--workers", "2", cwd=traps.folder,
        )  # fmt: skip
        assert "trained in" in printed
        assert any(name.startswith("ray::RayTrainWorker") for name in names)
        assert addresses == {"127.0.0.1"}
        assert os.listdir(short) == []
    assert list(traps.sprung.iterdir()) == []


def test_what_is_left_of_a_pythonpath_is_not_passed_on(
    traps: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders with installed packages are, for some clusters provide them so; the current folder is not, by any name."""
    from jobs.child_processes import installed_only

    (tmp_path / "site-packages" / "thing-1.0.dist-info").mkdir(parents=True)
    monkeypatch.chdir(traps.folder)
    installed = str(tmp_path / "site-packages")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "data", str(traps.folder), str(tmp_path), installed]))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with installed_only():
        assert (os.environ["PYTHONPATH"], os.environ["PYTHONSAFEPATH"]) == (installed, "1")
        done = subprocess.run([sys.executable, "-c", "import numpy, jobs.ingest.ray_run"], check=False)
    assert done.returncode == 0
    assert list(traps.sprung.iterdir()) == []
    assert "PYTHONSAFEPATH" not in os.environ
    assert os.environ["PYTHONPATH"].startswith(os.pathsep)


def test_a_demo_runs_nothing_of_the_current_folder(traps: Traps) -> None:
    traps.run("demo", "shown", "--count", "2", "--films", "1")
