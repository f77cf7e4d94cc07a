"""What vidsift stores equals what transformers' own code and stock processors give on the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, VideoMAEForVideoClassification, XCLIPModel
from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

from demo.checkpoints import Size, write_classifier, write_embedder
from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
from pipeline.decoders.registry import load_decoder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.process import annotate_video
from pipeline.sampling import distinct_inputs
from schemas.options import Precision, Sampling, Scaling
from schemas.records import ClipRow, Span, VideoFile
from tests.helpers.videos import decode_all

Frames = list[NDArray[np.uint8]]


def stock_samples(path: Path, span: Span) -> Frames:
    """16 full-size frames: the last one that has begun at the middle of each sixteenth."""
    times, frames = decode_all(path)
    if path.name == "mm_test.avi":  # FFmpeg takes packed B-frames for a frame late
        times = [time - 0.04 for time in times]
    middles = [span.start_s + (j + 0.5) * (span.end_s - span.start_s) / 16 for j in range(16)]
    return [frames[max(i for i, time in enumerate(times) if time <= middle + 1e-6 or i == 0)] for middle in middles]


def stock_pixels(folder: Path, frames: Frames) -> torch.Tensor:
    processor = VideoMAEImageProcessorPil.from_pretrained(folder)
    return cast("torch.Tensor", processor(frames, return_tensors="pt")["pixel_values"])


@torch.inference_mode()
def stock_answers(classifier: Path, embedder: Path, frames: Frames) -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """Probabilities [labels], label names, and the normalised video embedding [dim], in fp32."""
    model = VideoMAEForVideoClassification.from_pretrained(classifier).eval()
    probabilities = model(stock_pixels(classifier, frames)).logits.softmax(-1)[0]
    clip_model = XCLIPModel.from_pretrained(embedder).eval()
    vector = clip_model.get_video_features(stock_pixels(embedder, frames[::2])).pooler_output[0]
    return probabilities, list(model.config.id2label.values()), vector / vector.norm()


def vidsift_rows(path: Path, classifier: Path, embedder: Path, precision: Precision, scaling: Scaling) -> list[ClipRow]:
    models = (
        load_classifier(find_checkpoint(str(classifier), "--classifier"), precision),
        load_embedder(find_checkpoint(str(embedder), "--embedder"), precision),
    )
    inputs = distinct_inputs([model.preprocessing.input for model in models])
    assert len(inputs) == 1, "both models share one set of frames"
    annotators = Annotators([LoadedClassifier(models[0]), LoadedEmbedder(models[1])], inputs=inputs)
    outcomes = annotate_video(VideoFile(str(path), 1, 1), Sampling(), annotators, load_decoder("pyav"), scaling=scaling)
    return [outcome for outcome in outcomes if isinstance(outcome, ClipRow)]


def check(path: Path, classifier: Path, embedder: Path) -> None:
    exact, fast, faster = (
        vidsift_rows(path, classifier, embedder, "fp32", "exact"),
        vidsift_rows(path, classifier, embedder, "fp32", "fast"),
        vidsift_rows(path, classifier, embedder, "bf16", "fast"),
    )
    assert exact
    for row, row_fast, row_bf16 in zip(exact, fast, faster, strict=True):
        probabilities, labels, vector = stock_answers(classifier, embedder, stock_samples(path, row.span))
        best = probabilities.topk(5)
        assert [label.label for label in row.labels] == [labels[i] for i in best.indices]
        assert [label.score for label in row.labels] == pytest.approx(best.values.tolist(), abs=1e-2)
        assert float(row.embedding @ vector.numpy()) >= 0.999
        assert row_fast.labels[0].label == row.labels[0].label
        assert row_fast.labels[0].score == pytest.approx(row.labels[0].score, abs=0.03)
        assert float(row_fast.embedding @ vector.numpy()) >= 0.995
        assert row_bf16.labels[0].label == row.labels[0].label
        assert float(row_bf16.embedding @ vector.numpy()) >= 0.99
        assert np.linalg.norm(row.embedding) == pytest.approx(1.0, abs=1e-6)


def test_small_checkpoints_on_made_up_films(films: list[Path], classifier_folder: Path, embedder_folder: Path) -> None:
    for film in films[:4]:
        check(film, classifier_folder, embedder_folder)


@pytest.mark.slow
def test_small_checkpoints_on_real_clips(shared_clips: Path, classifier_folder: Path, embedder_folder: Path) -> None:
    for name in ("bikes.mp4", "asl_book.mkv", "mm_test.avi", "scene_cuts.mp4", "structuralize.mp4"):
        check(shared_clips / name, classifier_folder, embedder_folder)


@pytest.mark.full_size
@pytest.mark.timeout(900)
def test_full_size_checkpoints_on_a_real_clip(shared_clips: Path, tmp_path: Path) -> None:
    size: Size = "base"
    classifier = write_classifier(tmp_path / "classifier", size, num_labels=400)
    embedder = write_embedder(tmp_path / "embedder", size)
    check(shared_clips / "bikes.mp4", classifier, embedder)


def test_text_embeddings_are_the_models_own(embedder_folder: Path) -> None:
    texts = ["people baking a cake", "a dog", "日本語 🎂"]
    vectors = load_embedder(find_checkpoint(str(embedder_folder), "--embedder"), "fp32").embed_texts(texts)
    model = XCLIPModel.from_pretrained(embedder_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(embedder_folder)
    with torch.inference_mode():
        for text, vector in zip(texts, vectors, strict=True):
            expected = model.get_text_features(**tokenizer(text, return_tensors="pt")).pooler_output[0]
            assert vector == pytest.approx((expected / expected.norm()).numpy(), abs=1e-5)


def test_a_text_longer_than_the_model_reads_is_cut(embedder_folder: Path) -> None:
    embedder = load_embedder(find_checkpoint(str(embedder_folder), "--embedder"), "fp32")
    assert embedder.embed_texts(["cake " * 1000]).shape == (1, embedder.dim)


def test_a_batch_is_the_same_as_one_by_one(films: list[Path], classifier_folder: Path, embedder_folder: Path) -> None:
    """Clips of one video are annotated together; each comes out as if alone."""
    rows = vidsift_rows(films[0], classifier_folder, embedder_folder, "fp32", "exact")
    classifier = load_classifier(find_checkpoint(str(classifier_folder), "--classifier"), "fp32")
    for row in rows:
        pixels = stock_pixels(classifier_folder, stock_samples(films[0], row.span))
        (alone,) = classifier.classify(pixels, 5)
        assert [label.label for label in alone] == [label.label for label in row.labels]
