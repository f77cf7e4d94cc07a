"""Making videos for tests and benchmarks does nothing else to the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.videos import Kind, encode
from tests.helpers.videos import write_video

AV1 = Kind("a.mp4", "libsvtav1", 640, 360, {"preset": "12"})


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_video(folder / "a.mp4", 10, codec="libsvtav1", options={"preset": "12"}),
        lambda folder: encode(folder / "a.mp4", AV1, seconds=1),
    ],
    ids=["tests", "benchmarks"],
)
def test_encoding_av1_makes_no_real_time_thread(tmp_path: Path, make: Callable[[Path], object]) -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    make(tmp_path)
    assert (tmp_path / "a.mp4").stat().st_size > 0
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before
