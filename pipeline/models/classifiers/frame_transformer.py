"""A Transformer over the features that a frozen encoder of pictures gives of single frames, as a `Classifier`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForVideoClassification,
    PretrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)
from transformers.modeling_outputs import ImageClassifierOutput

from pipeline.models.classifiers.huggingface import HuggingFaceClassifier, OnnxClassifier
from pipeline.models.runtimes.onnx import unfused_attention

# Frames of a clip that go through the encoder at a time on a CPU.
_FRAMES_AT_ONCE = 64


class FrameTransformerConfig(PretrainedConfig):  # type: ignore[misc]
    """The configuration of a `FrameTransformerForVideoClassification`.

    Attributes:
        encoder: the configuration of the ResNet that sees the frames.
        num_frames: frames of a clip.
        image_size: side of a frame in pixels.
        hidden_size: width of the Transformer.
        num_hidden_layers: its layers.
        num_attention_heads: heads of each layer's attention.
        intermediate_size: width between each layer's two linear maps.
        hidden_dropout_prob: dropout in training.
    """

    model_type = "frame_transformer"

    encoder: dict[str, Any] | None = None
    num_frames: int = 16
    image_size: int = 224
    hidden_size: int = 256
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.02


class FrameTransformerForVideoClassification(PreTrainedModel):  # type: ignore[misc]
    """A ResNet for each frame, then a Transformer encoder over the frames' features and a class token.

    The class token and learnt positions are those of Devlin et al., 2018 (BERT) and Dosovitskiy et al., 2020 (ViT). The
    ResNet is frozen: its weights take no gradients, and its batch statistics stay.
    """

    config_class = FrameTransformerConfig
    main_input_name = "pixel_values"
    base_model_prefix = "frame_transformer"

    def __init__(self, config: FrameTransformerConfig) -> None:
        super().__init__(config)
        self.encoder = ResNetModel(ResNetConfig(**(config.encoder or {}))).requires_grad_(False)
        width = config.hidden_size
        self.feature_norm = nn.LayerNorm(self.encoder.config.hidden_sizes[-1])
        self.projection = nn.Linear(self.encoder.config.hidden_sizes[-1], width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, config.num_frames + 1, width))
        layer = nn.TransformerEncoderLayer(
            width,
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_dropout_prob,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, config.num_hidden_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, config.num_labels)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            for parameter in (self.class_token, self.positions):
                nn.init.trunc_normal_(parameter, std=self.config.initializer_range)

    def train(self, mode: bool = True) -> FrameTransformerForVideoClassification:
        """As for every module, but the frozen encoder goes on to use the batch statistics that it has."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def frame_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[batch, num_frames, width of the encoder], of pixels [batch, num_frames, 3, height, width]."""
        frames = torch.split(pixel_values.flatten(0, 1), _FRAMES_AT_ONCE)
        features = torch.cat([self.encoder(some).pooler_output.flatten(1) for some in frames])
        return features.reshape(*pixel_values.shape[:2], -1)

    def forward(
        self, pixel_values: torch.Tensor | None = None, features: torch.Tensor | None = None, **_: Any
    ) -> ImageClassifierOutput:
        """``logits`` [batch, num_labels], from pixels or from their `frame_features`."""
        if features is None:
            assert pixel_values is not None, "either is given"
            features = self.frame_features(pixel_values)
        features = features.to(self.projection.weight.dtype)
        return ImageClassifierOutput(logits=self.classifier(self.tokens(features)[:, 0]))

    def tokens(self, features: torch.Tensor) -> torch.Tensor:
        """The class token and those of the frames after the Transformer: [batch, 1 + num_frames, hidden_size]."""
        frames = self.projection(self.feature_norm(features))
        tokens = torch.cat([self.class_token.expand(frames.shape[0], -1, -1), frames], 1) + self.positions
        encoded: torch.Tensor = self.norm(self.transformer(tokens))
        return encoded


class FrameTransformerClassifier(HuggingFaceClassifier):
    """A `FrameTransformerForVideoClassification` as a `Classifier`."""


class OnnxFrameTransformer(OnnxClassifier):
    """A `FrameTransformerClassifier` on ONNX Runtime."""

    def module(self) -> nn.Module:
        """Its forward pass; see `HuggingFaceClassifier.module`."""
        return _Logits(self._model)


class _Logits(nn.Module):
    """[batch, num_frames, 3, height, width] -> logits [batch, labels], all frames at once."""

    def __init__(self, model: FrameTransformerForVideoClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.model.encoder(pixels.flatten(0, 1)).pooler_output
        with unfused_attention():
            logits: torch.Tensor = self.model(features=features.reshape(-1, pixels.shape[1], features.shape[1])).logits
            return logits


AutoConfig.register("frame_transformer", FrameTransformerConfig, exist_ok=True)
AutoModelForVideoClassification.register(FrameTransformerConfig, FrameTransformerForVideoClassification, exist_ok=True)
