"""The machines of a Ray cluster: which there are, and whether each has what a run needs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from schemas.errors import UsageError

# Seconds that a machine has to say what it has; the first of its processes to start takes some of them.
_ANSWER_S = 120.0

# Seconds to wait for the head of the cluster before it is asked again, and how often it is.
_HEAD_S = 3.0
_HEAD_TRIES = 3

# The packages that workers import.
_PACKAGES = ("schemas", "pipeline", "index", "jobs")

# Machines that a message names.
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        node_id: Ray's.
        name: host name and address, for messages.
        cpus: that Ray may use.
        gpus: likewise.
        memory: bytes, likewise.
    """

    node_id: str
    name: str
    cpus: int
    gpus: int
    memory: float


class Needs(NamedTuple):
    """What machines must have.

    Attributes:
        shared: a file that is the same everywhere, which shows that its folder is shared; empty where none need be.
        models: folders of models, where annotators run.
    """

    shared: str
    models: tuple[str, ...]


class Found(NamedTuple):
    """What a machine has.

    Attributes:
        version: of vidsift; None where it is not installed.
        code: a digest of its code.
        shared: a digest of the shared file; None where there is none.
        models: for each model, the names and sizes of its files; None where there is no such folder.
    """

    version: str | None
    code: str
    shared: str | None
    models: tuple[tuple[tuple[str, int], ...] | None, ...]


def alive_nodes() -> list[Node]:
    """The machines of the cluster, in the order in which they joined."""
    return [
        Node(
            node["NodeID"],
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
            node["Resources"].get("memory", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def head_answers() -> bool:
    """Whether the head of the cluster still listens. Ray itself waits for it for a minute, and then ends this process."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    for _ in range(_HEAD_TRIES):
        try:
            socket.create_connection((host, int(port)), timeout=_HEAD_S).close()
        except OSError:
            continue
        return True
    return False


def on_node(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Place a task or an actor on one machine; it ends where that one does."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Place a task or an actor on the machine of this process."""
    return on_node(ray.get_runtime_context().get_node_id())


def check_nodes(nodes: Sequence[Node], needs: Needs, with_models: Collection[str]) -> None:
    """Make sure that machines have the same vidsift as this one, see its library, and have its models.

    Args:
        nodes: the machines.
        needs: what they must have.
        with_models: ids of those that need the models.

    Raises:
        UsageError: one does not; it says which, and what to do.
    """
    look = _make_look()
    wanted = Found(*look(_PACKAGES, *needs))
    task = ray.remote(num_cpus=0, max_retries=0)(look)
    answers = [task.options(scheduling_strategy=on_node(node.node_id)).remote(_PACKAGES, *needs) for node in nodes]
    ready, _ = ray.wait(answers, num_returns=len(answers), timeout=_ANSWER_S) if answers else ([], [])
    problems = []
    for node, answer in zip(nodes, answers, strict=True):
        problem = f"has not answered within {_ANSWER_S:.0f} s; see Ray's logs there"
        if answer in ready:
            try:
                found = Found(*ray.get(answer))
            except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError, ray.exceptions.WorkerCrashedError):
                continue  # it has gone meanwhile
            problem = problem_of(found, wanted, needs, needs_models=node.node_id in with_models)
        if problem:
            problems.append(f"the machine {node.name} {problem}")
    if problems:
        more = f"; and {len(problems) - _MAX_NAMED} more machines like these" if len(problems) > _MAX_NAMED else ""
        raise UsageError("; ".join(problems[:_MAX_NAMED]) + more, argument="address")


def problem_of(found: Found, wanted: Found, needs: Needs, *, needs_models: bool) -> str:
    """What a machine lacks, and what to do; empty where it lacks nothing."""
    if found.version is None:
        return f"has no vidsift in the Python that Ray runs in there; install version {wanted.version} there"
    if found.version != wanted.version:
        return f"has vidsift {found.version}, expected {wanted.version} as here; install the same version there"
    if found.code != wanted.code:
        return f"has other code of vidsift {found.version} than this one; install the same there"
    if needs.shared and (found.shared is None or found.shared != wanted.shared):
        what = "does not see" if found.shared is None else "sees another file as"
        return (
            f"{what} {needs.shared!r}; the library must be in a folder that all machines share, at the same path, or in an "
            "object store"
        )
    for folder, has, expected in zip(needs.models, found.models, wanted.models, strict=True):
        if needs_models and has != expected:
            what = "does not have the model" if has is None else "has other files of the model"
            return f"{what} {folder!r}; copy its folder there, to the same path"
    return ""


def _make_look() -> Callable[..., tuple[Any, ...]]:
    """A function that needs nothing of vidsift, so that it runs where that is missing: it goes there with its code."""

    def look(packages: Sequence[str], shared: str, models: Sequence[str]) -> tuple[Any, ...]:
        """The fields of `Found`."""
        import hashlib
        import importlib.metadata
        import importlib.util
        from pathlib import Path

        try:
            version: str | None = importlib.metadata.version("vidsift")
        except importlib.metadata.PackageNotFoundError:
            version = None
        code = hashlib.blake2b(digest_size=16)
        for package in packages:
            spec = importlib.util.find_spec(package)
            folder = Path(next(iter(spec.submodule_search_locations or [""]))) if spec else Path()
            for path in sorted(folder.rglob("*.py")) if spec else ():
                code.update(str(path.relative_to(folder)).encode() + path.read_bytes())
        try:
            of_shared: str | None = hashlib.blake2b(Path(shared).read_bytes(), digest_size=16).hexdigest()
        except OSError:
            of_shared = None
        of_models = []
        for model in models:
            files = [(str(p.relative_to(model)), p.stat().st_size) for p in sorted(Path(model).rglob("*")) if p.is_file()]
            of_models.append(tuple(files) if Path(model).is_dir() else None)
        return version, code.hexdigest(), of_shared, tuple(of_models)

    return look
