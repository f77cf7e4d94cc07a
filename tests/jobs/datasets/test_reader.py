from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import pytest

from jobs.datasets.examples import Dataset, Example
from jobs.datasets.reader import read_dataset
from schemas.errors import UsageError


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def table(folder: Path, *lines: str, name: str = "data.csv") -> Path:
    """A CSV file beside a.mp4 to d.mp4."""
    files(folder, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder / name


def splits(dataset: Dataset, folder: Path) -> dict[str, str]:
    return {os.path.relpath(example.path, folder): example.split for example in dataset.examples}


def error(source: Path, want: Literal["labels", "captions", "nothing"] = "labels") -> str:
    with pytest.raises(UsageError) as caught:
        read_dataset(source, want=want)
    return str(caught.value).replace(str(source.parent), "DIR")


def counts(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.of("train")), len(dataset.of("val")), len(dataset.of("test"))


def test_class_folders_give_labels_also_to_what_lies_deeper(tmp_path: Path) -> None:
    files(tmp_path, "jump/a.mp4", "jump/more/deep/b.webm", "run/c.avi", "run/notes.txt", ".hidden/d.mp4")
    dataset = read_dataset(tmp_path, want="labels")
    assert dataset.labels == ("jump", "run")
    assert [(example.path, example.label, example.group) for example in dataset.examples] == [
        (f"{tmp_path}/jump/a.mp4", "jump", None),
        (f"{tmp_path}/jump/more/deep/b.webm", "jump", None),
        (f"{tmp_path}/run/c.avi", "run", None),
    ]
    assert dataset.source == str(tmp_path)


def test_paths_are_absolute_however_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "data/jump/a.mp4", "data/run/b.mp4")
    monkeypatch.chdir(tmp_path)
    dataset = read_dataset("data", want="labels")
    assert dataset.source == "data"
    assert [example.path for example in dataset.examples] == [f"{tmp_path}/data/jump/a.mp4", f"{tmp_path}/data/run/b.mp4"]


@pytest.mark.parametrize("val", ["val", "validation", "valid", "Val"])
def test_split_folders_are_taken_by_any_of_their_names(tmp_path: Path, val: str) -> None:
    files(tmp_path, "train/jump/a.mp4", "train/run/b.mp4", f"{val}/jump/c.mp4", "test/run/d.mp4")
    dataset = read_dataset(tmp_path, want="labels")
    assert splits(dataset, tmp_path) == {
        "train/jump/a.mp4": "train", "train/run/b.mp4": "train", f"{val}/jump/c.mp4": "val", "test/run/d.mp4": "test",
    }  # fmt: skip
    assert dataset.labels == ("jump", "run")
    assert dataset.how_split == "stated by the folders"


def test_train_and_val_without_test_leave_test_empty(tmp_path: Path) -> None:
    files(tmp_path, "train/jump/a.mp4", "train/run/b.mp4", "val/jump/c.mp4", "val/run/d.mp4")
    dataset = read_dataset(tmp_path, want="labels")
    assert counts(dataset) == (2, 2, 0)
    assert dataset.how_split == "stated by the folders"


def test_train_and_test_without_val_give_a_tenth_of_train_to_val(tmp_path: Path) -> None:
    files(tmp_path, *(f"train/{label}/{n}.mp4" for label in ("jump", "run") for n in range(10)), "test/run/a.mp4")
    dataset = read_dataset(tmp_path, want="labels")
    assert counts(dataset) == (18, 2, 1)
    assert {example.label for example in dataset.of("val")} == {"jump", "run"}
    assert (
        dataset.how_split == "stated by the folders, and val drawn out of train from seed 0, by video: 90 % train, 10 % val"
    )


def test_a_drawn_split_is_80_10_10_of_every_class(tmp_path: Path) -> None:
    files(tmp_path, *(f"{label}/{n}.mp4" for label in ("jump", "run", "sit") for n in range(20)))
    dataset = read_dataset(tmp_path, want="labels")
    drawn = Counter((example.label, example.split) for example in dataset.examples)
    assert drawn == {(label, split): n for label in ("jump", "run", "sit")
                     for split, n in (("train", 16), ("val", 2), ("test", 2))}  # fmt: skip
    assert dataset.how_split == "drawn from seed 0, by video: 80 % train, 10 % val, 10 % test"


