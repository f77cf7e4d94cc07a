"""Long films and short clips share the decoders, on a made-up cluster whose workers only take time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.simulated_ray import Costs, SimulatedRay, simulated
from jobs.ingest.batching import FileGroup
from jobs.ingest.lanes import Lane
from jobs.ingest.ray_run import RayRun
from jobs.ingest.steps import Job
from pipeline.annotators import ClassifierAnnotator, EmbedderAnnotator
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import IngestOptions, Sampling
from schemas.records import SpanDone, VideoFile

# A minute is one task of 15 clips, and takes a decoder 15 s.
COSTS = Costs(plan_s=(0.0, 0.0), decode_clip_s=1.0, annotate_clip_s=1e-6, write_row_s=0.0)
MINUTE, DECODERS, TASK_S = 60 * COSTS.bytes_per_s, 4, 15.0

# Shorter ones that may be planned beside a film before it is known what it becomes.
BESIDE = 2 * DECODERS - 1


def run(folder: Path, files: Sequence[VideoFile]) -> SimulatedRay:
    """Do all files on four decoders."""
    (folder / "model.safetensors").write_bytes(b"")
    checkpoint, shown = Checkpoint("m", str(folder), None, "videomae", ""), ModelInput(16, Geometry(224, (224, 224)))
    pair = ClassifierAnnotator(checkpoint, shown), EmbedderAnnotator(checkpoint, shown)
    job = Job(pair, Sampling(), folder, IngestOptions(address="made-up:6379", num_decoders=DECODERS))
    cluster = SimulatedRay(COSTS, cpus=2 * DECODERS, gpus=1, store_bytes=64 << 30, exact=True)
    with simulated(cluster):
        outcomes = list(RayRun(job).outcomes(files))
    paths = {outcome.video.file.path for outcome in outcomes if isinstance(outcome, SpanDone)}
    assert paths == {file.path for file in files}, "all are done"
    return cluster


def film_among_clips(place: int, *, num_clips: int, name: str = "film") -> list[VideoFile]:
    """A film of ten hours, found after ``place`` of so many clips of a minute."""
    files = [VideoFile(f"/clips/{number:05d}.mp4", MINUTE, 1) for number in range(num_clips)]
    return [*files[:place], VideoFile(f"/{name}", 600 * MINUTE, 1), *files[place:]]


@pytest.mark.parametrize(("place", "num_clips"), [(0, 10_000), (1000, 2000), (2000, 2000)])
def test_a_film_of_ten_hours_and_many_clips_get_half_of_the_decoders_each(
    tmp_path: Path, place: int, num_clips: int
) -> None:
    cluster = run(tmp_path, film_among_clips(place, num_clips=num_clips))
    is_film = [jobs[0].video.file.path == "/film" for _, jobs in cluster.handed]
    assert len(is_film) == 600 + num_clips
    first = is_film.index(True)
    assert first <= 2 * BESIDE + 1
    assert all(is_film[k] != is_film[k + 1] for k in range(first, first + 1199)), "one of each in turn"
    # Alone, the film would take 600 tasks of 15 s on four decoders, 2250 s.
    assert 2 * 2250.0 <= cluster.finished["/film"] <= 2 * 2250.0 + BESIDE * TASK_S
    assert cluster.now_s == pytest.approx((600 + num_clips) * TASK_S / DECODERS, abs=0.1), "no decoder ever waits"


def test_clips_that_are_fewer_than_a_films_minutes_do_not_wait_for_its_end(tmp_path: Path) -> None:
    cluster = run(tmp_path, film_among_clips(0, num_clips=100))
    last_clip_s = max(at for path, at in cluster.finished.items() if path != "/film")
    assert 100 * TASK_S / DECODERS <= last_clip_s <= 2 * 100 * TASK_S / DECODERS
    assert cluster.finished["/film"] == 700 * TASK_S / DECODERS


def test_a_film_that_is_read_in_one_pass_begins_first_and_is_not_held_up(tmp_path: Path) -> None:
    cluster = run(tmp_path, film_among_clips(1500, num_clips=1500, name="film.chain"))
    times = [at for at, jobs in cluster.handed if jobs[0].video.file.path == "/film.chain"]
    assert times[0] <= BESIDE * TASK_S
    assert [at - times[0] for at in times] == [TASK_S * part for part in range(600)], (
        "each part begins when the one before ends"
    )
    assert cluster.now_s == pytest.approx(times[0] + 600 * TASK_S, abs=0.1), "the clips are done meanwhile"


def test_films_are_finished_one_after_the_other(tmp_path: Path) -> None:
    films = [VideoFile(f"/{number}", 600 * MINUTE + number, 1) for number in range(8)]
    ends = sorted(run(tmp_path, films).finished.values())
    # Two at a time: the largest and the smallest of what is left.
    assert ends == [4500.0 * (1 + number // 2) for number in range(8)]


def test_of_very_many_films_only_some_are_planned_at_a_time() -> None:
    lane, group = Lane(largest=True), FileGroup((VideoFile("/film", 600 * MINUTE, 1),))
    for _ in range(17):
        assert lane.has_room(decoders=256)
        lane.expect(group)
    assert not lane.has_room(decoders=256), "they may become more than 10,000 jobs, of 20 KB each"
