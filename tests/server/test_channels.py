"""What is said and can be read, over HTTP: searched, given with a video, and shown on its pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from schemas.errors import UsageError
from server.parameters import search_options
from tests.server.conftest import make_client

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def talking(talking_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with make_client(talking_library, tmp_path_factory.mktemp("cache")) as client:
        yield client


def found(client: TestClient, **given: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/search", params=given)
    assert answer.status_code == 200, answer.text
    moments: list[dict[str, Any]] = answer.json()["moments"]
    return moments


def spans(moments: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(moment["start_s"], moment["end_s"]) for moment in moments]


def test_what_is_said_is_found_where_it_is_looked_for(talking: TestClient) -> None:
    (moment,) = found(talking, text="the budget is gone", **{"in": "speech"})
    assert (moment["start_s"], moment["end_s"]) == (2.5, 4.0)
    assert moment["reasons"] == [
        {
            "channel": "speech",
            "text": "The budgets are <gone>, all of them.",
            "start_s": 2.5,
            "end_s": 4.0,
            "found_by": ["words"],
        }
    ]
    assert spans(found(talking, text="budget", **{"in": "text"})) == [(2.0, 5.0)]
    assert spans(found(talking, text="budget", **{"in": ["speech", "text"]})) == [(2.5, 4.0)]


def test_the_second_event_has_channels_of_its_own(talking: TestClient) -> None:
    given = {"text": "morning", "in": "speech", "then": "budget"}
    assert spans(found(talking, **given, then_in="text")) == [(1.0, 5.0)]
    assert spans(found(talking, **given, then_in="speech")) == [(1.0, 4.0)]
    sent = talking.post("/api/feedback", json={**given, "then_in": ["text"]})
    assert spans(sent.json()["moments"]) == [(1.0, 5.0)]
    assert spans(found(talking, text="morning", then_in="text", **{"in": "speech"})) == [(1.0, 2.0)], "nothing follows"


def test_a_channel_that_is_not_there_is_said(talking: TestClient, client: TestClient) -> None:
    answer = talking.get("/api/search", params={"text": "a", "in": "smell"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "in: got 'smell', expected pictures, speech, text")
    answer = talking.get("/api/search", params={"text": "a", "then": "b", "then_in": "smell"})
    assert answer.json()["detail"] == "then_in: got 'smell', expected pictures, speech, text"
    answer = client.get("/api/search", params={"text": "a", "in": "speech"})
    assert answer.json()["detail"].startswith("in: the library has no speech; find it with vidsift annotate")


def test_a_video_comes_with_what_was_found_in_it(talking: TestClient, client: TestClient) -> None:
    (moment,) = found(talking, text="budget", **{"in": "speech"})
    video = talking.get(f"/api/videos/{moment['video_id']}").json()
    assert [(row["start_s"], row["text"], row["language"]) for row in video["speech"]] == [
        (1.0, "Good morning, everybody.", "en"),
        (2.5, "The budgets are <gone>,\nall of them.", "en"),
        (6.0, "Die Häuser sind verkauft.", "de"),
    ]
    (text,) = video["screen_text"]
    assert (text["text"], text["box"]) == ("BUDGET 2024", {"left": 0.25, "top": 0.5, "width": 0.5, "height": 0.125})
    assert [(row["start_s"], row["transition"]) for row in video["shots"]] == [(0.0, "start"), (3.0, "cut")]
    other = client.get(f"/api/videos/{moment['video_id']}").json()
    assert (other["speech"], other["screen_text"], other["shots"]) == ([], [], [])


def test_a_card_says_why_it_is_there(talking: TestClient) -> None:
    page = talking.get("/", params={"text": "budget gone", "in": ["speech", "text"]}).text
    (reason, *more) = re.findall(r'<span class="reason">(.*?)</span>', page)
    assert re.sub(r"<q [^>]*>", "<q>", reason) == (
        "says <q>The <mark>budgets</mark> are &lt;<mark>gone</mark>&gt;, all of them.</q>"
    )
    assert more == []
    checked = re.findall(r'name="(in|then_in)" value="(\w+)"( checked)?', page)
    assert checked == [
        ("in", "pictures", ""),
        ("in", "speech", " checked"),
        ("in", "text", " checked"),
        ("then_in", "pictures", " checked"),
        ("then_in", "speech", " checked"),
        ("then_in", "text", " checked"),
    ]
    assert "says it or shows it" in talking.get("/", params={"text": "zebra", "in": "speech"}).text
    assert "Nothing is followed" in talking.get("/", params={"text": "budget", "then": "zebra", "in": "speech"}).text


def test_a_library_of_pictures_alone_offers_no_channels(client: TestClient) -> None:
    page = client.get("/", params={"text": "someone juggling"}).text
    assert ("channels" in page, 'class="reason"' in page) == (False, False)


def test_a_moments_page_has_the_lines_of_its_video(talking: TestClient) -> None:
    (moment,) = found(talking, text="budget", **{"in": "speech"})
    page = talking.get(f"/moment/{moment['clip_id']}", params={"text": "budget", "in": "speech"}).text
    lines = re.findall(r'<li><a href="([^"]*)" data-from="([\d.]+)" data-to="([\d.]+)">.*?<span class="words"([^>]*)>', page)
    assert [(start, end, language) for _, start, end, language in lines] == [
        ("1.0", "2.0", ' lang="en"'),
        ("2.5", "4.0", ' lang="en"'),
        ("6.0", "7.5", ' lang="de"'),
        ("2.0", "5.0", ""),
    ]
    assert "The <mark>budgets</mark> are &lt;gone&gt;,\nall of them." in page
    assert "<mark>BUDGET</mark> 2024" in page
    assert page.count('class="shot"') == 1
    assert "2 shots" in page
    address = html.unescape(lines[0][0])
    assert "start=1.000&end=2.000&text=budget&in=speech" in address
    assert talking.get(address).status_code == 200
    hits = talking.get(f"/moment/{moment['clip_id']}", params={"text": "budget", "in": "speech", "start": "6", "end": "7"})
    assert "data-previous" in hits.text, "what is said before it is a hit"


def test_the_players_page_does_not_search_again(talking: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"text": "the budget is gone", "in": "speech"}
    assert talking.get("/", params=given).status_code == 200
    (moment,) = found(talking, **given)
    monkeypatch.setattr("index.reader.LibraryReader.ask", no_search)
    assert talking.get(f"/moment/{moment['clip_id']}", params={**given, "start": "2.5", "end": "4"}).status_code == 200
    assert talking.get(f"/moment/{moment['clip_id']}", params={"text": "another", "in": "speech"}).status_code == 400


def no_search(*given: object) -> None:
    raise UsageError("searched again")


def test_channels_are_parameters() -> None:
    from starlette.datastructures import QueryParams

    options = search_options(
        QueryParams([("text", "a"), ("in", "speech"), ("in", "text"), ("then_in", "text"), ("then", " ")])
    )
    assert (options.channels, options.then_channels) == (("speech", "text"), ())
