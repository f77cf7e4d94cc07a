from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer, VideoMAEForVideoClassification, XCLIPModel

from cli import main
from demo.checkpoints import write_embedder
from jobs.datasets.decode import decode_ahead, decode_clips
from jobs.datasets.examples import Dataset, Example
from jobs.evaluate import metrics
from jobs.evaluate import retrieval as matching
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import (
    EvaluateOptions,
    choose_split,
    middle_span,
    named_pair,
    spread_spans,
    three_crops,
    uncropped,
)
from jobs.evaluate.model_report import results_json, results_text, write_results
from jobs.evaluate.model_results import ClassifierResults, ClassRow, EmbedderResults, KindRow, PairRow, Retrieval
from jobs.output_folder import check_folder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.registry import load_classifier
from schemas.errors import JobError, ModelError, UsageError
from schemas.models import Geometry, ModelInput
from schemas.records import Span
from tests.helpers.videos import number_in, write_video

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LABELS = [f"made-up action {number:02d}" for number in range(12)]
SIZES = {"a": (50, (160, 120)), "b": (150, (120, 160)), "c": (90, (96, 96)), "d": (140, (160, 120))}

SINGLE = ModelInput(16, Geometry(64, (64, 64)))
MIDDLES = {"a": (0.0, 2.0), "b": (1.0, 5.0), "c": (0.0, 3.6), "d": (0.8, 4.8)}


