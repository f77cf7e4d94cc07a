"""Evaluates an embedder: captions that find their clips, and facts that are named by the captions that state them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.examples import Dataset
from jobs.evaluate import metrics
from jobs.evaluate.captions import draw_captions, fact_prompts
from jobs.evaluate.model_inputs import EvaluateOptions, ExampleLoader, choose_split, named_pair
from jobs.evaluate.model_results import EmbedderResults, KindRow, PairRow, Retrieval
from jobs.evaluate.progress import EvaluationProgress
from pipeline.models.base import EmbeddedClips, RerankEmbedder
from pipeline.models.cut_texts import cut_note
from pipeline.models.registry import load_embedder
from schemas.errors import ModelError, UsageError
from schemas.models import Checkpoint
from schemas.options import Precision

_SCORES = ("exact", "plain")  # the rerank score, and the dot product


def measure_embedder(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[EvaluationProgress], None],
) -> EmbedderResults:
    """Measure an embedder; see `jobs.evaluate.model.evaluate_model`."""
    split, examples = choose_split(dataset, options.split)
    stated = {kind: values for kind, values in fact_prompts(dataset.examples).items() if len(values) > 1}
    prompts = {kind: {value: texts for value, texts in values.items() if texts} for kind, values in stated.items()}
    prompts = {kind: values for kind, values in prompts.items() if len(values) > 1}
    groups = [list(values) for values in prompts.values()]
    pairs = [named_pair(pair, groups, "the values of one kind of fact") for pair in options.pairs]
    draws = [
        draw_captions(examples, options.captions, np.random.default_rng((options.seed, draw)))
        for draw in range(options.draws)
    ]
    if min(map(len, draws)) < 2:
        raise UsageError(
            f"no two examples of split {split['split']} have captions that fit one of them alone; "
            "give more examples, or another `split`",
            argument="data",
            value=dataset.source,
        )
    if not prompts:  # examples that were not drawn are not needed
        numbers = sorted({number for draw in draws for number, _ in draw})
        examples = tuple(examples[number] for number in numbers)
        draws = [[(numbers.index(number), caption) for number, caption in draw] for draw in draws]
    say(f"{len(examples)} examples: {split['why']}")
    model = _load(checkpoint, options.precision)
    loader = ExampleLoader(examples, model.preprocessing, options, say, on_progress)
    texts = [text for values in prompts.values() for of_value in values.values() for text in of_value]
    all_texts = list(dict.fromkeys([*(caption for draw in draws for _, caption in draw), *texts]))
    if note := cut_note(model, all_texts, "caption"):
        say(note)
    decoded, tables, text_scores = _score(model, loader, draws, texts)
    num_captions = min(len(table[0]) for table in tables)
    return EmbedderResults(
        **split,
        model=checkpoint.stamp,
        clips=int(decoded.sum()),
        shuffled=options.shuffle,
        left_out=tuple(loader.left_out),
        damaged=tuple(loader.damaged),
        captions=num_captions,
        wanted=options.captions,
        draws=options.draws,
        retrieval=tuple(
            _retrieval(name, [table[score, :num_captions, :num_captions] for table in tables])
            for score, name in enumerate(_SCORES)
        ),
        **_zero_shot(
            prompts,
            pairs,
            [frozenset(examples[number].facts) for number in np.flatnonzero(decoded)],
            text_scores[:, decoded],
        ),
        unspoken=tuple(
            f"{kind}={value}" for kind, values in stated.items() for value in values if value not in prompts.get(kind, {})
        ),
    )


def _score(
    model: RerankEmbedder, loader: ExampleLoader, draws: Sequence[Sequence[tuple[int, str]]], texts: Sequence[str]
) -> tuple[NDArray[np.bool_], list[NDArray[np.float32]], NDArray[np.float32]]:
    """Score each clip with the captions of its draws and with the texts, batch by batch.

    Returns:
        bool [examples], which could be decoded; for each draw float32 [2, captions, clips] of those, in the order of
        `_SCORES`, caption i being clip i's own; and float32 [2, examples, texts].
    """
    places = [{number: place for place, (number, _) in enumerate(draw)} for draw in draws]
    tables = [np.full((2, len(draw), len(draw)), np.nan, np.float32) for draw in draws]
    captions_of = [[caption for _, caption in draw] for draw in draws]
    decoded = np.zeros(len(loader.examples), bool)
    text_scores = np.full((2, len(loader.examples), len(texts)), np.nan, np.float32)
    for numbers, pixels in loader.batches(model.device, model.dtype):
        clips = model.embed_clips_with_features(pixels)
        decoded[numbers] = True
        if texts:
            text_scores[:, numbers] = _compare(model, clips, texts)
        for place, table, captions in zip(places, tables, captions_of, strict=True):
            drawn = [row for row, number in enumerate(numbers) if number in place]
            if drawn:
                scores = _compare(model, EmbeddedClips(clips.embeddings[drawn], clips.features[drawn]), captions)
                table[:, :, [place[numbers[row]] for row in drawn]] = scores.transpose(0, 2, 1)
    kept = [[place for place, (number, _) in enumerate(draw) if decoded[number]] for draw in draws]
    return decoded, [table[:, of_draw][:, :, of_draw] for table, of_draw in zip(tables, kept, strict=True)], text_scores


def _load(checkpoint: Checkpoint, precision: Precision) -> RerankEmbedder:
    model = load_embedder(checkpoint, precision)
    if not isinstance(model, RerankEmbedder):
        message = "got an embedder without a rerank score, expected X-CLIP"
        raise ModelError(message, argument="model", value=checkpoint.name)
    return model


def _compare(model: RerankEmbedder, clips: EmbeddedClips, texts: Sequence[str]) -> NDArray[np.float32]:
    """float32 [2, clips, texts]: rerank scores, and cosines of separate embeddings on the same scale."""
    rerank = model.rerank_scores(texts, clips.embeddings, clips.features).T
    plain = model.logit_scale * clips.embeddings @ model.embed_texts(texts).T
    return np.stack([rerank, plain]).astype(np.float32)


def _retrieval(name: str, tables: Sequence[NDArray[np.float32]]) -> Retrieval:
    at_1, at_5, at_10 = (float(np.mean([metrics.recall_at(table, k) for table in tables])) for k in (1, 5, 10))
    return Retrieval(name, at_1, at_5, at_10, float(np.mean([metrics.median_rank(table) for table in tables])))


def _zero_shot(
    prompts: dict[str, dict[str, tuple[str, ...]]],
    pairs: Sequence[tuple[int, str, str]],
    facts: Sequence[frozenset[str]],
    text_scores: NDArray[np.float32],
) -> dict[str, Any]:
    """Name each clip's facts by the captions that speak of one alone: ``kinds`` and ``pairs`` of `EmbedderResults`.

    Args:
        prompts: for each kind of fact and each value the captions; a value's score is the mean of its captions' scores.
        pairs: the number of a kind, and two values of it.
        facts: of each clip.
        text_scores: float32 [2, clips, texts], the texts in the order of ``prompts``.
    """
    kinds, pair_rows, begin = [], [], 0
    for number, (kind, of_kind) in enumerate(prompts.items()):
        values, means = list(of_kind), []
        for texts in of_kind.values():
            means.append(text_scores[:, :, begin : begin + len(texts)].mean(axis=2))
            begin += len(texts)
        scores = np.stack(means, axis=2)
        true = np.array([[f"{kind}={value}" in of_clip for value in values] for of_clip in facts]).reshape(-1, len(values))
        stated = np.flatnonzero(true.any(axis=1))
        if len(stated):
            right = [float(true[stated, of_score[stated].argmax(axis=1)].mean()) for of_score in scores]
            kinds.append(KindRow(kind, len(values), len(stated), *right))
        for group, *pair in pairs:
            if group == number:
                first, second = map(values.index, pair)
                single = np.flatnonzero(true[:, first] != true[:, second])
                targets = np.where(true[single, first], first, second)
                accuracies = [metrics.pair_accuracy(of_score[single], targets, first, second) for of_score in scores]
                pair_rows.append(PairRow(pair[0], pair[1], len(single), *accuracies))
    return {"kinds": tuple(kinds), "pairs": tuple(pair_rows)}
