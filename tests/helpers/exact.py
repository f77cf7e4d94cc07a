"""X-CLIP's rerank score by transformers' own code, and a random X-CLIP where it is far from the plain dot product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, XCLIPModel

TEXTS = ["people baking a cake", "a dog", "日本語 🎂", "a dog"]


def sharpen(folder: Path) -> Path:
    """Make the prompt generator matter: attention that prefers some patches, and an answer that is not drowned."""
    model = XCLIPModel.from_pretrained(folder)
    torch.manual_seed(5)
    with torch.no_grad():
        for layer in model.prompts_generator.decoder:
            for linear in (layer.cross_attn.q_proj, layer.cross_attn.k_proj, layer.cross_attn.v_proj):
                linear.weight.normal_(0, 2 / linear.in_features**0.5)
        model.prompts_generator.alpha.fill_(0.3)
    model.save_pretrained(folder)
    return folder


@torch.inference_mode()
def forward(folder: Path, texts: list[str], pixels: torch.Tensor) -> NDArray[np.float32]:
    """``logits_per_text`` [texts, clips] of transformers' own code, a clip and a text at a time."""
    model = XCLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [
        [float(model(**tokenizer(text, return_tensors="pt"), pixel_values=clip[None]).logits_per_text) for clip in pixels]
        for text in texts
    ]
    return np.array(rows, np.float32)
