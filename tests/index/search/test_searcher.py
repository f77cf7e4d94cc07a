from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.question import Question
from index.search.searcher import Searcher, search
from index.snapshot.clips import SnapshotClips
from schemas.errors import LibraryError, QueryError, UsageError
from schemas.models import Label
from schemas.search import Answer, By, Moment, SearchOptions
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library, word_tag

__all__ = ["embedder"]

# 0.9 for clip 3 of `films`, which is red and jumps, and 0.25 for clip 21, a kitchen with a jump; else less than 0.02.
MINE = word_tag("mine", {"jumping": 40.0, "red": 22.0, "kitchen": 13.8}, -28.0)
JUMP, SQUAT = Label("jumping", 0.75), Label("squatting", 0.5)


def found(answer: Answer) -> list[tuple[int, float, float]]:
    """Clip and times of each answer."""
    return [(moment.clip_id, moment.start_s, moment.end_s) for moment in answer.moments]


def ask(library: Path, *texts: str, **options: object) -> Answer:
    return search(library, SearchOptions(texts=texts, rerank=0, **options))  # type: ignore[arg-type]


@pytest.fixture
def films(tmp_path: Path, embedder: WordEmbedder) -> Path:
    """A film that jumps at 8-16 and 28-32 s, in red from 12 s on; a kitchen film with a jump; and a background."""
    jumping = [0.0, 0.1, 0.6, 0.59, 0.1, 0.0, 0.0, 0.4, 0.0]
    red = [0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    labels = [(), (), (JUMP,), (SQUAT, JUMP), (), (), (), (JUMP,), ()]
    film = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": jumping[i], "red": red[i]}, labels[i]) for i in range(9)]
    kitchen = [
        Made(20 + i, "b", 4.0 * i, 4.0 * i + 4, {"kitchen": 0.5, "jumping": 0.5 * (i == 1)}, (SQUAT,)) for i in range(4)
    ]
    return make_library(
        tmp_path / "library", [*film, *kitchen, *background(40)], tags=[MINE],
        durations_s={"a": 36.0, "b": 90.0},
    )  # fmt: skip


def test_a_moment_is_what_neighbouring_windows_agree_about(films: Path) -> None:
    answer = ask(films, "jumping", k=3)
    assert answer.moments[0] == Moment(
        rank=1,
        score=answer.moments[0].score,
        path="/v/a.mp4",
        video_id="a",
        clip_id=2,
        start_s=8.0,
        end_s=16.0,
        label="jumping",
        label_score=0.75,
        confidence=answer.moments[0].confidence,
        best_start_s=8.0,
        best_end_s=12.0,
        windows=2,
        labels=(JUMP, SQUAT),
    )
    assert [moment.score for moment in answer.moments] == pytest.approx([0.6, 0.5, 0.4], abs=1e-6)
    assert found(answer) == [(2, 8.0, 16.0), (21, 4.0, 8.0), (7, 28.0, 32.0)]
    assert (answer.clips, answer.passed, answer.stands_out) == (53, 53, True)
    assert answer.confidence == max(moment.confidence for moment in answer.moments) > 0.5


def test_by_clip_gives_the_raw_windows(films: Path) -> None:
    answer = ask(films, "jumping", k=4, by="clip")
    assert found(answer) == [(2, 8.0, 12.0), (3, 12.0, 16.0), (21, 4.0, 8.0), (7, 28.0, 32.0)]
    assert [moment.score for moment in answer.moments] == pytest.approx([0.6, 0.59, 0.5, 0.4], abs=1e-6)
    assert [moment.windows for moment in answer.moments] == [1, 1, 1, 1]
    assert [moment.rank for moment in answer.moments] == [1, 2, 3, 4]


def test_by_video_gives_the_best_moment_of_each(films: Path) -> None:
    answer = ask(films, "red", k=2, by="video")
    assert found(answer)[0] == (3, 12.0, 36.0)
    answer = ask(films, "kitchen", k=1, by="video")
    assert found(answer) == [(20, 0.0, 16.0)]
    assert answer.moments[0].moments == 1


def test_a_video_says_how_many_of_its_moments_answer_as_well(tmp_path: Path, embedder: WordEmbedder) -> None:
    cosines = [0.5, 0.0, 0.49, 0.0, 0.3, 0.0, 0.495, 0.0, 0.0]
    film = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": cosine}) for i, cosine in enumerate(cosines)]
    answer = ask(make_library(tmp_path / "l", [*film, *background(40)]), "jumping", by="video", k=1)
    assert (found(answer), answer.moments[0].moments) == ([(0, 0.0, 4.0)], 3)


@pytest.mark.parametrize("by", ["moment", "clip", "video"])
@pytest.mark.parametrize(
    ("where", "clips"),
    [
        ("label = 'jumping'", {2, 7}),
        ("label = 'jumping' and rank = 2", {3}),
        ("label = 'jumping' and score > 0.5 and rank <= 2", {2, 3, 7}),
        ("tag = 'mine' and tags.start_s < 8 and path like '%/b.mp4'", {20, 21}),
        ("tag = 'mine' and score > 0.2", {3, 21}),
        ("tag = 'mine' and score > 0.5", {3}),
        ("tag = 'mine' and tags.score > 0.2 and rank = 1 and labels.score < 0.6", {3, 21}),
        ("duration_s > 60", {20, 21, 22, 23}),
        ("duration_s > 60 and start_s < 8 -- a comment", {20, 21}),
        ("path like '%/a.mp4' and end_s <= 8", {0, 1}),
        ("clip_id in (select clip_id from labels group by clip_id having count(*) = 2)", {3}),
        ("clips.label is null and videos.duration_s = 36", {0, 1, 4, 5, 6, 8}),
    ],
)
def test_only_clips_that_meet_the_condition_are_answered(films: Path, where: str, clips: set[int], by: By) -> None:
    answer = ask(films, "jumping", where=where, k=50, by=by, show_all=True)
    assert answer.passed == len(clips)
    assert {moment.clip_id for moment in answer.moments} <= clips
    if by == "clip":
        assert {moment.clip_id for moment in answer.moments} == clips
    timeline = Searcher(films).scorer.timeline
    for moment in answer.moments:  # whatever a moment shows beyond its best window is shown by clips that passed
        inside = (timeline.start_s >= moment.start_s) & (timeline.end_s <= moment.end_s)
        names = np.array([f"/v/{moment.video_id}.mp4" == moment.path] * len(timeline))
        shown = timeline.ids[inside & names & (timeline.video == timeline.video[timeline.ids == moment.clip_id])]
        assert set(shown.tolist()) <= clips


def test_a_condition_that_nothing_meets_is_no_error(films: Path) -> None:
    assert ask(films, "jumping", where="duration_s > 1e6") == Answer((), 53, 0, 0.0, False)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "lable = 'x'",
            '--where: Binder Error: Referenced column "lable" not found in FROM clause! Candidate bindings: ',
        ),
        ("label = ", '--where: Parser Error: syntax error at or near ")"'),
        ("true; drop table clips", '--where: Parser Error: syntax error at or near ";"'),
        ("clip_id in (select clip_id from read_parquet('x'))", "--where: Permission Error: "),
        ("path::integer > 1", "--where: Conversion Error: "),
        ("'caf\udce9' = label", "where: got bytes that are no UTF-8, expected UTF-8; set the terminal's encoding to it"),
    ],
)
def test_a_condition_that_cannot_be_used_is_one_line(films: Path, where: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        ask(films, "jumping", where=where)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    if "UTF-8" not in message:
        assert isinstance(error.value, QueryError)


def test_several_texts_mean_all_of_them(films: Path) -> None:
    answer = ask(films, "jumping", "red", k=2, by="clip")
    assert found(answer) == [(3, 12.0, 16.0), (7, 28.0, 32.0)]
    assert [moment.score for moment in answer.moments] == pytest.approx([0.3, 0.3], abs=1e-6)


def test_what_is_not_wanted_is_pushed_away(films: Path) -> None:
    assert found(ask(films, "jumping", without=("red",), k=3)) == [(2, 8.0, 12.0), (21, 4.0, 8.0), (3, 12.0, 16.0)]
    scores = [moment.score for moment in ask(films, "jumping", without=("red",), k=4, by="clip").moments]
    assert scores == pytest.approx([0.6, 0.5, 0.29, 0.1], abs=0.01)  # 0.59 and 0.4, less by 0.3 above the median


def test_nothing_stands_out_where_nothing_answers(films: Path) -> None:
    answer = ask(films, "cheering")
    assert (answer.moments, answer.stands_out) == ((), False)
    assert 0 < answer.confidence < 0.35
    everything = ask(films, "cheering", show_all=True)
    assert (len(everything.moments), everything.stands_out) == (10, False)
    assert everything.confidence == answer.confidence


def test_a_small_library_is_never_said_to_hold_nothing(tmp_path: Path, embedder: WordEmbedder) -> None:
    library = make_library(tmp_path / "l", background(29))
    assert len(ask(library, "cheering", k=3).moments) == 3
    assert ask(make_library(tmp_path / "m", background(30)), "cheering", k=3).moments == ()


def test_one_clip_and_none_are_libraries(tmp_path: Path, embedder: WordEmbedder) -> None:
    one = make_library(tmp_path / "one", [Made(1, "a", 0.0, 4.0, {"jumping": 0.5})])
    for by in ("moment", "clip", "video"):
        assert found(ask(one, "jumping", by=by)) == [(1, 0.0, 4.0)]
    assert found(ask(one, like=("1",))) == [(1, 0.0, 4.0)]
    assert ask(one, "jumping", then_text="red") == Answer((), 1, 1, 0.0, False)
    none = make_library(tmp_path / "none", [])
    assert ask(none, "jumping") == Answer((), 0, 0, 0.0, False)


@pytest.fixture
def match(tmp_path: Path, embedder: WordEmbedder) -> Path:
    """Jumps at 0, 20 and 60 s; cheers at 8, 100 and, alone, in another film."""
    jumping = {0: 0.5, 5: 0.6, 15: 0.7}
    cheering = {2: 0.4, 25: 0.6}
    film = [
        Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": jumping.get(i, 0.0), "cheering": cheering.get(i, 0.0)})
        for i in range(30)
    ]
    return make_library(tmp_path / "l", [*film, Made(40, "b", 0.0, 4.0, {"cheering": 0.9}), *background(40)])


def test_one_thing_then_another_in_the_same_video(match: Path) -> None:
    answer = ask(match, "jumping", then_text="cheering", within_s=10.0, k=1)
    (pair,) = answer.moments
    assert (pair.clip_id, pair.start_s, pair.end_s, pair.windows) == (0, 0.0, 12.0, 2)
    assert pair.score == pytest.approx(0.4, abs=1e-6)
    first, second = pair.parts
    assert (first.clip_id, first.start_s, first.end_s) == (0, 0.0, 4.0)
    assert (second.clip_id, second.start_s, second.end_s) == (2, 8.0, 12.0)
    assert (first.score, second.score) == pytest.approx((0.5, 0.4), abs=1e-6)


def test_within_is_from_the_firsts_end_to_the_seconds_start(match: Path) -> None:
    assert found(ask(match, "jumping", then_text="cheering", within_s=36.0, k=1)) == [(15, 60.0, 104.0)]
    assert found(ask(match, "jumping", then_text="cheering", within_s=35.9, k=1)) == [(0, 0.0, 12.0)]
    assert found(ask(match, "jumping", then_text="cheering", k=1)) == [(0, 0.0, 12.0)]
    assert found(ask(match, "jumping", then_text="cheering", within_s=76.0, k=2)) == [(15, 60.0, 104.0), (0, 0.0, 12.0)]


def test_the_order_of_the_two_matters(match: Path) -> None:
    answer = ask(match, "cheering", then_text="jumping", within_s=10.0, k=1, show_all=True)
    assert found(answer) == [(2, 8.0, 24.0)]
    assert ask(match, "cheering", then_text="jumping", within_s=5.0, k=1).moments == ()


def test_both_of_a_pair_meet_the_condition(match: Path) -> None:
    kept = ask(match, "jumping", then_text="cheering", within_s=10.0, where="clip_id != 2", k=5, show_all=True)
    assert 2 not in {part.clip_id for moment in kept.moments for part in moment.parts}
    by_clip = ask(match, "jumping", then_text="cheering", within_s=10.0, k=1, by="clip")
    by_video = ask(match, "jumping", then_text="cheering", within_s=50.0, k=1, by="video")
    assert (found(by_clip), found(by_video)) == ([(0, 0.0, 12.0)], [(15, 60.0, 104.0)])
    assert by_video.moments[0].moments == 1


def test_a_clip_of_the_library_is_an_example_without_a_model(films: Path, embedder: WordEmbedder) -> None:
    answer = ask(films, like=("2",), k=2, by="clip")
    assert found(answer) == [(2, 8.0, 12.0), (3, 12.0, 16.0)]
    assert answer.moments[0].score == pytest.approx(1.0, abs=1e-6)
    assert answer.stands_out
    assert embedder.asked == []


def test_a_text_and_an_example_mean_both(films: Path) -> None:
    assert found(ask(films, "red", like=("2",), k=1, by="clip")) == [(3, 12.0, 16.0)]


@pytest.mark.parametrize("like", ["999", str(2**64), "nowhere.mp4", "nowhere.mp4@1-2"])
def test_an_example_that_is_not_there_is_an_error(films: Path, like: str) -> None:
    with pytest.raises(UsageError, match=r"^like: (the library has no clip|no such file: 'nowhere.mp4')"):
        ask(films, like=(like,))


def test_an_embedder_of_another_size_is_an_error(films: Path, embedder: WordEmbedder) -> None:
    embedder.embed_texts = lambda texts: np.ones((len(texts), 3), np.float32)  # type: ignore[method-assign]
    with pytest.raises(LibraryError, match=r"^embedder: got a model of 3 dimensions, the library holds 6; give"):
        ask(films, "jumping")


def test_many_questions_embed_each_text_once(films: Path, embedder: WordEmbedder) -> None:
    searcher = Searcher(films)
    for texts in (("jumping",), ("jumping", "red"), ("red",)):
        searcher.search(SearchOptions(texts=texts, rerank=0))
    assert [texts[:1] for texts in embedder.asked] == [("jumping",), ("red",)]


@pytest.fixture
def reranks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], list[int]]]:
    """Rerank scores: ten times the cosine, but clip 21 jumps the most and clip 2 not at all. What it was asked."""
    asked: list[tuple[tuple[str, ...], list[int]]] = []

    def rerank_scores(
        clips: SnapshotClips, embedder: WordEmbedder, texts: Sequence[str], rows: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        clip_ids = clips.timeline_at(rows)["clip_id"].tolist()
        asked.append((tuple(texts), clip_ids))
        scores = 10 * clips.scores_at(rows, embedder.embed_texts(texts))
        for row, text in enumerate(texts):
            for column, clip_id in enumerate(clip_ids):
                if text == "jumping" and clip_id in (2, 21):
                    scores[row, column] = 9.0 if clip_id == 21 else 0.0
        return scores

    module = ModuleType("index.search.rerank")
    module.rerank_scores = rerank_scores  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "index.search.rerank", module)
    return asked


