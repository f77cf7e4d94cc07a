from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from cli import main
from commands.search_output import answer_text, why
from schemas.models import Label
from schemas.search import Answer, Moment, Part, Reason, SearchOptions, moment_json

LABELS = (Label("jumping", 0.75), Label("squatting", 0.5), Label("bowing", 0.25), Label("waving", 0.125))
FIRST = Moment(
    rank=1,
    score=0.5994,
    path="/v/a.mp4",
    video_id="a",
    clip_id=2,
    start_s=8.0,
    end_s=75.5,
    label="jumping",
    label_score=0.75,
    confidence=0.916,
    best_start_s=12.0,
    best_end_s=16.0,
    windows=17,
    labels=LABELS[:1],
)
SECOND = replace(
    FIRST, rank=2, score=0.31, path="/v/b.mp4", start_s=0.0, end_s=4.0, confidence=0.2, windows=1, labels=LABELS, moments=3
)


def test_a_line_a_moment() -> None:
    assert answer_text(Answer((FIRST, SECOND), 53, 53, 0.916, True), "moment").splitlines() == [
        "rank  score  confidence  time       labels                                                      windows  path",
        "----  -----  ----------  ---------  ----------------------------------------------------------  -------  --------",
        "1     0.599  0.92        0:08-1:15  jumping (0.75)                                              17       /v/a.mp4",
        "2     0.310  0.20        0:00-0:04  jumping (0.75), squatting (0.50), bowing (0.25) and 1 more  1        /v/b.mp4",
    ]


def test_a_video_says_how_many_moments_it_has_and_a_pair_when_both_happen() -> None:
    pair = replace(FIRST, parts=(Part(2, 0.6, 8.0, 12.0), Part(5, 0.5, 60.0, 75.5)))
    assert answer_text(Answer((pair, replace(SECOND, labels=())), 53, 53, 0.916, True), "video").splitlines() == [
        "rank  score  confidence  time                  labels          windows  moments  path",
        "----  -----  ----------  --------------------  --------------  -------  -------  --------",
        "1     0.599  0.92        0:08-0:12, 1:00-1:15  jumping (0.75)  17       1        /v/a.mp4",
        "2     0.310  0.20        0:00-0:04                             1        3        /v/b.mp4",
    ]


def test_json_keeps_the_fields_of_a_clip_first() -> None:
    pair = replace(FIRST, parts=(Part(2, 0.6, 8.0, 12.0),))
    assert list(moment_json(pair).items()) == [
        ("rank", 1),
        ("score", 0.5994),
        ("path", "/v/a.mp4"),
        ("video_id", "a"),
        ("clip_id", 2),
        ("start_s", 8.0),
        ("end_s", 75.5),
        ("label", "jumping"),
        ("label_score", 0.75),
        ("confidence", 0.916),
        ("best_start_s", 12.0),
        ("best_end_s", 16.0),
        ("windows", 17),
        ("labels", [{"label": "jumping", "score": 0.75}]),
        ("moments", 1),
        ("parts", [{"clip_id": 2, "score": 0.6, "start_s": 8.0, "end_s": 12.0}]),
        ("track", None),
        ("reasons", []),
    ]


def test_an_answer_of_several_channels_says_why_it_is_one() -> None:
    said = Reason("speech", "and here is what I wanted to tell you all: the budget is gone, every penny", 8.0, 11.0)
    reasons = (said, Reason("text", "BUDGET", 8.0, 9.0), Reason("pictures", None, 8.0, 12.0))
    first, second = replace(FIRST, reasons=reasons), replace(SECOND, labels=(), reasons=reasons[2:])
    names, _, *rows = answer_text(Answer((first, second), 53, 53, 0.916, True), "moment").splitlines()
    at = slice(names.index("why"), names.index("path"))
    assert [row[at].rstrip() for row in rows] == [
        'says "and here is what I wanted to tell you all: the budget is…", shows "BUDGET", looks like it',
        "looks like it",
    ]
    other_words = replace(said, text="the money is spent", found_by=("meaning",))
    assert why(replace(FIRST, reasons=(other_words,))) == 'says in other words "the money is spent"'
    assert moment_json(second)["reasons"] == [
        {"channel": "pictures", "text": None, "start_s": 8.0, "end_s": 12.0, "found_by": ()}
    ]


def test_what_is_said_where_there_is_no_moment() -> None:
    assert answer_text(Answer((), 0, 0, 0.0, False), "moment") == "the library holds no clips"
    assert answer_text(Answer((), 53, 0, 0.0, False), "moment") == "no clip meets --where, of 53"
    assert (
        answer_text(Answer((), 53, 53, 0.123, False), "moment")
        == "nothing here looks like that (the best has a confidence of 0.12; --all shows it)"
    )
    assert (
        answer_text(Answer((), 53, 53, 0.0, False), "moment", is_sequence=True)
        == "nothing is followed by that in time; a longer --within may help"
    )
    assert answer_text(Answer((), 53, 53, 0.0, False), "moment") == "nothing here looks like that, says it or shows it"
    text = answer_text(Answer((replace(SECOND, rank=1),), 53, 53, 0.2, False), "moment")
    assert text.splitlines()[0] == "nothing here looks like that; the best there is:"
    assert text.splitlines()[3].startswith("1     0.310  0.20 ")


@pytest.mark.parametrize(("given", "recall"), [([], 0.95), (["--recall", "0.99"], 0.99), (["--recall", "exact"], 1.0)])
def test_recall_reaches_the_search(monkeypatch: pytest.MonkeyPatch, given: list[str], recall: float) -> None:
    asked: list[SearchOptions] = []

    def search(folder: object, options: SearchOptions, **_: object) -> Answer:
        asked.append(options)
        return Answer((), 0, 0, 0.0, False)

    monkeypatch.setattr("index.search.searcher.search", search)
    done = CliRunner().invoke(main, ["search", "cake", "--library", ".", *given])
    assert done.exit_code == 0, done.output
    assert [options.recall for options in asked] == [recall]
