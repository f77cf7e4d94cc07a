"""The tables beside the films: what each shows and when, and captions to learn from."""

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
_SAID = (
    (("action",), 18),
    (("shirt",), 9),
    (("background",), 9),
    (("action", "shirt"), 14),
    (("action", "background"), 14),
    (("shirt", "background"), 6),
    (FACTS, 30),
)
"""What captions say, and out of a hundred how often."""


def write_truth(films: Iterable[Film], folder: Path) -> Path:
    """Write ``truth.csv``: a row for every action in every film, with its time."""
    rows = []
    for film in films:
        rng = random.Random(f"{film.seed}/truth")
        for scene in film.scenes:
            times = (f"{scene.start_s:.3f}", f"{scene.end_s:.3f}")
            text = caption(scene.facts, rng)
            rows.append((film.path, *times, scene.action, scene.shirt, scene.background, text))
    return _write(folder / "truth.csv", TRUTH_COLUMNS, rows)


def write_captions(films: Iterable[Film], folder: Path) -> Path:
    """Write ``captions.csv``: for every clip a few captions that say some or all of its facts; long films have none."""
    rows = []
    for film in films:
        if not film.is_clip:
            continue
        rng = random.Random(f"{film.seed}/captions")
        scene = film.scenes[0]
        for kind in rng.choices([kind for kind, _ in _SAID], [weight for _, weight in _SAID], k=_CAPTIONS_PER_CLIP):
            facts = {name: scene.facts[name] for name in kind}
            said = ";".join(f"{name}={value}" for name, value in facts.items())
            times = (f"{scene.start_s:.3f}", f"{scene.end_s:.3f}")
            rows.append((film.path, *times, scene.action, caption(facts, rng), said, "", ""))
    return _write(folder / "captions.csv", CAPTION_COLUMNS, rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return path