def test_many_small_classes_come_out_right_together_and_all_have_an_example_in_train(tmp_path: Path) -> None:
    files(tmp_path, *(f"{label:02d}/{n}.mp4" for label in range(20) for n in range(2)))
    dataset = read_dataset(tmp_path, want="labels")
    assert counts(dataset) == (32, 4, 4)
    assert len({example.label for example in dataset.of("train")}) == 20
    assert dataset.how_split == (
        "drawn from seed 0, by video: 80 % train, 10 % val, 10 % test; val has 4 of 20 classes; test has 4 of 20 classes"
    )


def test_few_videos_are_split_as_far_as_they_go_and_it_is_said(tmp_path: Path) -> None:
    files(tmp_path / "four", "jump/a.mp4", "jump/b.mp4", "run/c.mp4", "run/d.mp4")
    dataset = read_dataset(tmp_path / "four", want="labels")
    assert counts(dataset) == (2, 1, 1)
    assert {example.label for example in dataset.of("train")} == {"jump", "run"}
    assert dataset.how_split == (
        "drawn from seed 0, by video: 50 % train, 25 % val, 25 % test (4 videos do not divide more evenly); "
        "val has 1 of 2 classes; test has 1 of 2 classes"
    )
    files(tmp_path / "two", "jump/a.mp4", "run/c.mp4")
    assert counts(read_dataset(tmp_path / "two", want="labels")) == (2, 0, 0)


def test_a_draw_is_the_same_wherever_the_folder_is_and_in_whatever_order_it_is_read(
    tmp_path: Path,
) -> None:
    names = [f"{label}/{n}.mp4" for label in ("jump", "run") for n in range(10)]
    files(tmp_path / "here", *names)
    files(tmp_path / "elsewhere" / "deeper", *names)
    here = splits(read_dataset(tmp_path / "here", want="labels"), tmp_path / "here")
    assert splits(read_dataset(tmp_path / "elsewhere/deeper", want="labels"), tmp_path / "elsewhere/deeper") == here
    # A CSV that lists the same videos backwards, some by absolute paths.
    rows = [f"{tmp_path / 'here' / name if n % 2 else name},{name.split('/')[0]}" for n, name in enumerate(names)]
    listed = table(tmp_path / "here", "path,label", *reversed(rows))
    assert splits(read_dataset(listed, want="labels"), tmp_path / "here") == here
    # The order of a class is that of its names' hashes, and its last two of ten are val and test.
    for label in ("jump", "run"):
        of_label = [name for name in names if name.startswith(label)]
        *train, val, test = sorted(of_label, key=lambda name: blake2b(f"0\0{name}".encode()).digest())
        assert {here[name] for name in train} == {"train"}
        assert (here[val], here[test]) == ("val", "test")
    other = splits(read_dataset(listed, seed=1, want="labels"), tmp_path / "here")
    assert other != here
    assert Counter(other.values()) == Counter(here.values())


def shootings(labels: Sequence[str], groups: int = 10, clips: int = 3) -> list[str]:
    """File names as UCF101 has them."""
    return [
        f"{label}/v_{label}_g{g:02d}_c{c:02d}.avi" for label in labels for g in range(1, groups + 1) for c in range(clips)
    ]


def test_shootings_that_names_tell_stay_together_over_all_classes(tmp_path: Path) -> None:
    files(tmp_path, *shootings(["ApplyEyeMakeup", "YoYo"]))
    dataset = read_dataset(tmp_path, want="labels")
    assert counts(dataset) == (48, 6, 6)
    sides: dict[str | None, set[str]] = {}
    for example in dataset.examples:
        sides.setdefault(example.group, set()).add(example.split)
    assert sorted(map(str, sides)) == [f"g{n:02d}" for n in range(1, 11)]
    assert all(len(found) == 1 for found in sides.values())
    assert dataset.how_split == "drawn from seed 0, by group: 80 % train, 10 % val, 10 % test"


