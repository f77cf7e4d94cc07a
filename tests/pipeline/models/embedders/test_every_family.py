"""What vidsift stores with every family of embedders equals what transformers' own code gives on the same frames."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel, AutoTokenizer

from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
from pipeline.decoders.registry import load_decoder
from pipeline.models.base import Embedder, LimitedEmbedder, RerankEmbedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import FAMILIES
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_embedder, load_classifier, load_embedder, load_text_embedder
from pipeline.process import annotate_video
from pipeline.sampling import distinct_inputs
from schemas.errors import ModelError
from schemas.models import Checkpoint, Geometry, PatchBudget
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile
from tests.helpers.plain_embedding_gemma2 import plain_gemma_clip, plain_gemma_text
from tests.helpers.plain_qwen3_vl import plain_qwen_clip, plain_qwen_text
from tests.helpers.small_embedders import IMAGE_TEXT, SIDE, VIDEO_TEXT, WITH_EXTRAS, write_small_embedder
from tests.helpers.videos import decode_all

_TEXTS = ["people baking a cake", "a dog"]
_STOCK_PROCESSORS = {
    "clip": "clip:CLIPImageProcessorPil",
    "metaclip_2": "clip:CLIPImageProcessorPil",
    "altclip": "clip:CLIPImageProcessorPil",
    "chinese_clip": "chinese_clip:ChineseCLIPImageProcessorPil",
    "align": "efficientnet:EfficientNetImageProcessorPil",
    "siglip": "siglip:SiglipImageProcessorPil",
    "siglip2": "siglip2:Siglip2ImageProcessorPil",
}

Frames = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each family, by model_type."""
    root = tmp_path_factory.mktemp("embedders")
    return {name: write_small_embedder(root / name, name) for name in (*IMAGE_TEXT, *VIDEO_TEXT)}


def checkpoint_of(folder: Path) -> Checkpoint:
    return find_checkpoint(str(folder), "embedder")


def stored(path: Path, embedder: Embedder, classifier: Checkpoint) -> list[ClipRow]:
    """A clip's rows as an ingest would store them, of which the embedder's part is looked at."""
    models = (load_classifier(classifier, "fp32"), embedder)
    inputs = distinct_inputs([model.preprocessing.input for model in models])
    annotators = Annotators([LoadedClassifier(models[0]), LoadedEmbedder(embedder)], inputs=inputs)
    outcomes = annotate_video(VideoFile(str(path), 1, 1), Sampling(), annotators, load_decoder("pyav"), scaling="exact")
    return [outcome for outcome in outcomes if isinstance(outcome, ClipRow)]


_decoded = cache(decode_all)


def frames_of(path: Path, span: Span, num_frames: int) -> Frames:
    """Full-size frames: those on screen at the middles of equal parts."""
    times, frames = _decoded(path)
    middles = [span.start_s + (j + 0.5) * (span.end_s - span.start_s) / num_frames for j in range(num_frames)]
    return [frames[max(i for i, time in enumerate(times) if time <= middle + 1e-6 or i == 0)] for middle in middles]


def pictures_of(frames: Frames, width: int, height: int) -> NDArray[np.uint8]:
    """uint8 [num_frames, height, width, 3]."""
    pictures = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames]
    return np.stack([np.asarray(picture) for picture in pictures])


@torch.inference_mode()
def plain_clip(folder: Path, model_type: str, frames: Frames) -> NDArray[np.float32]:
    """A clip's vector by the plain library code."""
    model = AutoModel.from_pretrained(folder).eval()
    if model_type == "qwen3_vl":
        width, height = PatchBudget(16, 144).resized(frames[0].shape[1], frames[0].shape[0])
        vector = plain_qwen_clip(model, AutoTokenizer.from_pretrained(folder), pictures_of(frames, width, height))
    elif model_type == "embedding_gemma2":
        vector = plain_gemma_clip(model, AutoTokenizer.from_pretrained(folder), folder, frames)
    elif model_type == "videoprism":
        values = torch.from_numpy(pictures_of(frames, SIDE, SIDE)).permute(0, 3, 1, 2)[None] / 255
        vector = model.get_video_features(values).pooler_output[0, 0]
    else:
        module, name = _STOCK_PROCESSORS[model_type].split(":")
        processor = getattr(import_module(f"transformers.models.{module}.image_processing_pil_{module}"), name)
        values = processor.from_pretrained(folder)(frames, return_tensors="pt")
        vectors = model.get_image_features(**values).pooler_output
        vector = (vectors / vectors.norm(dim=-1, keepdim=True)).mean(0)
    unit: NDArray[np.float32] = (vector / vector.norm()).numpy()
    return unit


