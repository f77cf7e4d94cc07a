"""Annotators of whole videos over a library: whose rows SQL sees, what is read again, and what is left when one fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.annotate.annotate import annotate, take_out
from jobs.annotate.work import Annotated, Task, Worker
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from schemas.channels import Entry
from schemas.errors import LibraryError, UsageError
from schemas.options import IngestOptions
from schemas.records import VideoFile, VideoInfo
from tests.helpers.library_builder import sql
from tests.helpers.made_annotators import SHOTS_OF_A, MadeAnnotator, inline, made, said, use_annotators, written
from tests.helpers.made_library import Made, make_library

CLIPS = [Made(i, name, 4.0 * i, 4.0 * i + 4) for name in ("a", "b") for i in range(5)]
CLIPS = [Made(i, one.video, one.start_s, one.end_s) for i, one in enumerate(CLIPS)]
SAID = (("/v/a.mp4", (said(1, 2, "good morning"), said(3, 4, "good night"))), ("/v/b.mp4", (said(5, 6, "hello"),)))
READ = (("/v/b.mp4", (written(0, 3, "EXIT"),)),)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "library", CLIPS)


@pytest.fixture
def annotators(monkeypatch: pytest.MonkeyPatch) -> None:
    use_annotators(
        monkeypatch,
        shots=made("shots", "shots", entries=(("/v/a.mp4", SHOTS_OF_A),)),
        subtitles=made("subtitles", "speech", entries=SAID),
        text=made("text", "screen_text", entries=READ),
    )


def rows(library: Path, table: str, columns: str = "path, start_s, end_s, text") -> list[list[Any]]:
    return [list(row.values()) for row in sql(library, f"select {columns} from {table} order by all")]


def breaches(library: Path) -> list[str]:
    return [str(check) for check in verify(library) if check.breach]


def parts(library: Path) -> set[str]:
    return {path.name for path in Library(library).channel_parts.iterdir()}


@pytest.mark.usefixtures("annotators")
def test_rows_are_sql_tables(library: Path) -> None:
    before = {table: sql(library, f"from {table} order by all") for table in ("clips", "labels", "tags")}
    assert rows(library, "speech") == []
    report = annotate(library, ["shots", "subtitles", "text"])
    assert {name: (of.done, of.failed, of.unchanged, of.rows) for name, of in report.annotators.items()} == {
        "shots": (2, 0, 0, 2),
        "subtitles": (2, 0, 0, 3),
        "text": (2, 0, 0, 1),
    }
    assert rows(library, "speech") == [
        ["/v/a.mp4", 1, 2, "good morning"],
        ["/v/a.mp4", 3, 4, "good night"],
        ["/v/b.mp4", 5, 6, "hello"],
    ]
    assert rows(library, "speech", "language, source, confidence, words")[0] == ["en", "sidecar", None, []]
    assert rows(library, "screen_text", "video_id, text, box, confidence") == [
        ["b", "EXIT", {"left": 0.25, "top": 0.5, "width": 0.5, "height": 0.125}, 0.75]
    ]
    assert rows(library, "shots", "path, start_s, end_s, transition, confidence, picture") == [
        ["/v/a.mp4", 0, 7.5, "start", 1, "moving"],
        ["/v/a.mp4", 7.5, 20, "cut", 0.875, "still"],
    ]
    assert len({row[0] for row in rows(library, "shots", "shot_id")}) == 2
    assert rows(library, "annotations", "path, annotator, version, status, error, num_rows") == [
        ["/v/a.mp4", "shots", "1", "done", None, 2],
        ["/v/a.mp4", "subtitles", "1", "done", None, 2],
        ["/v/a.mp4", "text", "1", "done", None, 0],
        ["/v/b.mp4", "shots", "1", "done", None, 0],
        ["/v/b.mp4", "subtitles", "1", "done", None, 1],
        ["/v/b.mp4", "text", "1", "done", None, 1],
    ]
    assert {table: sql(library, f"from {table} order by all") for table in before} == before
    assert json.loads((library / "library.json").read_text())["channels"]["text"] == {"version": "1", "settings": {}}
    assert breaches(library) == []


@pytest.mark.usefixtures("annotators")
def test_what_is_there_is_not_read_again(library: Path) -> None:
    annotate(library, ["subtitles"])
    snapshot = (library / "CURRENT").read_text()
    report = annotate(library, [])
    assert (report.annotators["subtitles"].done, report.annotators["subtitles"].unchanged) == (0, 2)
    assert (library / "CURRENT").read_text() == snapshot


@pytest.mark.usefixtures("annotators")
def test_another_version_replaces_the_rows(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotate(library, ["subtitles", "text"])
    use_annotators(
        monkeypatch,
        subtitles=made("subtitles", "speech", entries=(("/v/a.mp4", (said(9, 10, "better"),)),)),
        text=made("text", "screen_text", entries=READ),
    )
    report = annotate(library, [], settings={"subtitles": {"version": "2"}})
    assert (report.annotators["subtitles"].done, report.annotators["text"].done) == (2, 0)
    assert rows(library, "speech") == [["/v/a.mp4", 9, 10, "better"]]
    assert [row[0] for row in rows(library, "screen_text", "text")] == ["EXIT"]
    assert rows(library, "annotations", "annotator, version") == [["subtitles", "2"]] * 2 + [["text", "1"]] * 2
    assert breaches(library) == []


def test_a_changed_state_is_read_again(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for state, text in (("old", "before"), ("old", "not read"), ("new", "after")):
        entries = (("/v/a.mp4", (said(1, 2, text),)),)
        use_annotators(monkeypatch, subtitles=made("subtitles", "speech", entries=entries, states=(("/v/a.mp4", state),)))
        annotate(library, ["subtitles"])
    assert rows(library, "speech", "text") == [["after"]]


def test_a_video_that_fails_costs_its_own_rows(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: tuple[tuple[str, Sequence[Entry | str]], ...] = (
        ("/v/a.mp4", (said(1, 2, "lost"), "refuse")),
        ("/v/b.mp4", (said(5, 6, "hello"),)),
    )
    use_annotators(
        monkeypatch,
        subtitles=made("subtitles", "speech", entries=broken),
        text=made("text", "screen_text", entries=(("/v/a.mp4", ("bug",)),)),
    )
    report = annotate(library, ["subtitles", "text"])
    assert report.failures == [
        ("/v/a.mp4", "subtitles", "its sound is of another world"),
        ("/v/a.mp4", "text", "cannot be read: KeyError: 'bug'"),
    ]
    assert rows(library, "speech") == [["/v/b.mp4", 5, 6, "hello"]]
    assert rows(library, "videos", "path, status, annotation_error") == [
        ["/v/a.mp4", "indexed", "subtitles: its sound is of another world; text: cannot be read: KeyError: 'bug'"],
        ["/v/b.mp4", "indexed", None],
    ]
    use_annotators(monkeypatch, subtitles=made("subtitles", "speech", entries=SAID))
    assert annotate(library, ["subtitles"]).annotators["subtitles"].done == 0
    assert annotate(library, ["subtitles"], retry_failed=True).annotators["subtitles"].done == 1
    assert len(rows(library, "speech")) == 3
    assert rows(library, "videos", "annotation_error")[0] == ["text: cannot be read: KeyError: 'bug'"]


def test_a_crash_ends_no_more_than_its_process() -> None:
    worker = Worker()
    crashing = MadeAnnotator("speech", "speech", (("/v/a.mp4", ("crash",)), ("/v/b.mp4", (said(1, 2, "hello"),))))

    def task(path: str) -> Task:
        return Task(crashing, VideoInfo(path, VideoFile(path, 1, 1)), "", 60.0, 2048)

    outcomes = [worker.do(task(path)) for path in ("/v/a.mp4", "/v/b.mp4")]
    worker.close()
    assert outcomes[0].error == "crashed: the process that read it died twice, in native code or for want of memory"
    assert (outcomes[0].entries, outcomes[1].entries, outcomes[1].error) == ((), (said(1, 2, "hello"),), None)


@pytest.mark.usefixtures("annotators")
def test_taking_one_out_leaves_the_others(library: Path) -> None:
    annotate(library, ["subtitles", "text", "shots"])
    before = {table: rows(library, table, "*") for table in ("clips", "speech", "shots")}
    assert take_out(library, ["text"]) == {"text": 2}
    assert rows(library, "screen_text") == []
    assert {table: rows(library, table, "*") for table in before} == before
    assert json.loads((library / "library.json").read_text())["channels"].keys() == {"subtitles", "shots"}
    with pytest.raises(UsageError, match="no such annotator; it has subtitles, shots"):
        take_out(library, ["text"])
    take_out(library, ["subtitles", "shots"])
    assert "channels" not in json.loads((library / "library.json").read_text())
    assert breaches(library) == []


@pytest.mark.usefixtures("annotators")
def test_a_removed_video_takes_its_rows_along(library: Path) -> None:
    annotate(library, ["subtitles", "text"])
    tables = Tables(Library(library))
    tables.remove_videos(["b"])
    tables.drop_orphans()
    annotate(library, [])
    assert rows(library, "speech", "path") == [["/v/a.mp4"]] * 2
    assert rows(library, "screen_text", "path") == []
    assert rows(library, "annotations", "path, annotator") == [["/v/a.mp4", "subtitles"], ["/v/a.mp4", "text"]]
    assert breaches(library) == []


@pytest.mark.usefixtures("annotators")
def test_a_publish_adds_a_part_and_merges_small_ones(library: Path) -> None:
    annotate(library, ["subtitles"])
    first = parts(library)
    annotate(library, ["text"])
    assert len(first) == 1
    assert rows(library, "screen_text", "text") == [["EXIT"]]
    compact(library)
    assert len(rows(library, "speech")) == 3
    assert breaches(library) == []


@pytest.mark.usefixtures("annotators")
def test_a_rollback_takes_rows_back(library: Path) -> None:
    annotate(library, ["subtitles"])
    with_subtitles = int((library / "CURRENT").read_text())
    annotate(library, ["text"])
    rollback(library, with_subtitles)
    assert rows(library, "annotations", "annotator") == [["subtitles"], ["subtitles"]]
    assert (len(rows(library, "speech")), rows(library, "screen_text")) == (3, [])


@pytest.mark.usefixtures("annotators")
@pytest.mark.parametrize("name", ["rows.duckdb", "text.sqlite", "annotations.parquet", "part.json"])
def test_a_damaged_part_is_said_and_written_again(library: Path, name: str) -> None:
    annotate(library, ["subtitles"])
    before = rows(library, "speech", "*")
    (part,) = Library(library).channel_parts.iterdir()
    (part / name).unlink()
    assert breaches(library)
    annotate(library, [])
    assert rows(library, "speech", "*") == before
    assert breaches(library) == []


@pytest.mark.usefixtures("annotators")
def test_what_cannot_be_asked(library: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected shots, subtitles, text"):
        annotate(library, ["smell"])
    with pytest.raises(UsageError, match="has none yet"):
        annotate(library, [])
    with pytest.raises(UsageError, match="setting that it does not have"):
        annotate(library, ["text"], settings={"text": {"size": "3"}})
    with pytest.raises(LibraryError, match="not a vidsift library"):
        annotate(tmp_path / "nothing", ["text"])
    assert "channels" not in json.loads((library / "library.json").read_text())


@pytest.mark.usefixtures("annotators")
def test_what_was_read_before_an_interruption_is_kept(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(tasks: Sequence[Task], options: IngestOptions, *given: object) -> Iterator[Annotated | None]:
        yield next(inline(tasks, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.annotate.annotate.on_ray", interrupted)
    report = annotate(library, ["subtitles"])
    assert (report.interrupted, report.annotators["subtitles"].done) == (True, 1)
    assert len(rows(library, "annotations", "path")) == 1
    monkeypatch.setattr("jobs.annotate.annotate.on_ray", inline)
    report = annotate(library, [])
    assert (report.interrupted, report.annotators["subtitles"].done) == (False, 1)
    assert len(rows(library, "speech")) == 3
