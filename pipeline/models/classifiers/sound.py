"""A classifier by pictures and sound: a video model, a small encoder of spectrograms, and their fusion."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from pipeline.models.classifiers.best_labels import best_labels
from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from pipeline.models.classifiers.log_mel import NUM_BANDS, RATE, LogMel, LogMelByConvolution
from pipeline.models.runtimes.onnx import OnnxForward, unfused_attention
from schemas.models import Checkpoint, Label
from schemas.options import Precision

# Clips that are computed at a time: memory for more than that buys nothing on a CPU.
_CLIPS_AT_ONCE = 8

Fusion = Literal["late", "cross"]


class SoundVideoConfig(PretrainedConfig):  # type: ignore[misc]
    """The configuration of a `SoundVideoForVideoClassification`.

    Attributes:
        video: the video model's configuration, with its ``model_type``.
        fusion: ``late`` puts the means of both beside each other; ``cross`` lets the video's tokens attend to the sound's.
        num_frames: frames of a clip.
        image_size: side of a frame in pixels.
        sound_seconds: seconds of sound of a clip, from its middle; of shorter clips, with silence around it.
        sound_hidden_size: width of the sound's tokens.
        num_attention_heads: heads of the cross-attention.
    """

    model_type = "sound_video"

    video: dict[str, Any] | None = None
    fusion: str = "late"
    num_frames: int = 16
    image_size: int = 224
    sound_seconds: float = 4.0
    sound_hidden_size: int = 128
    num_attention_heads: int = 4
    initializer_range: float = 0.02

    @property
    def num_samples(self) -> int:
        """Samples of sound of a clip."""
        return round(self.sound_seconds * RATE)


class SoundEncoder(nn.Module):
    """Three convolutions over a spectrogram, each of which halves the time: 12.5 tokens a second."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spectrogram = LogMel()
        self.levels = nn.BatchNorm1d(NUM_BANDS)
        self.convolutions = nn.Sequential(
            *(nn.Conv1d(NUM_BANDS, width, 5, 2, 2), nn.GELU()),
            *(nn.Conv1d(width, width, 5, 2, 2), nn.GELU()),
            *(nn.Conv1d(width, width, 5, 2, 2), nn.GELU()),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width], of samples [batch, num_samples]."""
        levels = self.levels(self.spectrogram(sound).to(self.norm.weight.dtype))
        tokens: torch.Tensor = self.norm(self.convolutions(levels).transpose(1, 2))
        return tokens


class SoundVideoForVideoClassification(PreTrainedModel):  # type: ignore[misc]
    """Logits from the tokens of a video model and those of a `SoundEncoder`."""

    config_class = SoundVideoConfig
    main_input_name = "pixel_values"
    base_model_prefix = "sound_video"

    def __init__(self, config: SoundVideoConfig) -> None:
        super().__init__(config)
        video = AutoConfig.for_model(**(config.video or {"model_type": "videomae"}))
        self.video = AutoModel.from_config(video)
        width, sound_width = int(video.hidden_size), config.sound_hidden_size
        self.sound = SoundEncoder(sound_width)
        self.attention = None
        if config.fusion == "cross":
            heads = config.num_attention_heads
            self.video_norm = nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, heads, kdim=sound_width, vdim=sound_width, batch_first=True)
        joined = width if config.fusion == "cross" else width + sound_width
        self.norm = nn.LayerNorm(joined)
        self.classifier = nn.Linear(joined, config.num_labels)
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, sound: torch.Tensor | None = None, **_: Any) -> ImageClassifierOutput:
        """``logits`` [batch, labels], of pixels [batch, num_frames, 3, height, width] and samples [batch, num_samples]."""
        if sound is None:
            sound = pixel_values.new_zeros(len(pixel_values), self.config.num_samples)
        seen = self.video(**{self.video.main_input_name: pixel_values}).last_hidden_state
        heard = self.sound(sound)
        if self.attention is None:
            joined = torch.cat([seen.mean(1), heard.mean(1)], -1)
        else:
            joined = (seen + self.attention(self.video_norm(seen), heard, heard, need_weights=False)[0]).mean(1)
        return ImageClassifierOutput(logits=self.classifier(self.norm(joined)))


class SoundVideoClassifier(HuggingFaceClassifier):
    """A `SoundVideoForVideoClassification` as a `Classifier` that hears.

    Attributes:
        num_samples: samples of sound that it takes of each clip.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", device: torch.device | None = None) -> None:
        """Load the checkpoint, onto the best device where none is given; see `pipeline.models.registry.load_classifier`."""
        super().__init__(checkpoint, precision, device)
        self.num_samples = int(self._model.config.num_samples)

    @torch.inference_mode()
    def classify_with_sound(self, pixels: torch.Tensor, sound: NDArray[np.float32], top: int) -> list[tuple[Label, ...]]:
        """See `pipeline.models.base.HearingClassifier.classify_with_sound`."""
        heard = torch.from_numpy(sound).to(self.device)
        pieces = zip(*(torch.split(one, _CLIPS_AT_ONCE) for one in (pixels.to(self.device), heard)), strict=True)
        logits = torch.cat([self._logits(seen, sound) for seen, sound in pieces])
        return best_labels(logits.float().softmax(-1), self.labels, top)

    def logits(self, pixels: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """PyTorch's logits [batch, labels], of pixels and of samples [batch, num_samples] on its device."""
        logits: torch.Tensor = self._model(pixels, sound=sound).logits
        return logits

    def _logits(self, pixels: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        return self.logits(pixels, sound)


class OnnxSoundVideo(SoundVideoClassifier):
    """A `SoundVideoClassifier` on ONNX Runtime, in fp32."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_classifier`. There is one precision."""
        super().__init__(checkpoint, "fp32", torch.device("cpu"))
        self._onnx = OnnxForward(checkpoint, "logits-with-sound", self.module(), ("pixels", "sound"))

    def module(self) -> nn.Module:
        """Its forward pass: pixels [batch, num_frames, 3, height, width], samples [batch, num_samples] -> logits."""
        return _Logits(self._model)

    def _logits(self, pixels: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        return self._onnx(pixels, sound)[0]


class _Logits(nn.Module):
    """The model with operators that ONNX has."""

    def __init__(self, model: SoundVideoForVideoClassification) -> None:
        super().__init__()
        self.model = deepcopy(model)
        self.model.sound.spectrogram = LogMelByConvolution()

    def forward(self, pixels: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        with unfused_attention():
            logits: torch.Tensor = self.model(pixels, sound=sound).logits
            return logits


AutoConfig.register("sound_video", SoundVideoConfig, exist_ok=True)
AutoModelForVideoClassification.register(SoundVideoConfig, SoundVideoForVideoClassification, exist_ok=True)
