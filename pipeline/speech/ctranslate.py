"""Whisper by CTranslate2, the engine of faster-whisper: the same weights in less time on CPUs.

The weights are a Whisper's own, in safetensors. They are converted at the first use, and the converted model is kept in the
user's cache folder.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from pipeline.cache_folder import cache_folder
from pipeline.models.loading import cannot_load
from pipeline.speech.whisper import STEP_S, Decoded, Whisper, Window
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

_COMPUTE_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class CTranslateWhisper(Whisper):
    """A loaded `Whisper` on the first GPU that CTranslate2 sees, or the CPU.

    Precision ``auto`` is int8 on a CPU and fp16 on a GPU.
    """

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> Any:
        try:
            import ctranslate2
        except ImportError as exc:
            raise ModelError(
                "CTranslate2 is not installed; pip install 'vidsift[faster-whisper]'", argument="speech"
            ) from exc
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        fastest = "int8" if device == "cpu" else "float16"
        try:
            settings = GenerationConfig.from_pretrained(checkpoint.folder, local_files_only=True)
            self._engine = ctranslate2.models.Whisper(
                str(_converted(checkpoint)),
                device=device,
                compute_type=_COMPUTE_TYPES.get(precision, fastest),
                intra_threads=torch.get_num_threads(),
            )
        except Exception as exc:
            raise cannot_load(checkpoint, "speech", exc) from exc
        return settings

    def _encode(self, features: torch.Tensor) -> Any:
        import ctranslate2

        return self._engine.encode(ctranslate2.StorageView.from_array(features.float().numpy()))

    def _first_look(self, window: Window) -> tuple[float, str | None]:
        begin = [self._settings.decoder_start_token_id]
        # One token is enough to know how likely it is that nothing is said.
        (result,) = self._engine.generate(window.encoded, [begin], beam_size=1, max_length=2, return_no_speech_prob=True)
        if not self._has_to_find_language:
            return result.no_speech_prob, self._language or "en"
        (found,) = self._engine.detect_language(window.encoded)
        chances = {token.strip("<|>"): chance for token, chance in found}
        return result.no_speech_prob, self._spoken.choose([chances.get(name, 0.0) for name in self._languages])

    def _decode(self, window: Window, language: str | None, **changes: Any) -> Decoded:
        prompt = [self._settings.decoder_start_token_id]
        if self._languages and language:
            prompt += [self._languages[language], self._settings.task_to_id["transcribe"]]
        (result,) = self._engine.generate(
            window.encoded,
            [prompt],
            beam_size=1,
            max_length=self._settings.max_length,
            max_initial_timestamp_index=self._settings.max_initial_timestamp_index,
            return_logits_vocab=True,
            **changes,
        )
        tokens = list(result.sequences_ids[0])
        chances = [_log_softmax(step)[token] for step, token in zip(result.logits[0], tokens, strict=False)]
        return Decoded(tokens, chances, self._times_s(window, prompt, tokens))

    def _times_s(self, window: Window, prompt: list[int], tokens: list[int]) -> list[float] | None:
        """When each token begins, in seconds; a token that is a time begins with the next word."""
        places = [place for place, token in enumerate(tokens) if token < self._settings.eos_token_id]
        if not self._has_alignment:
            return None
        times_s = [0.0] * len(tokens)
        if places:
            frames = int(window.mask.sum()) // 2
            spoken = [tokens[place] for place in places]
            (found,) = self._engine.align(window.encoded, prompt, [spoken], [frames])
            for text_place, step in reversed(found.alignments):
                if text_place < len(places):
                    times_s[places[text_place]] = round(step * STEP_S, 2)
        return times_s


def _log_softmax(logits: Any) -> Any:
    return torch.from_numpy(np.asarray(logits)).float().flatten().log_softmax(-1).numpy().astype(float)


def _converted(checkpoint: Checkpoint) -> Path:
    """The converted model's folder in the cache, made where it is not there."""
    folder = cache_folder("ctranslate2") / f"{checkpoint.sha256[:16]}-ctranslate2-{version('ctranslate2')}"
    if not folder.exists():
        from ctranslate2.converters import TransformersConverter

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, "model")
            # fp32 keeps the weights as they are; what they are computed in is chosen when they are loaded.
            TransformersConverter(str(checkpoint.folder)).convert(str(made), quantization="float32")
            try:
                os.rename(made, folder)
            except OSError:
                if not folder.exists():  # another process was faster
                    raise
    return folder
