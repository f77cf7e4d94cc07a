"""A Whisper of two layers with random weights and a tokenizer of single bytes, in the hub's layout."""

from __future__ import annotations

import json
from pathlib import Path

LANGUAGES = ("en", "de", "fr")


def byte_characters() -> list[str]:
    """The characters that stand for the bytes 0 to 255 in byte-level vocabularies."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return [bytes_to_unicode()[byte] for byte in range(256)]


def write_whisper(folder: Path, *, languages: bool = True, alignment: bool = True, seed: int = 0) -> Path:
    """Write the checkpoint.

    Args:
        folder: where.
        languages: whether it knows `LANGUAGES`, or is for English alone.
        alignment: whether its generation_config.json says which heads tell the words' times.
        seed: of the weights.
    """
    import torch
    from tokenizers import AddedToken
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    folder.mkdir(parents=True)
    vocabulary = {character: number for number, character in enumerate(byte_characters())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"<|endoftext|>": 256}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    spoken = [f"<|{language}|>" for language in LANGUAGES] if languages else []
    specials = ["<|startoftranscript|>", *spoken, "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    specials += ["<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.add_tokens([AddedToken(token, special=False) for token in times])
    tokenizer.save_pretrained(folder)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (*specials, "<|endoftext|>", "<|0.00|>")}
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=256,
        bos_token_id=256,
        eos_token_id=256,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        max_target_positions=448,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    settings = {
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "eos_token_id": 256,
        "pad_token_id": 256,
        "bos_token_id": 256,
        "max_length": 60,
        "max_initial_timestamp_index": 50,
        "is_multilingual": languages,
        "return_timestamps": False,
        "begin_suppress_tokens": [256],
        "suppress_tokens": [ids[token] for token in specials],
        "prev_sot_token_id": ids["<|startofprev|>"],
    }
    if languages:
        settings["lang_to_id"] = {token: ids[token] for token in spoken}
        settings["task_to_id"] = {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]}
    if alignment:
        settings["alignment_heads"] = [[1, 0], [1, 1]]
    model.generation_config = GenerationConfig(**settings)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder
