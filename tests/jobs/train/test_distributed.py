"""The same training in two processes under Ray Train."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demo.films import Film, render
from jobs.train.finetune import finetune
from jobs.train.options import TrainOptions
from schemas.errors import JobError
from tests.helpers.processes import watch
from tests.helpers.traps import Traps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Traps:
    """A folder of traps with a dataset in it."""
    traps = Traps(tmp_path_factory.mktemp("traps"))
    for motion in ("left", "right"):
        (traps.folder / "data" / motion).mkdir(parents=True)
        for number in range(5):
            render(Film(f"{number}.mp4", "red", "disc", motion, 2.0, "libx264"), traps.folder / "data" / motion)
    return traps


@pytest.fixture(scope="module")
def data(traps: Traps) -> Path:
    return traps.folder / "data"


@pytest.mark.timeout(280)
def test_two_workers_train_one_model_and_run_and_tell_nothing_else(
    traps: Traps, data: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    """Batches of 2 in two processes are batches of 4 in one: the same clips are averaged over, so the loss goes alike.

    The command runs nothing of the current folder, and listens on the loopback interface alone.
    """
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="v") as short:
        printed, addresses, names = watch(
            Path(short), "finetune", "data", "--base", classifier_folder, "--output", "two", "--epochs", "2",
            "--batch-size", "2", "--learning-rate", "1e-3", "--workers", "2", "--json",
            cwd=traps.folder,
        )  # fmt: skip
        assert any(name.startswith("ray::RayTrainWorker") for name in names)
        assert addresses == {"127.0.0.1"}
        assert os.listdir(short) == []
    assert list(traps.sprung.iterdir()) == []
    first = json.loads(printed)
    alone = TrainOptions(epochs=2, batch_size=4, learning_rate=1e-3, threads=1)
    second = finetune(data, tmp_path / "one", base=str(classifier_folder), options=alone)
    assert [entry["epoch"] for entry in first["curve"]] == [1.0, 2.0]
    assert first["clips"] == second.clips
    assert first["best"]["loss"] == pytest.approx(second.trained.best["loss"], rel=0.2)
    two, one = (load_file(folder / "model.safetensors") for folder in (traps.folder / "two", second.output))
    assert two.keys() == one.keys()
    name = next(key for key in two if "layer.1" in key and "value.weight" in key)
    assert torch.nn.functional.cosine_similarity(two[name].flatten(), one[name].flatten(), dim=0) > 0.99


@pytest.mark.timeout(280)
def test_a_worker_that_fails_is_said_in_a_line(
    data: Path, classifier_folder: Path, tmp_path: Path, ray_session_for_tests: None
) -> None:
    options = TrainOptions(epochs=1, batch_size=2, workers=2)
    said: list[str] = []

    def spoil(sentence: str) -> None:
        said.append(sentence)
        if sentence.startswith("decoded 10 of 10"):
            for file in (tmp_path / "cache").glob("*.npy"):
                np.save(file, np.zeros((1, 24), dtype=np.uint8))  # no pictures

    with pytest.raises(JobError, match="a worker of the training failed: "):
        finetune(data, tmp_path / "m", base=str(classifier_folder), options=options, cache=tmp_path / "cache", say=spoil)
    assert (tmp_path / "m" / ".training").is_dir()
