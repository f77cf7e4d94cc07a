from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.shots.annotator import ShotAnnotator
from schemas.channels import CHANNELS, Shot, channel_table
from schemas.errors import VideoError
from schemas.records import VideoFile, VideoInfo
from tests.pipeline.shots.films import enlarged, write_film
from tests.pipeline.shots.scenery import Frames, dissolve, held, pan, scene

BLACK = np.zeros((27, 48, 3), np.uint8)


def unchanged(picture: Frames, num_frames: int) -> Frames:
    return np.repeat(picture[None], num_frames, axis=0)


def shots_in(path: Path) -> list[Shot]:
    video = VideoInfo("v", VideoFile(str(path), path.stat().st_size, 0))
    return list(ShotAnnotator().load().annotate(video))


def test_shots_cover_the_video_and_say_what_they_show(tmp_path: Path) -> None:
    wide = scene(3, width=200)
    parts = [unchanged(scene(1), 50), pan(wide, 50), held(BLACK, 25), unchanged(scene(2), 50)]
    shots = shots_in(write_film(tmp_path / "a.mp4", enlarged(np.concatenate(parts))))
    assert [(each.start_s, each.end_s, each.transition, each.picture) for each in shots] == [
        (0.0, 2.0, "start", "still"),
        (2.0, 4.0, "cut", "moving"),
        (4.0, 5.0, "cut", "black"),
        (5.0, 7.0, "cut", "still"),
    ]
    assert shots[0].confidence == 1
    assert all(0.5 <= each.confidence <= 1 for each in shots)
    assert channel_table("shots", "v", "shots", shots).schema == CHANNELS["shots"]


def test_a_dissolve_and_a_fade_are_gradual(tmp_path: Path) -> None:
    one, two, three = scene(1), scene(2), scene(4)
    parts = [held(one, 50), dissolve(one, two, 16), held(two, 50)]
    parts += [dissolve(two, BLACK, 10), held(BLACK, 4), dissolve(BLACK, three, 10), held(three, 50)]
    _, dissolved, faded = shots_in(write_film(tmp_path / "a.mp4", enlarged(np.concatenate(parts))))
    assert (dissolved.transition, faded.transition) == ("gradual", "gradual")
    assert dissolved.start_s == pytest.approx(58 / 25, abs=0.08)
    assert faded.start_s == pytest.approx((116 + 12) / 25, abs=0.12)


def test_a_video_without_a_cut_is_one_shot_of_its_duration(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", enlarged(unchanged(scene(1), 60)))
    assert shots_in(path) == [Shot(0.0, 60 / 25, "start", 1.0, "still")]


def test_a_video_that_begins_late_has_a_first_shot_from_0(tmp_path: Path) -> None:
    frames = np.concatenate([held(scene(1), 50), held(scene(2), 50)])
    shots = shots_in(write_film(tmp_path / "a.mkv", enlarged(frames), times=np.arange(100) + 2))
    assert shots[0].start_s == 0
    assert shots[1].start_s == pytest.approx(2.0)


def test_what_is_no_video_is_the_videos_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(VideoError):
        shots_in(path)


def test_the_version_names_the_detector() -> None:
    content, model = ShotAnnotator("content"), ShotAnnotator("transnetv2")
    assert (content.name, content.table) == ("shots", "shots")
    assert content.version.startswith("content@")
    assert model.version.startswith("transnetv2@760b7455-")
