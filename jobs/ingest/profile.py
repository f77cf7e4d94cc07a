"""What a run cost, stage by stage; which one held it up, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from jobs.ingest.resources import ResourcePlan
from jobs.ingest.timing import RunStats, StageTiming

# What a stage counts.
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
class StageBill:
    """One stage of a run.

    Attributes:
        stage: its name.
        seconds: that its workers were at work, over all of them.
        cpu_s: CPU seconds of them.
        share: of the CPU seconds of all stages.
        count: what it counted.
        unit: what that is.
        per_s: how many of them a second, from its first work to its last.
        waiting_s: seconds between one work of a worker and its next one of the same stage.
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
    """What a run cost.

    Attributes:
        shape: how it was laid out.
        stages: in the order of the data's way.
        bound_by: the stage that held it up; ``start`` where starting took longer than all else.
        advice: what would help.
        hours_per_hour: hours of video per hour, starting included.
        steady_clips_per_s: clips a second between the first that came out of the models and the last.
        first_frame_s: seconds from the start until decoding began.
        first_clip_s: seconds from the start until the first clips came out of the models.
        idle_share: of this machine's cores while the stages ran; None where they ran on a cluster.
    """

    shape: ResourcePlan
    stages: tuple[StageBill, ...]
    bound_by: str | None
    advice: str
    hours_per_hour: float
    steady_clips_per_s: float
    first_frame_s: float
    first_clip_s: float
    idle_share: float | None


def make_profile(
    shape: ResourcePlan,
    tally: RunStats,
    own: Sequence[StageTiming],
    *,
    bound_by: str | None,
    began_s: float,
    video_s: float,
    idle_share: float | None,
) -> RunProfile:
    """Add up.

    Args:
        shape: how the run was laid out.
        tally: what the workers did.
        own: what this process did besides.
        bound_by: the stage of the workers that held the run up.
        began_s: when the ingest began, in seconds since the epoch.
        video_s: seconds of video that were indexed.
        idle_share: of this machine's cores.
    """
    whole = deepcopy(tally)
    for work in own:
        whole.enter(work)
    cpu_s = sum(stage.cpu_s for stage in whole.stages.values()) or 1.0
    stages = []
    for name in (*_UNITS, *(name for name in whole.stages if name not in _UNITS)):
        if name in whole.stages:
            one = whole.stages[name]
            lasted = one.last_s - one.began_s
            per_s = one.count / lasted if lasted > 0 else 0.0
            share = one.cpu_s / cpu_s
            unit = _UNITS.get(name, "")
            stages.append(StageBill(name, one.seconds, one.cpu_s, share, one.count, unit, per_s, one.waiting_s))
    annotated, start = whole.of("annotate"), whole.of("start")
    lasted = annotated.last_s - annotated.first_s
    steady = (annotated.count - annotated.first_count) / lasted if lasted > 0 else 0.0
    wall_s = max((stage.last_s for stage in whole.stages.values()), default=began_s) - began_s
    first_clip_s = max(0.0, annotated.first_s - began_s) if annotated.count else 0.0
    if bound_by and start.seconds and first_clip_s > wall_s / 2:
        bound_by = "start"
    first_frame_s = max(0.0, whole.of("decode").began_s - began_s) if whole.of("decode").count else 0.0
    hours = video_s / wall_s if wall_s > 0 else 0.0
    return RunProfile(
        shape, tuple(stages), bound_by, _advice(bound_by, shape), hours, steady, first_frame_s, first_clip_s, idle_share
    )


def bottleneck(tally: RunStats, shape: ResourcePlan) -> str | None:
    """The stage of the workers that held a run up; None where nothing ran.

    Where both share the cores, the one that took more of their time; else the one that was busy for more of its own.
    """
    decode, annotate = tally.of("decode"), tally.of("annotate")
    if shape.device == "cpu":
        loads = {"decode": decode.cpu_s, "annotate": annotate.cpu_s}
    else:
        loads = {
            "decode": decode.seconds / shape.decoders,
            "annotate": annotate.seconds / (shape.annotators * shape.lanes),
        }
    stage = max(loads, key=lambda name: loads[name])
    return stage if loads[stage] > 0 else None


def _advice(bound_by: str | None, shape: ResourcePlan) -> str:
    """What would make such a run faster."""
    if bound_by == "start":
        return "starting Ray and loading the models took most of it, which more videos at once would not take longer"
    if bound_by == "decode":
        return "more or faster cores decode more: a larger machine, or a cluster (--address)"
    if bound_by == "annotate" and shape.device == "cpu":
        return "the models bind: a GPU, more cores (--address), a smaller model, or a longer --stride with fewer clips"
    if bound_by == "annotate":
        return "the models bind: more GPUs (--address), or a smaller model"
    return ""
