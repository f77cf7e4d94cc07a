"""The same training in several processes that work together, under Ray Train: on one machine or all over a cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer
from safetensors.torch import load_file, save_file

from jobs.engine import ray_session
from jobs.learn.tasks import ClipDataset, Task
from jobs.learn.trainer import Trained, TrainProgress, run_training
from schemas.errors import JobError
from schemas.options import IngestOptions
from schemas.training import TrainOptions

_POLL_S = 2.0


def run_distributed(
    task: Task,
    train: ClipDataset,
    val: ClipDataset | None,
    test: ClipDataset | None,
    folder: Path,
    options: TrainOptions,
    on_progress: Callable[[TrainProgress], None],
) -> Trained:
    """As `jobs.learn.trainer.run_training`, in ``options.workers`` processes; ``folder`` and the clips must be seen by all.

    Each worker takes a GPU where the cluster has as many, else CPUs. The weights come back into ``task.module``.

    Raises:
        JobError: a worker failed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ray_session(IngestOptions(address=options.address)):
        resources = ray.cluster_resources()
        on_gpu = resources.get("GPU", 0) >= options.workers
        cpus = max(1, int(resources.get("CPU", 1)) // options.workers)
        trainer = TorchTrainer(
            _work,
            train_loop_config={
                "reference": ray.put((task, train, val, test, options)),
                "folder": str(folder),
                "threads": options.threads or cpus,
            },
            scaling_config=ScalingConfig(
                num_workers=options.workers, use_gpu=on_gpu, resources_per_worker=None if on_gpu else {"CPU": cpus}
            ),
            run_config=RunConfig(storage_path=str(folder / "ray"), name="run"),
        )
        ended = threading.Event()
        teller = threading.Thread(target=_tell, args=(folder / "progress.json", on_progress, ended), daemon=True)
        teller.start()
        try:
            trainer.fit()
        except Exception as exc:
            lines = [line for line in str(exc).strip().splitlines() if line.strip()] or [type(exc).__name__]
            raise JobError(f"a worker of the training failed: {lines[-1].strip()}") from exc
        finally:
            ended.set()
            teller.join()
    task.module.load_state_dict(load_file(folder / "trained.safetensors"))
    told = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
    return Trained(**(told | {"curve": tuple(told["curve"])}))


def _work(config: dict[str, Any]) -> None:
    """What each worker does. Ray Train has set up the process group that the Trainer finds."""
    task, train, val, test, options = ray.get(config["reference"])
    folder = Path(config["folder"])
    torch.set_num_threads(config["threads"])

    def tell(progress: TrainProgress) -> None:
        aside = folder / "progress.json.new"
        aside.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        aside.replace(folder / "progress.json")

    trained = run_training(task, train, val, test, folder, options, on_progress=tell)
    if get_context().get_world_rank() == 0:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in task.module.state_dict().items()}
        save_file(state, folder / "trained.safetensors")
        (folder / "trained.json").write_text(json.dumps(asdict(trained)), encoding="utf-8")


def _tell(file: Path, on_progress: Callable[[TrainProgress], None], ended: threading.Event) -> None:
    """Pass on what the first worker writes down."""
    last = ""
    while not ended.wait(_POLL_S):
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if text and text != last:
            on_progress(TrainProgress(**json.loads(text)))
            last = text
