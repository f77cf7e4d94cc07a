"""Random checkpoints in the hub's layout: real architectures, at the published sizes or small, with random weights.

Tests and benchmarks use them where no trained model is at hand. Their labels and scores mean nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    PreTrainedTokenizerFast,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    XCLIPConfig,
    XCLIPModel,
)
from transformers.utils import logging

logging.disable_progress_bar()

Size = Literal["small", "base"]

# As MCG-NJU/videomae-base-finetuned-kinetics and microsoft/xclip-base-patch32 publish it.
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

_SMALL_VISION = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_SMALL_MIT = {"mit_hidden_size": 64, "mit_intermediate_size": 128, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 4}
_SMALL_TEXT = {
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": 257,
    "eos_token_id": 258,
    "pad_token_id": 256,
}


def write_classifier(folder: Path, size: Size = "small", *, seed: int = 0, num_labels: int = 12) -> Path:
    """Write a random VideoMAE: ``base`` as published for Kinetics (86 M parameters), ``small`` 0.3 M at 64 pixels."""
    torch.manual_seed(seed)
    shape: dict[str, int] = {} if size == "base" else _SMALL_VISION | {"num_frames": 16}
    config = VideoMAEConfig(
        **shape,
        id2label={i: f"made-up action {i:02d}" for i in range(num_labels)},
        label2id={f"made-up action {i:02d}": i for i in range(num_labels)},
    )
    model = VideoMAEForVideoClassification(config)
    perturb(model)
    with torch.no_grad():  # logits with a standard deviation of about 2, like a trained model's
        model.classifier.weight.normal_(0, 2 / config.hidden_size**0.5)
    model.save_pretrained(folder)
    write_preprocessing(folder, config.image_size)
    return folder


def write_embedder(folder: Path, size: Size = "small", *, seed: int = 1) -> Path:
    """Write a random X-CLIP: ``base`` as xclip-base-patch32 (197 M parameters), ``small`` 0.5 M at 64 pixels."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    text = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407} if size == "base" else _SMALL_TEXT
    vision: dict[str, int] = {} if size == "base" else _SMALL_VISION | _SMALL_MIT
    config = XCLIPConfig(
        text_config=text,
        vision_config={"num_frames": 8, **vision},
        projection_dim=512 if size == "base" else 64,
        prompt_num_attention_heads=8 if size == "base" else 4,
    )
    config.initializer_range = 0.02  # transformers 5.23 leaves it out, and the prompt generator would start at 1.0
    model = XCLIPModel(config)
    perturb(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_preprocessing(folder, config.vision_config.image_size)
    return folder


def perturb(model: torch.nn.Module) -> None:
    """Move norms and biases away from their initial ones and zeros, so that tests notice mistakes with them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * (0.1 if name.endswith("weight") else 0.02))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per byte, so all texts differ. X-CLIP needs <eos> to have the highest id."""
    vocab = {symbol: i for i, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    for symbol in ("<pad>", "<bos>", "<eos>"):
        vocab[symbol] = len(vocab)
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", vocab["<bos>"]), ("<eos>", vocab["<eos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", model_max_length=77
    )


def write_preprocessing(folder: Path, image_size: int) -> None:
    """Write preprocessor_config.json: the shorter edge to ``image_size`` pixels, centre crop, ImageNet's normalisation."""
    settings = {
        "image_processor_type": "VideoMAEImageProcessor",
        "size": {"shortest_edge": image_size},
        "crop_size": {"height": image_size, "width": image_size},
        "resample": 2,
        **_IMAGENET,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write both checkpoints into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="gets the folders classifier/ and embedder/")
    parser.add_argument("--size", choices=["small", "base"], default="small")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(write_classifier(arguments.folder / "classifier", arguments.size, seed=arguments.seed))
    print(write_embedder(arguments.folder / "embedder", arguments.size, seed=arguments.seed + 1))


if __name__ == "__main__":
    main()
