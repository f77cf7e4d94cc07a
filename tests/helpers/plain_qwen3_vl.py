"""Qwen3-VL-Embedding in plain code, from its documentation: patches one by one, conversations as whole strings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen3VLModel

CLIP_LAYOUT = (
    "<|im_start|>system\nRepresent the user's input.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
TEXT_LAYOUT = CLIP_LAYOUT.replace("Represent the user's input.", "Find a video that contains the following visual content.")


def plain_patches(values: NDArray[np.float32], patch: int) -> tuple[NDArray[np.float32], list[int]]:
    """Patches of a clip [num_frames, 3, height, width], each of two frames, four that make a square after one another."""
    num_frames, _, height, width = values.shape
    rows = []
    for frame in range(0, num_frames, 2):
        for top in range(0, height, 2 * patch):
            for left in range(0, width, 2 * patch):
                for y, x in ((top, left), (top, left + patch), (top + patch, left), (top + patch, left + patch)):
                    tubelet = values[frame : frame + 2, :, y : y + patch, x : x + patch]
                    rows.append(np.concatenate([tubelet[:, channel].ravel() for channel in range(3)]))
    return np.stack(rows), [num_frames // 2, height // patch, width // patch]


def plain_prompt(grid: list[int]) -> str:
    """The conversation about a clip of 2 frames a second, whose squares of four patches are one token each."""
    seen = f"<|vision_start|>{'<|video_pad|>' * (grid[1] * grid[2] // 4)}<|vision_end|>"
    return CLIP_LAYOUT.format("".join(f"<{i + 0.25:.1f} seconds>{seen}" for i in range(grid[0])))


@torch.inference_mode()
def plain_qwen_clip(model: Qwen3VLModel, tokenizer: Any, pictures: NDArray[np.uint8]) -> torch.Tensor:
    """The last token's hidden state for pictures [num_frames, height, width, 3]."""
    values = (pictures.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    patches, grid = plain_patches(values.transpose(0, 3, 1, 2), model.config.vision_config.patch_size)
    tokens = tokenizer(plain_prompt(grid), return_tensors="pt")
    output = model(
        **tokens,
        pixel_values_videos=torch.from_numpy(patches),
        video_grid_thw=torch.tensor([grid]),
        mm_token_type_ids=2 * (tokens["input_ids"] == model.config.video_token_id).int(),
    )
    hidden: torch.Tensor = output.last_hidden_state[0, -1]
    return hidden


@torch.inference_mode()
def plain_qwen_text(model: Qwen3VLModel, tokenizer: Any, text: str) -> NDArray[np.float32]:
    """A text's vector, of length 1."""
    hidden = model(**tokenizer(TEXT_LAYOUT.format(text), return_tensors="pt")).last_hidden_state[0, -1]
    unit: NDArray[np.float32] = (hidden / hidden.norm()).numpy()
    return unit
