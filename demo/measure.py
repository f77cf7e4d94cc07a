"""Measures two models on a world: ``python -m demo.measure WORLD --classifier pocket --embedder pocket``.

WORLD has another seed than the world they were trained on; it is rendered where it does not exist. All frames are decoded
from the encoded files.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from demo.captions import caption
from demo.render import render_all
from demo.tour import STRIDE_S, WINDOW_S
from demo.truth import write_captions, write_truth
from demo.world import PAIRS, plan
from index.search.searcher import Searcher
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults, EmbedderResults
from jobs.evaluate.moment_metrics import temporal_iou
from jobs.ingest.ingest import ingest
from schemas.options import IngestOptions
from schemas.records import Span
from schemas.search import SearchOptions

TEST_SEED, TEST_CLIPS, TEST_FILMS = 2, 1_200, 40

Row = tuple[str, float]


def make_world(folder: Path, count: int, seed: int, films: int = 0) -> None:
    """Render a world, unless it exists."""
    if (folder / "captions.csv").exists():
        return
    planned = plan(count, seed, films)
    folder.mkdir(parents=True, exist_ok=True)
    for number, _ in enumerate(render_all(planned, folder), start=1):
        if number % 1000 == 0:
            print(f"rendered {number} of {len(planned)} films", flush=True)
    write_truth(planned, folder)
    write_captions(planned, folder)


def measure_classifier(model: str, world: Path) -> list[Row]:
    """Top-1 and top-5 accuracy, the pairs, and the pairs with shuffled frames."""
    pairs = tuple(",".join(pair) for pair in PAIRS)
    results = {}
    for shuffle in (False, True):
        options = EvaluateOptions(split="all", pairs=pairs, shuffle=shuffle)
        measured = evaluate_model(model, world / "captions.csv", kind="classifier", options=options)
        assert isinstance(measured, ClassifierResults)
        results[shuffle] = measured
    rows = [("clips", results[False].clips), ("top-1", results[False].top1), ("top-5", results[False].top5)]
    rows += [(f"{row.first} / {row.second}", row.right) for row in results[False].pairs]
    rows += [(f"frames shuffled: {row.first} / {row.second}", row.right) for row in results[True].pairs]
    return rows


def measure_embedder(model: str, world: Path, *, unseen: bool = True) -> list[Row]:
    """Retrieval, facts named by prompts, and pairs; also with frames shuffled, and wordings ``unseen`` in training."""
    pairs = tuple(",".join(pair) for pair in PAIRS)
    rows: list[Row] = []
    for name, data, shuffle in (
        ("", world / "captions.csv", False),
        ("unseen wording: ", unseen_captions(world / "captions.csv"), False),
        ("frames shuffled: ", world / "captions.csv", True),
    ):
        if name.startswith("unseen") and not unseen:
            continue
        options = EvaluateOptions(split="all", pairs=pairs, shuffle=shuffle)
        results = evaluate_model(model, data, kind="embedder", options=options)
        assert isinstance(results, EmbedderResults)
        if not shuffle:
            rows += [(f"{name}clips", results.clips)]
            rows += [(f"{name}captions in each of {results.draws} draws", results.captions)]
            for row in results.retrieval:
                rows += [(f"{name}{row.score} R@1", row.recall_at_1), (f"{name}{row.score} R@5", row.recall_at_5)]
            for kind in results.kinds:
                rows += [(f"{name}{kind.kind} by prompts, exact", kind.exact), (f"{name}{kind.kind}, plain", kind.plain)]
        rows += [(f"{name}{pair.first} / {pair.second}", pair.right) for pair in results.pairs]
    return rows


def unseen_captions(captions: Path) -> Path:
    """Write a CSV file with the same clips and facts in wordings that are not used for training, beside the other one."""
    path = captions.with_name("captions-unseen.csv")
    with captions.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rng = random.Random(0)
    for row in rows:
        facts = dict(fact.split("=", 1) for fact in row["facts"].split(";"))
        row["caption"] = caption(facts, rng, unseen=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def measure_moments(classifier: str, embedder: str, world: Path, rerank: int = 0) -> list[Row]:
    """Ingest the long films alone, search for each scene's caption, and compare the best answer with the scene.

    The best ``rerank`` clips of each search are ordered by their rerank scores. Where several scenes have the same action,
    shirt and background, the answer may be any of them.
    """
    with (world / "truth.csv").open(newline="", encoding="utf-8") as file:
        scenes = [row for row in csv.DictReader(file) if row["path"].startswith("films/")]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        ingest(
            [world / "films"],
            library,
            classifier=classifier,
            embedder=embedder,
            window_s=WINDOW_S,
            stride_s=STRIDE_S,
            options=IngestOptions(batch_size=32),
        )
        searcher = Searcher(library)
        queries = [
            SearchOptions(texts=(scene["caption"],), by="clip", k=1, rerank=rerank, show_all=True) for scene in scenes
        ]
        best = [searcher.search(options).moments[0] for options in queries]
    overlaps = []
    for scene, hit in zip(scenes, best, strict=True):
        alike = [other for other in scenes if all(other[fact] == scene[fact] for fact in ("action", "shirt", "background"))]
        overlaps.append(
            max(
                temporal_iou(Span(hit.start_s, hit.end_s), Span(float(other["start_s"]), float(other["end_s"])))
                if os.path.realpath(hit.path) == os.path.realpath(world / other["path"])
                else 0.0
                for other in alike
            )
        )
    reached = [
        (f"best hit overlaps the moment, IoU >= {iou}", _share(o >= iou for o in overlaps)) for iou in (0.3, 0.5, 0.7)
    ]
    return [("moments in long films", len(scenes)), *reached]


def _share(flags: Iterable[bool]) -> float:
    kept = list(flags)
    return sum(kept) / len(kept)


def table(rows: Iterable[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [f"| {name} | {value:d} |" if isinstance(value, int) else f"| {name} | {value:.3f} |" for name, value in rows]
    return "\n".join(["| on a world of another seed | |", "|---|---|", *lines])


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("--classifier", default="pocket")
    parser.add_argument("--embedder", default="pocket")
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    arguments = parser.parse_args()
    make_world(arguments.world, TEST_CLIPS, TEST_SEED, TEST_FILMS)
    measured = {
        "classifier": measure_classifier(arguments.classifier, arguments.world),
        "embedder": measure_embedder(arguments.embedder, arguments.world),
        "moments": measure_moments(arguments.classifier, arguments.embedder, arguments.world),
    }
    for part, rows in measured.items():
        sys.stdout.write(f"\n{part}\n\n{table(rows)}\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
