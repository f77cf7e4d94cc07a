"""A Whisper of two layers with random weights and a tokenizer of single bytes, in the hub's layout."""

from __future__ import annotations

import json
from pathlib import Path

LANGUAGES = ("en", "de", "fr")


def byte_characters() -> list[str]:
    """The characters that stand for the bytes 0 to 255 in byte-level vocabularies."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return [bytes_to_unicode()[byte] for byte in range(256)]


def write_whisper(folder: Path, *, languages: bool = True, alignment: bool = True, seed: int = 0, chunk_s: int = 30) -> Path:
    """Write the checkpoint.

    Args:
        folder: where.
        languages: whether it knows `LANGUAGES`, or is for English alone.
        alignment: whether its generation_config.json says which heads tell the words' times.
        seed: of the weights.
        chunk_s: the longest sound that it takes, in seconds; published ones take 30.
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
    if languages:
        vocabulary[""] = len(vocabulary)  # as published ones of several languages have it; CTranslate2 knows them by it
    end = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"<|endoftext|>": end}))
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
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        max_target_positions=448,
        max_source_positions=chunk_s * 50,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    settings = {
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "eos_token_id": end,
        "pad_token_id": end,
        "bos_token_id": end,
        "max_length": 60,
        "max_initial_timestamp_index": 50,
        "is_multilingual": languages,
        "return_timestamps": False,
        "begin_suppress_tokens": [end],
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
    WhisperFeatureExtractor(feature_size=80, chunk_length=chunk_s).save_pretrained(folder)
    return folder


def teach(folder: Path, said: dict[str, object], *, steps: int = 60) -> Path:
    """Train the checkpoint at ``folder`` to write each text, from 0.5 to 2 s, for its float32 samples at 16 kHz."""
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(folder)
    features = WhisperFeatureExtractor.from_pretrained(folder)(
        list(said.values()), sampling_rate=16_000, return_tensors="pt"
    ).input_features
    begin = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|0.50|>"]
    rows = [[*begin, *tokenizer.tokenize(text), "<|2.00|>", "<|endoftext|>"] for text in said]
    longest = max(map(len, rows))
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(row + ["<|endoftext|>"] * (longest - len(row))) for row in rows])
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration.from_pretrained(folder).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        logits = model(input_features=features, decoder_input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.save_pretrained(folder)
    return folder
