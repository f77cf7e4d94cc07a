"""Decoding what a model learns from, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.datasets.decode import in_decoding_processes
from jobs.datasets.examples import Example
from jobs.train import clip_cache as clips
from jobs.train.clip_cache import cache_clips, cached_input, training_spans
from schemas.errors import UsageError
from schemas.models import Geometry, ModelInput
from tests.helpers.videos import number_in, write_video

WANTED = ModelInput(24, Geometry(72, (72, 72)))


def store(examples: list[Example], folder: Path, **changed: Any) -> Any:
    return cache_clips(examples, WANTED, folder, **({"window_s": 4.0, "max_clips": 2, "cpus": 2} | changed))


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (ModelInput(16, Geometry(224, (224, 224))), ModelInput(24, Geometry(252, (252, 252)))),
        (ModelInput(8, Geometry((64, 96), None)), ModelInput(24, Geometry((72, 108), None))),
        (ModelInput(32, Geometry(None, (64, 64), "bicubic")), ModelInput(48, Geometry(None, (72, 72), "bicubic"))),
    ],
)
def test_more_frames_and_larger_ones_are_kept(wanted: ModelInput, kept: ModelInput) -> None:
    assert cached_input(wanted) == kept


def test_an_example_gives_clips_as_at_ingest_evenly_spread() -> None:
    assert training_spans(0.0, 9.0, 4.0, 9) == [(0.0, 4.0), (4.0, 9.0)]
    assert training_spans(10.0, 12.0, 4.0, 9) == [(10.0, 12.0)]
    assert [span.start_s for span in training_spans(0.0, 100.0, 4.0, 3)] == [16.0, 48.0, 80.0]


def test_the_frames_of_the_moment_are_stored(tmp_path: Path) -> None:
    """50 numbered frames at 25 a second; of [1, 2) the frames 25 to 49, and of the whole all of them evenly."""
    video = write_video(tmp_path / "a.mp4", 50, size=(144, 144))
    part = Example(path=str(video), start_s=1.0, end_s=2.0)
    whole = Example(path=str(video))
    stored, left_out = store([part, whole], tmp_path / "cache")
    assert left_out == []
    assert [one.num_clips for one in stored] == [1, 1]
    assert stored[0].clip(0).shape == (24, 72, 72, 3)
    assert [number_in(frame) for frame in stored[0].clip(0)] == [25 + int((j + 0.5) * 25 / 24) for j in range(24)]
    assert [number_in(frame) for frame in stored[1].clip(0)] == [int((j + 0.5) * 50 / 24) for j in range(24)]


def test_what_is_in_the_cache_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "a.mp4", 20)
    first, _ = store([Example(path=str(video), label="x")], tmp_path / "cache")
    monkeypatch.setattr(clips, "in_decoding_processes", lambda work, items, cpus: [(None, "decoded again") for _ in items])
    again, left_out = store([Example(path=str(video), label="y")], tmp_path / "cache")
    assert left_out == []
    assert again[0].file == first[0].file
    write_video(tmp_path / "a.mp4", 30)
    _, left_out = store([Example(path=str(video), label="y")], tmp_path / "cache")
    assert [one.reason for one in left_out] == ["decoded again"]


def test_damage_is_named_on_every_run(tmp_path: Path) -> None:
    sound, gone = write_video(tmp_path / "a.mp4", 20), tmp_path / "gone.mp4"
    cut = write_video(tmp_path / "b.avi", 50, codec="mpeg4")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    noise = tmp_path / "c.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    examples = [Example(path=str(path)) for path in (sound, gone, cut, noise)]
    for _ in range(2):
        stored, left_out = store(examples, tmp_path / "cache")
        assert [Path(one.example.path).name for one in stored] == ["a.mp4", "b.avi"]
        told = {Path(one.path).name: one.reason for one in left_out}
        assert list(told) == ["gone.mp4", "b.avi", "c.mp4"]
        assert told["gone.mp4"] == "No such file or directory"
        assert told["c.mp4"].startswith("no video container that FFmpeg can read")


def test_a_moment_after_the_end_is_left_out(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", 25)
    stored, left_out = store([Example(path=str(video), start_s=5.0, end_s=6.0)], tmp_path / "cache")
    assert stored == []
    assert [one.reason for one in left_out] == ["the moment begins at 5 s, but the video ends at 1 s"]


class Deadly:
    """Ends the process that unpickles it, as a crash in a decoder would."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (9,)


def test_a_crash_of_the_decoder_costs_that_video_alone(tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{i}.mp4", 20) for i in range(3)]
    requests = [
        clips._Request(Example(path=str(video)), str(tmp_path / f"{number}.npy"), WANTED, 4.0, 1)
        for number, video in enumerate(videos)
    ]
    requests[1] = clips._Request(Example(path=str(videos[1])), str(tmp_path / "1.npy"), WANTED, Deadly(), 1)  # type: ignore[arg-type]
    outcomes = list(in_decoding_processes(clips._decode_into_file, requests, 2))
    assert [problem for _, problem in outcomes] == [None, "crashed the decoder", None]


def test_a_disk_without_room_is_said_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "a.mp4", 20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 100_000})())
    with pytest.raises(UsageError, match=r"decoded clips take at least 0.0 GB, the disk has 0.0 GB left"):
        store([Example(path=str(video))], tmp_path / "cache")
