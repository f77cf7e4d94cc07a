"""Search in what is seen, said and written: which passages answer, how channels are fused, and why each answer is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from index.search.searcher import Searcher
from index.search.text_query import terms_of
from index.snapshot.channel_text import TextIndex
from jobs.annotate.annotate import annotate
from schemas.channels import Utterance
from schemas.errors import UsageError
from schemas.search import Answer, Reason, SearchOptions
from tests.helpers.made_annotators import made, said, use_annotators, written
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]

FILM = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": 0.9 if i == 2 else 0.0}) for i in range(5)]
TALK = [Made(10 + i, "b", 4.0 * i, 4.0 * i + 4) for i in range(10)]
SAID = (
    ("/v/a.mp4", (said(9, 11, "Look, she is jumping!"), said(14, 16, "And now?"))),
    (
        "/v/b.mp4",
        (
            said(1, 3, "Good morning, everybody."),
            said(5, 7.5, "I am sorry to say"),
            said(8, 9.5, "that the budgets are gone."),
            said(20, 22, "The kitchen budget is fine."),
            said(30, 32, "Die Häuser sind verkauft.", "de"),
            said(34, 36, "这个会议结束了", "zh"),
        ),
    ),
)
READ = (("/v/b.mp4", (written(19, 24, "BUDGET 2024"), written(30, 38, "Org-Chart"))),)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: WordEmbedder) -> Path:
    folder = make_library(tmp_path / "library", [*FILM, *TALK, *background(40)])
    use_annotators(
        monkeypatch,
        subtitles=made("subtitles", "speech", entries=SAID),
        text=made("text", "screen_text", entries=READ),
    )
    annotate(folder, ["subtitles", "text"])
    return folder


def ask(library: Path, *texts: str, **options: Any) -> Answer:
    return Searcher(library).search(SearchOptions(texts=texts, rerank=0, **options))


def found(answer: Answer) -> list[tuple[str, float, float, str]]:
    return [(of.video_id, of.start_s, of.end_s, " ".join(one.channel for one in of.reasons)) for of in answer.moments]


def test_words_are_found_across_subtitles_by_their_stems(library: Path) -> None:
    answer = ask(library, "where she says that the budget is gone", channels=("speech",))
    (moment,) = answer.moments
    assert (moment.video_id, moment.start_s, moment.end_s) == ("b", 8.0, 9.5)
    assert moment.reasons == (Reason("speech", "that the budgets are gone.", 8.0, 9.5, ("words",)),)
    assert (moment.clip_id, moment.best_start_s, moment.best_end_s, moment.confidence) == (12, 8.0, 12.0, 1.0)
    assert moment.score == pytest.approx(1 / 61)
    assert found(ask(library, "sorry budget", channels=("speech",))) == [("b", 5.0, 9.5, "speech")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("haus", [30.0]),  # a stem of German
        ("hauser", [30.0]),  # without its umlaut
        ("VERKAUFT", [30.0]),
        ("会议", [34.0]),
        ("议会", []),
        ('"good morning"', [1.0]),
        ('"morning good"', []),
        ("everyb*", [1.0]),
        ("verybody", []),
        ("budget", [20.0, 8.0]),
        ("the", [20.0, 8.0]),  # nothing but function words
        ("!?", []),
        ("zebra", []),
        ("budget zebra unicorn", []),
        ('kitchen "budget', [20.0]),
        ("budget OR kitchen) AND *", [20.0]),
    ],
)
def test_speech(library: Path, text: str, expected: list[float]) -> None:
    starts = [moment.start_s for moment in ask(library, text, channels=("speech",)).moments]
    assert sorted(starts) == sorted(expected)


def test_speech_and_screen_text_of_one_place_are_one_answer(library: Path) -> None:
    answer = ask(library, "kitchen budget", channels=("speech", "text"))
    assert found(answer) == [("b", 20.0, 22.0, "speech")]
    answer = ask(library, "budget", channels=("speech", "text"))
    assert found(answer) == [("b", 20.0, 22.0, "speech text"), ("b", 8.0, 9.5, "speech")]
    assert answer.moments[0].reasons[1] == Reason("text", "BUDGET 2024", 19.0, 24.0, ("words",))
    scores = [moment.score for moment in answer.moments]
    assert scores == pytest.approx([2 / 61, 1 / 62]) or scores == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


def test_pictures_and_speech_are_fused(library: Path) -> None:
    answer = ask(library, "jumping")
    assert found(answer)[0] == ("a", 9.0, 11.0, "speech pictures")
    assert answer.moments[0].score == pytest.approx(2 / 61)
    assert answer.moments[0].clip_id == 2
    assert found(ask(library, "jumping", channels=("pictures",), k=1)) == [("a", 8.0, 12.0, "")]


def test_pictures_that_do_not_stand_out_are_no_answers_beside_words(library: Path) -> None:
    assert found(ask(library, "kitchen")) == [("b", 20.0, 22.0, "speech")]
    everything = found(ask(library, "kitchen", show_all=True, k=3))
    assert everything[0] == ("b", 20.0, 22.0, "speech pictures")
    assert [of[3] for of in everything[1:]] == ["pictures", "pictures"]
    assert found(ask(library, "red")) == []


def test_one_thing_that_follows_another_in_another_channel(library: Path) -> None:
    answer = ask(library, "morning", channels=("speech",), then_text="chart", then_channels=("text",), within_s=30)
    (moment,) = answer.moments
    assert (moment.start_s, moment.end_s) == (1.0, 38.0)
    assert [(part.clip_id, part.start_s, part.end_s) for part in moment.parts] == [(10, 1.0, 3.0), (18, 30.0, 38.0)]
    assert [reason.text for reason in moment.reasons] == ["Good morning, everybody.", "Org-Chart"]
    assert (
        ask(library, "morning", channels=("speech",), then_text="chart", then_channels=("text",), within_s=20).moments == ()
    )
    assert ask(library, "chart", channels=("text",), then_text="morning", then_channels=("speech",)).moments == ()


def test_conditions_hold_for_the_clips_that_show_a_passage(library: Path) -> None:
    where = {"channels": ("speech",), "where": "start_s >= 16"}
    assert found(ask(library, "budget", **where)) == [("b", 20.0, 22.0, "speech")]
    assert ask(library, "budget", channels=("speech",), where="path like '%a.mp4'").moments == ()


@pytest.mark.parametrize(
    ("condition", "clips"),
    [
        ("speech.text ilike '%budget%'", [12, 15]),
        ("language = 'de'", [17]),
        ("screen_text.text = 'Org-Chart' and duration_s > 30", [17, 18, 19]),
        ("text = 'BUDGET 2024'", []),  # speech comes first
        ("picture = 'still'", []),
        (
            "clip_id in (select clip_id from clips c join screen_text t on c.video_id = t.video_id where c.start_s > 30)",
            [18, 19],
        ),
    ],
)
def test_a_condition_may_go_by_what_is_said_and_written(library: Path, condition: str, clips: list[int]) -> None:
    answer = ask(library, "red", where=condition, by="clip", k=50, show_all=True, channels=("pictures",))
    assert sorted(moment.clip_id for moment in answer.moments) == clips


def test_clips_and_videos(library: Path) -> None:
    clips = ask(library, "budget", by="clip", channels=("speech", "text"))
    assert [(of.clip_id, of.start_s, of.end_s) for of in clips.moments] == [(15, 20.0, 24.0), (12, 8.0, 12.0)]
    (video,) = ask(library, "budget", by="video", channels=("speech", "text")).moments
    assert (video.video_id, video.start_s, video.moments) == ("b", 20.0, 2)
    assert found(ask(library, "budget", k=1, channels=("speech",)))[0][0] == "b"


def test_what_is_not_wanted(library: Path) -> None:
    assert found(ask(library, "budget", without=("kitchen",), channels=("speech",))) == [("b", 8.0, 9.5, "speech")]


def test_what_the_library_does_not_have(tmp_path: Path, library: Path) -> None:
    plain = make_library(tmp_path / "plain", FILM)
    with pytest.raises(UsageError, match="the library has no speech; find it with vidsift annotate, or look in pictures"):
        ask(plain, "jumping", channels=("speech",))
    with pytest.raises(UsageError, match="expected pictures, speech, text"):
        ask(library, "jumping", channels=("smell",))
    with pytest.raises(UsageError, match="add pictures"):
        SearchOptions(like=("3",), channels=("speech",))
    with pytest.raises(UsageError, match="say what is to follow"):
        SearchOptions(texts=("red",), then_channels=("speech",))


def test_an_example_is_looked_for_in_pictures(library: Path) -> None:
    assert found(Searcher(library).search(SearchOptions(like=("2",), rerank=0, k=1, show_all=True))) == [
        ("a", 8.0, 12.0, "")
    ]


def test_words_and_an_example_together_are_looked_for_in_pictures(library: Path) -> None:
    answer = Searcher(library).search(SearchOptions(texts=("jumping",), like=("2",), rerank=0, k=1, show_all=True))
    assert found(answer) == [("a", 8.0, 12.0, "")]


def test_speech_needs_no_model(library: Path, embedder: WordEmbedder) -> None:
    embedder.asked.clear()
    ask(library, "budget", channels=("speech",))
    assert embedder.asked == []


def test_terms() -> None:
    terms = terms_of(['where "the end" is near*', "org-chart running"], ["en"])
    assert [term.words for term in terms] == [("the", "end"), ("near",), ("org", "chart"), ("running",)]
    assert [term.stems for term in terms] == [(), (), (), ("run", "running")]


def test_a_very_long_question_is_answered(library: Path) -> None:
    words = " ".join(f"word{number}" for number in range(5_000))
    assert ask(library, words, channels=("speech",)).moments == ()
    assert len(terms_of([words], ["en"])) == 64


def test_a_sentence_in_several_languages_is_found_once_in_each(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (said(1, 3, "hello there"), Utterance(1, 3, "guten Tag hello", "de", "embedded", None))
    use_annotators(monkeypatch, subtitles=made("subtitles", "speech", entries=(("/v/a.mp4", both),)))
    annotate(library, ["subtitles"], settings={"subtitles": {"version": "2"}})
    assert len(ask(library, "hello", channels=("speech",)).moments) == 2


def test_words_are_counted_once_for_all_channels(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    count = TextIndex.count

    def counting(index: TextIndex, expression: str) -> int:
        counted.append(expression)
        return count(index, expression)

    monkeypatch.setattr(TextIndex, "count", counting)
    assert len(ask(library, "kitchen budget", channels=("speech", "text")).moments) == 1
    assert len(counted) == len(set(counted)) == 2
