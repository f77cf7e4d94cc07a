"""Reading again what could not be indexed: what was there stays until something takes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.ingest.ingest import ingest
from jobs.ingest.report import Interrupted
from jobs.maintain.verify import verify
from schemas.records import Outcome, VideoFile
from tests.helpers.library_builder import sql
from tests.helpers.made_up_run import Content, MadeUpRun, make_up_runs

BEFORE = [
    {"path": "a.mp4", "status": "partial", "clip_count": 2},
    {"path": "b.mp4", "status": "failed", "clip_count": 0},
    {"path": "c.mp4", "status": "failed", "clip_count": 0},
    {"path": "d.mp4", "status": "indexed", "clip_count": 1},
]


def videos(library: Path) -> list[dict[str, Any]]:
    return sql(library, "select path[-5:] as path, status, clip_count from videos order by path")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[MadeUpRun]:
    """A library of a video that was read in part, two that failed by bad luck, and one that is whole."""
    run = make_up_runs(monkeypatch, tmp_path / "library")
    (tmp_path / "videos").mkdir()
    for name, content in (
        ("a", Content("damaged", 3, 0)),
        ("b", Content("unlucky", 2, 0)),
        ("c", Content("unlucky", 4, 1)),
        ("d", Content("whole", 1, 2)),
    ):
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(bytes(content))
    run.out_of_luck = True
    ingest([tmp_path / "videos"], tmp_path / "library")
    run.out_of_luck = False
    return run


@pytest.mark.parametrize("after", [0, 1, 3, 5, 7])
def test_a_retry_that_is_interrupted_loses_nothing(
    run: type[MadeUpRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    library = tmp_path / "library"
    assert videos(library) == BEFORE
    outcomes = run.outcomes

    def stopped(
        self: MadeUpRun, files: Sequence[VideoFile], taken: frozenset[str] = frozenset(), *given: Any
    ) -> Iterator[Outcome | None]:
        for number, outcome in enumerate(outcomes(self, files, taken, *given)):
            if number == after:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch:
        patch.setattr(run, "outcomes", stopped)
        with pytest.raises(Interrupted) as interrupted:
            ingest([tmp_path / "videos"], library, retry_failed=True)
    report = interrupted.value.report
    now = videos(library)
    assert [row["path"] for row in now] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert sum(row not in BEFORE for row in now) == report.indexed < 2
    assert report.indexed + report.partial + report.not_done == 3
    assert [str(check) for check in verify(library) if check.breach is not None] == []
    ingest([tmp_path / "videos"], library, retry_failed=True)
    assert [(row["status"], row["clip_count"]) for row in videos(library)] == [
        ("partial", 2), ("indexed", 2), ("indexed", 4), ("indexed", 1),
    ]  # fmt: skip
    assert [str(check) for check in verify(library) if check.breach is not None] == []


def test_what_is_read_again_and_again_has_its_clips_once(run: type[MadeUpRun], tmp_path: Path) -> None:
    library = tmp_path / "library"
    for _ in range(3):
        report = ingest([tmp_path / "videos"], library, retry_failed=True)
        assert report.partial == 1
        assert sql(library, "select count(*) as n, count(distinct clip_id) as ids from clips") == [{"n": 9, "ids": 9}]
        assert [str(check) for check in verify(library) if check.breach is not None] == []