def plain_text(folder: Path, model_type: str, text: str) -> NDArray[np.float32]:
    """A text's vector by the plain library code, with the settings of the model's documentation."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    if model_type == "qwen3_vl":
        return plain_qwen_text(model, tokenizer, text)
    if model_type == "embedding_gemma2":
        return plain_gemma_text(model, tokenizer, text)
    padded: dict[str, Any] = {"padding": "max_length", "max_length": 64} if model_type not in _CLIP_LIKE else {}
    tokens = tokenizer(text, truncation=True, return_tensors="pt", **padded)
    masked = {} if model_type in ("siglip", "siglip2") else {"attention_mask": tokens["attention_mask"]}
    with torch.inference_mode():
        vector = model.get_text_features(tokens["input_ids"], **masked).pooler_output[0]
    unit: NDArray[np.float32] = (vector / vector.norm()).numpy()
    return unit


_CLIP_LIKE = ("clip", "metaclip_2", "altclip", "chinese_clip")


@pytest.mark.parametrize("model_type", [*IMAGE_TEXT, *VIDEO_TEXT])
def test_clips_of_real_videos(
    folders: dict[str, Path], model_type: str, shared_clips: Path, classifier_checkpoint: Checkpoint
) -> None:
    embedder = load_embedder(checkpoint_of(folders[model_type]), "fp32")
    for name in ("bikes.mp4", "asl_book.mkv"):
        rows = stored(shared_clips / name, embedder, classifier_checkpoint)
        assert rows
        for row in rows:
            frames = frames_of(shared_clips / name, row.span, embedder.preprocessing.input.num_frames)
            assert float(row.embedding @ plain_clip(folders[model_type], model_type, frames)) >= 0.999


@pytest.mark.parametrize("model_type", [*IMAGE_TEXT, *VIDEO_TEXT])
def test_texts(folders: dict[str, Path], model_type: str) -> None:
    embedder = load_embedder(checkpoint_of(folders[model_type]), "fp32")
    for text, vector in zip(_TEXTS, embedder.embed_texts(_TEXTS), strict=True):
        assert vector == pytest.approx(plain_text(folders[model_type], model_type, text), abs=1e-5)


@pytest.mark.parametrize("model_type", [*IMAGE_TEXT, *VIDEO_TEXT])
def test_a_model_loaded_for_texts_answers_as_the_whole(folders: dict[str, Path], model_type: str) -> None:
    checkpoint = checkpoint_of(folders[model_type])
    whole, half = load_embedder(checkpoint, "fp32"), load_text_embedder(checkpoint, "fp32")
    pixels = some_pixels(whole)
    assert (half.embed_texts(_TEXTS) == whole.embed_texts(_TEXTS)).all()
    assert half.embed_clips(pixels) == pytest.approx(whole.embed_clips(pixels), abs=1e-6)
    assert half.embed_texts(_TEXTS) == pytest.approx(whole.embed_texts(_TEXTS), abs=1e-6)


def some_pixels(embedder: Embedder, clips: int = 3) -> torch.Tensor:
    shape = (clips, embedder.preprocessing.input.num_frames, 3, SIDE, SIDE)
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(
    ("model_type", "max_tokens"),
    [
        ("clip", 77),
        ("metaclip_2", 77),
        ("altclip", 77),
        ("chinese_clip", 52),
        ("align", 64),
        ("siglip", 64),
        ("siglip2", 64),
        ("videoprism", 64),
    ],
)
def test_a_text_that_is_too_long_is_said(folders: dict[str, Path], model_type: str, max_tokens: int) -> None:
    embedder = load_text_embedder(checkpoint_of(folders[model_type]), "fp32")
    assert isinstance(embedder, LimitedEmbedder)
    (cut,) = embedder.cut_texts(["a dog", "a dog and a cat " * 10])
    assert (cut.text, cut.max_tokens) == ("a dog and a cat " * 10, max_tokens)
    assert embedder.embed_texts(["a dog and a cat " * 10]).shape == (1, embedder.dim)


@pytest.mark.parametrize("model_type", ["siglip", "siglip2"])
def test_letters_are_read_in_the_case_that_the_model_was_trained_with(folders: dict[str, Path], model_type: str) -> None:
    small, large = load_text_embedder(checkpoint_of(folders[model_type]), "fp32").embed_texts(["a dog", "A DOG"])
    assert (small == large).all()


@pytest.mark.parametrize("model_type", IMAGE_TEXT)
def test_rerank_scores_weigh_the_frames_by_the_text(folders: dict[str, Path], model_type: str) -> None:
    """Against the formula, frame by frame: weights from cosines, the weighted mean's cosine with the text."""
    embedder = load_embedder(checkpoint_of(folders[model_type]), "fp32")
    assert isinstance(embedder, RerankEmbedder)
    clips = embedder.embed_clips_with_features(some_pixels(embedder))
    assert clips.features.shape == (3, 8, embedder.dim)
    assert clips.embeddings == pytest.approx(
        clips.features.mean(1) / np.linalg.norm(clips.features.mean(1), axis=1, keepdims=True), abs=1e-6
    )
    scores = embedder.rerank_scores(_TEXTS, *clips)
    for t, text in enumerate(embedder.embed_texts(_TEXTS)):
        for c, frames in enumerate(clips.features):
            logits = embedder.logit_scale * frames @ text / 2.0
            weights = np.exp(logits - logits.max())
            mean = weights @ frames
            assert scores[t, c] == pytest.approx(embedder.logit_scale * (text @ mean) / np.linalg.norm(mean), abs=1e-3)
    assert embedder.rerank_scores([], *clips).shape == (0, 3)
    assert embedder.rerank_scores(_TEXTS, clips.embeddings[:0], clips.features[:0]).shape == (2, 0)


