"""Watches over folders in which things happen by plan: the waiting is simulated, the work is real."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from index.storage.lock import write_lock
from index.storage.paths import Library
from jobs.tag.tag import tag
from jobs.watch.watch import Round, Watch, WatchOptions
from schemas.errors import LibraryError, UsageError
from tests.helpers.ingests import counts
from tests.helpers.inline_run import InlineRun
from tests.helpers.library_builder import sql
from tests.helpers.simulated_arrivals import Happening, SimulatedArrivals
from tests.helpers.videos import write_video


class Watched:
    """A folder and a library of two videos, which a watch is over.

    Attributes:
        rounds: the second at which each round ended, and what it did.
        said: what the watch said, by second.
    """

    def __init__(self, root: Path) -> None:
        self.videos, self.library = root / "videos", root / "library"
        self.videos.mkdir()
        self.made = root / "made.mp4"
        write_video(self.made, 50)
        self.models: dict[str, Any] = {}
        self.rounds: list[tuple[float, Any]] = []
        self.said: list[tuple[float, str]] = []

    def arrives(self, name: str, num_bytes: int = 1 << 30) -> Happening:
        """The file is written, up to ``num_bytes`` of it; each name's content differs."""

        def happen() -> Iterable[object]:
            path = self.videos / name
            path.parent.mkdir(exist_ok=True)
            free = b"\0\0\0\x10free" + name[-8:].encode().rjust(8)
            path.write_bytes((self.made.read_bytes() + free)[:num_bytes])
            return [path]

        return happen

    def watch(
        self,
        plan: dict[float, Happening | list[Happening]],
        until_s: float = 3600.0,
        *,
        sources: Iterable[Path] = (),
        notices: bool = True,
        longest_s: float = 70.0,
        **options: Any,
    ) -> SimulatedArrivals:
        flat = [(at_s, one) for at_s, of in plan.items() for one in (of if isinstance(of, list) else [of])]
        arrivals = SimulatedArrivals(flat, until_s, notices=notices)

        def enter(done: Round) -> None:
            what: Any = str(done.error)
            if done.report is not None:
                what = {name: count for name, count in counts(done.report).items() if name != "unchanged"}
            self.rounds.append((arrivals.now(), what))
            if done.searchable_s is not None:  # settled, and a minute after the last snapshot
                assert 10 <= done.searchable_s <= longest_s

        watch = Watch(
            [str(source) for source in sources or [self.videos]],
            self.library,
            arrivals,
            options=WatchOptions(**options),
            on_round=enter,
            say=lambda sentence: self.said.append((arrivals.now(), sentence)),
            ingest_arguments=self.models,
        )
        with pytest.raises(KeyboardInterrupt):
            watch.run()
        return arrivals

    @property
    def names(self) -> list[str]:
        return [row["name"] for row in sql(self.library, "select split_part(path, '/', -1) as name from videos order by 1")]


@pytest.fixture
def watched(tmp_path: Path, classifier_folder: Path, embedder_folder: Path, inline_run: type[InlineRun]) -> Watched:
    made = Watched(tmp_path)
    made.models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    return made


ONE = {"indexed": 1, "clips": 1}


def test_an_hour_of_arrivals(watched: Watched, inline_run: type[InlineRun]) -> None:
    def goes() -> list[Path]:
        (watched.videos / "b.mp4").unlink()
        return [watched.videos / "b.mp4"]

    whole = watched.made.stat().st_size + 16
    arrivals = watched.watch(
        {
            60: watched.arrives("a.mp4"),
            900: watched.arrives("b.mp4"),
            915: watched.arrives("new folder/c.mp4"),
            1000: watched.arrives("growing.mp4", 500),
            1006: watched.arrives("growing.mp4", 2000),
            1012: watched.arrives("growing.mp4", whole),
            1013: watched.arrives(".hidden.mp4"),
            1014: watched.arrives("notes.txt"),
            3000: goes,
        }
    )
    assert arrivals.followed == [str(watched.videos)]
    assert watched.rounds == [
        (70, ONE),
        (910, ONE),
        (970, ONE),  # finished at 925, and a minute after the last snapshot
        (1030, ONE),  # finished at 1022, likewise
        (3010, {"removed": 1}),
    ]
    assert watched.names == ["a.mp4", "c.mp4", "growing.mp4"]
    assert [Path(file.path).name for file in inline_run.read] == ["a.mp4", "b.mp4", "c.mp4", "growing.mp4"]


def test_without_notices_files_are_found_by_listing(watched: Watched) -> None:
    watched.arrives("early.mp4")()
    watched.watch({75: watched.arrives("a.mp4"), 100: watched.arrives("b.mp4")}, 300, notices=False, every_s=60.0)
    assert watched.rounds == [(10, ONE), (140, {"indexed": 2, "clips": 2})]  # seen at 130


