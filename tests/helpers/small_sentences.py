"""A sentence encoder without layers, in the hub's layout: a text is the mean of its words, and synonyms are one word."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from jobs.annotate.embed import _QUESTIONS, _STATEMENTS

SYNONYMS = (("budget", "money"), ("gone", "spent"), ("dog", "puppy"), ("barks", "yelps"), ("exit", "leave"))
DIM = 256


def write_sentences(folder: Path, *, seed: int = 0, dim: int = DIM, layers: int = 0) -> Path:
    """Write the checkpoint.

    It knows the words of which `jobs.annotate.embed` measures its scale, `SYNONYMS` and a few more; others are one word.
    With ``layers`` it is a whole BERT of random weights, of which nothing is known but that it runs.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    known = re.findall(r"\w+", " ".join((*_QUESTIONS, *_STATEMENTS)).lower())
    words = sorted({*known, *(word for pair in SYNONYMS for word in pair), "hello", "morning", "night", "good", "is", "all"})
    vocabulary = {name: number for number, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=dim,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=4 * dim,
            max_position_embeddings=64,
        )
    ).eval()
    if not layers:
        vectors = np.random.default_rng(seed).normal(size=(len(vocabulary), dim))
        vectors[:4] = 0
        for first, second in SYNONYMS:
            vectors[vocabulary[second]] = vectors[vocabulary[first]]
        with torch.no_grad():
            model.embeddings.word_embeddings.weight.copy_(torch.from_numpy(vectors))
            model.embeddings.position_embeddings.weight.zero_()
            model.embeddings.token_type_embeddings.weight.zero_()
    model.save_pretrained(folder)
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    return folder


def write_json(path: Path, content: object) -> None:
    """Write a file of JSON, and the folder that it is in."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