def test_stated_splits_may_not_cut_a_shooting_but_number_them_by_class(tmp_path: Path) -> None:
    files(tmp_path, "train/A/v_A_g01_c01.avi", "val/B/v_B_g01_c01.avi", "train/B/v_B_g02_c01.avi", "test/A/v_A_g03_c01.avi")
    assert counts(read_dataset(tmp_path, want="labels")) == (2, 1, 1)
    files(tmp_path, "test/B/v_B_g02_c02.avi")
    assert error(tmp_path).partition(": ")[2] == (
        "group 'g02' is in test ('test/B/v_B_g02_c02.avi') and in train ('train/B/v_B_g02_c01.avi'), expected one split, "
        "or train would be no test of anything new; put all of it into one, or state no splits to have them drawn"
    )


def test_groups_of_people_are_never_cut_and_every_class_is_in_train(tmp_path: Path) -> None:
    rows = [
        f"{p}-{a}.mp4,{a},{p}" for p in range(10) for a in ("jump", "run", "sit") if (p, a) not in [(0, "sit"), (1, "run")]
    ]
    files(tmp_path, *(row.split(",")[0] for row in rows))
    for seed in range(5):
        dataset = read_dataset(table(tmp_path, "path,label,group", *rows), seed=seed, want="labels")
        assert len({(example.group, example.split) for example in dataset.examples}) == 10
        assert {example.label for example in dataset.of("train")} == {"jump", "run", "sit"}
        assert all(20 <= count <= 26 for count in counts(dataset)[:1])
        assert min(counts(dataset)) > 0


