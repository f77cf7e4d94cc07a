"""The API: the same answers as the commands, errors that say what to do, and nothing for who may not ask."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from index.reader import LibraryReader
from index.search.searcher import search
from index.storage.paths import Library
from index.storage.running_ingest import RunningIngest, write_running_ingest
from schemas.errors import UsageError
from schemas.search import SearchOptions, moment_json
from schemas.sql import TABLES
from server import media_routes
from server.api import ROUTES
from server.openapi import CALLS
from server.parameters import SEARCH_PARAMETERS
from server.problems import Problem
from tests.helpers.printed import as_printed
from tests.server.conftest import FilmLibrary, make_client

pytestmark = pytest.mark.slow

JUGGLING = "someone juggling"


def found(client: TestClient, **given: Any) -> dict[str, Any]:
    answer = client.get("/api/search", params=given)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refused(client: TestClient, status: int, address: str, **given: Any) -> str:
    answer = client.get(address, params=given)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    body = answer.json()
    assert (body["status"], set(body)) == (status, {"type", "title", "status", "detail"})
    detail: str = body["detail"]
    return detail


def test_a_search_answers_as_the_command_does(client: TestClient, film_library: FilmLibrary) -> None:
    given = {"text": JUGGLING, "k": 3, "not": "someone bowing", "where": "duration_s > 5", "by": "clip", "all": "true"}
    options = SearchOptions(
        texts=(JUGGLING,), k=3, without=("someone bowing",), where="duration_s > 5", by="clip", show_all=True
    )
    answer = search(film_library.folder, options)
    expected = [json.loads(json.dumps(moment_json(moment))) for moment in answer.moments]
    body = found(client, **given)
    assert as_printed(body["moments"]) == as_printed(expected)
    assert len(expected) == 3
    assert (body["clips"], body["passed"]) == (answer.clips, answer.passed)
    assert (body["confidence"], body["stands_out"]) == (pytest.approx(answer.confidence, abs=1e-4), answer.stands_out)


def test_one_thing_follows_another(client: TestClient) -> None:
    (moment, *_) = found(client, text="someone waving", then=JUGGLING, within=60, all=1, k=1)["moments"]
    first, second = moment["parts"]
    assert first["end_s"] <= second["start_s"] + 1.2


def test_clips_like_a_clip_begin_with_itself(client: TestClient) -> None:
    clip_id = found(client, text=JUGGLING, by="clip", k=1, all=1)["moments"][0]["clip_id"]
    similar = client.get(f"/api/clips/{clip_id}/similar", params={"by": "clip", "k": 5, "all": 1}).json()["moments"]
    assert [len(similar), similar[0]["clip_id"]] == [5, clip_id]
    assert similar == found(client, like=clip_id, by="clip", k=5, all=1)["moments"]


def test_marks_bring_the_list_into_another_order(client: TestClient) -> None:
    before = found(client, text="someone", by="clip", k=40, all=1)["moments"]
    right = found(client, text=JUGGLING, by="clip", k=3, all=1)["moments"]
    wrong = next(moment for moment in before if moment["clip_id"] not in {one["clip_id"] for one in right})
    given = {"text": "someone", "by": "clip", "k": 40, "all": 1, "right": [one["clip_id"] for one in right]}
    after = found(client, **given, wrong=wrong["clip_id"])["moments"]
    assert {one["clip_id"] for one in after[:3]} == {one["clip_id"] for one in right}
    assert wrong["clip_id"] not in {one["clip_id"] for one in after}
    sent = client.post("/api/feedback", json={**given, "wrong": [str(wrong["clip_id"])]})
    assert sent.json()["moments"] == after
    assert client.post("/api/feedback", json={**given, "where": None, "not": [None]}).status_code == 200, "null is none"
    detail = refused(client, 400, "/api/search", text="someone", right=wrong["clip_id"], wrong=wrong["clip_id"])
    assert detail.startswith("right: got clip ")


def test_a_picture_is_an_example(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = found(client, text=JUGGLING, by="clip", k=1, all=1)["moments"][0]
    picture = client.get(f"/api/moments/{clip['clip_id']}.jpg", params={"width": 320}).content
    answer = client.post(
        "/api/search", data={"by": "video", "k": "1", "all": "1"}, files={"file": ("seen.jpg", picture, "image/jpeg")}
    )
    assert answer.json()["moments"][0]["video_id"] == clip["video_id"]
    video = Path(clip["path"]).read_bytes()
    answer = client.post("/api/search", data={"k": "1"}, files={"file": ("seen.mp4", video, "video/mp4")})
    assert answer.json()["moments"][0]["video_id"] == clip["video_id"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = client.post("/api/search", files={"file": ("seen.jpg", b"no picture", "image/jpeg")})
    assert not list(tmp_path.iterdir()), "it is deleted"
    detail = "file: 'seen.jpg' cannot be read as a picture (cannot identify image file 'seen.jpg'); expected PNG and JPEG"
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)
    page = client.post("/find-by-file", files={"file": ("a/<b>.mp4", b"no video", "video/mp4")})
    assert (page.status_code, "file: &#39;&lt;b&gt;.mp4&#39; cannot be used" in page.text, str(tmp_path) in page.text) == (
        400, True, False,
    )  # fmt: skip
    answer = client.post("/api/search", data={"like": "5"}, files={"file": ("seen.jpg", picture, "image/jpeg")})
    assert answer.json()["detail"].startswith("like: ")


def test_a_file_that_kills_its_decoder_costs_a_question(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.examples._decode", kill_this_process)
    answer = client.post("/api/search", files={"file": ("poison.mp4", b"poison", "video/mp4")})
    assert (answer.status_code, answer.json()["detail"]) == (400, "file: the file crashed the decoder; send another")
    monkeypatch.undo()
    assert client.get("/healthz").status_code == 200


def kill_this_process(example: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({}, "text: got none; say what to look for, such as 'people baking a cake', or show it with `like`"),
        ({"text": "a", "k": "0"}, "k: got 0, expected 1 or more"),
        ({"text": "a", "k": "x"}, "k: got 'x', expected a whole number"),
        ({"text": "a", "then": "b", "within": "nan"}, "within: got 'nan', expected a number"),
        ({"text": "a", "k": "1001"}, "k: got 1001, expected 1000 or less; ask for fewer, or use vidsift search"),
        ({"text": "a", "by": "hour"}, "by: got 'hour', expected moment, clip, video"),
        ({"text": "a", "recall": ".5"}, "recall: got '.5', expected 0.95, 0.99, exact"),
        ({"text": "a", "all": "maybe"}, "all: got 'maybe', expected true or false"),
        (
            {"like": "/etc/passwd"},
            "like: got '/etc/passwd', expected the id of a clip, as a search gives it; send files by POST",
        ),
        ({"texts": "a"}, f"texts: no such parameter, expected {', '.join(SEARCH_PARAMETERS)}"),
        ({"text": "a", "then": "b", "within": "-1"}, "within: got -1 s, expected more than 0 s"),
    ],
)
def test_what_cannot_be_asked_is_said(client: TestClient, given: dict[str, str], detail: str) -> None:
    assert refused(client, 400, "/api/search", **given) == detail


def test_what_is_not_there_is_said(client: TestClient) -> None:
    assert refused(client, 404, "/api/videos/nothing") == "the library 'films' has no video 'nothing'; search again"
    assert refused(client, 404, "/api/moments/5.jpg") == "the library 'films' has no clip 5; search again"
    assert refused(client, 404, "/api/status", library="x") == "library: got 'x', expected one of films"
    assert refused(client, 404, "/api/nope") == "got GET /api/nope, expected a call of /api/openapi.json"
    assert refused(client, 405, "/api/export") == "got GET /api/export, expected a call of /api/openapi.json"


@pytest.mark.parametrize("clip", ["9" * 5000, "9" * 400, str(2**63), str(10**19), "x", "-1", "٣"])
@pytest.mark.parametrize("address", ["/api/moments/{}.jpg", "/api/moments/{}.mp4", "/api/clips/{}/similar"])
def test_no_clip_has_such_an_id(client: TestClient, address: str, clip: str) -> None:
    shown = clip if len(clip) <= 40 else f"{clip[:40]}…"
    detail = f"got the clip {shown!r}, expected the id of a clip, as a search gives it"
    assert refused(client, 404, address.format(clip)) == detail
    page = client.get(f"/moment/{clip}")
    assert (page.status_code, "expected the id of a clip" in page.text) == (404, True)
    assert client.get(f"/?like={clip}").status_code == 400
    assert client.get(f"/?text=a&right={clip}").status_code == 400


def test_sql_is_caged_as_on_the_command_line(client: TestClient, film_library: FilmLibrary) -> None:
    answer = client.get("/api/sql", params={"query": "select status, count(*) as n from videos group by 1 order by 1"})
    assert answer.json() == {"columns": ["status", "n"], "rows": [["failed", 1], ["indexed", 3]], "num_rows": 2}
    answer = client.get("/api/sql", params={"query": "select clip_id from clips", "limit": 2}).json()
    assert (len(answer["rows"]), answer["num_rows"] > 10) == (2, True)
    for query in (
        "select * from read_text('/etc/passwd')",
        f"attach '{film_library.folder}/CURRENT'",
        "copy (select 1) to '/tmp/x.csv'",
        "delete from videos",
        "set memory_limit = '100GB'",
        "select * from read_csv('http://127.0.0.1/')",
    ):
        assert refused(client, 400, "/api/sql", query=query).startswith("query: "), query
    detail = refused(client, 400, "/api/sql", query="select count(*) from range(100000000000) a, range(1000) b", timeout=0.2)
    assert "ran longer than 0.2 s" in detail


def test_status_and_schema(client: TestClient) -> None:
    status = client.get("/api/status").json()
    assert (status["library"], status["videos"]) == ("films", {"indexed": 3, "partial": 0, "failed": 1})
    tables = client.get("/api/schema").json()["tables"]
    assert [table["table"] for table in tables] == [table.name for table in TABLES]


def test_a_video_with_its_scores(client: TestClient) -> None:
    best = found(client, text=JUGGLING, by="clip", k=1, all=1, rerank=0)["moments"][0]
    body = client.get(f"/api/videos/{best['video_id']}", params={"text": JUGGLING}).json()
    assert (body["video"]["path"], body["plays"]) == (best["path"], "file")
    scores = {clip["clip_id"]: clip["score"] for clip in body["clips"]}
    assert max(scores, key=lambda clip_id: scores[clip_id]) == best["clip_id"]
    assert scores[best["clip_id"]] == pytest.approx(best["score"], abs=1e-6)
    plain = client.get(f"/api/videos/{best['video_id']}").json()["clips"]
    assert ([clip["clip_id"] for clip in plain], {clip["score"] for clip in plain}) == (list(scores), {None})


def test_marked_clips_become_a_tag(film_library: FilmLibrary, tmp_path: Path) -> None:
    library = tmp_path / "films"
    shutil.copytree(film_library.folder, library)
    with make_client(library, tmp_path / "cache") as client:
        clips = found(client, text=JUGGLING, by="moment", k=3, all=1)["moments"]
        ids = [clip["clip_id"] for clip in clips]
        answer = client.post("/api/tags", json={"name": "juggles", "right": ids[:2], "wrong": ids[2:]})
        assert answer.status_code == 201, answer.text
        rows = client.get("/api/sql", params={"query": "select count(*) from tags where tag = 'juggles'"}).json()["rows"]
        assert rows == client.get("/api/sql", params={"query": "select count(*) from clips"}).json()["rows"]
        odd = client.post("/api/tags", json={"name": "--help", "right": ids[:2], "wrong": ids[2:]})
        assert (odd.status_code, odd.json()["tag"]) == (201, "--help")
        assert client.get("/api/sql", params={"query": "select count(distinct tag) from tags"}).json()["rows"] == [[2]]
        answer = client.post("/api/tags", json={"name": "juggles", "right": ids[:1]})
        assert (answer.status_code, "expected 2 or more" in answer.json()["detail"]) == (400, True)
    with make_client(library, tmp_path / "cache", may_write=False) as client:
        answer = client.post("/api/tags", json={"name": "x", "right": ids[:2]})
        assert (answer.status_code, answer.json()["detail"]) == (
            403,
            "this server was started with --read-only; start vidsift serve without it to keep tags",
        )


def test_moments_are_exported(client: TestClient) -> None:
    clips = found(client, text=JUGGLING, k=2, all=1)["moments"]
    moments = [{"clip_id": clip["clip_id"], "start_s": clip["start_s"], "end_s": clip["end_s"]} for clip in clips]
    answer = client.post("/api/export", json={"moments": moments, "form": "csv"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["moments.csv"]
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("moments.csv"))))
    assert [row["path"] for row in rows] == [clip["path"] for clip in clips]
    for form, ending in (("mp4", ".mp4"), ("edl", ".edl"), ("webvtt", ".vtt")):
        answer = client.post("/api/export", json={"moments": moments, "form": form})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert any(name.endswith(ending) for name in archive.namelist()), archive.namelist()
    answer = client.post("/api/export", json={"moments": moments, "form": "gif"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "form: got 'gif', expected mp4, edl, webvtt, csv")
    assert client.post("/api/export", json={"moments": []}).status_code == 400


def test_an_export_does_not_follow_what_has_come_in_a_videos_place(
    client: TestClient, film_library: FilmLibrary, tmp_path: Path
) -> None:
    (clip,) = found(client, text=JUGGLING, by="clip", k=1, all=1)["moments"]
    video, private = Path(clip["path"]), tmp_path / "private.mp4"
    private.write_bytes(b"private")
    moments = [{"clip_id": clip["clip_id"]}]
    kept = video.rename(tmp_path / "kept.mp4")
    try:
        video.symlink_to(private)
        answer = client.post("/api/export", json={"moments": moments, "form": "mp4"})
    finally:
        video.unlink()
        kept.rename(video)
    assert (answer.status_code, "has changed since it was indexed" in answer.json()["detail"]) == (409, True)
    assert client.post("/api/export", json={"moments": moments, "form": "csv"}).status_code == 200


def test_nobody_waits_while_another_ones_file_is_decoded(film_library: FilmLibrary) -> None:
    decoding, others_are_done = threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        decoding.set()
        assert others_are_done.wait(60)
        raise UsageError("no picture", argument="like")

    reader = LibraryReader(film_library.folder, embedder=None, memory_mb=512, say=print, decode=slow)
    with reader, ThreadPoolExecutor(1) as pool:
        uploaded = pool.submit(reader.answer, like="slow.mp4")
        assert decoding.wait(60)
        assert reader.answer(JUGGLING, k=1, show_all=True).moments
        others_are_done.set()
        with pytest.raises(UsageError, match="no picture"):
            uploaded.result(60)


def test_a_result_that_would_fill_the_memory_is_refused(client: TestClient) -> None:
    detail = refused(client, 400, "/api/sql", query="select repeat('x', 2000000) from range(50)")
    assert detail == "the result is 95 MB, expected 64 at most; ask for fewer rows or columns"
    assert (
        client.get("/api/sql", params={"query": "select repeat('x', 2000000) from range(50)", "limit": 3}).status_code == 200
    )


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a\nb"])
def test_a_tags_name_is_text(client: TestClient, name: str) -> None:
    sent = json.dumps({"name": name, "right": [], "wrong": []})
    answer = client.post("/api/tags", content=sent, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        f"name: got the character {name[1]!a} in it, expected text",
    )


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok\n"
    found(client, text=JUGGLING)
    metrics = client.get("/metrics").text
    assert 'vidsift_requests_total{route="/api/search",status="200"}' in metrics
    assert 'vidsift_snapshot{library="films"} 1.0' in metrics
    assert "vidsift_renderings_cached_bytes" in metrics
    assert client.get("/api/sql", params={"query": "select 1"}).status_code == 200
    metrics = client.get("/metrics").text
    for stage in ("wait", "search", "sql"):
        (count,) = re.findall(rf'vidsift_stage_seconds_count{{stage="{stage}"}} (\S+)', metrics)
        assert float(count) > 0


def test_every_route_is_described(client: TestClient) -> None:
    routes = {
        (method, route.path.replace(":int", ""))
        for route in (*ROUTES, *media_routes.ROUTES)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert {(call.method, call.path) for call in CALLS} == routes
    described = client.get("/api/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    assert {(method.upper(), path) for path, calls in described["paths"].items() for method in calls} == routes
    asked = {parameter["name"] for parameter in described["paths"]["/api/search"]["get"]["parameters"]}
    assert asked == set(SEARCH_PARAMETERS)


def test_a_running_ingest_is_seen(client: TestClient, film_library: FilmLibrary) -> None:
    library = Library(film_library.folder)
    assert client.get("/api/status").json()["ingest"] is None
    running = RunningIngest("process 7 on here", time.time(), 3, 12, 40, 15.5, 61.0, {"decode": 41, "annotate": 40})
    write_running_ingest(library, running)
    try:
        assert client.get("/api/status").json()["ingest"] == asdict(running)
        metrics = client.get("/metrics").text
        assert 'vidsift_ingest_done_videos{library="films"} 3.0' in metrics
        assert 'vidsift_ingest_left_s{library="films"} 61.0' in metrics
        assert "3 of 12 videos" in client.get("/library").text
        assert "about 1:01 left" in client.get("/library").text
        write_running_ingest(library, replace(running, updated_s=time.time() - 100))
        assert client.get("/api/status").json()["ingest"] is None, "it was killed"
    finally:
        library.progress_file.unlink()


def test_a_new_snapshot_is_seen(film_library: FilmLibrary, tmp_path: Path) -> None:
    from jobs.tag.tag import tag

    library = tmp_path / "films"
    shutil.copytree(film_library.folder, library)
    with make_client(library, tmp_path / "cache") as client:
        query = {"query": "select count(*) from tags"}
        assert client.get("/api/sql", params=query).json()["rows"] == [[0]]
        tag(library, ["juggling"])
        assert client.get("/api/sql", params=query).json()["rows"][0][0] > 0


def test_pictures_of_moments(client: TestClient) -> None:
    clip = found(client, text=JUGGLING, k=1, all=1)["moments"][0]
    address = f"/api/moments/{clip['clip_id']}"
    picture = client.get(f"{address}.jpg", params={"width": 150})
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).width == 160
    strip = Image.open(io.BytesIO(client.get(f"{address}.webp").content))
    assert (strip.format, getattr(strip, "n_frames", 1)) == ("WEBP", 8)
    moment = client.get(f"{address}.mp4", headers={"range": "bytes=4-7"})
    assert (moment.status_code, moment.content) == (206, b"ftyp")
    assert refused(client, 400, f"{address}.jpg", width=5) == "width: got 5, expected 16 to 1280 pixels"
    assert refused(client, 400, f"{address}.jpg", start=5, end=4).startswith("start: got 5 to 4 s")


def test_a_file_that_was_swapped_is_not_served(film_library: FilmLibrary, tmp_path: Path) -> None:
    """Nor is what a link that took its place leads to."""
    with make_client(film_library.folder, tmp_path / "cache") as client:
        video = client.get("/api/sql", params={"query": "select video_id, path from videos where codec = 'mpeg4'"})
        ((video_id, path),) = video.json()["rows"]
        assert client.get(f"/media/{video_id}").status_code == 200
        aside = Path(path + ".aside")
        os.rename(path, aside)
        try:
            assert client.get(f"/media/{video_id}").status_code == 404
            for swap, status in ((partial(os.symlink, "/etc/passwd"), 409), (os.mkfifo, 403), (os.mkdir, 403)):
                swap(path)
                assert client.get(f"/media/{video_id}").status_code == status
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        finally:
            os.rename(aside, path)


def test_several_libraries_are_served(film_library: FilmLibrary, tmp_path: Path) -> None:
    from server.app import Settings, make_app
    from server.libraries import ServedLibraries

    second = tmp_path / "second" / "films"
    shutil.copytree(film_library.folder, second)
    libraries = ServedLibraries([film_library.folder, second], embedder=None, say=lambda note: None)
    app = make_app(libraries, Settings(cache_folder=tmp_path / "cache"), lambda note: None)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        folders = [client.get("/api/status", params={"library": name}).json()["folder"] for name in ("", "films", "films-2")]
        assert folders == [str(film_library.folder), str(film_library.folder), str(second)]
        assert "films-2" in client.get("/").text


def test_a_page_tells_of_problems_that_http_has_no_words_for(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*given: object) -> None:
        raise Problem(499, "the client has left")

    monkeypatch.setattr("server.pages._library", leave)
    page = client.get("/library")
    assert (page.status_code, "<h1>Error 499</h1>" in page.text, "the client has left" in page.text) == (499, True, True)
    assert "<h1>Not Found</h1>" in client.get("/nothing").text


def test_two_users_are_answered_at_a_time(client: TestClient) -> None:
    """A search is answered while a query of SQL still runs."""
    slow = {"query": "select count(*) from range(100000000000) a, range(1000) b", "timeout": "3"}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.get, "/api/sql", params=slow)
        time.sleep(0.3)
        found(client, text=JUGGLING)
        assert client.get("/").status_code == 200
        assert not running.done()
        assert running.result().status_code == 400
