"""What annotators of whole videos cost beside an ingest: processor time and memory, on one video.

    python -m benchmarks.annotators FILE [--annotators shots,subtitles,text] [--speech-model DIR] [--models pocket|full]

The ingest without them is the way of one video in one process (`pipeline.process.annotate_video`): decoding once, then a
classifier and an embedder. ``full`` models are a VideoMAE base and an X-CLIP base of random weights, which cost what the
published ones do.
Each row is measured in a process of its own, with one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pipeline.decoders.pyav import PyAVDecoder
from pipeline.probe import probe
from pipeline.process import annotate_video, decode_jobs, plan_video
from pipeline.sources.find import find_videos
from pipeline.video_annotators import make_annotator
from schemas.errors import VideoError
from schemas.models import ModelInput
from schemas.options import Sampling
from schemas.records import Clip, ClipRow, SpanJob, VideoFile, VideoInfo
from schemas.text import columns_text


class Cost(NamedTuple):
    """What a row is about: rows written, processor seconds once everything is loaded, and the peak of memory in MB."""

    rows: int
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--annotators", default="shots,transnetv2,subtitles,text")
    parser.add_argument("--speech-model")
    parser.add_argument("--models", choices=["pocket", "full", "none"], default="full")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    duration_s = probe(given.file).duration_s
    rows = []
    base = None
    if given.models != "none":
        with context.Pool(1) as pool:
            base, decoding = pool.apply(_ingest, (given.file, given.models))
        rows.append(_cells("ingest without", base, base, duration_s))
        rows.append(_cells("of it, decoding", decoding, base, duration_s))
    for name in given.annotators.split(","):
        with context.Pool(1) as pool:
            rows.append(_cells(name, pool.apply(_annotate, (given.file, name, given.speech_model)), base, duration_s))
        print(", ".join(rows[-1]), file=sys.stderr, flush=True)  # of a film of hours, the next one takes long
    print(f"{given.file}: {duration_s:.0f} s of video")
    print(columns_text(("what", "rows", "CPU s", "video s per CPU s", "of the ingest", "peak MB"), rows))


def _cells(name: str, cost: Cost, base: Cost | None, duration_s: float) -> list[str]:
    share = "" if base is None else f"{cost.cpu_s / base.cpu_s:.2f}"
    return [name, str(cost.rows), f"{cost.cpu_s:.1f}", f"{duration_s / cost.cpu_s:.1f}", share, f"{cost.peak_mb:.0f}"]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _file(path: str) -> VideoFile:
    (found,) = find_videos([path])
    if isinstance(found, tuple):
        raise found[1]
    return found


def _ingest(path: str, models: str) -> tuple[Cost, Cost]:
    """What an ingest costs, and the decoding in it."""
    from demo.checkpoints import write_classifier, write_embedder
    from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
    from pipeline.annotators import LoadedAnnotator
    from pipeline.models.checkpoint import find_checkpoint
    from pipeline.models.registry import load_classifier, load_embedder

    with tempfile.TemporaryDirectory() as folder:
        names = ["pocket", "pocket"]
        if models == "full":
            names = [str(write_classifier(Path(folder, "c"), "base")), str(write_embedder(Path(folder, "e"), "base"))]
        classifier = load_classifier(find_checkpoint(names[0], "classifier"))
        embedder = load_embedder(find_checkpoint(names[1], "embedder"))
        inputs = (classifier.preprocessing.input, embedder.preprocessing.input)
        loaded: list[LoadedAnnotator] = [LoadedClassifier(classifier), LoadedEmbedder(embedder)]
        annotators = Annotators(loaded, inputs=inputs, num_threads=1)
        began = time.process_time()
        items = annotate_video(_file(path), Sampling(), annotators, PyAVDecoder())
        rows = sum(isinstance(item, ClipRow) for item in items)
        whole = Cost(rows, time.process_time() - began, _peak_mb())
        return whole, _decode(path, inputs)


def _decode(path: str, inputs: Sequence[ModelInput]) -> Cost:
    """Decode what the models are shown, and show it to none."""
    began = time.process_time()
    jobs = [item for item in plan_video(_file(path), Sampling(), inputs) if isinstance(item, SpanJob)]
    rows = sum(isinstance(item, Clip) for item in decode_jobs(jobs, PyAVDecoder()))
    return Cost(rows, time.process_time() - began, _peak_mb())


def _annotate(path: str, name: str, speech_model: str | None) -> Cost:
    settings = {"transnetv2": {"detector": "transnetv2"}, "speech": {"model": speech_model or "openai/whisper-base"}}
    annotator = make_annotator("shots" if name == "transnetv2" else name, settings.get(name, {}))
    loaded = annotator.load()
    video = VideoInfo("video", _file(path), duration_s=probe(path).duration_s)
    began = time.process_time()
    try:
        rows = sum(1 for _ in loaded.annotate(replace(video, track=None)))
    except VideoError as exc:
        raise SystemExit(f"{name}: {exc.reason}") from exc
    return Cost(rows, time.process_time() - began, _peak_mb())


if __name__ == "__main__":
    main()
