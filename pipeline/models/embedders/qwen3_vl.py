"""Qwen3-VL-Embedding: a language model that sees, whose last hidden state is the embedding (Li et al., 2026)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from pipeline.models.embedders.chat_prompts import ChatTokenizer
from pipeline.models.embedders.recent_texts import RecentTexts
from pipeline.models.embedders.vectors import unit_vectors
from pipeline.models.families import embedder_family
from pipeline.models.loading import load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import Forward
from schemas.errors import ModelError
from schemas.models import Checkpoint, CutText
from schemas.options import Precision

# Of clips: the model card's default. Of texts: MMEB-V2's for finding videos, the benchmark that the authors report.
CLIP_INSTRUCTION = "Represent the user's input."
TEXT_INSTRUCTION = "Find a video that contains the following visual content."

# It gives the times that are written before the frames, since an embedder is not told a clip's length. The model's own
# processor takes frames from a video at this rate, and 8 frames of the default 4 seconds have it.
FRAMES_PER_S = 2.0

# Tokens of the instructions, and of the time before each temporal patch, in the published tokenizer.
_WORDS_AROUND, _WORDS_BEFORE_PATCHES = 20, 6


class Qwen3VlEmbedder:
    """Qwen3-VL with the weights that were trained for embedding.

    Attributes:
        preprocessing: as for `pipeline.models.base.VideoModel`.
        device: likewise.
        dtype: likewise.
        dim: as for `pipeline.models.base.Embedder`.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", *, device: torch.device | None = None) -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_embedder`.

        Args:
            checkpoint: its files.
            precision: the floating-point type to compute in.
            device: where to compute; None takes `pipeline.models.pixels.best_device`.

        Raises:
            ModelError: it cannot be loaded, or its preprocessing does not fit it.
        """
        family = embedder_family(checkpoint.model_type)
        assert family is not None, "the registry has checked this"
        assert checkpoint.embedding_dim is not None, "the registry has checked this"
        assert family.texts.max_tokens is not None, "the family says it"
        self.preprocessing = read_preprocessing(checkpoint, "embedder")
        self.dim = checkpoint.embedding_dim
        self._model, self.device, self.dtype = load_pretrained(AutoModel, checkpoint, precision, "embedder", device=device)
        self._model.config.text_config.use_cache = False  # it would keep keys and values for tokens to come
        self._vision = self._model.config.vision_config
        self._check_input(checkpoint)
        self._tokenizer = ChatTokenizer(
            Path(checkpoint.folder), checkpoint.name, "embedder", family.texts.max_tokens, TEXT_INSTRUCTION
        )
        self._clip_tokens = lru_cache(maxsize=8)(self._make_clip_tokens)
        self._run: Forward = choose_runtime(self._see, self.device, self._vision, cuda_graphs=family.cuda_graphs)
        self._texts = RecentTexts(self._read)

    def _check_input(self, checkpoint: Checkpoint) -> None:
        """Check that clips can be cut into whole patches.

        Raises:
            ModelError: they cannot.
        """
        num_frames, geometry = self.preprocessing.input.num_frames, self.preprocessing.input.geometry
        side, together = self._vision.patch_size * self._vision.spatial_merge_size, self._vision.temporal_patch_size
        height, width = geometry.size or (side, side)  # of any shape: in whole squares, as `read_preprocessing` checks
        if height % side or width % side or num_frames % together:
            raise ModelError(
                f"got {num_frames} frames of {width} x {height} pixels, expected multiples of {together} frames and of "
                f"{side} x {side} pixels; correct size in preprocessor_config.json",
                argument="embedder",
                value=checkpoint.name,
            )

    @torch.inference_mode()
    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        return unit_vectors(self._run(pixels.to(self.device))[0][:, : self.dim])

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_texts`."""
        return unit_vectors(self._texts(texts)[:, : self.dim]) if texts else np.empty((0, self.dim), np.float32)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `pipeline.models.base.LimitedEmbedder.cut_texts`."""
        return self._tokenizer.cut(texts)

    def _see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Clips' whole vectors, neither cut nor normalised."""
        return self.forward(self._model, pixels, self._clip_tokens)

    @staticmethod
    def forward(
        model: Any, pixels: torch.Tensor, make_tokens: Callable[[int, int, int], torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The last tokens' hidden states [batch, dim], neither cut nor normalised.

        Args:
            model: transformers' ``Qwen3VLModel``.
            pixels: [batch, num_frames, 3, height, width].
            make_tokens: gives the conversation about a clip of so many patches in time, height and width; None takes one
                without its words, of about as many tokens, which costs as much.
        """
        config, vision = model.config, model.config.vision_config
        patches, grid = video_patches(pixels, vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size)
        conversation = make_tokens(*grid) if make_tokens else _without_words(config, grid)
        tokens = conversation.to(pixels.device).expand(len(pixels), -1)
        output = model(
            input_ids=tokens,
            pixel_values_videos=patches,
            video_grid_thw=torch.tensor([grid] * len(pixels), device=pixels.device),
            mm_token_type_ids=(tokens == config.video_token_id).long() * 2,  # 2 means video
        )
        return (output.last_hidden_state[:, -1],)

    def _make_clip_tokens(self, temporal: int, rows: int, columns: int) -> torch.Tensor:
        """The conversation about a clip of so many patches."""
        together = self._vision.temporal_patch_size
        times_s = [(patch * together + (together - 1) / 2) / FRAMES_PER_S for patch in range(temporal)]
        num_patches = rows * columns // self._vision.spatial_merge_size**2
        return self._tokenizer.video(CLIP_INSTRUCTION, times_s, num_patches).to(self.device)

    def _read(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts' whole vectors, likewise."""
        tokens = self._tokenizer(texts)
        hidden = self._model(input_ids=tokens["input_ids"].to(self.device)).last_hidden_state
        # No mask is needed: tokens attend to those before them, and the padding comes last.
        last = tokens["attention_mask"].sum(1) - 1
        rows: torch.Tensor = hidden[torch.arange(len(hidden)), last]
        return rows


def _without_words(config: Any, grid: tuple[int, int, int]) -> torch.Tensor:
    """The tokens of the patches, int64 [tokens], and one that says nothing for each that words would have."""
    num_patches = grid[1] * grid[2] // config.vision_config.spatial_merge_size**2
    patches = [config.vision_start_token_id, *[config.video_token_id] * num_patches, config.vision_end_token_id]
    return torch.tensor([0] * _WORDS_AROUND + ([0] * _WORDS_BEFORE_PATCHES + patches) * grid[0])


def video_patches(
    pixels: torch.Tensor, patch_size: int, num_together: int, merge_size: int
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Cut clips into patches, in the order in which Qwen's vision model takes them.

    A patch spans ``num_together`` frames. Patches that are merged later, in squares of ``merge_size``, follow one another.

    Args:
        pixels: [batch, num_frames, 3, height, width].
        patch_size: of a patch, in pixels.
        num_together: frames that a patch spans.
        merge_size: patches that are merged, in each direction.

    Returns:
        Patches [batch * patches of a clip, 3 * num_together * patch_size ** 2], channel by channel, frame by frame and row
        by row; the number of patches of a clip in time, height and width.
    """
    batch, num_frames, channels, height, width = pixels.shape
    grid = (num_frames // num_together, height // patch_size, width // patch_size)
    squares = (grid[1] // merge_size, grid[2] // merge_size)
    across, down = (squares[1], merge_size, patch_size), (squares[0], merge_size, patch_size)
    cut = pixels.reshape(batch, grid[0], num_together, channels, *down, *across)
    # batch, time, frame, channel, (square, patch, pixel) of the height, (square, patch, pixel) of the width
    ordered = cut.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9)
    return ordered.reshape(batch * grid[0] * grid[1] * grid[2], channels * num_together * patch_size**2), grid
