"""Whisper (arXiv 2212.04356) through transformers: what is said in up to 30 s of sound, when, and how surely."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES, _combine_tokens_into_words

from pipeline.models.loading import cannot_load, load_pretrained
from pipeline.speech.languages import base_of
from pipeline.speech.spoken_language import SpokenLanguage
from schemas.channels import Utterance, Word
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision
from schemas.records import Span

# Text that compresses better repeats itself; a window is likely silent above the second where its tokens are as unlikely as
# the third on average. The paper's values, section 4.5.
_MOST_COMPRESSIBLE, _SILENT, _LEAST_LOG_PROBABILITY = 2.4, 0.6, -1.0
# Where a text repeats itself, it is decoded once more, and no run of so many tokens may come twice.
_NO_REPEAT = 5
# Seconds for each step of the decoder's times, and of the cross-attention's.
STEP_S = 0.02


class Decoded(NamedTuple):
    """What the decoder wrote for one window, one entry a token: ids, log-probabilities, and when each begins, in seconds."""

    tokens: list[int]
    log_probabilities: list[float]
    times_s: list[float] | None


class Window(NamedTuple):
    """A window of sound: log-mel features [1, mels, 3000], which of them are sound [1, 3000], and the encoder's output."""

    features: torch.Tensor
    mask: torch.Tensor
    encoded: Any


