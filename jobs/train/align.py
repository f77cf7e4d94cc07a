"""Alignment: teaches an embedder which captions describe which clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import AutoModel

from jobs.datasets.examples import Dataset
from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.contrastive import Alignment, AlignmentModule, image_text_scores, xclip_scores
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress
from pipeline.models.cut_texts import cut_sentence
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.families import embedder_family
from schemas.errors import UsageError

# How the types of models that can be trained score clips and captions.
_SCORES = {
    "xclip": xclip_scores,
    **dict.fromkeys(("clip", "metaclip_2", "altclip", "chinese_clip", "align", "siglip"), image_text_scores),
}


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
    """Train an embedder on captions: clips and the captions that are true of them come together, others move apart.

    Args:
        captions: a CSV with the columns path and caption; several rows of a moment are several captions of it. A column
            facts says what a caption speaks of (``action=waving;shirt=red``): the caption then counts as true of every clip
            that has these facts.
        output: the folder to make; ``ingest --embedder`` takes it.
        base: an X-CLIP or an image-text model such as CLIP, or a config.json with a tokenizer beside it to start from random
            weights.
        options: how to train. Each caption is compared with the clips of its batch, so a larger batch teaches more.
        plain_weight: share of the loss on the dot product, which the first stage of a search uses; the rest is on the
            rerank score: X-CLIP's conditions the text on the video, an image-text model's weighs the frames by the text.
            From 0 to 1.
        facts_weight: weight of an auxiliary loss, from 0 to 100: a linear head for each kind of fact, dropped after the
            training, names the fact from the clip's embedding. Training then leaves its first plateau sooner.
        cache: as for `jobs.train.finetune.finetune`.
        say: likewise.
        on_progress: likewise.

    Raises:
        UsageError: the data, the output or a weight cannot be used.
        ModelError: the base is of a type that is not trained here.
        JobError: nothing is left to learn from.
    """
    for argument, value, most in (("plain_weight", plain_weight, 1.0), ("facts_weight", facts_weight, 100.0)):
        if not 0 <= value <= most:
            raise UsageError(f"got {value:g}, expected 0 to {most:g}", argument=argument)
    start = find_base(base, "embedder", model_types=tuple(_SCORES))
    dataset = read_dataset(captions, seed=options.seed, want="captions")
    extra = {"plain_weight": plain_weight, "facts_weight": facts_weight}
    run = TrainingRun(
        "align", start, dataset, output=output, options=options, cache=cache, say=say, on_progress=on_progress, extra=extra
    )
    decoded = run.begin()
    model = load_base(AutoModel, start)
    family = embedder_family(start.checkpoint.model_type)
    assert family is not None, "find_base has checked this"
    max_tokens = family.texts.max_tokens or int(model.config.text_config.max_position_embeddings)
    tokenizer = TextTokenizer(Path(start.checkpoint.folder), start.checkpoint.name, "base", max_tokens, family.texts)
    texts = list(dict.fromkeys(caption for example in dataset.examples for caption in example.captions))
    if note := cut_sentence(tokenizer.cut(texts), len(texts), "caption"):
        say(note)

    values = fact_values(dataset) if facts_weight else {}
    module = AlignmentModule(
        model,
        start.preprocessing,
        _SCORES[family.model_type],
        dim=family.embedding_dim(model.config.to_dict()) or 0,
        plain_weight=plain_weight,
        facts_weight=facts_weight,
        fact_values=values,
    )
    return run.train(Alignment(module, tokenizer, values), decoded)


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
