"""The tables beside the films: the ground truth of each scene, and captions for training."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from demo.captions import FACTS, caption
from demo.world import Film

TRUTH_COLUMNS = ("path", "start_s", "end_s", "action", "shirt", "background", "caption")
CAPTION_COLUMNS = ("path", "start_s", "end_s", "label", "caption", "facts", "split", "group")

_CAPTIONS_PER_CLIP = 6
_CAPTION_KINDS = (
    (("action",), 18),
    (("shirt",), 9),
    (("background",), 9),
    (("action", "shirt"), 14),
    (("action", "background"), 14),
    (("shirt", "background"), 6),
    (FACTS, 30),
)
"""The facts that a caption states, and how many of a hundred captions state them."""


def write_truth(films: Iterable[Film], folder: Path) -> Path:
    """Write ``truth.csv``: a row for each scene of each film, with its time."""
    rows = []
    for film in films:
        rng = random.Random(f"{film.seed}/truth")
        for scene in film.scenes:
            times = (f"{scene.start_s:.3f}", f"{scene.end_s:.3f}")
            text = caption(scene.facts, rng)
            rows.append((film.path, *times, scene.action, scene.shirt, scene.background, text))
    return _write(folder / "truth.csv", TRUTH_COLUMNS, rows)


def write_captions(films: Iterable[Film], folder: Path) -> Path:
    """Write ``captions.csv``: a few captions of each clip, which state some or all of its facts; long films have none."""
    rows = []
    for film in films:
        if not film.is_clip:
            continue
        rng = random.Random(f"{film.seed}/captions")
        scene = film.scenes[0]
        for kind in rng.choices(
            [kind for kind, _ in _CAPTION_KINDS], [weight for _, weight in _CAPTION_KINDS], k=_CAPTIONS_PER_CLIP
        ):
            facts = {name: scene.facts[name] for name in kind}
            stated = ";".join(f"{name}={value}" for name, value in facts.items())
            times = (f"{scene.start_s:.3f}", f"{scene.end_s:.3f}")
            rows.append((film.path, *times, scene.action, caption(facts, rng), stated, "", ""))
    return _write(folder / "captions.csv", CAPTION_COLUMNS, rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path