def test_rerank_scores_order_the_best(films: Path, reranks: list[tuple[tuple[str, ...], list[int]]]) -> None:
    options = SearchOptions(texts=("jumping",), k=5, by="clip", rerank=4)
    answer = search(films, options)
    assert [moment.clip_id for moment in answer.moments][:3] == [21, 3, 7]
    assert [moment.score for moment in answer.moments][:3] == pytest.approx([0.9, 0.59, 0.4], abs=1e-6)
    ((texts, clips),) = reranks
    assert texts == ("jumping",)
    assert {2, 3, 7, 21} <= set(clips)
    assert len(clips) <= 5 + 50


def test_all_of_a_small_library_is_ordered_by_rerank_scores(
    films: Path, reranks: list[tuple[tuple[str, ...], list[int]]]
) -> None:
    answer = search(films, SearchOptions(texts=("jumping",), k=53, by="clip", show_all=True))
    scores = {moment.clip_id: moment.score for moment in answer.moments}
    assert (scores[21], scores[2]) == pytest.approx((0.9, 0.0), abs=1e-6)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert len(scores) == 53


def test_moments_grow_from_rerank_scores(films: Path, reranks: list[tuple[tuple[str, ...], list[int]]]) -> None:
    answer = search(films, SearchOptions(texts=("jumping",), k=3))
    assert found(answer) == [(21, 4.0, 8.0), (3, 12.0, 16.0), (7, 28.0, 32.0)]
    pairs = search(films, SearchOptions(texts=("jumping",), then_text="red", k=1))
    assert found(pairs)[0][0] == 3


