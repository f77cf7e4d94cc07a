"""Own labels by example, over made-up embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from numpy.typing import NDArray

import cli
import jobs.tag.tag
from index.history import history
from index.search.linear_probe import fit
from index.status import library_status
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import visible_clips
from index.storage.tags_file import read_definitions
from jobs.maintain.verify import verify
from jobs.tag.labeled_moments import match, read_examples
from jobs.tag.teach import teach
from schemas.errors import LibraryError, UsageError
from tests.helpers.library_builder import sql
from tests.helpers.tagged_library import commit, make_library, unit
from tests.jobs.tag.test_tag import empty_ingest

KINDS = {"wave": (1, 0, 0), "clap": (0, 1, 0), "rest": (0, 0, 1)}


def shown(kind: str, number: int) -> NDArray[np.float32]:
    """A clip of a kind, a little different from the others."""
    return unit(*KINDS[kind], 0.02 * number)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Four videos of 2 s clips: wave, wave, clap, clap, rest, rest."""
    kinds = [kind for kind in KINDS for _ in range(2)]
    videos = {
        str(tmp_path / f"{name}.mp4"): [shown(kind, number + place) for place, kind in enumerate(kinds)]
        for number, name in enumerate("abcd")
    }
    return make_library(tmp_path / "library", videos)


def write(library: Path, *lines: str) -> Path:
    path = library.parent / "examples.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


WAVES = ("path,start_s,end_s,tag", "a.mp4,0,4,wave", "b.mp4,0.5,4,wave")
CLAPS = ("a.mp4,4,8,clap", "b.mp4,4,8,clap")


def matched(library: Path, *lines: str) -> tuple[list[float], list[int], dict[str, list[bool]]]:
    """Of lines about a.mp4: the starts of the clips that show them, in order, their groups, and which tags they show."""
    source = write(library, "path,start_s,end_s,tag", *lines)
    tables = Tables(Library(library))
    clips = visible_clips(tables)
    found = match(read_examples(source), tables.videos.to_pyarrow_table(), clips, source)
    starts = dict(zip(clips["clip_id"].to_pylist(), clips["start_s"].to_pylist(), strict=True))
    order = sorted(range(len(found.clip_ids)), key=lambda place: starts[int(found.clip_ids[place])])
    return (
        [starts[int(found.clip_ids[place])] for place in order],
        [int(found.groups[place]) for place in order],
        {tag: [bool(shows[place]) for place in order] for tag, shows in found.shows.items()},
    )


