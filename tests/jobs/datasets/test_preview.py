from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.datasets.preview import preview
from schemas.errors import UsageError, VideoError
from tests.helpers.videos import decode_all, number_in, write_video

SIDE = 96


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of a checkpoint but what it learnt: nothing here runs it."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({"model_type": "videomae", "num_frames": 16, "image_size": SIDE}))
    geometry = {"size": {"shortest_edge": SIDE}, "crop_size": SIDE, "image_processor_type": "VideoMAEImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(geometry))
    (folder / "model.safetensors").write_bytes(b"")
    return str(folder)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 frames of 6 s whose numbers are in the middle square, which is all that the model is shown."""
    return write_video(tmp_path_factory.mktemp("videos") / "film.mp4", 150, size=(SIDE, SIDE), options={"crf": "10"})


def numbers(path: Path) -> list[int]:
    with Image.open(path) as animation:
        found = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            found.append(number_in(np.asarray(animation.convert("RGB"))))
        return found


def test_a_preview_shows_the_models_frames_in_its_size_and_says_which(tmp_path: Path, video: Path, model: str) -> None:
    found = preview(str(video), tmp_path / "seen.gif", model=model)
    expected = [int((j + 0.5) * 100 / 16) for j in range(16)]  # of the first 4 s
    assert expected[:4] == [3, 9, 15, 21]
    assert numbers(tmp_path / "seen.gif") == expected
    assert str(found) == (
        "16 frames of 0.000-4.000 s, 96 x 96 (shorter edge to 96, centre crop)\n"
        "at 0.120, 0.360, 0.600, 0.840, 1.120, 1.360, 1.600, 1.840, 2.120, 2.360, 2.600, 2.840, 3.120, 3.360, 3.600, 3.840 s"
    )
    _, frames = decode_all(video)
    with Image.open(tmp_path / "seen.gif") as animation:
        assert animation.size == (SIDE, SIDE)
        lengths_ms = []
        for number, index in enumerate(expected):
            animation.seek(number)
            lengths_ms.append(animation.info["duration"])
            off = np.abs(np.asarray(animation.convert("RGB")).astype(int) - frames[index])
            assert off.mean() < 4  # the palette's 256 colours of a gradient
    assert lengths_ms == [250] * 16


def test_the_window_is_the_users(tmp_path: Path, video: Path, model: str) -> None:
    found = preview(str(video), tmp_path / "a.gif", model=model, start_s=2.0, end_s=3.6)
    assert numbers(tmp_path / "a.gif") == [50 + int((j + 0.5) * 40 / 16) for j in range(16)]
    assert str(found).startswith("16 frames of 2.000-3.600 s, ")
    late = preview(str(video), tmp_path / "b.gif", model=model, start_s=5.0)
    assert late.span == (5.0, 6.0)
    assert numbers(tmp_path / "b.gif")[-1] == 149


def test_a_shorter_video_is_shown_whole_and_cut_as_the_model_sees_it(tmp_path: Path, model: str) -> None:
    wide = write_video(tmp_path / "wide.mp4", 25, size=(320, 160))
    found = preview(str(wide), tmp_path / "a.gif", model=model)
    assert (found.span, found.size) == ((0.0, 1.0), (SIDE, SIDE))
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.size == (SIDE, SIDE)


def test_what_cannot_be_shown_is_refused(tmp_path: Path, video: Path, model: str) -> None:
    def message(path: Path, output: str = "a.gif", *, start_s: float | None = None, end_s: float | None = None) -> str:
        with pytest.raises((UsageError, VideoError)) as caught:
            preview(str(path), tmp_path / output, model=model, start_s=start_s, end_s=end_s)
        return str(caught.value).replace(str(tmp_path), "DIR")

    assert message(tmp_path / "no.mp4") == "path: no such file: 'DIR/no.mp4'; name a video"
    assert message(tmp_path) == "path: no such file: 'DIR'; name a video"
    assert message(video, start_s=6) == ("start_s: got 6 s, expected from 0 to the video's end at 6.000 s; give less")
    assert message(video, start_s=-1).startswith("start_s: got -1 s, expected from 0")
    assert message(video, start_s=2, end_s=2) == (
        "end_s: got 2 s, expected from the start at 2 s to the video's end at 6.000 s; give a time between them"
    )
    assert message(video, end_s=7).startswith("end_s: got 7 s, expected from the start at 0 s to the video's end")
    assert message(video, end_s=float("nan")).startswith("end_s: got nan s, expected from the start")
    assert message(video, "no/a.gif") == "output: no such folder: 'DIR/no'; make it first, or name another"
    (tmp_path / "text.gif").write_text("no film")
    assert message(tmp_path / "text.gif", "text.gif") == (
        "output: 'DIR/text.gif' is what is read, and would be lost; name another file"
    )
    assert (tmp_path / "text.gif").read_text() == "no film"
    assert message(tmp_path / "text.gif").startswith("probe: no video container that FFmpeg can read")
    (tmp_path / "empty.mp4").touch()
    assert message(tmp_path / "empty.mp4") == "find: the file is empty (0 bytes)"
    assert not (tmp_path / "a.gif").exists()
