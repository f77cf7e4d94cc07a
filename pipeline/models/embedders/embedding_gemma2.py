"""EmbeddingGemma 2 as an embedder of what is seen: an encoder that reads words and frames; its sound is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from transformers import AutoConfig

from pipeline.models.embedders.two_towers import TwoTowers
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

# The model's prompt for what is to be found; `pipeline.models.families` has the one for queries.
CLIP_PROMPT = "title: none | text: "


class EmbeddingGemma2Embedder(TwoTowers):
    """EmbeddingGemma 2 (Google, 2026): the embedding is the mean over all tokens, those of the prompt too."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", **settings: Any) -> None:
        """See `TwoTowers`.

        Raises:
            ModelError: it cannot be loaded, or its tokenizer is another model's.
        """
        super().__init__(checkpoint, precision, **settings)
        begin = int(self._model.config.boi_token_id)
        prompt = self._tokenizer.around(CLIP_PROMPT, begin)
        if prompt is None:
            raise ModelError(
                f"its tokenizer lacks the token {begin}, with which a picture begins; copy the tokenizer of the model that "
                "it was trained from",
                argument="embedder",
                value=checkpoint.name,
            )
        self._before, self._after = prompt

    @classmethod
    def whole_config(cls, checkpoint: Checkpoint) -> Any:
        """The configuration without its audio model."""
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        config.audio_config = None
        return config

    @classmethod
    def config_without_vision(cls, checkpoint: Checkpoint) -> Any:
        """The same with a vision model of no layers."""
        config = cls.whole_config(checkpoint)
        config.vision_config.num_hidden_layers = 0
        return config

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.forward(self._model, pixels, self._before, self._after)

    @staticmethod
    def forward(
        model: Any, pixels: torch.Tensor, before: Sequence[int] = (), after: Sequence[int] = ()
    ) -> tuple[torch.Tensor, ...]:
        """The means [batch, dim] over the tokens of clips.

        Args:
            model: transformers' ``EmbeddingGemma2Model``.
            pixels: [batch, num_frames, 3, height, width], of whole squares of the patches that become one token.
            before: the tokens before the frames: the beginning of a text, and the prompt.
            after: the tokens after them.
        """
        config, vision = model.config, model.config.vision_config
        batch, num_frames = pixels.shape[:2]
        patches, positions = frame_patches(pixels.flatten(0, 1), vision.patch_size)
        num_soft_tokens = patches.shape[1] // vision.pooling_kernel_size**2
        frame = [config.boi_token_id, *[config.video_token_id] * num_soft_tokens, config.eoi_token_id]
        tokens = torch.tensor([*before, *frame * num_frames, *after], device=pixels.device)
        output = model(
            input_ids=tokens.expand(batch, -1),
            pixel_values_videos=patches,
            video_position_ids=positions,
            num_frames_per_video=torch.tensor([num_frames] * batch),
        )
        return (output.last_hidden_state.mean(1),)

    @staticmethod
    def text_vectors(model: Any, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The means [texts, dim] over the tokens of texts, padding left out."""
        mask = tokens["attention_mask"].unsqueeze(-1)
        hidden = model.language_model(**tokens).last_hidden_state
        return cast("torch.Tensor", (hidden * mask).sum(1) / mask.sum(1))


def frame_patches(frames: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut frames into squares, row by row.

    Args:
        frames: [frames, 3, height, width], of whole squares.
        side: of a square, in pixels.

    Returns:
        Patches [frames, squares, side * side * 3], pixel by pixel; their (x, y), int64 [frames, squares, 2].
    """
    count, channels, height, width = frames.shape
    down, across = height // side, width // side
    squares = frames.reshape(count, channels, down, side, across, side).permute(0, 2, 4, 3, 5, 1)
    ys, xs = torch.meshgrid(
        torch.arange(down, device=frames.device), torch.arange(across, device=frames.device), indexing="ij"
    )
    positions = torch.stack([xs, ys], -1).reshape(1, down * across, 2)
    return squares.reshape(count, down * across, side * side * channels), positions.expand(count, -1, -1)
