"""Runs a training in several processes under Ray Train, on this machine or over a cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _set_torch_distributed_env_vars, _TorchBackend
from safetensors.torch import load_file, save_file

from jobs.cluster.run_folder import run_folder, temporary_files
from jobs.cluster.session import ray_session
from jobs.train.clip_dataset import SplitClips
from jobs.train.objectives import Objective
from jobs.train.options import TrainOptions
from jobs.train.trainer import TrainingResult, TrainProgress, run_training
from schemas.errors import JobError
from schemas.options import IngestOptions

_POLL_S = 2.0


class _MeetByFile(_TorchBackend):  # type: ignore[misc]
    """Processes of one machine find each other by a file; PyTorch's usual way listens on every network interface."""

    def on_start(self, worker_group: Any, backend_config: _OnThisMachine) -> None:
        worker_group.execute(_set_torch_distributed_env_vars)
        size, gpus = len(worker_group), worker_group.get_resources_per_worker().get("GPU", 0)
        setup = {"backend": "nccl" if gpus else "gloo", "file": backend_config.file, "size": size}
        ray.get([worker_group.execute_single_async(rank, _join_group, number=rank, **setup) for rank in range(size)])


@dataclass
class _OnThisMachine(TorchConfig):  # type: ignore[misc]
    """Ray Train's configuration for workers that can all read ``file``."""

    file: str = ""

    @property
    def backend_cls(self) -> type[_MeetByFile]:
        return _MeetByFile


def _join_group(number: int, size: int, backend: str, file: str) -> None:
    store = torch.distributed.FileStore(file, size)  # type: ignore[attr-defined]
    torch.distributed.init_process_group(backend, store=store, rank=number, world_size=size)


def run_distributed(
    objective: Objective,
    clips: SplitClips,
    folder: Path,
    options: TrainOptions,
    on_progress: Callable[[TrainProgress], None],
) -> TrainingResult:
    """Train as `jobs.train.trainer.run_training` does, in ``options.workers`` processes.

    Each worker takes a GPU where the cluster has as many, else CPUs. The weights come back into ``objective.module``.

    Args:
        objective: what is learnt.
        clips: what it is learnt from; all workers must be able to read the files.
        folder: where the epochs' checkpoints go; all workers must be able to write there.
        options: how to train.
        on_progress: called every two seconds at most.

    Raises:
        JobError: a worker failed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    is_here = options.address is None and not ray.is_initialized()
    with ExitStack() as stack:
        stack.enter_context(ray_session(IngestOptions(address=options.address)))
        meeting = stack.enter_context(run_folder(temporary_files()))
        resources = ray.cluster_resources()
        on_gpu = resources.get("GPU", 0) >= options.workers
        cpus = max(1, int(resources.get("CPU", 1)) // options.workers)
        trainer = TorchTrainer(
            _train,
            train_loop_config={
                "reference": ray.put((objective, clips, options)),
                "folder": str(folder),
                "threads": options.threads or cpus,
            },
            torch_config=_OnThisMachine(file=str(meeting / "meeting")) if is_here else TorchConfig(),
            scaling_config=ScalingConfig(
                num_workers=options.workers, use_gpu=on_gpu, resources_per_worker=None if on_gpu else {"CPU": cpus}
            ),
            run_config=RunConfig(storage_path=str(folder / "ray"), name="run"),
        )
        ended = threading.Event()
        follower = threading.Thread(target=_follow, args=(folder / "progress.json", on_progress, ended), daemon=True)
        follower.start()
        try:
            trainer.fit()
        except Exception as exc:
            lines = [line for line in str(exc).strip().splitlines() if line.strip()] or [type(exc).__name__]
            raise JobError(f"a worker of the training failed: {lines[-1].strip()}") from exc
        finally:
            ended.set()
            follower.join()
    objective.module.load_state_dict(load_file(folder / "trained.safetensors"))
    result = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
    return TrainingResult(**(result | {"curve": tuple(result["curve"]), "watched": tuple(result["watched"])}))


def _train(config: dict[str, Any]) -> None:
    """Train in one worker. Ray Train has set up the process group, which the Trainer finds."""
    objective, clips, options = ray.get(config["reference"])
    folder = Path(config["folder"])
    torch.set_num_threads(config["threads"])

    def write_progress(progress: TrainProgress) -> None:
        aside = folder / "progress.json.new"
        aside.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        aside.replace(folder / "progress.json")

    result = run_training(objective, clips, folder, options, on_progress=write_progress)
    if get_context().get_world_rank() == 0:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in objective.module.state_dict().items()}
        save_file(state, folder / "trained.safetensors")
        (folder / "trained.json").write_text(json.dumps(asdict(result)), encoding="utf-8")


def _follow(file: Path, on_progress: Callable[[TrainProgress], None], ended: threading.Event) -> None:
    """Report the progress that the first worker writes into ``file``."""
    last = ""
    while not ended.wait(_POLL_S):
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if text and text != last:
            on_progress(TrainProgress(**json.loads(text)))
            last = text
