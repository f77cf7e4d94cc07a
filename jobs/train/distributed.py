"""The same training in several processes that work together, under Ray Train: on one machine or all over a cluster."""

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
from jobs.train.objectives import ClipDataset, Task
from jobs.train.options import TrainOptions
from jobs.train.trainer import Trained, TrainProgress, run_training
from schemas.errors import JobError
from schemas.options import IngestOptions

_POLL_S = 2.0


class _MeetByFile(_TorchBackend):  # type: ignore[misc]
    """Processes of one machine find each other by a file: PyTorch's usual meeting place listens on every interface."""

    def on_start(self, worker_group: Any, backend_config: _OnThisMachine) -> None:
        worker_group.execute(_set_torch_distributed_env_vars)
        size, gpus = len(worker_group), worker_group.get_resources_per_worker().get("GPU", 0)
        told = {"backend": "nccl" if gpus else "gloo", "file": backend_config.file, "size": size}
        ray.get([worker_group.execute_single_async(rank, _meet, number=rank, **told) for rank in range(size)])


@dataclass
class _OnThisMachine(TorchConfig):  # type: ignore[misc]
    """As Ray Train's own, for workers that all see ``file``."""

    file: str = ""

    @property
    def backend_cls(self) -> type[_MeetByFile]:
        return _MeetByFile


def _meet(number: int, size: int, backend: str, file: str) -> None:
    store = torch.distributed.FileStore(file, size)  # type: ignore[attr-defined]
    torch.distributed.init_process_group(backend, store=store, rank=number, world_size=size)


def run_distributed(
    task: Task,
    train: ClipDataset,
    val: ClipDataset | None,
    test: ClipDataset | None,
    folder: Path,
    options: TrainOptions,
    on_progress: Callable[[TrainProgress], None],
) -> Trained:
    """As `jobs.train.trainer.run_training`, in ``options.workers`` processes; ``folder`` and the clips must be seen by all.

    Each worker takes a GPU where the cluster has as many, else CPUs. The weights come back into ``task.module``.

    Raises:
        JobError: a worker failed.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    is_here = options.address is None and not ray.is_initialized()
    with ExitStack() as held:
        held.enter_context(ray_session(IngestOptions(address=options.address)))
        meeting = held.enter_context(run_folder(temporary_files()))
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
            torch_config=_OnThisMachine(file=str(meeting / "meeting")) if is_here else TorchConfig(),
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
