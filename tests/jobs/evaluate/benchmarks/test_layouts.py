"""Annotation files in the layouts that their authors publish, read as queries; and files that are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluate.benchmarks.layouts import READERS, read_annotations
from jobs.evaluate.benchmarks.results import TASKS, Query
from schemas.errors import UsageError
from schemas.records import Span

MSRVTT = {
    "info": {"year": "2016"},
    "videos": [
        {"video_id": "video0", "split": "train", "category": 9, "start time": 1.0, "end time": 9.0, "id": 0},
        {"video_id": "video7010", "split": "test", "category": 3, "start time": 2.0, "end time": 8.0, "id": 7010},
    ],
    "sentences": [
        {"caption": "a car is shown", "video_id": "video0", "sen_id": 0},
        {"caption": "a girl sings", "video_id": "video7010", "sen_id": 1},
        {"caption": "somebody is singing ", "video_id": "video7010", "sen_id": 2},
    ],
}
MSVD = """# comment of the corpus
#
mv89psg6zh4_33_46 A bird in a sink keeps getting under the running water.
mv89psg6zh4_33_46 A bird bathes in a sink.

-4wsuPCjDBc_5_15 A squirrel eats a peanut.
"""
QV: dict[str, Any] = {
    "qid": 9769, "query": "some military patriots take us through their safety procedures", "duration": 150,
    "vid": "j7rJstUseKg_360.0_510.0", "relevant_clip_ids": [36, 37], "saliency_scores": [[4, 1, 1], [4, 1, 1]],
    "relevant_windows": [[72, 82], [84, 94.5]],
}  # fmt: skip
TVR: dict[str, Any] = {
    "vid_name": "friends_s01e03_seg02_clip_19", "duration": 61.46, "ts": [14.2, 18.9], "desc_id": 90200,
    "desc": "Phoebe puts one of her ponytails in her mouth.", "type": "v",
}  # fmt: skip


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_benchmark_has_a_reader() -> None:
    assert list(READERS) == list(TASKS)


def test_msrvtt_as_json(tmp_path: Path) -> None:
    source = written(tmp_path, "MSRVTT_data.json", MSRVTT)
    queries, split = read_annotations("msrvtt", source)
    assert split == "test"
    assert queries == [
        Query(1, "a girl sings", "video7010", split="test"),
        Query(2, "somebody is singing", "video7010", split="test"),
    ]
    queries, split = read_annotations("msrvtt", source, "train")
    assert ([query.text for query in queries], split) == (["a car is shown"], "train")
    with pytest.raises(UsageError, match=r"^split: got 'val', expected one of the file's splits \(test, train\), or a text"):
        read_annotations("msrvtt", source, "val")


def test_msrvtt_1k_a(tmp_path: Path) -> None:
    text = 'key,vid_key,video_id,sentence\nret0,msr9770,video9770,"a person, connecting something"\nret1,msr7,video7,a cow\n'
    queries, split = read_annotations("msrvtt", written(tmp_path, "MSRVTT_JSFUSION_test.csv", text))
    assert split is None
    assert queries == [Query(2, "a person, connecting something", "video9770"), Query(3, "a cow", "video7")]


def test_msvd_and_a_list_of_its_test_videos(tmp_path: Path) -> None:
    source = written(tmp_path, "AllVideoDescriptions.txt", MSVD)
    queries, split = read_annotations("msvd", source)
    assert split is None
    assert [(query.query_id, query.video) for query in queries] == [
        (3, "mv89psg6zh4_33_46"), (4, "mv89psg6zh4_33_46"), (6, "-4wsuPCjDBc_5_15"),
    ]  # fmt: skip
    names = written(tmp_path, "test_list.txt", "-4wsuPCjDBc_5_15\nother_1_2\n")
    queries, split = read_annotations("msvd", source, str(names))
    assert queries == [Query(6, "A squirrel eats a peanut.", "-4wsuPCjDBc_5_15")]
    assert split == str(names)
    with pytest.raises(
        UsageError, match=r"^split: got 'test', expected no split, since the file names none, or a text file"
    ):
        read_annotations("msvd", source, "test")


def test_didemo_joins_all_descriptions_of_a_video(tmp_path: Path) -> None:
    data = [
        {"annotation_id": 1, "video": "x@N00_1_a.avi", "description": "the dog jumps", "times": [[0, 0], [0, 1]]},
        {"annotation_id": 2, "video": "y@N00_2_b.mov", "description": "a boat", "times": [[2, 2]]},
        {"annotation_id": 3, "video": "x@N00_1_a.avi", "description": "it runs away", "times": [[4, 4]]},
    ]
    queries, _ = read_annotations("didemo", written(tmp_path, "test_data.json", data))
    assert queries == [Query(0, "the dog jumps it runs away", "x@N00_1_a.avi"), Query(1, "a boat", "y@N00_2_b.mov")]


def test_activitynet_joins_all_sentences_of_a_video(tmp_path: Path) -> None:
    data = {
        "v_bXdq2zI1Ms0": {"duration": 73.1, "timestamps": [[6, 10], [11, 20]], "sentences": ["Three men. ", " They jump."]}
    }
    queries, _ = read_annotations("activitynet", written(tmp_path, "val_1.json", data))
    assert queries == [Query(0, "Three men. They jump.", "v_bXdq2zI1Ms0")]


def test_charades_sta(tmp_path: Path) -> None:
    text = "3MSZA 24.3 30.4##person turn a light on.\nAO8RW 7.0 7.0##a person opens the door.\n"
    queries, _ = read_annotations("charades-sta", written(tmp_path, "charades_sta_test.txt", text))
    assert queries == [
        Query(1, "person turn a light on.", "3MSZA", (Span(24.3, 30.4),)),
        Query(2, "a person opens the door.", "AO8RW"),  # a moment without length
    ]


def test_qvhighlights(tmp_path: Path) -> None:
    queries, _ = read_annotations("qvhighlights", written(tmp_path, "val.jsonl", f"{json.dumps(QV)}\n"))
    windows = (Span(72.0, 82.0), Span(84.0, 94.5))
    assert queries == [Query(9769, QV["query"], "j7rJstUseKg_360.0_510.0", windows)]


def test_tvr(tmp_path: Path) -> None:
    queries, _ = read_annotations("tvr", written(tmp_path, "tvr_val_release.jsonl", f"{json.dumps(TVR)}\n"))
    assert queries == [Query(90200, TVR["desc"], "friends_s01e03_seg02_clip_19", (Span(14.2, 18.9),))]


def lines_of(*objects: object) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in objects)


@pytest.mark.parametrize(
    ("benchmark", "content", "message"),
    [
        ("msrvtt", [], "got JSON of another layout, expected an object with the lists videos and sentences"),
        ("msrvtt", MSRVTT | {"videos": [{"video_id": "video0"}]}, "videos[0]: got no split, expected a text"),
        ("msrvtt", MSRVTT | {"sentences": [7]}, "sentences[0]: got 7, expected a JSON object"),
        (
            "msrvtt",
            MSRVTT | {"sentences": [{"caption": "a", "video_id": "video1"}]},
            "sentences[0]: got video_id 'video1', expected one of `videos`",
        ),
        (
            "msrvtt",
            "{\n\n nothing",
            "line 3: got no valid JSON (Expecting property name enclosed in double quotes), expected",
        ),
        ("msvd", MSVD + "mv89psg6zh4_33_46\n", "line 7: got 'mv89psg6zh4_33_46', expected VIDEO_START_END and a sentence"),
        ("msvd", "# nothing\n", "got no query, expected the benchmark's annotation file of msvd"),
        ("didemo", {"video": "x"}, "got JSON of another layout, expected a list of objects with video and description"),
        ("didemo", [{"video": "x", "description": " "}], '[0]: got " " as description, expected a text'),
        (
            "activitynet",
            [1],
            "got JSON of another layout, expected an object with a video's duration, timestamps and sentences",
        ),
        ("activitynet", {"v_x": {"sentences": "a man"}}, "'v_x': got \"a man\" as sentences, expected a list of texts"),
        (
            "activitynet",
            {"v_x": {"sentences": [" "]}},
            "'v_x': got [\" \"] as sentences, expected a list of texts that are not",
        ),
        ("activitynet", {"v_x": 3}, "'v_x': got 3, expected a JSON object"),
        (
            "charades-sta",
            "A 1 2##a\nA 1##b\n",
            "line 2: got 'A 1##b', expected VIDEO START END##SENTENCE with seconds from 0",
        ),
        ("charades-sta", "A 1 nan##b\n", "line 1: got 'A 1 nan##b', expected VIDEO START END##SENTENCE"),
        ("charades-sta", "A 1 2\n", "line 1: got 'A 1 2', expected VIDEO START END##SENTENCE"),
        ("qvhighlights", lines_of(QV, QV | {"qid": "1"}), 'line 2: got "1" as qid, expected a whole number'),
        (
            "qvhighlights",
            lines_of({name: value for name, value in QV.items() if name != "relevant_windows"}),
            "line 1: got no relevant_windows, expected a list of [start, end] in seconds",
        ),
        (
            "qvhighlights",
            lines_of(QV | {"relevant_windows": [[1, 2], [3]]}),
            "line 1: got [[1, 2], [3]] as relevant_windows, expected a list of [start, end] in seconds",
        ),
        ("qvhighlights", lines_of(QV) + "{\n", "line 2: got no valid JSON"),
        ("qvhighlights", "[1]\n", "line 1: got [1], expected a JSON object"),
        ("tvr", lines_of(TVR | {"ts": [-1, 2]}), "line 1: got [-1, 2] as ts, expected [start, end] in seconds"),
        ("tvr", lines_of(TVR | {"desc": None}), "line 1: got null as desc, expected a text"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path: Path, benchmark: str, content: Any, message: str) -> None:
    source = written(tmp_path, "file", content)
    with pytest.raises(UsageError) as caught:
        read_annotations(benchmark, source)
    assert str(caught.value).startswith(f"annotations {source}: {message}")


def test_a_csv_of_other_columns_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 1: got the columns key, text, expected video_id and sentence among them"):
        read_annotations("msrvtt", written(tmp_path, "a.csv", "key,text\n1,a\n"))
    with pytest.raises(UsageError, match="cannot be read: No such file or directory; give the benchmark's annotation file"):
        read_annotations("tvr", tmp_path / "gone.jsonl")
