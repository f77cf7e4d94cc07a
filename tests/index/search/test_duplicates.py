"""Candidates for duplicates: pairs of videos whose clips are near each other along a line of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.search.duplicates import Candidate, find_candidates
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from tests.helpers.footage import library_of


def candidates(folder: Path, *films: tuple[str, int, float, float]) -> dict[tuple[str, str], Candidate]:
    """By the names of both: films with their name, scene, first second and length."""
    library_of(folder, [(Path(f"/v/{name}.mp4"), *rest) for name, *rest in films])  # type: ignore[misc]
    snapshot = Snapshot(Library(folder))
    found, timeline = find_candidates(snapshot.clips())
    firsts = [timeline.rows[timeline.video == number][:1] for number in range(len(films))]
    names = [snapshot.clips().rows_as_dicts(first)[0]["video_id"] for first in firsts]
    snapshot.catalog.close()
    assert all(one.video < one.other for one in found)
    assert [one.weight for one in found] == sorted((one.weight for one in found), reverse=True)
    return {(names[one.video], names[one.other]): one for one in found}


def test_a_part_lies_on_a_line_with_its_whole(tmp_path: Path) -> None:
    found = candidates(tmp_path, ("part", 1, 20.0, 20.0), ("whole", 1, 0.0, 60.0), ("other", 2, 0.0, 60.0))
    line = found["part", "whole"].lines[0]
    assert line.speed == pytest.approx(1, abs=0.2)
    assert line.at(10.0) == pytest.approx(30.0, abs=1.5)
    assert line.points >= 8
    likeness = {names: one.lines[0].weight / one.lines[0].points for names, one in found.items()}
    assert max(likeness, key=likeness.__getitem__) == ("part", "whole")


def test_clips_of_one_video_are_not_compared(tmp_path: Path) -> None:
    """Of a film whose clips are all nearest to each other, also the nearest of another film are found."""
    found = candidates(tmp_path, ("long", 1, 0.0, 400.0), ("short", 2, 0.0, 6.0))
    assert set(found) == {("long", "short")}


def test_a_library_of_one_video_has_none(tmp_path: Path) -> None:
    assert candidates(tmp_path, ("alone", 1, 0.0, 60.0)) == {}
