"""Teach X-CLIP which sentences describe which clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import XCLIPModel

from jobs.datasets.examples import Dataset
from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.contrastive import Alignment, AlignmentModule
from jobs.train.objectives import Batch
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, Session
from jobs.train.trainer import TrainProgress
from pipeline.models.cut_texts import cut_sentence
from pipeline.models.embedders.tokens import TextTokenizer
from schemas.errors import ModelError, UsageError


def align(
    captions: str | Path,
    output: Path,
    *,
    base: str,
    options: TrainOptions,
    plain_weight: float = 0.5,
    facts_weight: float = 0.0,
    cache: Path | None = None,
    say: Say = lambda sentence: None,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainReport:
    """Train an X-CLIP on captions: clips and the sentences that are true of them are drawn together, others apart.

    Args:
        captions: a CSV with the columns path and caption; several rows of a moment are several captions of it. A column
            facts says what a caption speaks of (``action=waving;shirt=red``): it then counts as true of every clip that has
            these facts, and not of its own alone.
        output: the folder to make; it holds what ``ingest --embedder`` takes.
        base: an X-CLIP, or a config.json with a tokenizer beside it to start from random weights.
        options: how to train. The batch is what each caption is told apart from: the larger, the better.
        plain_weight: share of the loss on the plain dot product, which the first stage of a search compares by; the rest is
            on the model's own score, where the text is conditioned on the video.
        facts_weight: weight of an auxiliary loss: a linear head per kind of fact, dropped after the training, names
            the fact from the clip's embedding. It shortens the time in which nothing is learnt yet.
        cache: as for `jobs.train.finetune.finetune`.
        say: as there.
        on_progress: as there.

    Raises:
        UsageError: the data, the output or a weight cannot be used.
        ModelError: the base is no X-CLIP.
        JobError: nothing is left to learn from.
    """
    for option, value, most in (("--plain-weight", plain_weight, 1.0), ("--facts-weight", facts_weight, 100.0)):
        if not 0 <= value <= most:
            raise UsageError(f"{option}: got {value:g}, expected 0 to {most:g}")
    found = find_base(base, "embedder")
    if found.checkpoint.model_type != "xclip":
        raise ModelError(f"--base {base}: got a model of type {found.checkpoint.model_type!r}, expected xclip")
    dataset = read_dataset(captions, seed=options.seed, want="captions")
    extra = {"plain_weight": plain_weight, "facts_weight": facts_weight}
    session = Session("align", found, dataset, output, options, cache, say, on_progress, extra)
    session.open()
    prepared = session.prepare()
    torch.manual_seed(options.seed)
    model = load_base(XCLIPModel, found)
    most = int(model.config.text_config.max_position_embeddings)
    tokenizer = TextTokenizer(Path(found.checkpoint.folder), found.checkpoint.name, "--base", most)
    texts = list(dict.fromkeys(caption for example in dataset.examples for caption in example.captions))
    if note := cut_sentence(tokenizer.cut(texts), len(texts), "caption"):
        say(note)

    def tokenize(captions: Sequence[str]) -> Batch:
        tokens = tokenizer(captions)
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    values = fact_values(dataset) if facts_weight else {}
    module = AlignmentModule(
        model, found.preprocessing, plain_weight=plain_weight, facts_weight=facts_weight, fact_values=values
    )
    return session.run(Alignment(module, tokenize, values), prepared)


def fact_values(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """The values of each kind of fact in the training split: ``action=waving`` is the value waving of action."""
    found: dict[str, set[str]] = {}
    for example in dataset.of("train"):
        for fact in example.facts:
            key, equals, value = fact.partition("=")
            if equals:
                found.setdefault(key, set()).add(value)
    return {key: tuple(sorted(values)) for key, values in sorted(found.items()) if len(values) > 1}