class Whisper:
    """A loaded Whisper. It remembers the languages of one video; `begin` another before its first window."""

    def __init__(self, checkpoint: Checkpoint, language: str | None = None, precision: Precision = "auto") -> None:
        """Load the model.

        Args:
            checkpoint: its files, in the hub's layout.
            language: what is spoken, in BCP 47; None finds it out.
            precision: the floating-point type to compute in.

        Raises:
            ModelError: it is no Whisper, or it does not know the language.
        """
        if checkpoint.model_type != "whisper":
            raise ModelError(
                f"got a model of type {checkpoint.model_type!r}, expected 'whisper'; give one such as openai/whisper-small",
                argument="speech",
                value=checkpoint.name,
            )
        settings = self._load(checkpoint, precision)
        try:
            self._features = WhisperFeatureExtractor.from_pretrained(checkpoint.folder, local_files_only=True)
            self._tokenizer = WhisperTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
        except Exception as exc:
            raise cannot_load(checkpoint, "speech", exc) from exc
        no_timestamps = getattr(settings, "no_timestamps_token_id", None)
        if no_timestamps is None:
            raise ModelError(
                "its generation_config.json lacks no_timestamps_token_id, without which nothing it hears has a time; "
                "take the checkpoint's newest revision",
                argument="speech",
                value=checkpoint.name,
            )
        self._settings = settings
        self._first_time = no_timestamps + 1
        self._silence = no_timestamps - 1
        self._has_alignment = getattr(settings, "alignment_heads", None) is not None
        self._languages = {token.strip("<|>"): number for token, number in getattr(settings, "lang_to_id", {}).items()}
        self._language = base_of(language)
        if self._languages and self._language and self._language not in self._languages:
            raise ModelError(
                f"got language {language!r}, expected one of {', '.join(sorted(self._languages))}", argument="language"
            )
        self.begin()

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> Any:
        """Load the network, and return its generation_config.json."""
        self._model, self._device, self._dtype = load_pretrained(
            WhisperForConditionalGeneration, checkpoint, precision, "speech"
        )
        return self._model.generation_config

    def begin(self) -> None:
        """Forget the language of the video before."""
        self._spoken = SpokenLanguage(list(self._languages))

    @torch.inference_mode()
    def hear(self, samples: NDArray[np.float32], start_s: float) -> list[Utterance]:
        """What is said in a window of sound, by time; nothing where it seems silent or the text only repeats itself.

        Args:
            samples: float32 [num_samples], 16,000 a second, 30 s at most.
            start_s: when they begin, in seconds.
        """
        window = self.window(samples)
        silence, language = self._first_look(window)
        decoded = self._decode(window, language)
        if _repeats(self._text(decoded.tokens)):
            decoded = self._decode(window, language, no_repeat_ngram_size=_NO_REPEAT)
            if _repeats(self._text(decoded.tokens)):
                return []
        if not decoded.tokens or (silence > _SILENT and np.mean(decoded.log_probabilities) < _LEAST_LOG_PROBABILITY):
            return []
        length_s = len(samples) / 16_000
        return [_moved(said, start_s) for said in self._utterances(decoded, language, length_s)]

    def window(self, samples: NDArray[np.float32]) -> Window:
        """Samples as the decoder sees them."""
        inputs = self._features(samples, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
        return Window(inputs.input_features, inputs.attention_mask, self._encode(inputs.input_features))

    def _encode(self, features: torch.Tensor) -> Any:
        """What the encoder gives for log-mel features [1, mels, 3000]."""
        return self._model.get_encoder()(features.to(self._device, self._dtype))

    def _first_look(self, window: Window) -> tuple[float, str | None]:
        """How likely the window is silent, and its language: both are the decoder's first token (section 2.3)."""
        begin = torch.tensor([[self._settings.decoder_start_token_id]], device=self._device)
        logits = self._model(encoder_outputs=window.encoded, decoder_input_ids=begin).logits[0, -1].float()
        silence = float(logits.softmax(-1)[self._silence])
        if not self._has_to_find_language:
            return silence, self._language or "en"  # models of one language are English
        return silence, self._spoken.choose(logits[list(self._languages.values())].softmax(-1).cpu().numpy())

    @property
    def _has_to_find_language(self) -> bool:
        return not self._language and bool(self._languages)

    def _decode(self, window: Window, language: str | None, **changes: Any) -> Decoded:
        """What the decoder writes, greedily; ``changes`` to how it does."""
        told = {"language": language, "task": "transcribe"} if self._languages else {}
        result = self._model.generate(
            window.features.to(self._device, self._dtype),
            attention_mask=window.mask.to(self._device),
            encoder_outputs=window.encoded,
            return_timestamps=True,
            return_token_timestamps=self._has_alignment,
            return_dict_in_generate=True,
            output_scores=True,
            force_unique_generate_call=True,
            do_sample=False,
            num_beams=1,
            **told,
            **changes,
        )
        count = len(result["scores"])
        tokens = result["sequences"][0, -count:].tolist() if count else []
        scores = [
            float(score[0].float().log_softmax(-1)[token]) for score, token in zip(result["scores"], tokens, strict=True)
        ]
        aligned = self._has_alignment and count
        times_s = [round(time_s, 2) for time_s in result["token_timestamps"][0, -count:].tolist()] if aligned else None
        end = self._settings.eos_token_id
        keep = next((place for place, token in enumerate(tokens) if token == end), count)
        return Decoded(tokens[:keep], scores[:keep], times_s[:keep] if times_s else None)

    def _utterances(self, decoded: Decoded, language: str | None, length_s: float) -> Iterator[Utterance]:
        """The segments between the times that the decoder wrote, ``<|0.00|> text <|2.40|><|2.60|> text <|5.00|>``."""
        begin_s, first = 0.0, 0
        for place, token in enumerate([*decoded.tokens, self._first_time + round(length_s / STEP_S)]):
            if token < self._first_time:
                continue
            time_s = min((token - self._first_time) * STEP_S, length_s)
            text = self._text(decoded.tokens[first:place])
            if text and time_s > begin_s:
                confidence = float(np.exp(np.mean(decoded.log_probabilities[first:place])))
                words = self._words(decoded, range(first, place), language, Span(begin_s, time_s))
                yield Utterance(begin_s, time_s, text, language, "whisper", confidence, words)
            begin_s, first = time_s, place + 1

    def _words(self, decoded: Decoded, places: range, language: str | None, span: Span) -> tuple[Word, ...]:
        """The words of some tokens, within ``span``; each ends where the next begins."""
        end = self._settings.eos_token_id  # what is above is no text
        spoken = [place for place in places if decoded.tokens[place] < end]
        if decoded.times_s is None or not spoken:
            return ()
        tokens = [decoded.tokens[place] for place in spoken]
        texts, _, groups = _combine_tokens_into_words(self._tokenizer, tokens, LANGUAGES.get(language or "", "english"))
        begins = [min(max(decoded.times_s[spoken[group[0]]], span.start_s), span.end_s) for group in groups]
        timed = zip(texts, begins, [*begins[1:], span.end_s], strict=True)
        return tuple(Word(text.strip(), begin_s, end_s) for text, begin_s, end_s in timed if text.strip())

    def _text(self, tokens: Sequence[int]) -> str:
        kept = [token for token in tokens if token < self._first_time]
        return str(self._tokenizer.decode(kept, skip_special_tokens=True)).strip()


def _repeats(text: str) -> bool:
    """Whether a text compresses so well that it repeats itself."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) > _MOST_COMPRESSIBLE


def _moved(said: Utterance, by_s: float) -> Utterance:
    words = tuple(Word(word, start_s + by_s, end_s + by_s) for word, start_s, end_s in said.words)
    return said._replace(start_s=said.start_s + by_s, end_s=said.end_s + by_s, words=words)
