"""The processes that render open the file that was checked, and load no more than they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.errors import VideoError
from schemas.records import Span
from server.media import tasks
from server.media.tasks import RenderTask, render_moment, render_picture, render_strip
from server.media.video_file import VideoFile, open_checked
from tests.helpers.media import video_file
from tests.helpers.videos import decode_all, number_in, write_video


def task_of(path: Path, span: Span, name: str) -> RenderTask:
    folder = path.parent / "work"
    folder.mkdir(exist_ok=True)
    return RenderTask(video_file(path), span, 320, folder, name)


def test_what_comes_in_the_place_of_the_file_after_the_check_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    other = write_video(tmp_path / "other.mp4", 50, size=(64, 48))
    task = task_of(path, Span(0.0, 1.0), "made.jpg")
    real = open_checked

    def swapping(video: VideoFile) -> int:
        descriptor = real(video)
        os.replace(other, path)
        return descriptor

    monkeypatch.setattr(tasks, "open_checked", swapping)
    render_picture(task)
    assert Image.open(task.output).size == (160, 120)


def test_nothing_but_the_output_is_left_and_no_file_stays_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    before = len(os.listdir("/proc/self/fd"))
    for render, name in ((render_picture, "a.jpg"), (render_strip, "a.webp"), (render_moment, "a.mp4")):
        render(task_of(path, Span(0.0, 1.0), name))
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(VideoError):
        render_picture(task_of(broken, Span(0.0, 1.0), "b.jpg"))
    assert sorted(os.listdir(tmp_path / "work")) == ["a.jpg", "a.mp4", "a.webp"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_containers_told_by_their_names_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 50, codec="mpeg2video", options={"g": "12"})
    task = task_of(path, Span(1.0, 1.4), "made.jpg")
    render_picture(task)
    assert number_in(np.asarray(Image.open(task.output).convert("RGB"))) == 29  # its first frame comes one frame late


def test_piece_that_ends_after_the_video_ends_with_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    for span, numbers in ((Span(1.0, 9.0), list(range(25, 50))), (Span(5.0, 9.0), [49])):
        task = task_of(path, span, "made.mp4")
        render_moment(task)
        assert [number_in(frame) for frame in decode_all(task.output)[1]] == numbers


def test_processes_that_render_load_neither_models_nor_the_server() -> None:
    code = "import sys, server.media.tasks; print(*({'torch', 'ray', 'duckdb', 'starlette', 'asyncio'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