@pytest.mark.parametrize(
    ("line", "starts"),
    [
        ("a.mp4,0,4,x", [0.0, 2.0]),
        ("a.mp4,1,4,x", [0.0, 2.0]),  # half of the first clip
        ("a.mp4,1.1,4,x", [2.0]),  # less
        ("a.mp4,0.5,1,x", [0.0]),  # all of a moment shorter than the clip
        ("a.mp4,1.5,2.5,x", [0.0, 2.0]),  # half of the moment in either
        ("a.mp4,1.6,2.5,x", [2.0]),
        ("a.mp4,,,x", [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        ("a.mp4,9,,x", [8.0, 10.0]),
        ("a.mp4,10,12.4,x", [10.0]),  # a hand's inexactness beyond the end
    ],
)
def test_clips_show_a_moment_by_half_of_the_shorter(library: Path, line: str, starts: list[float]) -> None:
    assert matched(library, line)[0] == starts


def test_moments_that_overlap_are_one_and_others_are_not(library: Path) -> None:
    starts, groups, shows = matched(library, "a.mp4,0,3,x", "a.mp4,2,6,y", "a.mp4,0,3,x", "a.mp4,8,10,x")
    assert starts == [0.0, 2.0, 4.0, 8.0]
    assert groups == [1, 1, 1, 2]
    assert shows == {"x": [True, True, False, True], "y": [False, True, True, False]}


def test_what_is_taught_is_what_the_probe_says_of_every_clip(library: Path) -> None:
    before = sql(library, "from clips"), DeltaTable(library / "clips").version()
    report = teach(library, write(library, *WAVES, *CLAPS), "wave")
    (taught,) = report.taught
    assert (taught.tag, taught.moments, taught.clips, taught.others, taught.presumed) == ("wave", 2, 4, 4, 16)
    assert taught.accuracy == 0.925, "all four are found; so are three of the 20 others, which show it and are not marked"
    assert (report.folds, report.top_accuracy) == (2, None)
    clips = DeltaTable(library / "clips").to_pyarrow_table().sort_by("clip_id")
    vectors = np.stack(clips["embedding"].to_numpy()).astype(np.float64)
    marked = sql(library, "select clip_id from clips where start_s < 4 and path[-5:] in ('a.mp4', 'b.mp4')")
    positive = np.isin(clips["clip_id"].to_numpy(), [row["clip_id"] for row in marked])
    covariance = np.cov(vectors.T, bias=True)
    shrunk = covariance + 0.3 * np.trace(covariance) / 4 * np.eye(4)
    whitening_matrix = vectors @ np.linalg.inv(sqrt_of(shrunk))
    expected = fit(whitening_matrix, positive).probabilities(whitening_matrix)  # all clips are marked or drawn here
    rows = sql(library, "from tags order by clip_id")
    assert [row["score"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-6)
    assert {(row["tag"], row["prompt"], row["model"]) for row in rows} == {("wave", None, "xclip@22222222 + probe")}
    assert (sql(library, "from clips"), DeltaTable(library / "clips").version()) == before
    assert history(library)[0].info.changes == {"taught": 1}
    assert [check for check in verify(library) if check.breach] == []
    assert [(tag.tag, tag.prompt) for tag in library_status(library).tags] == [("wave", None)]


def test_all_tags_of_a_file_are_taught_and_found_in_the_rest(library: Path) -> None:
    lines = (*WAVES, *CLAPS, "a.mp4,8,12,rest", "b.mp4,8,12,rest")
    report = teach(library, write(library, *lines))
    assert [taught.tag for taught in report.taught] == ["clap", "rest", "wave"]
    assert (report.top_accuracy, report.folds) == (1.0, 2)
    best = sql(
        library,
        "select start_s, max_by(tag, score) as tag from tags where path[-5:] in ('c.mp4', 'd.mp4') "
        "group by path, start_s order by path, start_s",
    )
    assert [row["tag"] for row in best] == ["wave", "wave", "clap", "clap", "rest", "rest"] * 2


def test_the_same_seed_teaches_the_same(library: Path) -> None:
    source = write(library, *WAVES)
    for path in ("e.mp4", "f.mp4"):
        tables = Tables(Library(library))
        commit(tables, path, [shown("rest", number) for number in range(80)])
    empty_ingest(library)
    found = []
    for seed in (0, 0, 1):
        taught = teach(library, source, "wave", seed=seed).taught[0]
        assert (taught.others, taught.presumed) == (0, 100)
        found.append(read_definitions(Library(library)).tags[0].weights)
    assert found[0] == found[1] != found[2]


def test_new_clips_are_judged_too_and_no_model_is_loaded(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.tag.tag, "load_embedder", lambda *_: pytest.fail("no model is needed"))
    teach(library, write(library, *WAVES, *CLAPS))
    commit(Tables(Library(library)), "/new.mp4", [shown("clap", 3), shown("wave", 3)])
    empty_ingest(library)
    rows = sql(library, "select start_s, max_by(tag, score) as tag from tags where path = '/new.mp4' group by 1 order by 1")
    assert rows == [{"start_s": 0.0, "tag": "clap"}, {"start_s": 2.0, "tag": "wave"}]


def test_a_file_without_tags_teaches_the_name(library: Path) -> None:
    source = write(library, "path,start_s,end_s", "a.mp4,0,4", "b.mp4,0,4")
    assert [taught.tag for taught in teach(library, source, "my wave").taught] == ["my wave"]


def sqrt_of(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root, by Newton's iteration."""
    root = np.eye(len(matrix))
    for _ in range(60):
        root = (root + np.linalg.solve(root, matrix)) / 2
    return root


def error(library: Path, *lines: str, name: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        teach(library, write(library, *lines), name)
    assert read_definitions(Library(library)).tags == ()
    return str(caught.value).replace(str(library.parent), "DIR").removeprefix("examples DIR/examples.csv: ")


HEADER = "path,start_s,end_s,tag"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], "got a header and no rows; give a row for every moment"),
        (["path,start_s,label", "a.mp4,0,x"],
         "line 1: got the column 'label', expected path, start_s, end_s, tag; rename it, or take it out"),
        (["path,tag,tag", "a.mp4,x,x"], "line 1: got the column 'tag' 2 times, expected once; take the others out"),
        (["start_s,tag", "0,x"], "line 1: got no column 'path', expected path, start_s, end_s, tag; name the videos' "
         "column so"),
        ([HEADER, "a.mp4,0,4"], "line 2: got 3 cells, the header has 4; quote cells with commas"),
        ([HEADER, "a.mp4,zero,4,x"], "line 2: start_s is 'zero', expected a number of seconds from 0, such as 2.5; "
         "correct it"),
        ([HEADER, "a.mp4,4,4,x"], "line 2: end_s is 4, expected more than start_s (4); correct one of them"),
        ([HEADER, "a.mp4,0,4,x", ",0,4,x"], "line 3: the path is empty; name a video, or take the line out"),
        ([HEADER, "a.mp4,0,4,x", "b.mp4,0,4,"], "line 3: no tag, expected one in every line; fill the column 'tag', or "
         "give `name` for a file without that column"),
        ([HEADER, "a.mp4,0,4,x", "no.mp4,0,4,x", "no.mp4,4,8,x", "nope.mp4,0,4,x"],
         "line 3: the library has no video 'DIR/no.mp4' (unknown videos in all: 2); the library has 4 others, such as "
         "'DIR/a.mp4'; paths are taken from the file's own folder: correct it, or ingest the video first"),
        ([HEADER, "a.mp4,0,4,x", "b.mp4,12,14,x"], "line 3: the moment is at 12 to 14 s, expected within the video, which "
         "ends at 12 s; correct its times"),
        ([HEADER, "a.mp4,0,40,x"], "line 2: the moment is at 0 to 40 s, expected within the video, which ends at 12 s; "
         "correct its times"),
        ([HEADER, "a.mp4,13,,x"], "line 2: the moment is at 13 s, expected within the video, which ends at 12 s; correct "
         "its times"),
        ([HEADER, "a.mp4,0,4,x", "a.mp4,2,6,x", "b.mp4,0,4,y"], "got 1 moment of 'x' that clips show (lines: 2, 3), "
         "expected 2 or more that do not overlap, so that one can be checked by what the others teach; mark another"),
    ],
)  # fmt: skip
def test_each_error_names_its_line(library: Path, lines: list[str], message: str) -> None:
    assert error(library, *lines) == message


def test_a_path_is_found_in_either_of_its_spellings(tmp_path: Path) -> None:
    kinds = [shown(kind, number) for number, kind in enumerate(("wave", "wave", "clap", "clap", "rest", "rest"))]
    library = make_library(tmp_path / "library", {str(tmp_path / f"{name}.mp4"): kinds for name in ("fu\u0308r", "b")})
    composed = matched(library, "f\u00fcr.mp4,0,2,wave", "b.mp4,0,2,wave")
    assert composed == matched(library, "fu\u0308r.mp4,0,2,wave", "b.mp4,0,2,wave")


def test_names_that_the_file_lacks_and_libraries_without_anything_else(library: Path) -> None:
    assert error(library, *WAVES, name="clap") == (
        "no line has the tag 'clap', expected one of 'wave'; correct `name`, or leave it out to teach them all"
    )
    assert error(library, *WAVES, name=" ").startswith("name: got '', expected a text on one line")
    everything = [f"{name}.mp4,,,x" for name in "abcd"]
    assert error(library, HEADER, *everything) == (
        "the library has no clip to tell 'x' from; mark moments of other tags, or ingest other videos too"
    )
    with pytest.raises(UsageError, match=r"examples nowhere\.csv: cannot be read: No such file or directory; give a CSV"):
        teach(library, Path("nowhere.csv"))
    with pytest.raises(LibraryError, match="is not a vidsift library"):
        teach(library.parent / "nowhere", write(library, *WAVES))


def test_what_the_command_prints(library: Path) -> None:
    source = str(write(library, *WAVES, *CLAPS))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli.main, ["teach", *arguments, "--examples", source, "--library", str(library)])
        assert done.exit_code == 0, done.output
        return done.output

    lines = run().splitlines()
    assert lines[0].split() == ["tag", "moments", "clips", "others", "presumed", "accuracy"]
    assert [line.split()[:5] for line in lines[2:4]] == [["clap", "2", "4", "4", "16"], ["wave", "2", "4", "4", "16"]]
    assert lines[4:7] == [
        "accuracy: cross-validated in 2 folds, each moment in one of them; 0.5 is chance",
        "the best of the 2 tags is right for 100.0% of the labelled clips",
        "",
    ]
    assert lines[7].split() == ["tag", "likely", "clips", "best", "time", "path"]
    assert [line.split()[0] for line in lines[9:]] == ["clap", "wave"]
    report = json.loads(run("wave", "--json"))
    assert (report["folds"], report["taught"][0]["tag"], report["taught"][0]["found"]["clips"]) == (2, "wave", 24)
