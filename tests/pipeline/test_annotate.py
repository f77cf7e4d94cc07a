"""Both models over batches, on whatever this machine has: a GPU's streams and graphs are checked where there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.pixels import make_pixels
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.models.runtimes.cuda_graphs import CudaGraphed
from pipeline.sampling import distinct_inputs
from schemas.models import Checkpoint
from schemas.records import Clip, ClipRow, Span

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SIZES = (1, 5, 3, 8, 2, 13, 5, 1)


@pytest.fixture
def annotators(classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint) -> Annotators:
    models = load_classifier(classifier_checkpoint, "fp32"), load_embedder(embedder_checkpoint, "fp32")
    inputs = distinct_inputs([model.preprocessing.input for model in models])
    return Annotators([LoadedClassifier(models[0]), LoadedEmbedder(models[1], "fp16")], inputs=inputs)


def batches() -> list[list[Clip]]:
    """Of many sizes, all clips different."""
    rng = np.random.default_rng(0)
    return [
        [
            Clip(100 * number + n, f"{number}", Span(0.0, 4.0), (rng.integers(0, 256, (16, 64, 64, 3), np.uint8),))
            for n in range(size)
        ]
        for number, size in enumerate(SIZES)
    ]


def told(rows: list[ClipRow]) -> list[tuple[object, ...]]:
    return [
        (row.clip_id, *(label.label for label in row.labels), row.embedding.round(4).tolist(), row.features) for row in rows
    ]


def test_several_threads_get_the_rows_of_their_own_clips(annotators: Annotators) -> None:
    asked = batches() * 4
    with ThreadPoolExecutor(4) as threads:  # first, so that graphs are recorded while others send their frames
        at_a_time = [told(rows) for rows in threads.map(annotators.annotate, asked)]
    assert at_a_time == [told(annotators.annotate(clips)) for clips in asked]


def test_a_row_does_not_depend_on_its_batch(annotators: Annotators) -> None:
    for clips in batches():
        rows = annotators.annotate(clips)
        assert [row.clip_id for row in rows] == [clip.clip_id for clip in clips]
        for row, clip in zip(rows, clips, strict=True):
            (alone,) = annotators.annotate([clip])
            assert np.abs(row.embedding - alone.embedding).max() < 1e-4
            assert [label.label for label in row.labels] == [label.label for label in alone.labels]


@NEEDS_GPU
def test_graphs_give_what_their_forward_passes_give(
    classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> None:
    classifier, embedder = HuggingFaceClassifier(classifier_checkpoint, "fp32"), XClipEmbedder(embedder_checkpoint, "fp32")
    rng = np.random.default_rng(0)
    for model in (classifier, embedder):
        assert isinstance(model._run, CudaGraphed)
        for size in SIZES:
            frames = rng.integers(0, 256, (size, model.preprocessing.input.num_frames, 64, 64, 3), np.uint8)
            with torch.inference_mode():
                pixels = make_pixels(frames, model.preprocessing, model.device, model.dtype)
                for played, computed in zip(model._run(pixels), model._run._forward(pixels), strict=True):
                    assert played.shape == computed.shape
                    assert torch.allclose(played, computed, atol=1e-3)
