"""What each way to run the models costs and changes: how frames come to their size, and how forward passes are computed.

    python -m benchmarks.models FOLDER                    on the first clip of every video in FOLDER, full-size models
    python -m benchmarks.models FOLDER --models pocket pocket

Full-size checkpoints are random ones of VideoMAE-base, whose logits spread with a standard deviation of 2 as a trained one's
do, and X-CLIP base/32; others must be shown frames of one size. On one thread of a CPU, also where there is a GPU, one clip
at a time; forward passes by the CPU time that they take. Frames are compared with what the published processors make of
whole frames, forward passes with fp32 as PyTorch has it. Left out are videos that are turned, or whose pixels are not
square, of which processors know nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoImageProcessor

from benchmarks.ingest import models_of
from pipeline.decoders.registry import load_decoder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.loading import use_faster_fp32
from pipeline.models.pixels import best_device, choose_dtype, make_pixels
from pipeline.models.preprocessing import Preprocessing, read_preprocessing
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.process import plan_video
from pipeline.sources.find import find_videos
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import SpanJob, VideoFile


class Shown(NamedTuple):
    """One clip, as the classifier is shown it.

    Attributes:
        stock: float32 [1, num_frames, 3, height, width] by the published processor.
        exact: uint8 [num_frames, height, width, 3] by vidsift's faithful scaling.
        fast: likewise, by its default.
    """

    stock: torch.Tensor
    exact: NDArray[np.uint8]
    fast: NDArray[np.uint8]


def clips_of(folder: Path, checkpoint: Checkpoint) -> list[Shown]:
    """The first clip of every video."""
    model_input = read_preprocessing(checkpoint, "classifier").input
    processor = AutoImageProcessor.from_pretrained(checkpoint.folder, backend="pil")
    decoder, shown_clips = load_decoder("pyav"), []
    for video in find_videos([folder]):
        jobs = plan_video(video, Sampling(), [model_input]) if isinstance(video, VideoFile) else []
        for job in jobs[:1]:
            if isinstance(job, SpanJob) and job.pixel_aspect == 1 and not job.rotation_deg:
                first = replace(
                    job,
                    frame_index=job.frame_index[: model_input.num_frames],
                    frame_pts=job.frame_pts[: model_input.num_frames],
                )
                if len(first.frame_index) < model_input.num_frames:
                    continue
                whole = decoder.decode(
                    replace(first, inputs=(ModelInput(model_input.num_frames, Geometry(None, None)),), scaling="exact")
                )
                if whole.problems:
                    continue
                exact, fast = (decoder.decode(replace(first, scaling=scaling)).frames[0] for scaling in ("exact", "fast"))
                shown_clips.append(Shown(processor(list(whole.frames[0]), return_tensors="pt")["pixel_values"], exact, fast))
    return shown_clips


def levels(pixels: torch.Tensor, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Normalised pixels as levels of 255."""
    gain, shift = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.gain, preprocessing.shift))
    pixel_values: NDArray[np.float32] = ((pixels - shift) / gain).numpy()
    return pixel_values


@torch.inference_mode()
def scaling(clips: list[Shown], checkpoint: Checkpoint) -> None:
    """How frames come to the model's size."""
    model: Any = load_classifier(checkpoint, "fp32")
    print(f"{'frames':<32}{'levels':>9}{'logits, largest':>17}{'their spread':>14}{'same top-1':>12}")
    reference = torch.cat([model._run(clip.stock)[0] for clip in clips])
    for way in ("exact", "fast"):
        frames = [torch.as_tensor(getattr(clip, way))[None].numpy() for clip in clips]
        pixels = [make_pixels(clip, model.preprocessing, torch.device("cpu"), torch.float32) for clip in frames]
        apart = np.mean(
            [
                np.abs(levels(ours, model.preprocessing) - levels(clip.stock, model.preprocessing)).mean()
                for ours, clip in zip(pixels, clips, strict=True)
            ]
        )
        logits = torch.cat([model._run(pixel_batch)[0] for pixel_batch in pixels])
        same = float((logits.argmax(-1) == reference.argmax(-1)).float().mean())
        drift = float((logits - reference).abs().max())
        print(f"--scaling {way:<22}{apart:9.2f}{drift:17.3f}{float(reference.std()):14.2f}{same:12.2f}")


