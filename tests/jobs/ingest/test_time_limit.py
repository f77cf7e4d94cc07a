"""Ingests whose time is up: what is begun is finished and published, the rest is left, and the next run does it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import jobs.ingest.ingest
from cli import main
from jobs.annotate.annotate import annotate
from jobs.ingest.ingest import ingest
from jobs.ingest.report import ingest_text
from jobs.ingest.time_limit import TimeLimit
from jobs.maintain.verify import verify
from schemas.errors import UsageError
from tests.helpers.ingests import Ingest, counts
from tests.helpers.inline_run import InlineRun
from tests.helpers.made_annotators import made, use_annotators
from tests.helpers.videos import write_many, write_video


class Clock:
    def __init__(self, *now: int) -> None:
        self.now_s = datetime(*now).timestamp()  # type: ignore[arg-type]

    def __call__(self) -> float:
        return self.now_s


def let_time_be_up(patch: pytest.MonkeyPatch, is_up: Callable[[], bool]) -> None:
    class Limit(TimeLimit):
        def is_up(self) -> bool:
            return is_up()

    patch.setattr(jobs.ingest.ingest, "TimeLimit", Limit)


@pytest.mark.parametrize(
    ("max_hours", "stop_at", "seconds"),
    [
        (None, None, None), (0.5, None, 1800), (None, "23:10", 600), (None, "6:30", 27_000), (24, "6:30", 27_000),
        (1, "6:30", 3600),
    ],
)  # fmt: skip
def test_the_earlier_limit_holds(max_hours: float | None, stop_at: str | None, seconds: float | None) -> None:
    clock = Clock(2030, 1, 15, 23, 0)
    limit = TimeLimit(max_hours, stop_at, clock)
    clock.now_s += (seconds or 1e9) - 1
    assert not limit.is_up()
    clock.now_s += 1
    assert limit.is_up() == (seconds is not None)
    clock.now_s -= 10
    assert limit.is_up() == (seconds is not None), "a clock that is set back does not give time back"


def test_a_limit_now_is_tomorrows() -> None:
    assert not TimeLimit(None, "23:00", Clock(2030, 1, 15, 23, 0)).is_up()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_hours": 0}, "max_hours: got 0, expected a number of hours above 0"),
        ({"max_hours": float("nan")}, "max_hours: got nan, expected a number of hours above 0"),
        ({"stop_at": "24:00"}, "stop_at: got '24:00', expected a time of day such as 06:30"),
        ({"stop_at": "6.30"}, "stop_at: got '6.30', expected a time of day such as 06:30"),
    ],
)
def test_what_is_no_limit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TimeLimit(**given)
    assert str(caught.value) == message


def test_what_is_begun_is_published_and_the_next_run_does_the_rest(
    tmp_path: Path,
    classifier_folder: Path,
    embedder_folder: Path,
    inline_run: type[InlineRun],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Ingest(tmp_path / "videos", tmp_path / "library", classifier_folder, embedder_folder)
    run.folder.mkdir()
    write_many(run.folder, 4, num_frames=50)
    shutil.copy(run.folder / "03.mp4", run.folder / "copy.mp4")
    use_annotators(monkeypatch, text=made("text", "screen_text"))
    with monkeypatch.context() as patched:
        let_time_be_up(patched, lambda: len(inline_run.read) >= 2)
        report = ingest([run.folder], run.library, **run.models, channels=["text"])
    assert counts(report) == {"indexed": 2, "clips": 2}
    assert (report.time_is_up, report.not_done, report.as_json()["not_done"]) == (True, 3, 3)
    assert ingest_text(report).splitlines()[-1] == (
        "the time was up: 3 of 5 videos are left, 2 videos are left for text to do"
    )
    assert run.sql("select path[-6:] as name from videos order by path") == [{"name": "00.mp4"}, {"name": "01.mp4"}]
    report = run()
    assert (report.time_is_up, counts(report)) == (False, {"indexed": 3, "unchanged": 2, "clips": 3})
    assert (len(inline_run.read), annotate(run.library).annotators["text"].unchanged) == (4, 5)
    assert [str(check) for check in verify(run.library) if check.breach] == []


def test_the_command_has_an_exit_code_for_it(whole_library: Path, tmp_path: Path, inline_run: type[InlineRun]) -> None:
    library = shutil.copytree(whole_library, tmp_path / "library")
    write_video(tmp_path / "c.mp4", 50)
    arguments = ["ingest", str(tmp_path / "c.mp4"), "--library", str(library)]
    done = CliRunner().invoke(main, [*arguments, "--max-hours", "1e-9"])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (3, "the time was up: 1 of 1 videos are left to do")
    later = time.strftime("%H:%M", time.localtime(time.time() + 7200))
    assert CliRunner().invoke(main, [*arguments, "--stop-at", later]).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "--max-hours", "1e-9"]).exit_code == 0, "nothing is left to do"
