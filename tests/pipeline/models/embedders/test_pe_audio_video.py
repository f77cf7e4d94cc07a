"""PE-AV: what vidsift stores equals what transformers' own whole model gives, which is built here without its loader."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import AutoTokenizer, PeAudioVideoModel

from pipeline.models import registry
from pipeline.models.base import LimitedEmbedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_embedder, load_embedder, load_text_embedder
from schemas.errors import ModelError
from schemas.models import Checkpoint, Geometry, ModelInput
from tests.helpers.small_embedders import SIDE, pe_audio_video_config, write_small_embedder
from tests.pipeline.models.embedders.test_every_family import Frames, frames_of, some_pixels, stored

TEXTS = ["people baking a cake", "a dog", "日本語 🎂"]

with_extra = pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None, reason="timm or torchvision is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_embedder(tmp_path_factory.mktemp("embedders") / "pe_audio_video", "pe_audio_video")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return find_checkpoint(str(folder), "embedder")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Any:
    """The whole model with the checkpoint's weights, sound and all."""
    model = PeAudioVideoModel(pe_audio_video_config()).eval()
    assert not model.load_state_dict(load_file(folder / "model.safetensors"), strict=False).unexpected_keys
    return model


@torch.inference_mode()
def plain(whole: Any, folder: Path, frames: Frames, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A clip's and a text's vector by the plain library code."""
    from transformers.models.pe_video.video_processing_pe_video import PeVideoVideoProcessor

    pixels = PeVideoVideoProcessor.from_pretrained(folder)([np.stack(frames)], return_tensors="pt")
    output = whole.video_model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt"), **pixels)
    clip, row = output.video_embeds[0], output.text_video_embeds[0]
    return (clip / clip.norm()).numpy(), (row / row.norm()).numpy()


@with_extra
def test_clips_of_real_videos(
    folder: Path, checkpoint: Checkpoint, whole: Any, shared_clips: Path, classifier_checkpoint: Checkpoint
) -> None:
    embedder = load_embedder(checkpoint, "fp32")
    vectors = []
    for name in ("bikes.mp4", "asl_book.mkv"):
        rows = stored(shared_clips / name, embedder, classifier_checkpoint)
        assert rows
        for row in rows:
            expected, _ = plain(whole, folder, frames_of(shared_clips / name, row.span, 8), "a dog")
            assert float(row.embedding @ expected) >= 0.999
            vectors.append(expected)
    assert float(vectors[0] @ vectors[-1]) < 0.9, "clips that differ are told apart, so the comparison says something"


@with_extra
def test_the_order_of_frames_counts(checkpoint: Checkpoint) -> None:
    embedder = load_embedder(checkpoint, "fp32")
    pixels = some_pixels(embedder, 1)
    forwards, backwards = (embedder.embed_clips(clip)[0] for clip in (pixels, pixels.flip(1)))
    assert float(forwards @ backwards) < 0.9


@with_extra
def test_texts(folder: Path, checkpoint: Checkpoint, whole: Any) -> None:
    frames = [np.zeros((SIDE, SIDE, 3), np.uint8)] * 8
    for text, vector in zip(TEXTS, load_embedder(checkpoint, "fp32").embed_texts(TEXTS), strict=True):
        assert vector == pytest.approx(plain(whole, folder, frames, text)[1], abs=1e-5)


@with_extra
def test_a_model_loaded_for_texts_answers_as_the_whole(checkpoint: Checkpoint) -> None:
    both, half = load_embedder(checkpoint, "fp32"), load_text_embedder(checkpoint, "fp32")
    pixels = some_pixels(both)
    assert (half.embed_texts(TEXTS) == both.embed_texts(TEXTS)).all()
    assert half.embed_clips(pixels) == pytest.approx(both.embed_clips(pixels), abs=1e-6)
    assert half.embed_texts(TEXTS) == pytest.approx(both.embed_texts(TEXTS), abs=1e-6)


@with_extra
def test_bf16_is_near_fp32(checkpoint: Checkpoint) -> None:
    exact, rounded = load_embedder(checkpoint, "fp32"), load_embedder(checkpoint, "bf16")
    pixels = some_pixels(exact)
    for clip, expected in zip(rounded.embed_clips(pixels.bfloat16()), exact.embed_clips(pixels), strict=True):
        assert float(clip @ expected) >= 0.99
    for text, expected in zip(rounded.embed_texts(TEXTS), exact.embed_texts(TEXTS), strict=True):
        assert float(text @ expected) >= 0.99


@with_extra
def test_a_text_that_is_too_long_is_said(checkpoint: Checkpoint) -> None:
    embedder = load_text_embedder(checkpoint, "fp32")
    assert isinstance(embedder, LimitedEmbedder)
    (cut,) = embedder.cut_texts(["a dog", "a dog and a cat " * 10])
    assert (cut.text, cut.max_tokens) == ("a dog and a cat " * 10, 64)
    assert embedder.embed_texts(["a dog and a cat " * 10]).shape == (1, 32)


@with_extra
def test_nothing_is_printed(checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    """transformers prints remarks about docstrings when it makes its own class of this, which would spoil JSON lines."""
    embedder = load_embedder(checkpoint, "fp32")
    embedder.embed_clips(some_pixels(embedder))
    assert capfd.readouterr().out == ""


def test_what_its_files_leave_out_is_as_its_processor_has_it(tmp_path: Path) -> None:
    """2 frames a second of 4 seconds, the whole picture as a square; the settings for sound beside it are not read."""
    for name, settings in {
        "config.json": {"model_type": "pe_audio_video", "text_config": {"hidden_size": 512}},
        "video_preprocessor_config.json": {"video_processor_type": "PeVideoVideoProcessor", "num_frames": None},
        "preprocessor_config.json": {"feature_extractor_type": "PeAudioFeatureExtractor", "sampling_rate": 48_000},
    }.items():
        (tmp_path / name).write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    checkpoint = find_checkpoint(str(tmp_path), "embedder")
    assert checkpoint.embedding_dim == 512
    preprocessing = read_preprocessing(checkpoint, "embedder")
    assert preprocessing.input == ModelInput(8, Geometry((336, 336), None, "bilinear"))
    assert preprocessing.gain == pytest.approx((2 / 255,) * 3)
    assert preprocessing.shift == pytest.approx((-1.0,) * 3)


@pytest.mark.parametrize("missing", ["timm", "torchvision"])
def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == missing else object())
    checkpoint = Checkpoint(
        "facebook/pe-av-small", "/nowhere", None, "pe_audio_video", "0" * 64, ("PeAudioVideoModel",), 1024
    )
    expected = rf"models of type 'pe_audio_video' need {missing}, not installed here; pip install 'vidsift\[pe\]'"
    for refuse in (check_embedder, load_embedder, load_text_embedder):
        with pytest.raises(ModelError, match=expected):
            refuse(checkpoint)
