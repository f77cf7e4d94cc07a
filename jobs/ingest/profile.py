"""The cost of a run, stage by stage; the stage that held it up, and advice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jobs.ingest.resources import ResourcePlan
from jobs.ingest.timing import RunStats, StageTiming, core_seconds, timed

if TYPE_CHECKING:
    from jobs.ingest.ray_run import RayRun

# What each stage counts, in the order that data takes through them.
_UNITS = {
    "find": "files",
    "start": "",
    "load models": "",
    "plan": "videos",
    "decode": "clips",
    "annotate": "clips",
    "write": "clips",
    "commit": "videos",
    "publish": "clips",
}


@dataclass(frozen=True, slots=True)
class StageProfile:
    """The cost of one stage of a run.

    Attributes:
        stage: its name.
        seconds: that its workers were at work, over all of them.
        cpu_s: CPU seconds of them.
        share: of the CPU seconds of all stages.
        count: what it counted.
        unit: what that is.
        per_s: how many of them a second, from the beginning of its first step to the end of its last.
        waiting_s: seconds between two steps of the same stage in a worker.
    """

    stage: str
    seconds: float
    cpu_s: float
    share: float
    count: int
    unit: str
    per_s: float
    waiting_s: float


@dataclass(frozen=True, slots=True)
class RunProfile:
    """The cost of a run.

    Attributes:
        resources: how it was laid out over the machines.
        stages: in the order that data takes through them.
        bound_by: the stage that held it up; ``start`` where starting took longer than all else.
        advice: what would help.
        hours_per_hour: hours of video per hour, starting included.
        steady_clips_per_s: clips a second between the first that came out of the models and the last.
        first_frame_s: seconds from the start until decoding began.
        first_clip_s: seconds from the start until the first clips came out of the models.
        idle_share: of this machine's cores while the stages ran; None where they ran on a cluster.
        fetched_bytes: that came over the network from sources.
        remote_bytes: size of the files that were read over a network.
        moved_bytes: of decoded clips that went from one machine of a cluster to another.
    """

    resources: ResourcePlan
    stages: tuple[StageProfile, ...]
    bound_by: str | None
    advice: str
    hours_per_hour: float
    steady_clips_per_s: float
    first_frame_s: float
    first_clip_s: float
    idle_share: float | None
    fetched_bytes: int = 0
    remote_bytes: int = 0
    moved_bytes: int = 0


class RunSummary(NamedTuple):
    """The figures that a run reports at its end.

    Attributes:
        stats: what the workers did.
        resources: how they were laid out, with the device and precision that the annotators found.
        timings: each step of each worker, where a trace is asked for; else empty.
    """

    stats: RunStats
    resources: ResourcePlan
    timings: list[StageTiming]


class ProfileBuilder:
    """Gathers during an ingest what its profile and its trace are made of.

    Attributes:
        driver: the steps of this process.
        bottleneck: the workers' stage that held the run up, ``decode`` or ``annotate``; None where nothing ran.
    """

    def __init__(self) -> None:
        """The ingest begins now."""
        self.driver: list[StageTiming] = []
        self.bottleneck: str | None = None
        self._began_s, self._began = time.time(), time.monotonic()
        self._summary: RunSummary | None = None
        self._cores: tuple[float, float] | None = None
        self._idle_share: float | None = None

    @property
    def wall_s(self) -> float:
        """Seconds since the ingest began."""
        return time.monotonic() - self._began

    @property
    def timings(self) -> list[StageTiming]:
        """Each step, of this process and of the workers."""
        return [*self.driver, *(self._summary.timings if self._summary else ())]

    @contextmanager
    def timed(self, stage: str, cpu: Callable[[], float] = time.process_time) -> Iterator[StageTiming]:
        """Time a step of this process, and enter it if it succeeds; the caller enters what it counted."""
        with timed(stage, cpu=cpu) as timing:
            yield timing
        self.driver.append(timing)

    def begin_run(self, run: RayRun, start: StageTiming) -> None:
        """The workers begin; ``start`` is what starting them took."""
        self.driver.append(start)
        self._cores = core_seconds() if run.is_here else None

    def end_run(self, run: RayRun, timeout_s: float | None) -> RunStats | None:
        """Ask the workers what they did; None where Ray has gone, or takes longer than ``timeout_s`` to answer."""
        summary = run.summary(timeout_s)
        if summary is None:
            return None
        self._summary, self.bottleneck = summary, bottleneck(summary.stats, summary.resources)
        if self._cores and (cores := core_seconds()) and cores[1] > self._cores[1]:
            self._idle_share = (cores[0] - self._cores[0]) / (cores[1] - self._cores[1])
        return summary.stats

    def profile(self, video_s: float) -> RunProfile | None:
        """The cost of the run, in which ``video_s`` seconds of video were indexed; None where nothing ran."""
        if self._summary is None:
            return None
        return make_profile(
            self._summary.resources,
            self._summary.stats,
            self.driver,
            bound_by=self.bottleneck,
            began_s=self._began_s,
            video_s=video_s,
            idle_share=self._idle_share,
        )


def make_profile(
    resources: ResourcePlan,
    stats: RunStats,
    driver: Sequence[StageTiming],
    *,
    bound_by: str | None,
    began_s: float,
    video_s: float,
    idle_share: float | None,
) -> RunProfile:
    """Add up what a run cost.

    Args:
        resources: how the run was laid out.
        stats: what the workers did.
        driver: the steps of this process.
        bound_by: the stage of the workers that held the run up.
        began_s: when the ingest began, in seconds since the epoch.
        video_s: seconds of video that were indexed.
        idle_share: of this machine's cores.
    """
    everything = deepcopy(stats)
    for timing in driver:
        everything.enter(timing)
    all_cpu_s = sum(stage.cpu_s for stage in everything.stages.values()) or 1.0
    stages = []
    for name in (*_UNITS, *(name for name in everything.stages if name not in _UNITS)):
        if name in everything.stages:
            stage = everything.stages[name]
            lasted_s = stage.last_s - stage.began_s
            per_s = stage.count / lasted_s if lasted_s > 0 else 0.0
            share = stage.cpu_s / all_cpu_s
            unit = _UNITS.get(name, "")
            stages.append(StageProfile(name, stage.seconds, stage.cpu_s, share, stage.count, unit, per_s, stage.waiting_s))
    annotated, start = everything.of("annotate"), everything.of("start")
    lasted_s = annotated.last_s - annotated.first_s
    steady = (annotated.count - annotated.first_count) / lasted_s if lasted_s > 0 else 0.0
    wall_s = max((stage.last_s for stage in everything.stages.values()), default=began_s) - began_s
    first_clip_s = max(0.0, annotated.first_s - began_s) if annotated.count else 0.0
    if bound_by and start.seconds and first_clip_s > wall_s / 2:
        bound_by = "start"
    decoded = everything.of("decode")
    first_frame_s = max(0.0, decoded.began_s - began_s) if decoded.count else 0.0
    hours_per_hour = video_s / wall_s if wall_s > 0 else 0.0
    return RunProfile(
        resources,
        tuple(stages),
        bound_by,
        _advice(bound_by, resources),
        hours_per_hour,
        steady,
        first_frame_s,
        first_clip_s,
        idle_share,
        sum(stage.fetched_bytes for stage in everything.stages.values()),
        sum(stage.remote_bytes for stage in everything.stages.values()),
        stats.moved_bytes,
    )


def bottleneck(stats: RunStats, resources: ResourcePlan) -> str | None:
    """The stage of the workers that held a run up; None where nothing ran.

    Where both share the cores, the one that took more of their time; else the one that was busy for more of its own.
    """
    decode, annotate = stats.of("decode"), stats.of("annotate")
    if resources.device == "cpu":
        loads = {"decode": decode.cpu_s, "annotate": annotate.cpu_s}
    else:
        loads = {
            "decode": decode.seconds / resources.decoders,
            "annotate": annotate.seconds / (resources.annotators * resources.max_in_flight),
        }
    stage = max(loads, key=lambda name: loads[name])
    return stage if loads[stage] > 0 else None


def _advice(bound_by: str | None, resources: ResourcePlan) -> str:
    """Advice on making such a run faster."""
    if bound_by == "start":
        return "starting Ray and loading the models took most of the time; a larger run spends no more on them"
    if bound_by == "decode":
        return "more or faster cores decode more: a larger machine, or a cluster (--address)"
    if bound_by == "annotate" and resources.device == "cpu":
        return "the models bind: a GPU, more cores (--address), a smaller model, or a longer --stride with fewer clips"
    if bound_by == "annotate":
        return "the models bind: more GPUs (--address), or a smaller model"
    return ""
