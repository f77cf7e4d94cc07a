"""Alignment: teaches an X-CLIP which captions describe which clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import XCLIPModel

from jobs.datasets.examples import Dataset
from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.contrastive import Alignment, AlignmentModule
from jobs.train.objectives import Batch
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress
from pipeline.models.cut_texts import cut_sentence
from pipeline.models.embedders.tokens import TextTokenizer
from schemas.errors import UsageError


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
    """Train an X-CLIP on captions: clips and the captions that are true of them come together, others move apart.

    Args:
        captions: a CSV with the columns path and caption; several rows of a moment are several captions of it. A column
            facts says what a caption speaks of (``action=waving;shirt=red``): the caption then counts as true of every clip
            that has these facts.
        output: the folder to make; ``ingest --embedder`` takes it.
        base: an X-CLIP, or a config.json with a tokenizer beside it to start from random weights.
        options: how to train. Each caption is compared with the clips of its batch, so a larger batch teaches more.
        plain_weight: share of the loss on the dot product, which the first stage of a search uses; the rest is on the
            rerank score, for which the model conditions the text on the video. From 0 to 1.
        facts_weight: weight of an auxiliary loss, from 0 to 100: a linear head for each kind of fact, dropped after the
            training, names the fact from the clip's embedding. Training then leaves its first plateau sooner.
        cache: as for `jobs.train.finetune.finetune`.
        say: likewise.
        on_progress: likewise.

    Raises:
        UsageError: the data, the output or a weight cannot be used.
        ModelError: the base is not an X-CLIP.
        JobError: nothing is left to learn from.
    """
    for argument, value, most in (("plain_weight", plain_weight, 1.0), ("facts_weight", facts_weight, 100.0)):
        if not 0 <= value <= most:
            raise UsageError(f"got {value:g}, expected 0 to {most:g}", argument=argument)
    start = find_base(base, "embedder", model_type="xclip")
    dataset = read_dataset(captions, seed=options.seed, want="captions")
    extra = {"plain_weight": plain_weight, "facts_weight": facts_weight}
    run = TrainingRun(
        "align", start, dataset, output=output, options=options, cache=cache, say=say, on_progress=on_progress, extra=extra
    )
    decoded = run.begin()
    model = load_base(XCLIPModel, start)
    max_tokens = int(model.config.text_config.max_position_embeddings)
    tokenizer = TextTokenizer(Path(start.checkpoint.folder), start.checkpoint.name, "base", max_tokens)
    texts = list(dict.fromkeys(caption for example in dataset.examples for caption in example.captions))
    if note := cut_sentence(tokenizer.cut(texts), len(texts), "caption"):
        say(note)

    def tokenize(captions: Sequence[str]) -> Batch:
        tokens = tokenizer(captions)
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    values = fact_values(dataset) if facts_weight else {}
    module = AlignmentModule(
        model, start.preprocessing, plain_weight=plain_weight, facts_weight=facts_weight, fact_values=values
    )
    return run.train(Alignment(module, tokenize, values), decoded)


def fact_values(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """The values of each kind of fact in the training split, where there are two or more.

    ``action=waving`` is the value waving of the kind action.
    """
    values_of: dict[str, set[str]] = {}
    for example in dataset.of("train"):
        for fact in example.facts:
            kind, equals, value = fact.partition("=")
            if equals:
                values_of.setdefault(kind, set()).add(value)
    return {kind: tuple(sorted(values)) for kind, values in sorted(values_of.items()) if len(values) > 1}
