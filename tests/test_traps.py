"""Whoever starts vidsift in a folder of strangers' files runs none of them, whatever they are called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.films import Film, render
from tests.helpers.traps import Traps
from tests.helpers.videos import write_video

pytestmark = pytest.mark.slow


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


def test_what_is_left_of_a_pythonpath_is_not_passed_on(
    traps: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders with installed packages are, for some clusters provide them so; the current folder is not, by any name."""
    from pipeline.child_processes import installed_only

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