def test_every_family_of_embedders_is_here() -> None:
    here = {"xclip", *IMAGE_TEXT, *VIDEO_TEXT, *WITH_EXTRAS}
    assert {family.model_type for family in FAMILIES if family.role == "embedder"} == here


def test_a_checkpoint_of_another_kind_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    AutoModel.from_pretrained(folders["clip"]).vision_model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"got a model of type 'clip_vision_model', expected xclip, clip, .*videoprism"):
        check_embedder(find_checkpoint(str(tmp_path), "embedder"))


def test_pictures_of_any_shape_keep_it(folders: dict[str, Path]) -> None:
    """As transformers' own function chooses it."""
    from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

    geometry = read_preprocessing(checkpoint_of(folders["siglip2"]), "embedder").input.geometry
    assert geometry == Geometry(PatchBudget(8, 16), None, "bilinear")
    for budget in (PatchBudget(16, 256), PatchBudget(8, 16), PatchBudget(14, 1024)):
        for width, height in ((640, 360), (1080, 1920), (1, 1000), (3840, 1600), (256, 256), (720, 576)):
            tall, wide = get_image_size_for_max_num_patches(height, width, budget.patch_size, budget.max_patches)
            assert budget.resized(width, height) == (wide, tall)


def test_pictures_of_any_shape_that_are_rounded_down() -> None:
    """As transformers' own function chooses it, from patches of which 3 x 3 make a square."""
    from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

    for patch, squares in ((16, 140), (16, 70), (4, 280)):
        budget = PatchBudget(3 * patch, squares, "down")
        for width, height in ((640, 360), (1080, 1920), (3, 1000), (1000, 1), (3840, 1600), (256, 256), (720, 576)):
            tall, wide = get_aspect_ratio_preserving_size(height, width, patch, squares * 9, 3)
            assert budget.resized(width, height) == (wide, tall)
