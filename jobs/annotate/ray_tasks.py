"""Hands tasks of annotators to Ray: an actor per GPU or per CPU, each with a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import ray

from jobs.annotate.work import Annotated, Task, Worker
from jobs.cluster.session import ray_session
from schemas.errors import JobError
from schemas.options import IngestOptions

# Seconds without a finished task after which the caller may commit what there is.
_WAIT_S = 2.0


class _Actor:
    """A `Worker` as a Ray actor."""

    def __init__(self) -> None:
        self._worker = Worker()

    def do(self, task: Task) -> Annotated:
        """What becomes of a task."""
        return self._worker.do(task)


def on_ray(
    tasks: Sequence[Task], options: IngestOptions, is_time_up: Callable[[], bool] = lambda: False
) -> Iterator[Annotated | None]:
    """What becomes of each task, in any order; None whenever nothing did for some seconds.

    The tasks of one annotator are done before those of the next begin, so that no process holds two models.

    Args:
        tasks: those of one annotator beside each other.
        options: how to run.
        is_time_up: once it says so, no more tasks are begun.

    Raises:
        ModelError: an annotator's model cannot be loaded.
        JobError: Ray has failed.
        UsageError: no Ray cluster answers at the address.
    """
    with ray_session(options):
        try:
            for _, of_annotator in groupby(tasks, key=lambda task: task.annotator.name):
                if not is_time_up():
                    yield from _of_annotator(list(of_annotator), is_time_up)
        except ray.exceptions.RayTaskError as exc:
            raise exc.cause from exc
        except ray.exceptions.RayError as exc:
            raise JobError(f"the run ended early: {exc}; run the same command again to go on") from exc


def _of_annotator(tasks: list[Task], is_time_up: Callable[[], bool]) -> Iterator[Annotated | None]:
    """What becomes of the tasks of one annotator."""
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    # An ingest's models keep their GPUs until it ends, so only what they leave can be had.
    gpus = int(ray.available_resources().get("GPU", 0)) if tasks[0].annotator.uses_gpu else 0
    num_workers = min(gpus or cpus, len(tasks))
    actor = ray.remote(num_cpus=cpus // num_workers, num_gpus=gpus // num_workers)(_Actor)
    idle = [actor.remote() for _ in range(num_workers)]
    running: dict[Any, Any] = {}
    waiting = list(reversed(tasks))
    try:
        while waiting or running:
            if is_time_up():
                waiting.clear()
                if not running:
                    return
            while waiting and idle:
                worker = idle.pop()
                running[worker.do.remote(waiting.pop())] = worker
            done, _ = ray.wait(list(running), timeout=_WAIT_S)
            if not done:
                yield None
            for ref in done:
                idle.append(running.pop(ref))
                yield ray.get(ref)
    finally:
        for worker in (*idle, *running.values()):
            ray.kill(worker)
