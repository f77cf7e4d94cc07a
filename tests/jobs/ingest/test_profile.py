from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.ingest.profile import RunProfile, bottleneck, make_profile
from jobs.ingest.report import IngestReport, ingest_text
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.timing import RunStats, StageTiming

RESOURCES = ResourcePlan(decoders=2, annotators=1, threads=1, batch_size=4, precision="bf16")


def worked() -> RunStats:
    """A run of 40 s: two decodes, then three passes of the models, the last of which ends at 140."""
    stats = RunStats()
    stats.enter(StageTiming("plan", 103.0, 1.0, 0.5, 2, 40.0))
    stats.enter(StageTiming("decode", 104.0, 10.0, 10.0, 5, 20.0))
    stats.enter(StageTiming("decode", 114.0, 10.0, 10.0, 5, 20.0), waiting_s=0.5)
    for number, count in enumerate((4, 4, 2)):
        stats.enter(StageTiming("annotate", 115.0 + 10 * number, 5.0, 6.0, count, 4.0 * count), waiting_s=5.0 * (number > 0))
    return stats


def profile_of(
    driver: list[StageTiming],
    bound_by: str,
    *,
    resources: ResourcePlan = RESOURCES,
    began_s: float = 100.0,
    idle_share: float | None = None,
) -> RunProfile:
    return make_profile(resources, worked(), driver, bound_by=bound_by, began_s=began_s, video_s=30.0, idle_share=idle_share)


def test_the_profile_adds_up() -> None:
    driver = [StageTiming("find", 100.0, 0.5, 0.5, 2), StageTiming("start", 100.5, 2.5, 1.0)]
    profile = profile_of(driver, "decode", idle_share=0.25)
    assert [stage.stage for stage in profile.stages] == ["find", "start", "plan", "decode", "annotate"]
    decode = profile.stages[3]
    assert (decode.seconds, decode.cpu_s, decode.count, decode.unit, decode.waiting_s) == (20.0, 20.0, 10, "clips", 0.5)
    assert decode.share == 20.0 / 40.0
    assert decode.per_s == 10 / 20.0
    assert sum(stage.share for stage in profile.stages) == pytest.approx(1.0)
    assert profile.first_frame_s == 4.0
    assert profile.first_clip_s == 20.0
    assert profile.steady_clips_per_s == 6 / 20.0, "what came after the first clips, in the time after them"
    assert profile.hours_per_hour == 30.0 / 40.0
    assert profile.idle_share == 0.25
    assert (profile.bound_by, profile.advice) == (
        "decode",
        "more or faster cores decode more: a larger machine, or a cluster (--address)",
    )


def stats_of(decode: tuple[float, float], annotate: tuple[float, float]) -> RunStats:
    """Of two stages: their seconds and CPU seconds."""
    stats = RunStats()
    for stage, (seconds, cpu_s) in (("decode", decode), ("annotate", annotate)):
        stats.enter(StageTiming(stage, 0.0, seconds, cpu_s, 1))
    return stats


def test_the_bottleneck_is_the_busier_stage() -> None:
    """Per worker on a GPU; where both share the cores, the one that took more of their time, not of the clock."""
    on_gpu = replace(RESOURCES, device="cuda")
    assert bottleneck(stats_of((10.0, 9.5), (9.0, 2.0)), on_gpu) == "annotate"
    assert bottleneck(stats_of((10.0, 9.5), (9.0, 2.0)), RESOURCES) == "decode"
    assert bottleneck(stats_of((20.0, 1.0), (9.0, 2.0)), on_gpu) == "decode"
    assert bottleneck(stats_of((20.0, 1.0), (19.0, 2.0)), on_gpu) == "annotate"
    assert bottleneck(stats_of((20.0, 1.0), (19.0, 2.0)), replace(on_gpu, max_in_flight=2)) == "decode", (
        "half of the calls it could work at were not made"
    )
    assert bottleneck(stats_of((20.0, 1.0), (9.0, 2.0)), RESOURCES) == "annotate"
    assert bottleneck(RunStats(), on_gpu) is bottleneck(RunStats(), RESOURCES) is None


def test_what_would_help_depends_on_what_bound_the_run() -> None:
    profile = profile_of([], "annotate")
    assert profile.advice.startswith("the models bind: a GPU, more cores (--address), a smaller model")
    on_gpu = profile_of([], "annotate", resources=replace(RESOURCES, device="cuda", threads=0))
    assert on_gpu.advice == "the models bind: more GPUs (--address), or a smaller model"
    late = profile_of([StageTiming("start", 50.0, 50.0)], "decode", began_s=50.0)
    assert (late.bound_by, late.first_clip_s) == ("start", 70.0)
    nothing = make_profile(RESOURCES, RunStats(), [], bound_by=None, began_s=0.0, video_s=0.0, idle_share=None)
    assert (nothing.bound_by, nothing.advice, nothing.hours_per_hour) == (None, "", 0.0)


def test_a_plan_in_words() -> None:
    assert str(RESOURCES) == "2 decoders, 1 annotator of 1 thread on cpu in bf16, 4 clips at a time"
    plan = ResourcePlan(15, 2, 0, 64, max_in_flight=2, on_gpus=True, device="cuda", precision="bf16")
    assert str(plan) == "15 decoders, 2 annotators on cuda in bf16, 64 clips at a time"


def test_what_came_over_the_network_is_told_beside_the_files_sizes() -> None:
    stats = worked()
    stats.enter(StageTiming("plan", 103.0, 1.0, fetched_bytes=30_000_000, remote_bytes=40_000_000))
    stats.enter(StageTiming("decode", 104.0, 1.0, fetched_bytes=20_000_000))
    driver = [StageTiming("find", 100.0, fetched_bytes=1_000_000)]
    profile = make_profile(RESOURCES, stats, driver, bound_by=None, began_s=100.0, video_s=30.0, idle_share=None)
    assert (profile.fetched_bytes, profile.remote_bytes) == (51_000_000, 40_000_000)
    told = ingest_text(IngestReport(found=1, clips=1, video_seconds=30.0, wall_seconds=40.0, profile=profile))
    assert "\n51.0 MB were fetched for 40.0 MB of files over the network, 1.27 times\n" in told
    from_disk = ingest_text(IngestReport(found=1, clips=1, wall_seconds=40.0, profile=profile_of([], "decode")))
    assert "fetched" not in from_disk
    assert IngestReport(profile=profile).as_json()["run"]["fetched_bytes"] == 51_000_000  # type: ignore[index]


def test_what_went_between_machines_is_told() -> None:
    stats = worked()
    stats.moved_bytes = 7_500_000
    profile = make_profile(RESOURCES, stats, [], bound_by=None, began_s=100.0, video_s=30.0, idle_share=None)
    told = ingest_text(IngestReport(found=1, clips=1, video_seconds=30.0, wall_seconds=40.0, profile=profile))
    assert "\n7.5 MB of decoded clips went from one machine to another\n" in told
    assert IngestReport(profile=profile).as_json()["run"]["moved_bytes"] == 7_500_000  # type: ignore[index]
