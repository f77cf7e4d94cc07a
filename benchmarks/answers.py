"""How far a library's answers can be trusted, on the demo's world: queries that nothing answers, sequences, own labels.

    python -m benchmarks.answers WORLD --library LIBRARY --classifier pocket --embedder pocket

WORLD is rendered with seed 2 where it does not exist, and LIBRARY made of it. Prints a table:

- nothing here: captions of scenes that the long films show, and captions of combinations of action, shirt and place that
  they do not; the area under the ROC curve of the search's confidence, and what the command would have said.
- moments: of the scenes in the long films, by their captions, how often the first answer of the whole library is a moment
  that shows the same action, shirt and place; `vidsift evaluate` knows no facts, and wants the scene that was captioned.
- A, then B: for two scenes in a row of one film, ``A --then B``; how often the first answer is these two.
- tag against teach: the action of each short clip by the highest score, with the names alone and from 5 marked clips each.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demo.captions import caption
from demo.measure import TEST_CLIPS, TEST_FILMS, TEST_SEED, make_world
from demo.tour import STRIDE_S, WINDOW_S
from demo.world import BACKGROUNDS, BASE_ACTIONS, SHIRTS
from index.search.confidence import MIN_CONFIDENCE
from index.search.searcher import Searcher
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.evaluate.moment_metrics import temporal_iou
from jobs.ingest.ingest import ingest
from jobs.tag.tag import tag, untag
from jobs.tag.teach import teach
from schemas.options import IngestOptions
from schemas.records import Span
from schemas.search import Part, SearchOptions

Scene = dict[str, str]
_FILMS = "path like '%/films/%'"
_QUERIES = 200


def read_scenes(world: Path) -> list[Scene]:
    """The rows of truth.csv, with real paths."""
    with (world / "truth.csv").open(newline="", encoding="utf-8") as file:
        return [row | {"path": os.path.realpath(world / row["path"])} for row in csv.DictReader(file)]


def nothing_here(searcher: Searcher, films: Sequence[Scene], rerank: int) -> list[tuple[str, float]]:
    """Confidence as a judge of presence."""
    rng = random.Random(0)
    shown = {_facts(film) for film in films}
    absent = [what for what in itertools.product(BASE_ACTIONS, SHIRTS, BACKGROUNDS) if what not in shown]
    sure: dict[bool, list[float]] = {}
    for present, kinds in ((True, sorted(shown)), (False, absent)):
        asked = rng.sample(kinds, min(_QUERIES, len(kinds)))
        texts = [caption(dict(zip(("action", "shirt", "background"), what, strict=True)), rng) for what in asked]
        options = [SearchOptions(texts=(text,), k=1, where=_FILMS, rerank=rerank, show_all=True) for text in texts]
        sure[present] = [searcher.search(caption_options).confidence for caption_options in options]
    return [
        (f"nothing here: ROC AUC, {len(sure[True])} present, {len(sure[False])} absent", roc_auc(sure[True], sure[False])),
        ("  present ones answered", float(np.mean(np.array(sure[True]) >= MIN_CONFIDENCE))),
        ("  absent ones told so", float(np.mean(np.array(sure[False]) < MIN_CONFIDENCE))),
    ]


def roc_auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The share of pairs that are in the right order; equal ones count half."""
    difference = np.subtract.outer(np.array(positive), np.array(negative))
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def moments(searcher: Searcher, scenes: Sequence[Scene], rerank: int) -> list[tuple[str, float]]:
    """First answers from the whole library, right by the facts (IoU >= 0.5)."""
    places: dict[tuple[str, ...], list[tuple[str, Span]]] = defaultdict(list)
    for scene in scenes:
        places[_facts(scene)].append((scene["path"], Span(float(scene["start_s"]), float(scene["end_s"]))))
    films, right = [scene for scene in scenes if "/films/" in scene["path"]], []
    for scene in films:
        options = SearchOptions(texts=(scene["caption"],), k=1, rerank=rerank, show_all=True)
        (first,) = searcher.search(options).moments
        path, first_span = os.path.realpath(first.path), Span(first.start_s, first.end_s)
        right.append(any(path == where and temporal_iou(first_span, span) >= 0.5 for where, span in places[_facts(scene)]))
    return [(f"moments: recall@1 of {len(films)}, any of the same facts", float(np.mean(right)))]


def _facts(scene: Scene) -> tuple[str, ...]:
    return scene["action"], scene["shirt"], scene["background"]