def test_a_moved_file_keeps_its_clips_and_a_failed_one_is_read_once(watched: Watched, inline_run: type[InlineRun]) -> None:
    def move() -> list[Path]:
        (watched.videos / "moved").mkdir()
        (watched.videos / "a.mp4").rename(watched.videos / "moved" / "z.mp4")
        return [watched.videos / "a.mp4", watched.videos / "moved"]

    watched.arrives("a.mp4")()
    watched.arrives("broken.mp4", 600)()
    watched.watch({100: move, 500: watched.arrives("b.mp4")}, 2000)
    assert watched.rounds == [(10, {"indexed": 1, "failed": 1, "clips": 1}), (120, {"moved": 1}), (510, ONE)]
    assert watched.names == ["b.mp4", "broken.mp4", "z.mp4"]
    assert len(inline_run.read) == 3


def test_sources_that_go_and_come_back(watched: Watched, tmp_path: Path, inline_run: type[InlineRun]) -> None:
    other, away = tmp_path / "other", tmp_path / "away"
    other.mkdir()
    write_video(other / "o.mp4", 60)
    watched.arrives("a.mp4")()

    def go() -> list[Path]:
        watched.videos.rename(away)
        return [watched.videos / "a.mp4"]

    def empty() -> list[Path]:
        watched.videos.mkdir()
        write_video(other / "p.mp4", 70)
        return [other / "p.mp4"]

    def come_back() -> list[Path]:
        watched.videos.rmdir()
        away.rename(watched.videos)
        return [watched.videos]

    plan: dict[float, Any] = {100: go, 300: empty, 500: come_back}
    watched.watch(plan, 800, sources=[watched.videos, other])
    assert watched.rounds == [(10, {"indexed": 2, "clips": 2}), (310, ONE)]
    assert [(at_s, sentence.partition(";")[0].partition(",")[0]) for at_s, sentence in watched.said] == [
        (110, f"'{watched.videos}' is not there"),
        (310, f"'{watched.videos}' is there again"),
        (310, f"'{watched.videos}' holds no video"),
    ]
    assert watched.names == ["a.mp4", "o.mp4", "p.mp4"]
    assert len(inline_run.read) == 3


def test_a_library_that_another_job_writes_is_waited_for_longer_and_longer(watched: Watched) -> None:
    watched.arrives("a.mp4")()
    held: list[Any] = []

    def hold() -> list[Path]:
        held.append(write_lock(Library(watched.library)))
        held[0].__enter__()
        watched.arrives("b.mp4")()
        return [watched.videos / "b.mp4"]

    def let_go() -> list[Path]:
        held[0].__exit__(None, None, None)
        return []

    watched.watch(
        {100: hold, 175: let_go, 400: lambda: [tag(watched.library, ["cake"]), watched.made][:0]}, 500, longest_s=80.0
    )
    assert [at_s for at_s, _ in watched.rounds] == [10, 110, 120, 140, 180]
    assert "is being written by another ingest (process " in watched.rounds[1][1]
    assert watched.rounds[-1][1] == ONE
    assert sql(watched.library, "select count(*) as n from tags") == [{"n": 2}], "between rounds others may write"


def test_what_waiting_does_not_mend_ends_the_watch_at_once(watched: Watched, tmp_path: Path) -> None:
    arrivals = SimulatedArrivals([], 100)
    watched.arrives("a.mp4")()
    with pytest.raises(UsageError, match="window_s: got 0 s"):
        Watch([str(watched.videos)], watched.library, arrivals, ingest_arguments={"window_s": 0.0, **watched.models}).run()
    watched.library.write_text("no folder")
    with pytest.raises(LibraryError):
        Watch([str(watched.videos)], watched.library, arrivals, ingest_arguments=watched.models).run()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every_s": 0.5}, "every: got 0.5 s, expected 1 s or more"),
        ({"settle_s": -1.0}, "settle: got -1 s, expected 0 s or more"),
        ({"publish_every_s": float("nan")}, "publish_every: got nan s, expected 0 s or more"),
    ],
)
def test_options_out_of_their_range(given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        WatchOptions(**given)
    assert str(caught.value) == message


def test_an_address_with_a_secret_in_it_ends_a_watch_before_it_begins(watched: Watched) -> None:
    with pytest.raises(UsageError, match="a password in it, expected none"):
        Watch(["sftp://me:secret@host/films"], watched.library, SimulatedArrivals([], 100))


def test_a_source_that_comes_later_is_waited_for(watched: Watched, tmp_path: Path) -> None:
    later = tmp_path / "later"

    def mount() -> list[Path]:
        later.mkdir()
        shutil.copy(watched.made, later / "a.mp4")
        return []

    watched.watch({1000: mount}, 2000, sources=[later])
    assert watched.rounds == [(1210, ONE)]
    assert [sentence for _, sentence in watched.said] == [
        f"'{later}' is not there; its videos stay in the library",
        "none of the sources is there; waiting for them",
        f"'{later}' is there again",
    ]