def test_a_folder_of_any_shape_will_do_where_nothing_is_wanted(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4", "2024/05/b.mp4", "train/c.mp4")
    dataset = read_dataset(tmp_path, want="nothing")
    assert [(os.path.basename(e.path), e.label) for e in dataset.examples] == [
        ("a.mp4", None), ("b.mp4", "2024"), ("c.mp4", "train")
    ]  # fmt: skip


def test_what_is_no_file_is_refused_and_an_empty_file_is_left_for_the_decoder_to_judge(tmp_path: Path) -> None:
    files(tmp_path, "jump/a.mp4", "run/b.mp4")
    (tmp_path / "run" / "empty.mp4").touch()
    assert len(read_dataset(tmp_path, want="labels").examples) == 3
    os.mkfifo(tmp_path / "run" / "pipe.mp4")
    assert error(tmp_path).partition(": ")[2].replace(f"DIR/{tmp_path.name}", "DIR") == (
        "'DIR/run/pipe.mp4': not a regular file but a named pipe; make it readable, or move it elsewhere"
    )


def test_folders_that_cannot_be_meant_so_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert error(data) == "data: no such file or folder: 'DIR/data'; give a folder of class folders, or a CSV file"
    data.mkdir()
    assert error(data) == "data DIR/data: the folder holds no video; give a folder of class folders, or a CSV file"
    files(data, "jump/a.mp4")
    assert error(data) == (
        "data DIR/data: got one class, 'jump', expected two or more; give the folder that holds the classes' folders, "
        "or a CSV file with their labels"
    )
    assert error(data, "captions") == (
        "data DIR/data: got a folder, which has no captions; give a CSV file with columns path and caption"
    )
    files(data, "b.mp4")
    assert error(data) == (
        "data DIR/data: 'b.mp4' lies in no class folder, expected CLASS/video.mp4; put each video into a folder with its "
        "class's name, or give a CSV file with columns path and label"
    )
    files(data, "train/run/c.mp4")
    assert error(data) == (
        "data DIR/data: got 'b.mp4' beside 'train', expected folders of splits (train, val, test) or folders of classes; "
        "move one of them away, or, where 'train' is a class, give a CSV file"
    )
    assert error(data / "b.mp4") == "data DIR/b.mp4: got a video, expected a folder of class folders or a CSV file"


def test_rows_of_one_moment_are_one_example_with_several_captions(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "path,action,caption,start_s,end_s,group,facts,lens",
        "a.mp4,wave,a man waves,,2,p1,action=wave;who=man,50",
        "./a.mp4,wave,someone waves,0,2.0,p1,action=wave;shirt=red,50",
        'a.mp4,jump,"a man jumps, twice",2,4.5,p1,,50',
        "",
        f"{tmp_path}/b.mp4,run,a dog runs,,,,action=run ; who=dog;,50",
    )
    for path in (tmp_path / "a.mp4", tmp_path / "b.mp4"):
        assert path.exists()
    found = read_dataset(source, want="captions").examples
    a, b = f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4"
    assert {example.split for example in found[:2]} == {found[0].split}
    assert found == (
        Example(path=a, label="wave", captions=("a man waves", "someone waves"),
                facts=("action=wave", "who=man", "shirt=red"),
                caption_facts=(("action=wave", "who=man"), ("action=wave", "shirt=red")),
                end_s=2.0, group="p1", split=found[0].split),
        Example(path=a, label="jump", captions=("a man jumps, twice",), caption_facts=((),), start_s=2.0, end_s=4.5,
                group="p1", split=found[1].split),
        Example(path=b, label="run", captions=("a dog runs",), facts=("action=run", "who=dog"),
                caption_facts=(("action=run", "who=dog"),), split=found[2].split),
    )  # fmt: skip


def test_a_class_of_one_video_is_in_train_and_what_no_group_has_goes_with_its_video(tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.mp4" for n in range(12)))
    for seed in range(10):
        dataset = read_dataset(table(tmp_path, "path,label", *(f"{n}.mp4,{n}" for n in range(12))), seed=seed, want="labels")
        assert counts(dataset) == (12, 0, 0)
        # Videos of two people each, so that every moment of a person has to follow that person.
        rows = [f"{n}.mp4,{'xyz'[k % 3]},p{(n + k) % 12},{k}" for n in range(12) for k in range(2)]
        rows += [f"{n}.mp4,x,,2" for n in (0, 5)]
        found = read_dataset(table(tmp_path, "path,label,group,start_s", *rows), seed=seed, want="labels").examples
        assert len({(example.group, example.split) for example in found if example.group}) == 12
        for n in (0, 5):
            of_video = {example.split for example in found if example.path == f"{tmp_path}/{n}.mp4" and example.group}
            assert {e.split for e in found if e.path == f"{tmp_path}/{n}.mp4" and not e.group} <= of_video


def test_moments_of_one_video_are_drawn_together(tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.mp4" for n in range(10)))
    rows = [f"{n}.mp4,{'jump' if k % 2 else 'run'},{k},{k + 1}" for n in range(10) for k in range(4)]
    dataset = read_dataset(table(tmp_path, "path,label,start_s,end_s", *rows), want="labels")
    assert len({(example.path, example.split) for example in dataset.examples}) == 10
    assert counts(dataset) == (32, 4, 4)


def test_stated_splits_of_a_csv(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label,split", "a.mp4,x,train", "b.mp4,y,Train", "c.mp4,x,validation", "d.mp4,y,test")
    dataset = read_dataset(source, want="labels")
    assert [example.split for example in dataset.examples] == ["train", "train", "val", "test"]
    assert dataset.how_split == "stated by the CSV's split column"


def test_a_mark_of_byte_order_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label", "a.mp4,x", "b.mp4,y")
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().replace(b"\n", b"\r\n"))
    assert read_dataset(source, want="labels").labels == ("x", "y")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["path,label", "a.mp4,x", "nowhere.mp4,y", "nowhere.mp4,y", "gone.mp4,y"],
            "line 3: no such file: 'DIR/nowhere.mp4' (missing files in all: 2); "
            "paths are taken from the CSV's own folder, 'DIR'",
        ),
        (["path,label", "a.mp4,x", " ,y"], "line 3: the path is empty; name a video, or take the line out"),
        (
            ["path,label,start_s", 'a.mp4,"x\ny",1', "b.mp4,y,one"],
            "line 4: start_s is 'one', expected a number of seconds from 0, such as 2.5; correct it",
        ),
        (
            ["path,label,end_s", "a.mp4,x,nan"],
            "line 2: end_s is 'nan', expected a number of seconds from 0, such as 2.5; correct it",
        ),
        (
            ["path,label,start_s", "a.mp4,x,-1"],
            "line 2: start_s is '-1', expected a number of seconds from 0, such as 2.5; correct it",
        ),
        (
            ["path,label,start_s,end_s", "a.mp4,x,3,3"],
            "line 2: end_s is 3, expected more than start_s (3); correct one of them",
        ),
        (["path,label,split", "a.mp4,x,dev"], "line 2: split is 'dev', expected train, val, test; correct it"),
        (
            ["path,label,split", "a.mp4,x,train", "b.mp4,y,"],
            "line 3: split is empty, and stated in other lines (empty in all: 1); state it for every example, "
            "or for none to have it drawn",
        ),
        (
            ["path,label", "a.mp4,x", "b.mp4,y", "a.mp4,z"],
            "line 4: label is 'z', and 'x' in line 2 for the same moment of 'a.mp4'; a moment has one: correct one of them",
        ),
        (
            ["path,label,split", "a.mp4,x,train", "a.mp4,x,test"],
            "line 3: split is 'test', and 'train' in line 2 for the same moment of 'a.mp4'; a moment has one: "
            "correct one of them",
        ),
        (
            ["path,label,group", "a.mp4,x,p1", "a.mp4,x,p2"],
            "line 3: group is 'p2', and 'p1' in line 2 for the same moment of 'a.mp4'; a moment has one: "
            "correct one of them",
        ),
        (
            ["path,label,split,group", "a.mp4,x,train,p1", "b.mp4,y,test,p1"],
            "group 'p1' is in train ('a.mp4') and in test ('b.mp4'), expected one split, or test would be no test of "
            "anything new; put all of it into one, or state no splits to have them drawn",
        ),
        (
            ["path,label,action", "a.mp4,x,x"],
            "line 1: got the column 'label' 2 times ('label', 'action'), expected once; take the others out",
        ),
        (
            ["path,label, Path", "a.mp4,x,x"],
            "line 1: got the column 'path' 2 times ('path', 'path'), expected once; take the others out",
        ),
        (
            ["path,lable", "a.mp4,x"],
            "line 1: got the column 'lable', which looks like 'label'; name it so, or unlike any of ours",
        ),
        (
            ["path,label,end", "a.mp4,x,3"],
            "line 1: got the column 'end', which looks like 'end_s'; name it so, or unlike any of ours",
        ),
        (
            ["path;label", "a.mp4;x"],
            "line 1: got the columns 'path;label', expected path, label, caption, start_s, end_s, split, group, facts, "
            "action, separated by commas; name the column of the videos 'path'",
        ),
        (["path,label", "a.mp4,x,3"], "line 2: got 3 cells, the header has 2; quote cells with commas"),
        (["path,label", "a.mp4"], "line 2: got 1 cells, the header has 2; quote cells with commas"),
        (
            ["path,label", "a.mp4,x", 'b.mp4,"y'],
            "line 3: not valid CSV: unexpected end of data; save it again from a spreadsheet program",
        ),
        (["path,label"], "got a header and no rows; give a row for every example"),
        (
            ["path,label", "a.mp4,x", "b.mp4,", "c.mp4,"],
            "line 3: no label (examples without one in all: 2), expected one for every example; fill the column 'label'",
        ),
        (
            ["path,label,caption_id", "a.mp4,x,1", "b.mp4,x,1"],
            "got one class, 'x', expected two or more; give the folder that holds the classes' folders, "
            "or a CSV file with their labels",
        ),
    ],
)
def test_what_is_wrong_in_a_csv_is_said_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    assert error(table(tmp_path, *lines)) == f"data DIR/data.csv: {message}"


def test_captions_are_missed_where_they_are_wanted(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label,caption", "a.mp4,x,", "a.mp4,x,someone waves", "b.mp4,y,")
    assert error(source, "captions") == (
        "data DIR/data.csv: line 4: no caption (examples without one in all: 1), expected one for every example; "
        "fill the column 'caption'"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"path,label\na.mp4,x\nb.mp4,caf\xe9\n", "line 3: got bytes that are no UTF-8; save the CSV file as UTF-8"),
        (b"path,label\na.mp4,x\0\n", "line 2: got a NUL byte; give a CSV file in UTF-8"),
        (
            b"",
            "the file is empty; give a CSV file with a header and a row for every example",
        ),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    source = table(tmp_path, "path,label")
    source.write_bytes(data)
    assert error(source) == f"data DIR/data.csv: {message}"