def table(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of 2 to 6 s, wide, high and square; and a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for name, (num_frames, size) in SIZES.items():
        write_video(folder / f"{name}.mp4", num_frames, size=size)
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def expected(videos: Path, classifier_folder: Path) -> NDArray[np.float64]:
    """Probabilities of the four videos' middles, by a plain forward pass."""
    frames = [decoded(videos / f"{name}.mp4", [MIDDLES[name]], SINGLE) for name in SIZES]
    return probabilities(classifier_folder, np.concatenate(frames))


@pytest.fixture(scope="module")
def labelled(videos: Path, expected: NDArray[np.float64]) -> Path:
    """The four as a test split, labelled with the class that is 1st, 2nd, 3rd and 7th for the model; others beside them."""
    order = (-expected).argsort(axis=1)
    rows = [
        {"path": f"{name}.mp4", "label": LABELS[order[number, place]], "split": "test"}
        for number, (name, place) in enumerate(zip(SIZES, (0, 1, 2, 6), strict=True))
    ]
    others = [("broken.mp4", LABELS[0], "test"), ("e.mp4", "unheard of", "test"), ("f.mp4", LABELS[1], "train")]
    for name in ("e.mp4", "f.mp4"):
        write_video(videos / name, 10)
    return table(videos / "labels.csv", [*rows, *(dict(zip(rows[0], row, strict=True)) for row in others)])


@pytest.fixture(scope="module")
def captioned(videos: Path) -> Path:
    """The four with their facts; nothing else would fit the longer captions."""
    rows = [
        {"path": f"{name}.mp4", "caption": caption, "facts": facts}
        for name, caption, facts in (
            ("a", "someone runs", "do=run"), ("a", "a red runner", "do=run;hat=red"),
            ("b", "sitting", "do=sit"), ("b", "a seat in red", "do=sit;hat=red"), ("b", "red", "hat=red"),
            ("c", "she is running", "do=run"), ("c", "running in blue", "do=run;hat=blue"), ("c", "all blue", "hat=blue"),
            ("d", "sitting", "do=sit"), ("d", "a blue one on a seat", "do=sit;hat=blue"),
        )
    ]  # fmt: skip
    return table(videos / "captions.csv", rows)


def pixels(frames: NDArray[np.uint8]) -> torch.Tensor:
    """[clips, num_frames, 3, height, width] by the definition."""
    return torch.from_numpy(((frames / 255 - MEAN) / STD).transpose(0, 1, 4, 2, 3)).float()


def decoded(path: Path, spans: Sequence[tuple[float, float]], wanted: ModelInput) -> NDArray[np.uint8]:
    """uint8 [spans, num_frames, height, width, 3]."""
    frames, problem = decode_clips(Example(path=str(path)), lambda start_s, end_s: [Span(*span) for span in spans], wanted)
    assert frames is not None
    assert problem is None
    return frames


@torch.inference_mode()
def probabilities(folder: Path, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    model = VideoMAEForVideoClassification.from_pretrained(folder).eval()
    answer: NDArray[np.float64] = model(pixels(frames)).logits.softmax(-1).double().numpy()
    return answer


@pytest.fixture
def seen_scores(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float64]]:
    """The scores that top-1 is taken of."""
    found: list[NDArray[np.float64]] = []

    def keep(scores: NDArray[np.float64], targets: NDArray[np.int64], k: int) -> float:
        found.append(scores)
        return metrics.top_k_accuracy.__wrapped__(scores, targets, k)  # type: ignore[attr-defined,no-any-return]

    keep.__wrapped__ = metrics.top_k_accuracy  # type: ignore[attr-defined]
    monkeypatch.setattr(metrics, "top_k_accuracy", keep)
    return found


def test_one_view_is_the_plain_forward_pass_of_the_middle(
    classifier_folder: Path, labelled: Path, expected: NDArray[np.float64], seen_scores: list[NDArray[np.float64]]
) -> None:
    told: list[str] = []
    done: list[str] = []
    with labelled.open(encoding="utf-8") as file:
        targets = [LABELS.index(row["label"]) for row in list(csv.DictReader(file))[:4]]
    one, other = targets[0], targets[3]
    options = EvaluateOptions(batch_size=3, pairs=(f"{LABELS[one]}, {LABELS[other]}",))
    found = evaluate_model(
        str(classifier_folder), labelled, options=options, say=told.append, on_progress=lambda one: done.append(str(one))
    )
    assert isinstance(found, ClassifierResults)
    assert np.allclose(seen_scores[0], expected, atol=1e-5)
    best = expected.argmax(axis=1).tolist()
    assert (found.top1, found.top5, found.clips) == (0.25, 0.75, 4)
    right = [
        row[target] > row[one + other - target]
        for row, target in zip(expected, targets, strict=True)
        if target in (one, other)
    ]
    assert found.pairs == (PairRow(LABELS[one], LABELS[other], len(right), float(np.mean(right))),)
    counts = {(LABELS[row], LABELS[column]): 0 for row in {*targets, *best} for column in {*targets, *best}}
    for row, column in zip(targets, best, strict=True):
        counts[LABELS[row], LABELS[column]] += 1
    assert found.labels == tuple(sorted(LABELS[number] for number in {*targets, *best}))
    assert found.matrix == tuple(tuple(counts[row, column] for column in found.labels) for row in found.labels)
    shares = [counts[LABELS[row], LABELS[row]] / targets.count(row) for row in sorted(set(targets))]
    assert [(row.label, row.clips, row.top1) for row in found.classes] == [
        (LABELS[row], targets.count(row), share) for row, share in zip(sorted(set(targets)), shares, strict=True)
    ]
    assert found.mean_class == pytest.approx(np.mean(shares))
    for of_class in found.classes:
        wrong = {label: counts[of_class.label, label] for label in found.labels if label != of_class.label}
        assert of_class.confused_with == (max(wrong, key=wrong.__getitem__) if any(wrong.values()) else None)
    assert found.unknown == {"unheard of": 1}
    (left_out,) = found.left_out
    assert left_out[0] == str(labelled.parent / "broken.mp4")
    assert left_out[1].startswith("no video container that FFmpeg can read")
    assert found.why.startswith("the test split; splits stated by the CSV's split column")
    assert told[0] == f"5 examples: {found.why}"
    assert told[1] == f"left out: {': '.join(left_out)}"
    assert done[-1].startswith("measured 4 of 5 examples, ")


def test_a_classifier_is_shown_as_many_frames_as_it_is_asked_for(
    classifier_folder: Path, labelled: Path, seen_scores: list[NDArray[np.float64]]
) -> None:
    evaluate_model(str(classifier_folder), labelled, options=EvaluateOptions(frames=32))
    shown = decoded(labelled.parent / "a.mp4", [(0, 2)], ModelInput(32, Geometry(64, (64, 64))))
    checkpoint = replace(find_checkpoint(str(classifier_folder), "classifier"), num_frames=32)
    (labels,) = load_classifier(checkpoint, "fp32").classify(pixels(shown), len(LABELS))
    scores = [dict(labels)[label] for label in LABELS]
    assert np.allclose(seen_scores[0][list(SIZES).index("a")], scores, atol=1e-5)


def test_several_views_are_the_mean_of_fifteen(
    classifier_folder: Path, labelled: Path, seen_scores: list[NDArray[np.float64]]
) -> None:
    found = evaluate_model(str(classifier_folder), labelled, options=EvaluateOptions(views="multi", batch_size=7))
    assert isinstance(found, ClassifierResults)
    assert found.views == "multi"
    whole = ModelInput(16, Geometry(64, None))
    # 6 s and 5.6 s hold five windows of 4 s; wide pictures become 85 x 64, high ones 64 x 85
    a = decoded(labelled.parent / "a.mp4", [(0, 2)], whole)
    b = decoded(labelled.parent / "b.mp4", [(0, 4), (0.5, 4.5), (1, 5), (1.5, 5.5), (2, 6)], whole)
    d = decoded(labelled.parent / "d.mp4", [(0, 4), (0.4, 4.4), (0.8, 4.8), (1.2, 5.2), (1.6, 5.6)], whole)
    views = {
        "a": [a[:, :, :, left : left + 64] for left in (0, 10, 21)],
        "b": [b[:, :, top : top + 64] for top in (0, 10, 21)],
        "d": [d[:, :, :, left : left + 64] for left in (0, 10, 21)],
    }
    for number, name in enumerate(SIZES):
        if name in views:
            expected = probabilities(classifier_folder, np.concatenate(views[name])).mean(axis=0)
            assert np.allclose(seen_scores[0][number], expected, atol=1e-5), name


def test_a_number_of_views_is_the_mean_over_parts_of_the_middle_clip(
    classifier_folder: Path, labelled: Path, seen_scores: list[NDArray[np.float64]]
) -> None:
    found = evaluate_model(str(classifier_folder), labelled, options=EvaluateOptions(views=3, batch_size=2))
    assert isinstance(found, ClassifierResults)
    assert found.views == "3"
    part_s = 64 / 30  # a VideoMAE's 16 of every fourth frame, 30 a second
    for number, name in enumerate(SIZES):
        begin_s, end_s = MIDDLES[name]
        starts = [begin_s, (begin_s + end_s - part_s) / 2, end_s - part_s]
        parts = [(start_s, start_s + part_s) for start_s in starts] if name != "a" else [MIDDLES["a"]]  # 2 s are one part
        shown = probabilities(classifier_folder, decoded(labelled.parent / f"{name}.mp4", parts, SINGLE))
        assert np.allclose(seen_scores[0][number], shown.mean(axis=0), atol=1e-5), name


def test_shuffled_frames_are_the_same_in_another_order(
    classifier_folder: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.models import pixels as owner

    shown: list[NDArray[np.uint8]] = []
    plain: Callable[..., torch.Tensor] = owner.make_pixels

    def keep(frames: NDArray[np.uint8], *rest: Any) -> torch.Tensor:
        shown.append(frames)
        return plain(frames, *rest)

    monkeypatch.setattr(owner, "make_pixels", keep)
    runs = [EvaluateOptions(), EvaluateOptions(shuffle=True), EvaluateOptions(shuffle=True)]
    results = [evaluate_model(str(classifier_folder), labelled, options=options) for options in runs]
    assert [found.shuffled for found in results] == [False, True, True]
    numbers = [[[number_in(frame) for frame in clip] for clip in frames] for frames in shown]
    for clip, shuffled in zip(numbers[0], numbers[1], strict=True):
        assert clip == sorted(clip) == sorted(shuffled) != shuffled
    assert numbers[1] == numbers[2]
    assert results[1] == results[2]


def own_scores(folder: Path, videos: Path, captions: Sequence[str]) -> NDArray[np.float32]:
    """[2, clips, captions]: transformers' own forward, and scaled cosines of separately embedded clips and captions."""
    wanted = ModelInput(8, Geometry(64, (64, 64)))
    clips = pixels(np.concatenate([decoded(videos / f"{name}.mp4", [MIDDLES[name]], wanted) for name in SIZES]))
    model = XCLIPModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(list(captions), padding=True, return_tensors="pt")
    with torch.inference_mode():
        exact = model(**tokens, pixel_values=clips).logits_per_video
        video, text = model.get_video_features(clips).pooler_output, model.get_text_features(**tokens).pooler_output
        plain = model.logit_scale.exp() * torch.nn.functional.cosine_similarity(video[:, None], text[None], dim=-1)
    both: NDArray[np.float32] = torch.stack([exact, plain]).numpy()
    return both


def test_captions_look_for_their_clips_and_facts_are_named(
    tmp_path: Path, captioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_embedder(tmp_path / "embedder", seed=3)
    tables: list[NDArray[np.float32]] = []
    plain_recall = metrics.recall_at

    def keep(scores: NDArray[np.float32], k: int) -> float:
        tables.append(scores)
        return plain_recall(scores, k)

    monkeypatch.setattr(metrics, "recall_at", keep)
    options = EvaluateOptions(split="all", captions=4, draws=2, batch_size=3, pairs=("run,sit",))
    found = evaluate_model(str(folder), captioned, options=options)
    assert isinstance(found, EmbedderResults)
    assert (found.clips, found.captions, found.wanted, found.unspoken) == (4, 4, 4, ())
    own = ["a red runner", "a seat in red", "running in blue", "a blue one on a seat"]
    prompts = ["she is running", "someone runs", "sitting", "all blue", "red"]
    orders = [np.random.default_rng((0, draw)).permutation(4) for draw in (0, 1)]
    for number, scores in enumerate(own_scores(folder, captioned.parent, [*own, *prompts])):
        by_caption = scores[:, :4].T
        for draw, order in enumerate(orders):
            for k in range(3):
                assert np.allclose(tables[number * 6 + k * 2 + draw], by_caption[np.ix_(order, order)], atol=1e-4)
        ranks = [sorted(row, reverse=True).index(row[i]) + 1 for i, row in enumerate(by_caption.tolist())]
        name = ("exact", "plain")[number]
        assert found.retrieval[number] == Retrieval(name, ranks.count(1) / 4, 1.0, 1.0, float(np.median(ranks)))
        asked = scores[:, 4:]
        do = np.stack([asked[:, :2].mean(axis=1), asked[:, 2]], axis=1).argmax(axis=1)
        hat = asked[:, 3:].argmax(axis=1)
        shares = [float((do == [0, 1, 0, 1]).mean()), float((hat == [1, 1, 0, 0]).mean())]
        assert [(row.kind, row.values, row.clips, getattr(row, name)) for row in found.kinds] == [
            ("do", 2, 4, shares[0]), ("hat", 2, 4, shares[1])
        ]  # fmt: skip
        (pair,) = found.pairs
        assert (pair.first, pair.second, pair.clips, (pair.right, pair.plain)[number]) == ("run", "sit", 4, shares[0])


def test_without_facts_only_drawn_examples_are_decoded_and_the_broken_are_missed(
    tmp_path: Path, embedder_folder: Path, videos: Path
) -> None:
    names = [*SIZES, "broken"]
    rows = [{"path": str(videos / f"{name}.mp4"), "caption": f"film {name}", "split": "val"} for name in names]
    data = table(tmp_path / "data.csv", [*rows, {"path": str(videos / "a.mp4"), "caption": "film a", "split": "val"}])
    found = evaluate_model(str(embedder_folder), data, options=EvaluateOptions(draws=1))
    assert isinstance(found, EmbedderResults)
    assert (found.split, found.clips, found.captions, found.wanted) == ("val", 4, 4, 200)
    assert found.why == "the val split, since there is no test split; splits stated by the CSV's split column"
    assert (found.kinds, found.pairs, len(found.left_out)) == ((), (), 1)
    seen: list[str] = []
    few = evaluate_model(str(embedder_folder), data, options=EvaluateOptions(draws=1, captions=2, seed=2), say=seen.append)
    assert few.clips <= 2
    assert seen[0] == f"2 examples: {few.why}"


def test_facts_are_named_by_the_mean_of_their_captions() -> None:
    prompts = {"do": {"run": ("a", "b"), "sit": ("c",), "fly": ("d",)}, "hat": {"red": ("e",), "blue": ("f", "g")}}
    facts = [frozenset(("do=run", "hat=red")), frozenset(("do=sit",)), frozenset(("do=run", "do=sit", "hat=blue"))]
    exact = [
        [0, 9, 4, 0, 1, 0, 0],  # run, as the mean of 0 and 9 is more than 4; red
        [9, 0, 4, 0, 0, 0, 0],  # run, and wrong
        [0, 0, 0, 5, 3, 9, 0],  # fly, and wrong, though run and sit are both true; blue
    ]
    plain = [[5, 0, 4, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0]]
    found = matching._zero_shot(
        prompts, [(0, "sit", "run"), (1, "red", "blue")], facts, np.array([exact, plain], np.float32)
    )
    assert found["kinds"] == (KindRow("do", 3, 3, 1 / 3, 2 / 3), KindRow("hat", 2, 2, 1.0, 0.0))
    assert found["pairs"] == (PairRow("sit", "run", 2, 0.5, 0.5), PairRow("red", "blue", 2, 1.0, 0.0))


class DieOnLonger:
    """Takes a process down with videos of more than 5.8 s; unpickled without this module, which is slow to import."""

    def __reduce__(self) -> tuple[object, ...]:
        span = "[__import__('schemas.records').records.Span(start_s, end_s)]"
        return eval, (f"lambda start_s, end_s: __import__('os')._exit(1) if end_s > 5.8 else {span}",)

    def __call__(self, start_s: float, end_s: float) -> list[Span]:
        raise AssertionError("runs in another process alone")


def test_a_decoder_that_dies_costs_one_example(videos: Path) -> None:
    examples = [Example(path=str(videos / f"{name}.mp4")) for name in (*SIZES, *SIZES)]
    found = list(decode_ahead(examples, DieOnLonger(), ModelInput(2, Geometry(32, (32, 32)))))
    assert [example for example, _ in found] == examples
    assert [clips is None for _, (clips, _) in found] == [False, True, False, False] * 2
    assert found[1][1] == (None, "crashed the decoder")


def test_windows_lie_in_the_middle_or_spread_evenly() -> None:
    assert middle_span(0, 10, 4) == [(3, 7)]
    assert middle_span(2, 5, 4) == [(2, 5)]
    assert spread_spans(0, 10, 4) == [(0, 4), (1.5, 5.5), (3, 7), (4.5, 8.5), (6, 10)]
    assert spread_spans(1, 6, 4)[::4] == [(1, 5), (2, 6)]
    assert spread_spans(0, 4, 4) == [(0, 4)]


def test_crops_lie_along_the_longer_edge() -> None:
    picture = np.zeros((1, 6, 11, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(11), np.arange(6)[:, None]
    corners = [crop[0, 0, 0].tolist()[:2] for crop in three_crops(picture, (4, 4))]
    assert corners == [[0, 1], [3, 1], [7, 1]]
    high = picture.transpose(0, 2, 1, 3)
    assert [crop[0, 0, 0].tolist()[:2] for crop in three_crops(high, (4, 4))] == [[0, 1], [3, 1], [7, 1]]
    assert [crop.shape for crop in three_crops(picture[:, :4, :4], (4, 4))] == [(1, 4, 4, 3)]


@pytest.mark.parametrize(
    ("geometry", "kept", "crop"),
    [
        (Geometry(224, (224, 224)), Geometry(224, None), (224, 224)),
        (Geometry(292, (256, 256), "bicubic"), Geometry(292, None, "bicubic"), (256, 256)),
        (Geometry(64, (80, 80)), Geometry(80, None), (80, 80)),
        (Geometry((90, 120), None), Geometry((90, 120), None), (90, 120)),
        (Geometry((90, 120), (100, 100)), Geometry((100, 120), None), (100, 100)),
        (Geometry(None, (64, 64)), Geometry(64, None), (64, 64)),
    ],
)
def test_uncropped_pictures_hold_the_crop(geometry: Geometry, kept: Geometry, crop: tuple[int, int]) -> None:
    assert uncropped(geometry) == (kept, crop)


def test_the_split_is_test_or_else_val_or_else_all() -> None:
    def choose(splits: str, asked: str | None = None) -> tuple[str, str, int]:
        examples = tuple(Example(path=str(i), split=split) for i, split in enumerate(splits.split()))  # type: ignore[arg-type]
        about, chosen = choose_split(Dataset(source="D", examples=examples, how_split="stated"), asked)
        return about["split"], about["why"], len(chosen)

    assert choose("train val test test") == ("test", "the test split; splits stated", 2)
    assert choose("train val") == ("val", "the val split, since there is no test split; splits stated", 1)
    assert choose("train train") == ("all", "all of it, since there is neither a test nor a val split; splits stated", 2)
    assert choose("train val test", "train") == ("train", "as --split train says; splits stated", 1)
    assert choose("train val test", "all") == ("all", "as --split all says; splits stated", 3)
    with pytest.raises(UsageError) as caught:
        choose("train val val", "test")
    assert str(caught.value) == "split test: D has no example in it, expected train (1), val (2), all; take another"


CLASSIFIED = ClassifierResults(
    model="m@12345678", source="data", split="test", why="the test split; splits stated by the folders", clips=3,
    left_out=(("x.mp4", "empty"),), damaged=(("y.mp4", "cut off"),), views="single", top1=2 / 3, top5=1.0, mean_class=0.75,
    classes=(ClassRow("jump", 2, 0.5, "run"), ClassRow("run", 1, 1.0, None)),
    pairs=(PairRow("jump", "run", 3, 2 / 3), PairRow("jump", "sit", 0, float("nan"))),
    labels=("jump", "run"), matrix=((1, 1), (0, 1)), unknown={"fly": 2, "swim": 1},
)  # fmt: skip
CLASSIFIED_TEXT = """\
m@12345678 on data
measured: the test split; splits stated by the folders
3 examples, single view
top-1 0.667, top-5 1.000, mean class accuracy 0.750

class  examples  top-1  most confused with
-----  --------  -----  ------------------
jump   2         0.500  run
run    1         1.000

within a pair  examples  right
-------------  --------  -----
jump / run     3         0.667
jump / sit     0

left out, as the model does not know their labels: 3: fly (2), swim (1)
left out: x.mp4: empty
damaged in part: y.mp4: cut off"""

EMBEDDED = EmbedderResults(
    model="m@12345678", source="data.csv", split="val", why="as --split val says; splits stated", clips=90, shuffled=True,
    captions=50, wanted=200, draws=3,
    retrieval=(Retrieval("exact", 0.5, 0.75, 0.9, 1.5), Retrieval("plain", 0.4, 0.6, 0.8, 2.0)),
    kinds=(KindRow("action", 16, 90, 0.5, 0.25),), pairs=(PairRow("run", "sit", 9, 1.0, 0.5),), unspoken=("action=fly",),
)  # fmt: skip
EMBEDDED_TEXT = """\
m@12345678 on data.csv
measured: as --split val says; splits stated
90 examples, frames shown in a random order
clips found by caption: 50 captions (200 were asked for; more cannot be told apart or decoded), mean of 3 draws

score  R@1    R@5    R@10   median rank
-----  -----  -----  -----  -----------
exact  0.500  0.750  0.900  1.5
plain  0.400  0.600  0.800  2.0

fact named  values  examples  exact  plain  by chance
----------  ------  --------  -----  -----  ---------
action      16      90        0.500  0.250  0.062

within a pair  examples  exact  plain
-------------  --------  -----  -----
run / sit      9         1.000  0.500

not asked for, as no caption speaks of them alone: action=fly"""


def test_results_are_printed_as_tables() -> None:
    assert results_text(CLASSIFIED) == CLASSIFIED_TEXT
    assert results_text(EMBEDDED) == EMBEDDED_TEXT


def test_results_are_kept_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "results"
    check_folder(folder)
    write_results(CLASSIFIED, folder, "vidsift evaluate-model m data")
    assert sorted(path.name for path in folder.iterdir()) == ["confusion.png", "results.json", "results.md"]
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert found.pop("command") == "vidsift evaluate-model m data"
    assert found == json.loads(json.dumps(results_json(CLASSIFIED)))
    assert (found["top1"], found["matrix"], found["pairs"][1]["right"]) == (2 / 3, [[1, 1], [0, 1]], None)
    assert found["left_out"] == [{"path": "x.mp4", "reason": "empty"}]
    page = (folder / "results.md").read_text(encoding="utf-8")
    assert page.startswith(
        f"# m@12345678\n\n    vidsift evaluate-model m data\n\n```\n{CLASSIFIED_TEXT}\n```\n\nOne clip of each"
    )
    assert page.endswith("(confusion.png)\n")
    assert Image.open(folder / "confusion.png").width > 100
    with pytest.raises(UsageError) as caught:
        check_folder(folder)
    assert str(caught.value) == f"output {folder}: is not empty, and nothing is overwritten; give another folder"
    write_results(EMBEDDED, tmp_path, "vidsift evaluate-model m data.csv")
    assert f"```\n{EMBEDDED_TEXT}\n```\n\nEach caption looks for" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert not (tmp_path / "confusion.png").exists()


def test_the_command_measures_prints_and_keeps(tmp_path: Path, classifier_folder: Path, labelled: Path) -> None:
    arguments = ["evaluate-model", str(classifier_folder), str(labelled), "--output", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["clips"], found["split"], len(found["left_out"])) == (4, "test", 1)
    kept = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {**found, "command": kept["command"]} == kept
    assert "left out: " in done.stderr
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "is not empty, and nothing is overwritten" in again.stderr


def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, videos: Path
) -> None:
    def refusal(model: Path, rows: list[dict[str, str]], **options: Any) -> str:
        data = table(tmp_path / "data.csv", [{"path": str(videos / "a.mp4"), "split": "test", **row} for row in rows])
        with pytest.raises((UsageError, ModelError)) as caught:
            evaluate_model(str(model), data, kind=options.pop("kind", None), options=EvaluateOptions(**options))
        return str(caught.value).replace(str(tmp_path), "T")

    times = [{"start_s": "0", "end_s": "1"}, {"start_s": "1", "end_s": "2"}]
    known = [{**time, "label": label} for time, label in zip(times, LABELS, strict=False)]
    listed = ", ".join(map(repr, LABELS))
    assert refusal(classifier_folder, [{**row, "label": f"no {i}"} for i, row in enumerate(known)]) == (
        f"data T/data.csv: got the labels 'no 0', 'no 1', of which the model knows none, expected {listed}; give the "
        "data these names, or measure a model that was taught the data's"
    )
    assert refusal(classifier_folder, known, pairs=("run,sit",)) == (
        f"pairs: got 'run,sit', expected two of the model's labels with a comma between ({listed}); take two of them, "
        "or leave it out"
    )
    said = [{**time, "caption": "the same"} for time in times]
    assert refusal(embedder_folder, said, pairs=("run,sit",)) == (
        "pairs: got 'run,sit', expected two of the values of one kind of fact with a comma between (there are none); "
        "take two of them, or leave it out"
    )
    assert refusal(embedder_folder, said) == (
        "data T/data.csv: no two examples of split test have captions that fit one of them alone; give more examples, or "
        "another `split`"
    )
    assert refusal(embedder_folder, said, views="multi") == (
        "views multi: got an embedder, expected classifiers; leave it out"
    )
    assert refusal(embedder_folder, said, views=2) == "views 2: got an embedder, expected classifiers; leave it out"
    assert refusal(classifier_folder, known, views=0) == "views: got 0, expected 1 to 32"
    assert refusal(embedder_folder, said, frames=32) == "frames 32: got an embedder, expected classifiers; leave it out"
    assert refusal(classifier_folder, known, frames=15) == "frames: got 15, expected 2 to 256 in multiples of 2"
    assert refusal(classifier_folder, known, kind="embedder").startswith("embedder ")
    assert refusal(embedder_folder, known, kind="classifier").startswith("classifier ")
    for options, message in (
        ({"captions": 1}, "captions: got 1, expected 2 to 100000"),
        ({"draws": 0}, "draws: got 0, expected 1 to 1000"),
        ({"window_s": 0.0}, "window_s: got 0, expected 0.1 to 3600"),
    ):
        assert refusal(classifier_folder, known, **options) == message


def test_names_with_commas_make_pairs() -> None:
    groups = [["left", "right"], ["up, fast", "down"]]
    assert named_pair("up, fast,down", groups, "x") == (1, "up, fast", "down")
    assert named_pair("left , right", groups, "x") == (0, "left", "right")
    for wrong in ("left,down", "left,left", "left"):  # not of one kind, the same, one alone
        with pytest.raises(UsageError):
            named_pair(wrong, groups, "x")


def test_data_that_is_damaged_altogether_ends_it(tmp_path: Path, classifier_folder: Path) -> None:
    rows = [{"path": f"{number}.mp4", "label": LABELS[number], "split": "test"} for number in range(2)]
    for row in rows:
        (tmp_path / row["path"]).write_text("no video")
    with pytest.raises(JobError, match=r"^not one of 2 examples can be decoded; .*0\.mp4: no video container"):
        evaluate_model(str(classifier_folder), table(tmp_path / "data.csv", rows))
