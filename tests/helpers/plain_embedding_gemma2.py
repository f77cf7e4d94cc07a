"""EmbeddingGemma 2 in plain code, from its documentation: transformers' own processors of pictures and of videos."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.models.embedding_gemma2.processing_embedding_gemma2 import EmbeddingGemma2Processor
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil


def plain_gemma_prompt(num_frames: int, num_soft_tokens: int) -> str:
    """The text about a clip, as the model's own processor writes it; that of pictures stands in for that of videos."""
    processor: Any = EmbeddingGemma2Processor.__new__(EmbeddingGemma2Processor)
    processor.boi_token, processor.video_token, processor.eoi_token = "<|image>", "<|video|>", "<image|>"
    processor.video_processor = SimpleNamespace(add_timestamps=False)
    seen = {"num_soft_tokens_per_video": [num_soft_tokens], "num_frames_per_video": [num_frames]}
    frames = processor.replace_video_token(seen, 0, videos_kwargs={}, load_audio_from_video=False)
    return f"title: none | text: {frames}"


@torch.inference_mode()
def plain_gemma_clip(model: Any, tokenizer: Any, folder: Path, frames: list[NDArray[np.uint8]]) -> torch.Tensor:
    """The mean of a clip's tokens, padded as its own processor pads it.

    The processor of videos needs torchvision; that of pictures does the same to each frame.
    """
    values = Gemma4ImageProcessorPil.from_pretrained(folder)(frames, return_tensors="pt")
    prompt = plain_gemma_prompt(len(frames), int(values["num_soft_tokens_per_image"][0]))
    tokens = tokenizer([prompt], return_tensors="pt")
    output = model(
        **tokens,
        pixel_values_videos=values["pixel_values"],
        video_position_ids=values["image_position_ids"],
        num_frames_per_video=torch.tensor([len(frames)]),
    )
    return mean_of_tokens(output.last_hidden_state, tokens["attention_mask"])[0]


@torch.inference_mode()
def plain_gemma_text(model: Any, tokenizer: Any, text: str) -> NDArray[np.float32]:
    """A text's vector, of length 1."""
    tokens = tokenizer([f"task: search result | query: {text}"], return_tensors="pt")
    (vector,) = mean_of_tokens(model(**tokens).last_hidden_state, tokens["attention_mask"])
    unit: NDArray[np.float32] = (vector / vector.norm()).numpy()
    return unit


def mean_of_tokens(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[texts, dim], as the documentation computes it."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
