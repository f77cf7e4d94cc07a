"""Whisper by CTranslate2 writes what PyTorch writes: by a small one that was taught two words, for two tones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.checkpoint import find_checkpoint
from pipeline.speech.annotator import SpeechAnnotator
from pipeline.speech.audio import RATE
from pipeline.speech.whisper import Whisper
from schemas.channels import Utterance
from schemas.errors import ModelError, UsageError
from schemas.models import Checkpoint
from tests.helpers.small_whisper import teach, write_whisper

pytest.importorskip("ctranslate2")
from pipeline.speech.ctranslate import CTranslateWhisper

SECONDS = np.arange(3 * RATE) / RATE
LOW, HIGH = ((np.sin(2 * np.pi * hertz * SECONDS) * 0.3).astype(np.float32) for hertz in (300, 3000))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = write_whisper(tmp_path_factory.mktemp("models") / "small", chunk_s=4)
    return find_checkpoint(str(teach(folder, {" Yes.": LOW, " No.": HIGH})), "speech")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vidsift" / "ctranslate2"


def rows(whisper: Whisper) -> list[Utterance]:
    return [*whisper.hear(LOW, 10.0), *whisper.hear(HIGH, 20.0)]


@pytest.mark.parametrize("language", [None, "en"])
def test_both_engines_hear_the_same(checkpoint: Checkpoint, language: str | None) -> None:
    expected = rows(Whisper(checkpoint, language, "fp32"))
    assert [(row.text, row.start_s, row.end_s, row.language) for row in expected] == [
        ("Yes.", 10.5, 12.0, "en"),
        ("No.", 20.5, 22.0, "en"),
    ]
    for precision, tolerance in (("fp32", 1e-4), ("auto", 0.05)):
        found = rows(CTranslateWhisper(checkpoint, language, precision))  # type: ignore[arg-type]
        for row, other in zip(found, expected, strict=True):
            assert row[:5] == other[:5]
            assert row.confidence == pytest.approx(other.confidence, abs=tolerance)
            assert [word.word for word in row.words] == [word.word for word in other.words]
            assert all(row.start_s <= word.start_s <= word.end_s <= row.end_s for word in row.words)


@torch.inference_mode()
def test_the_first_look_is_the_same(checkpoint: Checkpoint) -> None:
    first, second = Whisper(checkpoint, None, "fp32"), CTranslateWhisper(checkpoint, None, "fp32")
    (silence, language), (other_silence, other_language) = (one._first_look(one.window(LOW)) for one in (first, second))
    assert other_silence == pytest.approx(silence, abs=1e-6)
    assert other_language == language


def test_it_is_converted_once(checkpoint: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctranslate2.converters

    CTranslateWhisper(checkpoint)
    (folder,) = cache.iterdir()
    assert folder.name.startswith(checkpoint.sha256[:16])
    assert (folder / "model.bin").exists()
    monkeypatch.setattr(ctranslate2.converters, "TransformersConverter", None)
    CTranslateWhisper(checkpoint)


def test_the_engine_is_part_of_the_version(checkpoint: Checkpoint) -> None:
    annotator = SpeechAnnotator(checkpoint, engine="faster-whisper")
    assert annotator.version == f"1 {checkpoint.stamp} any faster-whisper"
    with pytest.raises(UsageError, match="expected torch or faster-whisper"):
        SpeechAnnotator(checkpoint, engine="jax")  # type: ignore[arg-type]


def test_without_it_the_extra_is_named(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ModelError, match=r"pip install 'vidsift\[faster-whisper\]'"):
        CTranslateWhisper(checkpoint)
