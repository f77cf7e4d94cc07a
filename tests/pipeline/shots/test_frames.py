from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.probe import probe
from pipeline.shots.frames import CHUNK_FRAMES, Thumbnails, thumbnails
from schemas.errors import VideoError
from tests.pipeline.shots.films import enlarged, write_film
from tests.pipeline.shots.scenery import held, scene

PICTURE = scene(1)


def read(path: Path) -> Thumbnails:
    chunks = list(thumbnails(str(path), probe(str(path))))
    return Thumbnails(np.concatenate([c.times_s for c in chunks]), np.concatenate([c.frames for c in chunks]))


def levels_off(frames: np.ndarray, picture: np.ndarray) -> float:
    return float(np.abs(frames.astype(np.int16) - picture).mean())


def test_all_frames_come_in_chunks_with_their_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", enlarged(held(PICTURE, 2 * CHUNK_FRAMES + 40)))
    chunks = list(thumbnails(str(path), probe(str(path))))
    assert [len(chunk.frames) for chunk in chunks] == [CHUNK_FRAMES, CHUNK_FRAMES, 40]
    assert np.allclose(np.concatenate([c.times_s for c in chunks]), np.arange(540) / 25)
    assert chunks[0].frames.shape == (CHUNK_FRAMES, 27, 48, 3)
    assert levels_off(chunks[0].frames, PICTURE) < 4


def test_frames_of_an_avi_with_b_frames_are_in_order(tmp_path: Path) -> None:
    steps = np.stack([np.full((108, 192, 3), 2 * number + 20, np.uint8) for number in range(60)])
    seen = read(write_film(tmp_path / "a.avi", steps))
    assert len(seen.times_s) >= 58  # FFmpeg may guess the times of the first ones wrong
    assert (np.diff(seen.times_s) > 0).all()
    assert (np.diff(seen.frames.mean((1, 2, 3))) > -1).all()
    assert seen.frames[0].mean() < 25
    assert seen.frames[-1].mean() > 130


def test_frames_are_turned_as_players_show_them(tmp_path: Path) -> None:
    halves = np.zeros((10, 108, 192, 3), np.uint8)
    halves[:, :, :96] = 255  # the left half
    seen = read(write_film(tmp_path / "a.mp4", halves, rotation=90))
    assert seen.frames[0, 16:].mean() > 240  # turned counter-clockwise, the left is at the bottom
    assert seen.frames[0, :11].mean() < 15


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    times = np.array([0, 1, 5, 6, 30, 31, 32])
    seen = read(write_film(tmp_path / "a.mkv", enlarged(held(PICTURE, 7)), times=times))
    assert np.allclose(seen.times_s, times / 25, atol=1e-3)


def test_times_of_joined_recordings_go_on(tmp_path: Path) -> None:
    first = write_film(tmp_path / "a.ts", enlarged(held(PICTURE, 50)))
    second = write_film(tmp_path / "b.ts", enlarged(held(scene(2), 50)))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    seen = read(joined)
    assert np.allclose(np.diff(seen.times_s), 1 / 25, atol=1e-3)
    assert levels_off(seen.frames[:50], PICTURE) < 4
    assert levels_off(seen.frames[50:], scene(2)) < 4


def test_a_damaged_file_gives_the_frames_that_are_whole(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.ts", enlarged(held(PICTURE, 200)))
    content = bytearray(path.read_bytes())
    for start in range(len(content) // 3, len(content) // 2, 997):
        content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    seen = read(path)
    assert 50 < len(seen.times_s) <= 200
    assert (np.diff(seen.times_s) > 0).all()


def test_frames_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", enlarged(held(PICTURE, 5)))
    with pytest.raises(VideoError, match="max-pixels"):
        list(thumbnails(str(path), probe(str(path)), max_pixels=1000))
