from __future__ import annotations

import pickle

import pytest

from schemas.errors import VideoError
from schemas.models import Geometry, ModelInput
from schemas.records import Span, clip_id_of, path_text, video_id_of


def test_ids_are_the_same_on_every_run_and_machine() -> None:
    video_id = video_id_of("abc", "/videos/a.mp4")
    assert video_id == "87cff4476318c7cf"
    assert clip_id_of(video_id, Span(0.0, 4.0)) == 6314756970742604330
    assert clip_id_of(video_id, Span(4.0, 8.0)) == 6699893864684902926


def test_ids_tell_content_path_and_span_apart() -> None:
    assert len({video_id_of("abc", "/a"), video_id_of("abd", "/a"), video_id_of("abc", "/b"), video_id_of(None, "/a")}) == 4
    ids = {clip_id_of("0" * 16, Span(start, start + 4.0)) for start in range(1000)}
    assert len(ids) == 1000
    assert all(0 <= clip_id < 2**63 for clip_id in ids)


def test_path_text_spells_bytes_that_are_no_text() -> None:
    assert path_text("/v/naïve.mp4") == "/v/naïve.mp4"
    assert path_text("/v/caf\udce9.mp4") == r"/v/caf\xe9.mp4"


@pytest.mark.parametrize(
    ("resize", "size", "resized"),
    [
        (224, (340, 256), (297, 224)),
        (224, (256, 340), (224, 297)),
        (224, (224, 224), (224, 224)),
        (224, (1920, 1080), (398, 224)),
        (224, (50, 50), (224, 224)),
        ((112, 200), (640, 480), (200, 112)),
        (None, (640, 480), (640, 480)),
    ],
)
def test_resized(resize: int | tuple[int, int] | None, size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert Geometry(resize, None).resized(*size) == resized


def test_subset_step() -> None:
    geometry, other = Geometry(224, (224, 224)), Geometry(256, (224, 224))
    sixteen = ModelInput(16, geometry)
    assert ModelInput(8, geometry).subset_step(sixteen) == 2
    assert sixteen.subset_step(sixteen) == 1
    assert ModelInput(32, geometry).subset_step(sixteen) is None
    assert ModelInput(6, geometry).subset_step(sixteen) is None
    assert ModelInput(8, other).subset_step(sixteen) is None


def test_a_video_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError("probe", "no video stream")))
    assert (error.stage, error.reason, str(error)) == ("probe", "no video stream", "probe: no video stream")
