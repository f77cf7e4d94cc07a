from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.ingest.batching import GROUP_FILES, FileGroup, FileQueue, JobChain, JobGroup, group_jobs
from jobs.ingest.resources import ResourcePlan, plan_resources
from jobs.ingest.steps import Job
from pipeline.annotators import ClassifierAnnotator, EmbedderAnnotator
from pipeline.sampling import plan_jobs
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import IngestOptions, Sampling
from schemas.records import VideoFailed, VideoFile, VideoInfo
from tests.pipeline.test_sampling import VIDEO, meta_of

LARGE, SMALL = ModelInput(16, Geometry(224, (224, 224))), ModelInput(16, Geometry(64, (64, 64)))
GB = 1 << 30


def job_of(shown: ModelInput, folder: Path, **options: Any) -> Job:
    (folder / "model.safetensors").write_bytes(b"")
    checkpoint = Checkpoint("m", str(folder), None, "videomae", "")
    pair = ClassifierAnnotator(checkpoint, shown), EmbedderAnnotator(checkpoint, shown)
    return Job(pair, Sampling(), folder, IngestOptions(**options))


@pytest.mark.parametrize(
    ("shown", "cpus", "gpus", "memory", "expected"),
    [
        (LARGE, 2, 0, 16 * GB, ResourcePlan(2, 2, 1, 4)),
        (LARGE, 8, 0, 16 * GB, ResourcePlan(8, 4, 2, 4)),
        (LARGE, 8, 0, 2 * GB, ResourcePlan(8, 1, 8, 4)),
        (LARGE, 1, 0, 16 * GB, ResourcePlan(1, 1, 1, 4)),
        (SMALL, 2, 0, 16 * GB, ResourcePlan(2, 1, 1, 16)),
        (SMALL, 16, 0, 16 * GB, ResourcePlan(16, 4, 1, 16)),
        (LARGE, 16, 2, 64 * GB, ResourcePlan(14, 2, 0, 64, max_in_flight=2, on_gpus=True)),
    ],
)
def test_a_plan_follows_from_the_machine_and_the_models(
    tmp_path: Path, shown: ModelInput, cpus: int, gpus: int, memory: float, expected: ResourcePlan
) -> None:
    assert plan_resources(job_of(shown, tmp_path), cpus, gpus, memory) == expected


def test_onnx_takes_gpus_where_its_package_is_the_one_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    for available, annotators in (("CUDAExecutionProvider", 2), ("CPUExecutionProvider", 16)):
        monkeypatch.setattr(runtime, "get_available_providers", lambda available=available: [available])
        assert plan_resources(job_of(LARGE, tmp_path, engine="onnx"), 16, 2, 64 * GB).annotators == annotators


def test_decoders_of_a_gpus_own_are_few_and_openvino_leaves_gpus_alone(tmp_path: Path) -> None:
    assert plan_resources(job_of(LARGE, tmp_path, decoder="nvdec"), 64, 2, 64 * GB).decoders == 16
    assert plan_resources(job_of(LARGE, tmp_path, decoder="nvdec"), 8, 2, 64 * GB).decoders == 6
    assert plan_resources(job_of(LARGE, tmp_path, engine="openvino"), 16, 2, 64 * GB) == ResourcePlan(16, 16, 1, 4)


def test_a_plan_can_be_asked_for(tmp_path: Path) -> None:
    job = job_of(LARGE, tmp_path, batch_size=3, num_decoders=5, num_threads=4)
    assert plan_resources(job, 8, 0, 64 * GB) == ResourcePlan(5, 2, 4, 3)


def files_of(*sizes: int) -> list[VideoFile]:
    return [VideoFile(f"/v/{number}.mp4", size, 0) for number, size in enumerate(sizes)]


def groups_of(files: list[VideoFile], *, largest: bool = False) -> list[FileGroup]:
    queue = FileQueue(files, decoders=2)
    return list(iter(lambda: queue.take(largest=largest), None))


def test_small_files_go_together_and_no_decoder_is_left_without() -> None:
    many = files_of(*[1000] * 200)
    groups = groups_of(many)
    assert [len(group.files) for group in groups] == [GROUP_FILES] * 12 + [8]
    assert [file for group in groups for file in group.files] == many
    assert [len(group.files) for group in groups_of(files_of(*[1000] * 16))] == [2] * 8
    assert [len(group.files) for group in groups_of(files_of(*[20 << 20] * 200))] == [1] * 200
    assert groups_of([]) == []


def test_files_are_taken_from_both_ends_of_their_sizes_and_each_once() -> None:
    sizes = [40 << 20, 3, 50 << 20, 1, 2]
    queue = FileQueue(files_of(*sizes), decoders=2)
    taken = [queue.take(largest=largest) for largest in (True, False, False, True, False)]
    assert [[file.size_bytes for file in group.files] for group in taken if group] == [[50 << 20], [1], [2], [40 << 20], [3]]
    assert (len(queue), queue.take(largest=True), queue.take(largest=False)) == (0, None, None)


def test_short_videos_are_decoded_together_and_long_ones_in_parts() -> None:
    short = [
        job for file in files_of(*[1] * 9) for job in plan_jobs(VideoInfo("x", file), meta_of(8.0), Sampling(), [SMALL])
    ]
    long = plan_jobs(VIDEO, meta_of(150.0), Sampling(), [SMALL])
    failed = VideoFailed(VideoInfo("x", files_of(1)[0]), "probe", "broken")
    found = list(group_jobs([*short, failed, *long]))
    assert [len(item.jobs) if isinstance(item, JobGroup) else item for item in found] == [failed, 7, 2, 1, 1, 1]


def test_jobs_that_start_at_one_place_stay_together() -> None:
    for minutes, kind in ((3, JobGroup), (4, JobChain)):
        jobs = plan_jobs(VIDEO, meta_of(minutes * 60.0, fps=5, keyframe_every=10_000), Sampling(), [SMALL])
        (group,) = group_jobs(jobs)
        assert isinstance(group, kind)
        assert group.jobs == tuple(jobs)
        assert [len(item.jobs) for item in group_jobs(jobs, chained=False) if isinstance(item, JobGroup)] == [1] * minutes
