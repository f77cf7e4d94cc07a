from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import jobs.datasets.summary as module
from cli import main
from jobs.datasets.reader import read_dataset
from jobs.datasets.summary import contact_sheet, survey
from jobs.images import Row, sheet
from tests.helpers.videos import number_in, write_video


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, three splits, and two files that are no videos."""
    folder = tmp_path_factory.mktemp("data")
    for name, num_frames, fps, size in (
        ("train/jump/a.mp4", 60, 25, (160, 120)),
        ("train/jump/b.mp4", 90, 30, (160, 120)),
        ("train/run/a.mp4", 80, 10, (120, 160)),
        ("val/jump/a.mp4", 50, 25, (80, 60)),
        ("test/run/a.mp4", 30, 10, (120, 160)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, num_frames, fps=fps, size=size)
    (folder / "train" / "run" / "empty.mp4").touch()
    (folder / "test" / "run" / "text.mp4").write_text("no video")
    return folder


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, ["dataset", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_table_says_what_each_class_has_and_what_is_damaged(data: Path) -> None:
    assert run(data).replace(str(data), "DATA") == (
        "class  examples  minutes  frames a second  size                   damaged  train  val  test\n"
        "-----  --------  -------  ---------------  ---------------------  -------  -----  ---  ----\n"
        "jump   3         0.1      25-30            160 x 120 and 1 other  0        2      1    0\n"
        "run    4         0.2      10               120 x 160              2        2      0    2\n"
        "\n"
        "7 examples of 7 videos in 2 classes, 0 captions, 0.3 minutes: 4 train, 1 val, 2 test\n"
        "splits: stated by the folders\n"
        "damaged: DATA/test/run/text.mp4: no video container that FFmpeg can read: "
        "Invalid data found when processing input\n"
        "damaged: DATA/train/run/empty.mp4: the file is empty (0 bytes)\n"
    )


def test_json_says_the_same(data: Path) -> None:
    found = json.loads(run(data, "--json"))
    assert [entry.pop("path").replace(str(data), "DATA") for entry in found["damaged"]] == [
        "DATA/test/run/text.mp4", "DATA/train/run/empty.mp4"
    ]  # fmt: skip
    found["damaged"] = [entry["reason"].partition(":")[0] for entry in found["damaged"]]
    assert found == {
        "source": str(data),
        "how_split": "stated by the folders",
        "videos": 7,
        "captions": 0,
        "classes": [
            {"label": "jump", "examples": 3, "minutes": 0.123, "fps": [25.0, 30.0], "sizes": {"160x120": 2, "80x60": 1},
             "damaged": 0, "splits": {"train": 2, "val": 1, "test": 0}},
            {"label": "run", "examples": 4, "minutes": 0.183, "fps": [10.0, 10.0], "sizes": {"120x160": 2},
             "damaged": 2, "splits": {"train": 2, "val": 0, "test": 2}},
        ],
        "damaged": ["no video container that FFmpeg can read", "the file is empty (0 bytes)"],
        "partial": [],
    }  # fmt: skip


def test_moments_count_their_own_time_and_those_after_the_end_are_damaged(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 100, fps=25, size=(80, 60))
    source = tmp_path / "data.csv"
    source.write_text(
        "path,caption,start_s,end_s,facts\na.mp4,one,0,1,x\na.mp4,uno,0,1,x\na.mp4,two,3,9,\na.mp4,three,5,,\n"
    )
    found = survey(read_dataset(source, want="captions"))
    (row,) = found.classes
    assert (row.label, row.examples, row.damaged, round(row.minutes * 60, 6)) == (None, 3, 1, 2.0)
    assert (found.videos, found.captions) == (1, 4)
    assert found.damaged == ((f"{tmp_path}/a.mp4", "a moment begins at 5 s, but the video ends at 4 s"),)
    assert "\n(no label)  3 " in str(found)
    assert "3 examples of 1 videos in 0 classes, 4 captions" in str(found)


def test_a_video_that_was_cut_off_is_damaged_in_part(tmp_path: Path) -> None:
    for label in ("jump", "run"):
        (tmp_path / label).mkdir()
    write_video(tmp_path / "jump" / "a.avi", 200, codec="mpeg4")
    whole = (tmp_path / "jump" / "a.avi").read_bytes()
    (tmp_path / "run" / "a.avi").write_bytes(whole[: len(whole) // 2])
    found = survey(read_dataset(tmp_path, want="labels"))
    assert found.damaged == ()
    assert [path for path, _ in found.partial] == [f"{tmp_path}/run/a.avi"]
    assert f"\ndamaged in part: {tmp_path}/run/a.avi: " in str(found)


def test_the_sheet_has_the_first_and_last_frames_of_up_to_three_sound_examples(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, list[int]]] = []

    def note(rows: list[Row]) -> Image.Image:
        drawn.extend((name, [number_in(frame) for frame in frames]) for name, frames in rows)
        return sheet(rows)

    monkeypatch.setattr(module, "sheet", note)
    run(data, "--sheet", tmp_path / "sheet.png")
    assert drawn == [("jump", [0, 59, 0, 89, 0, 49]), ("run", [0, 29, 0, 79])]
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert picture.height == 2 * 124 + 4
        assert picture.width > 6 * 164


def test_the_sheet_shows_a_moments_own_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 100, fps=25)
    (tmp_path / "data.csv").write_text("path,label,start_s,end_s\na.mp4,x,1,2\na.mp4,y,2,3\na.mp4,y,9,10\n")
    frames: list[NDArray[np.uint8]] = list(module._samples(read_dataset(tmp_path / "data.csv", want="labels").examples))
    assert [number_in(frame) for frame in frames] == [25, 49, 50, 74]
    assert contact_sheet(read_dataset(tmp_path / "data.csv", want="labels")).height == 2 * 124 + 4


def test_three_examples_are_shown_and_sound_ones_stand_in_for_damaged_ones(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 100, fps=25)
    (tmp_path / "data.csv").write_text("path,start_s,end_s\na.mp4,0,1\na.mp4,9,10\na.mp4,1,2\na.mp4,2,3\na.mp4,3,4\n")
    frames: list[NDArray[np.uint8]] = list(module._samples(read_dataset(tmp_path / "data.csv", want="nothing").examples))
    assert [number_in(frame) for frame in frames] == [0, 24, 50, 74, 25, 49]


def test_a_sheet_has_to_be_somewhere_and_no_source(data: Path, tmp_path: Path) -> None:
    for output, message in (
        (tmp_path / "no" / "a.png", "no such folder: 'DIR/no'; make it first, or name another"),
        (tmp_path / "a.jpg", "got 'DIR/a.jpg', expected a name that ends in .png; name it so"),
    ):
        done = CliRunner().invoke(main, ["dataset", str(data), "--sheet", str(output)])
        assert done.exit_code == 2
        assert done.output.replace(str(tmp_path), "DIR") == f"vidsift: --sheet: {message}\n"