def test_rerank_0_asks_for_no_rerank_scores(films: Path, reranks: list[tuple[tuple[str, ...], list[int]]]) -> None:
    assert found(ask(films, "jumping", k=1)) == [(2, 8.0, 16.0)]
    assert reranks == []


@pytest.mark.parametrize("has_score", [True, False])
def test_a_library_without_features_says_so_once_and_goes_on(
    films: Path, embedder: WordEmbedder, has_score: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says nothing where the embedder has no rerank score, for which features could be kept."""
    if has_score:
        monkeypatch.setattr(embedder, "rerank_scores", lambda *given: pytest.fail("nothing to score"), raising=False)
    module = ModuleType("index.search.rerank")
    module.rerank_scores = lambda *arguments: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "index.search.rerank", module)
    said: list[str] = []
    searcher = Searcher(films, say=said.append)
    for _ in range(2):
        assert found(searcher.search(SearchOptions(texts=("jumping",), k=1))) == [(2, 8.0, 16.0)]
    told = ["this library has no features for the rerank score; answers are in the order of the dot product"]
    assert said == (told if has_score else [])


def test_rerank_scores_on_another_scale_can_be_compared(
    films: Path, reranks: list[tuple[tuple[str, ...], list[int]]], embedder: WordEmbedder
) -> None:
    """Clips beyond the best N keep their dot product; where the two are to be compared, they are on one scale."""
    scorer = Searcher(films).scorer
    scores = scorer.score(scorer.encoder.encode(Question(("red",))))
    embedder.logit_scale = 0.1
    reranked = scorer.rerank(scores, np.flatnonzero(np.isin(scorer.timeline.ids, [3, 4])))
    assert reranked.calibrated == pytest.approx(scores.calibrated, abs=1e-5)
    assert sorted(reranked.score[reranked.reranked].tolist()) == pytest.approx([30, 30], abs=1e-4)
