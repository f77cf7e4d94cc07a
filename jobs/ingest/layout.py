"""How a run lies over the machines that there are, which may come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray

from jobs.cluster.nodes import Needs, Node, alive_nodes, check_nodes, head_answers, on_node
from jobs.ingest.resources import ResourcePlan, plan_resources
from jobs.ingest.steps import Job
from jobs.ingest.workers import AnnotatorActor
from pipeline.decoders.registry import ON_GPU
from schemas.errors import JobError, UsageError

# The share of each GPU that decoders on it take; less than half, or Ray would put two annotators on one GPU.
DECODERS_SHARE = 0.4

# How often an annotator that dies is replaced, and how often it is given the same clips again.
_RESTARTS = 20
_RETRIES = 3


class Layout:
    """How a run lies over the machines that there are.

    Each annotator belongs to a machine and ends with it, so that none waits for a GPU that has gone. While no machine can
    hold one, one waits for any, which Ray's autoscaler sees.

    Attributes:
        resources: how many of what there is.
        gpus: of all machines.
        annotators: `AnnotatorActor` handles, with the machine of each; None for any.
        on_cluster: whether machines may come and go.
        lost_head: whether the head of the cluster has gone, without which Ray waits long for any answer.
    """

    def __init__(self, job: Job, stats_actor: Any) -> None:
        """Start the annotators, which begin to load the models.

        Raises:
            UsageError: the decoder needs a GPU, and there is none; or a machine lacks something.
        """
        self._job, self._stats_actor = job, stats_actor
        self.on_cluster = job.options.address is not None
        self.annotators: dict[Any, str | None] = {}
        self._nodes: list[Node] = []
        self.lost_head = False
        nodes = alive_nodes()
        self.gpus, self.resources = self._plan(nodes)
        if job.options.decoder in ON_GPU and not self.gpus:
            message = "got a Ray cluster without GPUs; take pyav"
            raise UsageError(message, argument="decoder", value=job.options.decoder)
        self._take(nodes)

    def refresh(self) -> bool:
        """Look which machines there are; start annotators on new ones, and forget those of machines that have gone.

        Returns:
            Whether anything has changed.

        Raises:
            JobError: the head of the cluster has gone, or the last GPU has; or a new machine lacks something.
        """
        if not self.on_cluster:
            return False
        if not head_answers():
            self.lost_head = True
            raise JobError(
                f"the head of the Ray cluster at {self._job.options.address} does not answer any more; what was finished is "
                "kept, run the same command again to go on"
            )
        nodes = alive_nodes()
        if {node.node_id for node in nodes} == {node.node_id for node in self._nodes}:
            return False
        gpus, resources = self._plan(nodes)
        if self.resources.on_gpus and not gpus:
            raise JobError(
                "the last machine with a GPU has gone; what was finished is kept, run the same command again to go on"
            )
        self.gpus, self.resources = gpus, resources
        try:
            self._take(nodes)
        except UsageError as exc:
            raise JobError(f"{exc}; what was finished is kept, run the same command again to go on") from exc
        return True

    def close(self) -> None:
        """End the annotators."""
        if not self.lost_head:
            self._end(list(self.annotators))

    def _plan(self, nodes: Sequence[Node]) -> tuple[int, ResourcePlan]:
        gpus = sum(node.gpus for node in nodes)
        cpus = sum(node.cpus for node in nodes)
        return gpus, plan_resources(self._job, max(1, cpus), gpus, sum(node.memory for node in nodes))

    def _take(self, nodes: list[Node]) -> None:
        """Let annotators be on these machines."""
        homes = Counter(homes_of(nodes, self.resources))
        if self.on_cluster:
            known = {node.node_id for node in self._nodes}
            models = tuple(dict.fromkeys(checkpoint.folder for checkpoint in self._job.checkpoints))
            shared = "" if self._job.stored else str(self._job.folder / "library.json")
            needs = Needs(shared, models)
            check_nodes([node for node in nodes if node.node_id not in known], needs, homes.keys())
        alive = {node.node_id for node in nodes}
        self._end([actor for actor, home in self.annotators.items() if home not in alive and (home or homes)])
        have = Counter(self.annotators.values())
        wanted: dict[str | None, int] = {home: count for home, count in homes.items()} or {None: self.resources.annotators}
        for home, count in wanted.items():
            for _ in range(count - have[home]):
                self.annotators[self._start(home)] = home
        self._nodes = nodes

    def _start(self, home: str | None) -> Any:
        # Annotators ask for no CPU of Ray's: on CPUs alone they and the decoders share the cores, and whichever is behind
        # gets more of them, since the others wait for it; and with fewer CPUs than GPUs, none would be left to decode.
        share = 1 - DECODERS_SHARE if self._job.options.decoder in ON_GPU else 1.0
        options: dict[str, Any] = {} if home is None else {"scheduling_strategy": on_node(home)}
        actor = ray.remote(AnnotatorActor).options(
            num_cpus=0,
            num_gpus=share * self.resources.on_gpus,
            max_restarts=_RESTARTS,
            max_task_retries=_RETRIES,
            max_concurrency=self.resources.max_in_flight,
            **options,
        )
        return actor.remote(self._job, self._stats_actor, self.resources)

    def _end(self, annotators: Sequence[Any]) -> None:
        for annotator in annotators:
            del self.annotators[annotator]
            with suppress(ray.exceptions.RayError):  # it has ended by itself
                ray.kill(annotator)


def homes_of(nodes: Sequence[Node], resources: ResourcePlan) -> list[str]:
    """The machine of each annotator: as many on each as it has GPUs; without GPUs, in proportion to its CPUs."""
    if resources.on_gpus:
        return [node.node_id for node in nodes for _ in range(node.gpus)]
    homes: Counter[str] = Counter()
    able = [node for node in nodes if node.cpus]
    for _ in range(resources.annotators if able else 0):
        homes[max(able, key=lambda node: node.cpus / (1 + homes[node.node_id])).node_id] += 1
    return list(homes.elements())
