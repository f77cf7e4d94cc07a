"""A user's truth, matched with a library's clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.evaluate.ground_truth import GroundTruthMoment, read_truth
from jobs.evaluate.library_results import Unjudged
from schemas.errors import UsageError
from schemas.records import Span
from tests.helpers.made_library import Made, make_library


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "lib", [Made(n, "a", 2.0 * n, 2.0 * n + 4) for n in range(5)] + [Made(9, "b", 0, 3)])


def truth(library: Path, text: str) -> Path:
    path = library.parent / "truth.csv"
    path.write_text(text)
    return path


def test_each_moment_gets_the_clip_that_overlaps_it_most(library: Path) -> None:
    source = truth(
        library,
        "path,start_s,end_s,action,caption,shirt\n"
        "/v/a.mp4,2.5,5,waving,somebody waves,red\n"
        "/v/a.mp4,2.5,5,waving,a hand is waved,red\n"
        "/v/b.mp4,,,bowing,,\n"
        "/v/a.mp4,8,11.5,,a jump,\n",
    )
    found = read_truth(source, Snapshot(Library(library)).catalog)
    assert found.rows == 3
    assert found.unjudged == ()
    assert found.judged == (
        GroundTruthMoment("a", Span(2.5, 5.0), "waving", ("somebody waves", "a hand is waved"), 1, 2.5 / 12),
        GroundTruthMoment("b", Span(0.0, 3.0), "bowing", (), 9, 1.0),
        GroundTruthMoment("a", Span(8.0, 11.5), None, ("a jump",), 4, 3.5 / 12),
    )
    assert found.clips["b"] == ((9, Span(0.0, 3.0)),)
    assert [clip_id for clip_id, _ in found.clips["a"]] == [0, 1, 2, 3, 4]


def test_paths_are_taken_from_the_csvs_folder_and_through_links(library: Path) -> None:
    (library.parent / "v").symlink_to("/v")
    source = truth(library, "path,start_s,end_s,action\nv/b.mp4,0,1,waving\n")
    assert read_truth(source, Snapshot(Library(library)).catalog).judged[0].video_id == "b"


def test_a_path_is_found_in_either_of_its_spellings(tmp_path: Path) -> None:
    """Unicode writes ü as one character or as two, and systems differ in which they make of a name."""
    composed, apart = "/v/f\u00fcr.mp4", "/v/fu\u0308r.mp4"
    library = make_library(tmp_path / "lib", [Made(1, "fu\u0308r", 0, 4), Made(2, "b", 0, 4)])
    catalog = Snapshot(Library(library)).catalog
    for path in (composed, apart):
        found = read_truth(truth(library, f"path,start_s,end_s,action\n{path},0,4,waving\n"), catalog)
        assert [one.video_id for one in found.judged] == ["fu\u0308r"]
    both = make_library(tmp_path / "both", [Made(1, "fu\u0308r", 0, 4), Made(2, "f\u00fcr", 0, 4)])
    source = truth(both, f"path,start_s,end_s,action\n{composed},0,4,waving\n{apart},0,4,waving\n")
    judged = read_truth(source, Snapshot(Library(both)).catalog).judged
    assert [one.video_id for one in judged] == ["f\u00fcr", "fu\u0308r"], "where both are there, each is itself"


def test_what_the_library_does_not_have_is_counted_and_named(library: Path) -> None:
    source = truth(
        library,
        "path,start_s,end_s,label\n/v/b.mp4,0,1,x\n/v/gone.mp4,0,1,x\n/v/gone.mp4,1,2,x\n/v/a.mp4,12,14,x\n",
    )
    found = read_truth(source, Snapshot(Library(library)).catalog)
    assert (found.rows, len(found.judged)) == (4, 1)
    assert found.unjudged == (
        Unjudged("/v/gone.mp4", 2, "not in the library"),
        Unjudged("/v/a.mp4", 1, "no clip shows 12-14 s: the video ends at 12.000 s"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,action\n/v/gone.mp4,x\n",
            r"none of its 1 moments is in the library \('/v/gone.mp4': not in the library\); the library has 2 others, such "
            r"as '/v/a.mp4'; paths are",
        ),
        ("path,action\n/w/B.mp4,x\n", r"\('/w/B.mp4': not in the library\); the library has '/v/b.mp4'; paths are taken"),
        ("path,start_s\n/v/b.mp4,1\n", "got no action and no caption, expected a file with one of the two or both"),
        ("path,start_s,end_s,action\n/v/b.mp4,2,1,x\n", "line 2: end_s is 1, expected more than start_s"),
        ("path,action\n", "got a header and no rows"),
        ("action\nx\n", "line 1: got the columns 'action'"),
    ],
)
def test_a_truth_that_is_of_no_use(library: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_truth(truth(library, text), Snapshot(Library(library)).catalog)
    assert str(caught.value).startswith("truth ")