def ways(classifier: Checkpoint, embedder: Checkpoint) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """What loads both models in each way that this machine has."""

    def loaded(
        precision: Any, engine: Any = "torch", matmul: str | None = None, attention: str | None = None
    ) -> tuple[Any, Any]:
        models: tuple[Any, Any] = (
            load_classifier(classifier, precision, engine),
            load_embedder(embedder, precision, engine),
        )
        if matmul == "highest":
            torch.set_float32_matmul_precision("highest")
        elif matmul is not None:
            use_faster_fp32()
        for model in models:
            if attention is not None:
                model._model.set_attn_implementation(attention)
        return models

    loaders = {
        "fp32, as PyTorch has it": lambda: loaded("fp32", matmul="highest"),
        "fp32, the faster kernels": lambda: loaded("fp32", matmul="medium"),
    }
    if choose_dtype("auto", best_device()) == torch.bfloat16:
        loaders["bf16, fused attention"] = lambda: loaded("bf16", attention="sdpa")
        loaders["bf16, attention by heads"] = lambda: loaded("bf16", attention="vidsift_plain")
    if find_spec("openvino"):
        loaders["OpenVINO"] = lambda: loaded("auto", "openvino")
        loaders["OpenVINO, fp32"] = lambda: loaded("fp32", "openvino")
    if find_spec("onnx") and find_spec("onnxruntime"):
        loaders["ONNX Runtime, fp32"] = lambda: loaded("fp32", "onnx")
    return loaders


@torch.inference_mode()
def passes(clips: list[Shown], classifier: Checkpoint, embedder: Checkpoint, repeat: int) -> None:
    """How forward passes are computed."""
    columns = f"{'classifier':>11}{'embedder':>10}{'logits':>9}{'cosine':>10}{'same top-1':>12}"
    print(f"\n{'clips per second of CPU':<32}{columns}")
    reference: list[torch.Tensor] = []
    for name, load in ways(classifier, embedder).items():
        models = load()
        results, speeds = [], []
        for model in models:
            step = clips[0].stock.shape[1] // model.preprocessing.input.num_frames
            pixels = [
                make_pixels(clip.exact[None, ::step], model.preprocessing, model.device, model.dtype) for clip in clips
            ]
            results.append(torch.cat([model._run(pixel_batch)[0].float() for pixel_batch in pixels]))
            times = []
            for _ in range(repeat):
                began = time.process_time()  # of all threads: other work on the machine counts less
                model._run(pixels[0])
                times.append(time.process_time() - began)
            speeds.append(1 / min(times))
        reference = reference or results
        drift = float((results[0] - reference[0]).abs().max())
        same = float((results[0].argmax(-1) == reference[0].argmax(-1)).float().mean())
        cosine = float(torch.nn.functional.cosine_similarity(results[1], reference[1]).min())
        print(f"{name:<32}{speeds[0]:11.2f}{speeds[1]:10.2f}{drift:9.3f}{cosine:10.5f}{same:12.2f}", flush=True)


@torch.inference_mode()
def sizes(clips: list[Shown], classifier: Checkpoint, embedder: Checkpoint, repeat: int) -> None:
    """How many clips a forward pass is given, in the way that this machine takes by itself."""
    several = (1, 2, 4, 8)
    print(f"\n{'one thread, clips a second':<32}" + "".join(f"{f'{size} a pass':>11}" for size in several))
    for model in (load_classifier(classifier), load_embedder(embedder)):
        pieces: Any = model
        forward = pieces._run._forward  # which `MicroBatched` gives as many as it finds right
        step = clips[0].stock.shape[1] // model.preprocessing.input.num_frames
        pixels = make_pixels(clips[0].exact[None, ::step], model.preprocessing, model.device, model.dtype)
        times: dict[int, list[float]] = {size: [] for size in several}
        for _ in range(repeat):
            for size in several:
                batch = pixels.repeat(size, 1, 1, 1, 1)
                began = time.perf_counter()
                forward(batch)
                times[size].append(time.perf_counter() - began)
        name = "classifier" if hasattr(model, "classify") else "embedder"
        print(f"{name:<32}" + "".join(f"{size / min(times[size]):11.2f}" for size in several), flush=True)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs=2, metavar=("CLASSIFIER", "EMBEDDER"))
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        names = arguments.models or models_of("full", Path(scratch))
        classifier, embedder = find_checkpoint(names[0], "classifier"), find_checkpoint(names[1], "embedder")
        clips = clips_of(arguments.folder, classifier)
        print(f"{len(clips)} clips of {classifier.name} and {embedder.name}")
        scaling(clips, classifier)
        passes(clips, classifier, embedder, arguments.repeat)
        sizes(clips, classifier, embedder, arguments.repeat)


if __name__ == "__main__":
    main()