def sequences(searcher: Searcher, films: Sequence[Scene], rerank: int) -> list[tuple[str, float]]:
    """A, then B, of scenes in a row that no other film shows in a row."""
    rows = [(a, b) for a, b in itertools.pairwise(films) if a["path"] == b["path"]]
    looks = Counter(_look(pair) for pair in rows)
    pairs = [pair for pair in rows if looks[_look(pair)] == 1]
    right = []
    for first, second in pairs:
        first_text, second_text = (f"someone in a {scene['shirt']} shirt {scene['action']}" for scene in (first, second))
        options = SearchOptions(texts=(first_text,), then_text=second_text, within_s=10.0, k=1, rerank=rerank, show_all=True)
        moments = searcher.search(options).moments
        right.append(bool(moments) and moments[0].path == first["path"] and _meets(moments[0].parts, (first, second)))
    return [(f"A, then B: recall@1 of {len(pairs)}", float(np.mean(right)))]


def _look(pair: tuple[Scene, Scene]) -> tuple[str, ...]:
    return tuple(scene[fact] for scene in pair for fact in ("action", "shirt"))


def _meets(parts: Sequence[Part], scenes: Sequence[Scene]) -> bool:
    """Whether each part overlaps its scene by IoU >= 0.3."""
    spans = [Span(float(scene["start_s"]), float(scene["end_s"])) for scene in scenes]
    return all(temporal_iou(Span(part.start_s, part.end_s), span) >= 0.3 for part, span in zip(parts, spans, strict=True))


def own_labels(library: Path, clips: Sequence[Scene]) -> list[tuple[str, float]]:
    """Top-1 over the actions, by names and by 5 examples each, on the clips that were not marked; means of 3 draws."""
    truth = {scene["path"]: scene["action"] for scene in clips}
    of_action: dict[str, list[Scene]] = defaultdict(list)
    for scene in clips:
        of_action[scene["action"]].append(scene)
    shares: dict[str, list[float]] = {"tag": [], "teach": []}
    tag(library, list(BASE_ACTIONS))
    by_name = _best_tags(library)
    for seed in range(3):
        rng = random.Random(seed)
        marked = [scene for action in BASE_ACTIONS for scene in rng.sample(of_action[action], 5)]
        rest = set(truth) - {scene["path"] for scene in marked}
        with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "start_s", "end_s", "tag"])
            writer.writerows((scene["path"], scene["start_s"], scene["end_s"], scene["action"]) for scene in marked)
            file.flush()
            teach(library, Path(file.name))
        for name, labels in (("tag", by_name), ("teach", _best_tags(library))):
            shares[name].append(float(np.mean([labels[path] == truth[path] for path in rest])))
    untag(library, list(BASE_ACTIONS))
    return [(f"{name}: top-1 of {len(BASE_ACTIONS)} actions", float(np.mean(values))) for name, values in shares.items()]


def _best_tags(library: Path) -> dict[str, str]:
    catalog = Snapshot(Library(library)).catalog
    rows = catalog.sql("select path, max_by(tag, score) as tag from tags group by path").to_pylist()
    catalog.close()
    return {os.path.realpath(row["path"]): row["tag"] for row in rows}


def main() -> None:
    """Make what is not there, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--classifier", default="pocket")
    parser.add_argument("--embedder", default="pocket")
    arguments = parser.parse_args()
    make_world(arguments.world, TEST_CLIPS, TEST_SEED, TEST_FILMS)
    if not (arguments.library / "CURRENT").exists():
        ingest(
            [arguments.world],
            arguments.library,
            classifier=arguments.classifier,
            embedder=arguments.embedder,
            window_s=WINDOW_S,
            stride_s=STRIDE_S,
            options=IngestOptions(batch_size=32),
        )
    scenes = read_scenes(arguments.world)
    films = [scene for scene in scenes if "/films/" in scene["path"]]
    clips = [scene for scene in scenes if "/clips/" in scene["path"]]
    searcher = Searcher(arguments.library)
    table = [
        (f"{name}, rerank {rerank}", value)
        for rerank in (0, 100)
        for name, value in (
            *nothing_here(searcher, films, rerank),
            *moments(searcher, scenes, rerank),
            *sequences(searcher, films, rerank),
        )
    ]
    for name, value in [*table, *own_labels(arguments.library, clips)]:
        print(f"{name:<64} {value:.3f}")


if __name__ == "__main__":
    main()
