"""Own labels in words, over made-up embeddings."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

import cli
import jobs.tag.tag
from index.history import history
from index.status import library_status, status_text
from index.storage.lock import read_lock, write_lock
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions
from jobs.ingest.ingest import ingest
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from jobs.tag.tag import tag, untag
from schemas.errors import LibraryError, UsageError
from tests.helpers.library_builder import sql
from tests.helpers.tagged_library import IDENTITY, MadeUpEmbedder, commit, make_library, unit

# Cosines with "first": their mean is 0.26, their standard deviation 0.27.
COSINES = (0.0, 0.1, 0.2, 0.3, 0.1, 0.2, 0.9)
VECTORS = [np.array([c, 0.0, 0.0, math.sqrt(1 - c * c)], np.float32) for c in COSINES]


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> type[MadeUpEmbedder]:
    monkeypatch.setattr(jobs.tag.tag, "load_embedder", MadeUpEmbedder)
    monkeypatch.setattr(jobs.tag.tag, "locate", lambda known, *_: known)
    monkeypatch.setattr(MadeUpEmbedder, "loads", 0)
    return MadeUpEmbedder


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "library", {"/v/a.mp4": VECTORS[:3], "/v/b.mp4": VECTORS[3:]})


def empty_ingest(library: Path) -> None:
    """The next ingest, of a folder without videos: it decodes nothing and starts no Ray."""
    (library.parent / "none").mkdir(exist_ok=True)
    ingest([library.parent / "none"], library)


def breaches(library: Path) -> dict[str, str]:
    return {check.what: str(check.breach) for check in verify(library) if check.breach is not None}


def expected(cosine: float, mean: float = 1.8 / 7, spread: float = math.sqrt(1.0 / 7 - (1.8 / 7) ** 2)) -> float:
    return 1 / (1 + math.exp(-2 * ((cosine - mean) / spread - 2)))


def test_every_clip_gets_its_score_and_clips_stay_as_they_are(library: Path) -> None:
    before = sql(library, "from clips"), DeltaTable(library / "clips").version()
    (report,) = tag(library, ["first"], prompts=["{}"])
    rows = sql(library, "from tags order by path, start_s")
    assert [row["score"] for row in rows] == pytest.approx([expected(c) for c in COSINES], abs=1e-5)
    assert [{name: row[name] for name in ("path", "start_s", "end_s", "tag", "prompt", "model")} for row in rows] == [
        {"path": path, "start_s": s, "end_s": s + 2, "tag": "first", "prompt": "first", "model": "xclip@22222222"}
        for path, starts in (("/v/a.mp4", (0.0, 2.0, 4.0)), ("/v/b.mp4", (0.0, 2.0, 4.0, 6.0)))
        for s in starts
    ]
    assert sql(library, "select count(*) as n from tags t join clips c using (clip_id, video_id, path)") == [{"n": 7}]
    assert (report.tag, report.clips, report.likely, report.path, report.start_s) == ("first", 7, 1, "/v/b.mp4", 6.0)
    assert report.best_score == pytest.approx(expected(0.9), abs=1e-5)
    assert (sql(library, "from clips"), DeltaTable(library / "clips").version()) == before
    assert history(library)[0].info.changes == {"tagged": 1}
    assert breaches(library) == {}


def test_prompts_are_averaged_and_normalised(library: Path) -> None:
    tag(library, ["first"], prompts=["{}", "a {} sung loudly"])
    (definition,) = read_definitions(Library(library)).tags
    direction = np.array(definition.weights) / np.linalg.norm(definition.weights)
    assert direction == pytest.approx(unit(1, 0, 1, 0), abs=1e-6)
    assert definition.prompts == ("first", "a first sung loudly")
    tag(library, ["first"])
    assert sql(library, "select distinct prompt from tags") == [
        {"prompt": "first | a video of first | a person first | someone first"}
    ]


def test_tagging_again_replaces_and_leaves_others_alone(library: Path) -> None:
    tag(library, ["first", "second"], prompts=["{}"])
    second = sql(library, "select clip_id, score from tags where tag = 'second' order by 1")
    tag(library, [" first ", "first"], prompts=["{} cake"])
    assert sql(library, "select tag, prompt, count(*) as n from tags group by all order by 1") == [
        {"tag": "first", "prompt": "first cake", "n": 7},
        {"tag": "second", "prompt": "second", "n": 7},
    ]
    assert sql(library, "select clip_id, score from tags where tag = 'second' order by 1") == second
    assert breaches(library) == {}


def test_one_name_or_prompt_needs_no_list(library: Path) -> None:
    (report,) = tag(library, "first", prompts="{}")
    assert (report.tag, report.prompt) == ("first", "first")
    untag(library, "first")
    assert sql(library, "from tags") == []


def test_untag_takes_a_name_out(library: Path) -> None:
    tag(library, ["first", "second"], prompts=["{}"])
    untag(library, ["first"])
    assert sql(library, "select distinct tag from tags") == [{"tag": "second"}]
    with pytest.raises(UsageError, match=r"^names: got 'first', expected one of the library's tags \('second'\)$"):
        untag(library, ["first"])
    untag(library, ["second"])
    assert sql(library, "from tags") == []
    assert history(library)[0].info.changes == {"untagged": 1}
    assert breaches(library) == {}
    with pytest.raises(UsageError, match=r"library's tags \(none\)$"):
        untag(library, ["second"])


def test_new_clips_are_tagged_without_the_model_and_by_the_same_measure(library: Path) -> None:
    tag(library, ["first"], prompts=["{}"])
    before = sql(library, "select clip_id, score from tags order by 1")
    commit(Tables(Library(library)), "/v/new.mp4", [VECTORS[6], VECTORS[0]])
    empty_ingest(library)
    assert MadeUpEmbedder.loads == 1
    new = sql(library, "select score from tags where path = '/v/new.mp4' order by start_s")
    assert [row["score"] for row in new] == pytest.approx([expected(0.9), expected(0.0)], abs=1e-5)
    assert sql(library, "select clip_id, score from tags where path <> '/v/new.mp4' order by 1") == before
    added = DeltaTable(library / "tags").history(1)[0]["operationMetrics"]
    assert int(added["num_added_rows"]) == 2, "what has its score is not scored again"
    assert breaches(library) == {}


@pytest.mark.parametrize("stop", ["keep", "append", "publish"])
def test_whatever_stops_it_the_next_ingest_completes(library: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    tag(library, ["first", "second"], prompts=["{}"])
    before = sql(library, "from tags order by tag, clip_id")

    def breaks_off(*_: object, **__: object) -> None:
        raise LibraryError("disk full")

    with monkeypatch.context() as patch:
        if stop == "publish":
            patch.setattr("index.snapshot.publish.publish", breaks_off)
        else:
            patch.setattr(f"index.storage.tags_table.TagTable.{stop}", breaks_off)
        with pytest.raises(LibraryError, match="disk full"):
            tag(library, ["first"], prompts=["{} cake"])
    assert sql(library, "from tags order by tag, clip_id") == before, "readers have the old scores until then"
    empty_ingest(library)
    assert MadeUpEmbedder.loads == 2, "the repair needs no model"
    assert sql(library, "select tag, prompt, count(*) as n from tags group by all order by 1") == [
        {"tag": "first", "prompt": "first cake", "n": 7},
        {"tag": "second", "prompt": "second", "n": 7},
    ]
    assert breaches(library) == {}


def test_tags_of_videos_that_are_gone_vanish_and_are_collected(library: Path) -> None:
    tag(library, ["first"], prompts=["{}"])
    tables = Tables(Library(library))
    commit(tables, "/v/unfinished.mp4", VECTORS, with_video=False)
    gone = [row["video_id"] for row in sql(library, "from videos where path = '/v/b.mp4'")]
    tables.remove_videos(gone)
    empty_ingest(library)
    assert sql(library, "select path, count(*) as n from tags group by 1") == [{"path": "/v/a.mp4", "n": 3}]
    assert DeltaTable(library / "tags").to_pyarrow_table().num_rows == 3
    tables = Tables(Library(library))
    tables.remove_videos([row["video_id"] for row in sql(library, "from videos")])
    assert breaches(library) == {"it shows what the tables hold": "something was committed and not published"}
    compact(library)
    assert DeltaTable(library / "tags").to_pyarrow_table().num_rows == 0
    assert list((library / "tags").glob("*.parquet")) == []
    assert breaches(library) == {}


def test_compacting_keeps_tags(library: Path) -> None:
    tag(library, ["first"], prompts=["{}"])
    tag(library, ["second"], prompts=["{}"])
    before = sql(library, "from tags order by tag, clip_id")
    compact(library)
    assert len(list((library / "tags").glob("*.parquet"))) == 1
    assert sql(library, "from tags order by tag, clip_id") == before
    assert breaches(library) == {}


def test_a_rollback_keeps_the_names_of_today_for_the_clips_of_then(library: Path) -> None:
    tables = Tables(Library(library))
    tables.remove_videos([row["video_id"] for row in sql(library, "from videos where path = '/v/b.mp4'")])
    tag(library, ["first"], prompts=["{}"])
    scores = sql(library, "select clip_id, score from tags order by 1")
    assert len(scores) == 3
    rollback(library, 1)
    assert sql(library, "select path, count(*) as n from tags group by 1 order by 1") == [
        {"path": "/v/a.mp4", "n": 3},
        {"path": "/v/b.mp4", "n": 4},
    ]
    assert sql(library, "select clip_id, score from tags where path = '/v/a.mp4' order by 1") == scores
    assert breaches(library) == {}
    untag(library, ["first"])
    assert rollback(library, 3) == 4, "what it shows of videos and clips is what it shows already"
    assert sql(library, "from tags") == []


def test_a_rollback_brings_back_the_scores_of_clips_that_were_read_again(library: Path) -> None:
    """A video that was read again has the same clip ids, and may have other embeddings."""
    tag(library, ["first"], prompts=["{}"])
    before = sql(library, "select clip_id, score from tags order by 1")
    tables = Tables(Library(library))
    tables.remove_videos([row["video_id"] for row in sql(library, "from videos where path = '/v/a.mp4'")])
    tables.drop_orphans()
    commit(tables, "/v/a.mp4", VECTORS[4:])
    empty_ingest(library)
    assert sql(library, "select clip_id, score from tags order by 1") != before
    rollback(library, 2)
    assert sql(library, "select clip_id, score from tags order by 1") == before


def test_verify_finds_tags_that_are_wrong(library: Path) -> None:
    tag(library, ["first"], prompts=["{}"])
    table = DeltaTable(library / "tags")
    rows = table.to_pyarrow_table()
    lone = rows.slice(0, 1).to_pylist()[0] | {"clip_id": 7}
    from deltalake import write_deltalake

    write_deltalake(table, type(rows).from_pylist([lone], schema=rows.schema), mode="append")
    found = breaches(library)
    assert found["every tag is a clip's"] == "7"
    assert found["every clip has each tag once"] == "some lack one, or have it twice"
    table.delete("true")
    assert breaches(library)["every clip has each tag once"] == "some lack one, or have it twice"
    empty_ingest(library)
    assert breaches(library) == {}


def test_verify_writes_nothing_and_needs_no_place_to_write(library: Path) -> None:
    shutil.rmtree(library / "tags")
    (library / "ingest.lock").unlink(missing_ok=True)
    before = stamps(library)
    assert breaches(library) == {}
    assert stamps(library) == before
    if not can_mount_read_only(library):
        pytest.skip("no read-only mounts here")
    verify_there = (
        f"from pathlib import Path; from jobs.maintain.verify import verify; print(len(verify(Path({str(library)!r}))))"
    )
    mounted = f"mount --bind {library} {library} && mount -o remount,ro,bind {library} && ! touch {library}/x"
    script = f"{mounted} && exec {sys.executable} -c {shlex.quote(verify_there)}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"{len(verify(library))}\n", 0), done.stderr
    assert stamps(library) == before


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}


def can_mount_read_only(folder: Path) -> bool:
    command = ["unshare", "-m", "mount", "--bind", str(folder), str(folder)]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_check_and_a_writer_keep_off_each_other(library: Path) -> None:
    with (
        write_lock(Library(library)),
        pytest.raises(LibraryError, match=rf"written by another ingest \(process {os.getpid()} on"),
    ):
        verify(library)
    with read_lock(Library(library)):
        assert breaches(library) == {}, "two may check at once"
        with pytest.raises(LibraryError, match=r"is being written by another ingest, or read by vidsift verify; wait for"):
            empty_ingest(library)
    empty_ingest(library)


def test_a_library_without_tags_is_as_it_was(library: Path) -> None:
    assert Tables(Library(library)).versions().keys() == {"videos", "clips"}
    assert history(library)[0].info.rows["tags"] == 0
    assert library_status(library).tags == []
    empty_ingest(library)
    assert len(history(library)) == 1


def test_status_lists_the_tags(library: Path) -> None:
    tag(library, ["second", "first"], prompts=["{}"])
    assert "\ntags        2: first (1 clip), second (0 clips)" in status_text(library_status(library))


def test_clips_that_are_all_alike_do_not_stand_out(tmp_path: Path) -> None:
    alike = make_library(tmp_path / "alike", {"/v/a.mp4": [unit(1, 0, 0, 0)] * 4})
    (report,) = tag(alike, ["first"], prompts=["{}"])
    assert report.likely == 0
    assert report.best_score == pytest.approx(expected(1.0, 1.0, 1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("names", "prompts", "message"),
    [
        ([" "], [], "names: got '', expected a text on one line; say what to look for, such as 'falling down'"),
        (["a\nb"], [], r"names: got 'a\\nb', expected a text on one line; say what to look for"),
        (["first", "\udce9"], [], "names: got bytes that are no UTF-8"),
        (["first"], ["a video"], "prompts: got 'a video', expected a text on one line with {} where the name goes"),
    ],
)
def test_calls_that_cannot_be_meant_so(library: Path, names: list[str], prompts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        tag(library, names, prompts=prompts)
    assert str(caught.value).startswith(message.replace("\\\\", "\\"))
    assert read_definitions(Library(library)).tags == ()


def test_libraries_that_cannot_be_tagged_say_so(tmp_path: Path, library: Path) -> None:
    with pytest.raises(LibraryError, match="is not a vidsift library"):
        tag(tmp_path / "nowhere", ["first"])
    empty = make_library(tmp_path / "empty", {})
    with pytest.raises(UsageError, match="holds no clips to tag; ingest videos first"):
        tag(empty, ["first"])
    tag(library, ["first"], prompts=["{}"])
    file = library / "tags.json"
    whole = file.read_text()
    file.write_text(whole.replace("22222222", "33333333"))
    with pytest.raises(LibraryError, match=r"tag 'first' for the embedder xclip@33333333 .*, the library's is xclip@2"):
        tag(library, ["second"])
    for damaged in (whole[:-20], whole.replace('"bias"', '"base"'), whole.replace('"moments": 0', '"moments": null')):
        file.write_text(damaged)
        with pytest.raises(LibraryError, match=r"tags\.json' is damaged .*; restore it, or delete it and tag again"):
            empty_ingest(library)
    file.write_text(whole.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(LibraryError, match="has format 9, this vidsift reads 1"):
        untag(library, ["first"])
    file.unlink()
    empty_ingest(library)
    assert sql(library, "from tags") == []


def test_only_one_job_writes(library: Path) -> None:
    import fcntl

    with (library / "ingest.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for call in (lambda: tag(library, ["first"]), lambda: untag(library, ["first"])):
            with pytest.raises(LibraryError, match="is being written by another ingest"):
                call()


def test_what_the_commands_print(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli.main, [*arguments, "--library", str(library)])
        assert done.exit_code == 0, done.output
        return done.output

    assert run("tag", "first", "second", "--prompt", "{}").splitlines() == [
        "tag     likely clips  best   time       path",
        "------  ------------  -----  ---------  -------",
        "first   1 of 7        0.655  0:06-0:08  v/b.mp4",
        "second  0 of 7        0.018  0:00-0:02  v/a.mp4",
    ]
    (line,) = run("tag", "first", "--prompt", "{}", "--json").splitlines()
    printed: dict[str, Any] = json.loads(line)
    assert list(printed) == [
        "tag", "clips", "likely", "best_score", "path", "start_s", "end_s", "prompt", "model",
    ]  # fmt: skip
    assert run("untag", "first", "second") == ""
    assert IDENTITY.embedding_dim == 4
