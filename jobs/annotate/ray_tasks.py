"""Hands tasks of annotators to Ray: one actor per CPU, each with a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def on_ray(tasks: Sequence[Task], options: IngestOptions) -> Iterator[Annotated | None]:
    """What becomes of each task, in any order; None whenever nothing did for some seconds.

    Raises:
        ModelError: an annotator's model cannot be loaded.
        JobError: Ray has failed.
        UsageError: no Ray cluster answers at the address.
    """
    with ray_session(options):
        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        num_workers = min(cpus, len(tasks))
        actor = ray.remote(num_cpus=cpus // num_workers)(_Actor)
        idle = [actor.remote() for _ in range(num_workers)]
        running: dict[Any, Any] = {}
        waiting = list(reversed(tasks))
        try:
            while waiting or running:
                while waiting and idle:
                    worker = idle.pop()
                    running[worker.do.remote(waiting.pop())] = worker
                done, _ = ray.wait(list(running), timeout=_WAIT_S)
                if not done:
                    yield None
                for ref in done:
                    idle.append(running.pop(ref))
                    yield ray.get(ref)
        except ray.exceptions.RayTaskError as exc:
            raise exc.cause from exc
        except ray.exceptions.RayError as exc:
            raise JobError(f"the run ended early: {exc}; run the same command again to go on") from exc
        finally:
            for worker in (*idle, *running.values()):
                ray.kill(worker)
