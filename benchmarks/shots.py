"""How well shots are found: films with known cuts, dissolves, fades and wipes, with flashes and fast pans within shots.

    python -m benchmarks.shots [--films 8] [--seed test]

The films are made by `benchmarks.shot_films`, of 24 shots and about 90 s each. Thresholds were chosen on the six films of
the seed ``tune`` and on real clips; the films of the seed ``test`` had no part in it. Prints for each detector how many cuts
and gradual transitions it finds, and how much CPU time it takes, decoding included, as a multiple of decoding all frames
once. Run it with OMP_NUM_THREADS=1: CPU time counts what a model's threads spend on waiting for each other.

A boundary is right within 2 frames of a transition's first and last frame; each transition counts once, and every other
boundary is a false one. A false one counts against cuts and against gradual transitions alike, since not all detectors say
which they mean. PySceneDetect's detectors take part, with their defaults, where it is installed (``pip install
scenedetect-headless``).
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av

from benchmarks.shot_films import FPS, Truth, make_film
from pipeline.shots.annotator import DetectorName, ShotAnnotator
from schemas.errors import ModelError
from schemas.records import VideoFile, VideoInfo

TOLERANCE = 2

Found = list[tuple[int, bool | None]]
"""Boundaries: the frame, and whether they are gradual, if the detector says so."""


@dataclass(slots=True)
class Score:
    """Counts over all films.

    Attributes:
        right: transitions that were found, by kind.
        kinds: of these, whose kind was told right, cuts and gradual ones.
        false: boundaries where nothing is, by what is there instead.
        cpu_s: CPU time.
    """

    right: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0

    def add(self, found: Found, truth: Truth) -> None:
        """Match one film's boundaries with what is in it, each with the nearest transition that is still free."""
        free = set(truth.transitions)
        for frame, gradual in found:
            near = [each for each in free if each.first - TOLERANCE <= frame <= each.end + TOLERANCE]
            if near:
                best = min(near, key=lambda each: abs(frame - (each.first + each.end) / 2))
                free.remove(best)
                self.right[best.kind] += 1
                self.kinds["cut" if best.kind == "cut" else "gradual"] += gradual == (best.kind != "cut")
            else:
                flash = any(-2 <= frame - at <= 6 for at in truth.flashes)
                pan = any(-2 <= frame - at <= 18 for at in truth.pans)
                self.false["flash" if flash else "pan" if pan else "other"] += 1


def by_vidsift(name: DetectorName) -> Callable[[Path], Found]:
    """One of vidsift's own detectors."""
    annotator = ShotAnnotator(name).load()

    def run(path: Path) -> Found:
        shots = list(annotator.annotate(VideoInfo("", VideoFile(str(path), 0, 0))))
        return [(round(shot.start_s * FPS), shot.transition == "gradual") for shot in shots[1:]]

    return run


def by_scenedetect(name: str) -> Callable[[Path], Found]:
    """One of PySceneDetect's, with its defaults and its PyAV backend."""
    import scenedetect

    def run(path: Path) -> Found:
        scenes = scenedetect.detect(str(path), getattr(scenedetect, name)(), backend="pyav")
        return [(round(start.seconds * FPS), None) for start, _ in scenes[1:]]

    return run


def decode_all(path: Path) -> Found:
    """Decode every frame and keep none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for _ in container.decode(stream):
            pass
    return []


def detectors() -> dict[str, Callable[[Path], Found]]:
    """Those that can run here."""
    ways: dict[str, Callable[[Path], Found]] = {"content": by_vidsift("content")}
    try:
        ways["transnetv2"] = by_vidsift("transnetv2")
    except ModelError as exc:
        print(exc)
    if importlib.util.find_spec("scenedetect"):
        ways |= {name: by_scenedetect(name) for name in ("ContentDetector", "AdaptiveDetector", "ThresholdDetector")}
    return ways


def figures(score: Score, total: Counter[str], kinds: Sequence[str]) -> str:
    """Precision, recall and F1 for transitions of ``kinds``."""
    right, number = (sum(counts[kind] for kind in kinds) for counts in (score.right, total))
    precision, recall = right / max(1, right + score.false.total()), right / max(1, number)
    return f"{precision:7.3f}{recall:7.3f}{2 * precision * recall / max(1e-9, precision + recall):7.3f}"


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--seed", default="test")
    arguments = parser.parse_args()
    ways = detectors()
    scores = {name: Score() for name in ("decoding", *ways)}
    total: Counter[str] = Counter()
    num_frames = num_flashes = num_pans = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.films):
            path = Path(folder, f"{number}.mp4")
            truth = make_film(path, f"{arguments.seed}/{number}")
            total.update(each.kind for each in truth.transitions)
            num_frames += truth.num_frames
            num_flashes += len(truth.flashes)
            num_pans += len(truth.pans)
            for name, run in {"decoding": decode_all, **ways}.items():
                began_s = time.process_time()
                found = run(path)
                scores[name].cpu_s += time.process_time() - began_s
                scores[name].add(found, truth)
    gradual = ("dissolve", "fade", "wipe")
    told = ", ".join(f"{total[kind]} {kind}s" for kind in ("cut", *gradual))
    print(f"{arguments.films} films, {num_frames} frames, {told}, {num_flashes} flashes, {num_pans} pans")
    print(f"{'':18}{'cuts: P, R, F1':>21}{'gradual: P, R, F1':>23}   of dissolves, fades, wipes   kind told   false    CPU")
    decoding_s = scores.pop("decoding").cpu_s
    for name, score in scores.items():
        shares = "  ".join(f"{score.right[kind] / max(1, total[kind]):.2f}" for kind in gradual)
        told_right = f"{score.kinds.total() / max(1, score.right.total()):.2f}" if name in ("content", "transnetv2") else "-"
        false = " ".join(f"{count} {what}" for what, count in score.false.most_common())
        print(
            f"{name:18}{figures(score, total, ['cut'])}  {figures(score, total, gradual)}   {shares:26} {told_right:>11}"
            f"{score.cpu_s / decoding_s:8.1f} x   {false}"
        )


if __name__ == "__main__":
    main()
