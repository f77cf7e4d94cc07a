"""The same training in two processes under Ray Train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demo.films import Film, render
from jobs.train.finetune import finetune
from jobs.train.options import TrainOptions
from schemas.errors import JobError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for motion in ("left", "right"):
        (folder / motion).mkdir()
        for number in range(5):
            render(Film(f"{number}.mp4", "red", "disc", motion, 2.0, "libx264"), folder / motion)
    return folder


@pytest.mark.timeout(280)
def test_two_workers_train_one_model(
    data: Path, classifier_folder: Path, tmp_path: Path, ray_session_for_tests: None
) -> None:
    """Batches of 2 in two processes are batches of 4 in one: the same clips are averaged over, so the loss goes alike."""
    together = TrainOptions(epochs=2, batch_size=2, learning_rate=1e-3, workers=2)
    alone = TrainOptions(epochs=2, batch_size=4, learning_rate=1e-3, threads=1)
    first = finetune(data, tmp_path / "two", base=str(classifier_folder), options=together, cache=tmp_path / "cache")
    second = finetune(data, tmp_path / "one", base=str(classifier_folder), options=alone, cache=tmp_path / "cache")
    assert [entry["epoch"] for entry in first.trained.curve] == [1.0, 2.0]
    assert first.clips == second.clips
    assert first.trained.best["loss"] == pytest.approx(second.trained.best["loss"], rel=0.2)
    two, one = (load_file(report.output / "model.safetensors") for report in (first, second))
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
