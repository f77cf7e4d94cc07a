"""The pocket models before training: a small VideoMAE, a small X-CLIP, and a tokenizer of the world's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    XCLIPConfig,
    XCLIPModel,
)

from demo.checkpoints import write_preprocessing

IMAGE_SIZE = 64
_VISION = {
    "image_size": IMAGE_SIZE,
    "patch_size": 16,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
_TEXT_TOKENS = 32


def write_classifier_base(folder: Path, *, seed: int = 0) -> Path:
    """Write a random VideoMAE with its decoder: 16 frames of 64 pixels, 4 layers of 128, 1.0 million parameters."""
    torch.manual_seed(seed)
    config = VideoMAEConfig(
        **_VISION,
        num_frames=16,
        decoder_hidden_size=96,
        decoder_intermediate_size=384,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=4,
        initializer_range=0.07,  # at the usual 0.02 so narrow a network stays at chance for long
    )
    VideoMAEForPreTraining(config).save_pretrained(folder)
    write_preprocessing(folder, IMAGE_SIZE)
    return folder


def write_embedder_base(folder: Path, words: Sequence[str], *, seed: int = 0) -> Path:
    """Write a random X-CLIP: 8 frames of 64 pixels, 4 layers for pictures and 3 for text, 2.5 million parameters."""
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(words)
    config = XCLIPConfig(
        text_config=_text_config(tokenizer),
        vision_config={
            **_VISION,
            "num_frames": 8,
            "mit_hidden_size": 128,
            "mit_intermediate_size": 512,
            "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 4,
            "drop_path_rate": 0.0,
        },
        projection_dim=128,
        prompt_num_attention_heads=4,
    )
    config.initializer_range = 0.02  # transformers 5.23 leaves it out, and the prompt generator would start at 1.0
    model = XCLIPModel(config)
    with torch.no_grad():  # at the usual 0.02 places in a picture are hard to tell apart, and learning starts late
        model.vision_model.embeddings.position_embedding.weight.normal_(0, 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_preprocessing(folder, IMAGE_SIZE)
    return folder


def write_image_text_base(folder: Path, words: Sequence[str], *, seed: int = 0) -> Path:
    """Write a random CLIP: pictures of 64 pixels, 4 layers for them and 3 for text, 1.5 million parameters."""
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(words)
    model = CLIPModel(CLIPConfig(text_config=_text_config(tokenizer), vision_config=_VISION, projection_dim=128))
    with torch.no_grad():  # as for the X-CLIP
        model.vision_model.embeddings.position_embedding.weight.normal_(0, 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_preprocessing(folder, IMAGE_SIZE)
    return folder


def _text_config(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": _TEXT_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each word, in lower case; others are <unk>. X-CLIP needs <eos> to have the highest id."""
    vocab = {word: i for i, word in enumerate(("<pad>", "<unk>", "<bos>", *sorted(set(words)), "<eos>"))}
    tokenizer = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", vocab["<bos>"]), ("<eos>", vocab["<eos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=_TEXT_TOKENS,
    )
