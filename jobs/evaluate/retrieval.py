"""Measure an embedder: captions that find their clips, and facts named by what captions say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.examples import Dataset
from jobs.evaluate import metrics
from jobs.evaluate.captions import draw_captions, fact_prompts
from jobs.evaluate.model_inputs import EvaluateOptions, Measuring, Source, choose_split, named_pair
from jobs.evaluate.model_results import EmbedderResults, KindRow, PairRow, Retrieval
from pipeline.models.base import EmbeddedClips, RerankEmbedder
from pipeline.models.cut_texts import cut_note
from pipeline.models.registry import load_embedder
from schemas.errors import ModelError, UsageError
from schemas.models import Checkpoint
from schemas.options import Precision


def measure_embedder(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[Measuring], None],
) -> EmbedderResults:
    """See `jobs.evaluate.model.evaluate_model`."""
    about, examples = choose_split(dataset, options.split)
    stated = {kind: values for kind, values in fact_prompts(dataset.examples).items() if len(values) > 1}
    prompts = {kind: {value: texts for value, texts in values.items() if texts} for kind, values in stated.items()}
    prompts = {kind: values for kind, values in prompts.items() if len(values) > 1}
    groups = [list(values) for values in prompts.values()]
    pairs = [named_pair(given, groups, "the values of one kind of fact") for given in options.pairs]
    draws = [
        draw_captions(examples, options.captions, np.random.default_rng((options.seed, draw)))
        for draw in range(options.draws)
    ]
    if min(map(len, draws)) < 2:
        raise UsageError(
            f"DATA {dataset.source}: no two examples of split {about['split']} have captions that fit one of them alone; "
            "give more examples, or another --split"
        )
    if not prompts:  # nothing is asked about examples that were not drawn
        numbers = sorted({number for draw in draws for number, _ in draw})
        examples = tuple(examples[number] for number in numbers)
        draws = [[(numbers.index(number), caption) for number, caption in draw] for draw in draws]
    say(f"{len(examples)} examples: {about['why']}")
    model = _load(checkpoint, options.precision)
    source = Source(examples, model.preprocessing, options, say, on_progress)
    texts = [text for values in prompts.values() for of_value in values.values() for text in of_value]
    asked_for = list(dict.fromkeys([*(caption for draw in draws for _, caption in draw), *texts]))
    if note := cut_note(model, asked_for, "caption"):
        say(note)
    seen, tables, asked = _score(model, source, draws, texts)
    least = min(len(table[0]) for table in tables)
    return EmbedderResults(
        **about,
        model=checkpoint.stamp,
        clips=int(seen.sum()),
        shuffled=options.shuffle,
        left_out=tuple(source.left_out),
        damaged=tuple(source.damaged),
        captions=least,
        wanted=options.captions,
        draws=options.draws,
        retrieval=tuple(
            _retrieval(name, [table[score, :least, :least] for table in tables]) for score, name in enumerate(_SCORES)
        ),
        **_zero_shot(prompts, pairs, [frozenset(examples[number].facts) for number in np.flatnonzero(seen)], asked[:, seen]),
        unspoken=tuple(
            f"{kind}={value}" for kind, values in stated.items() for value in values if value not in prompts.get(kind, {})
        ),
    )


_SCORES = ("exact", "plain")


def _score(
    model: RerankEmbedder, source: Source, draws: Sequence[Sequence[tuple[int, str]]], texts: Sequence[str]
) -> tuple[NDArray[np.bool_], list[NDArray[np.float32]], NDArray[np.float32]]:
    """Compare each clip with what it is asked about, batch by batch.

    Returns:
        Which examples were seen; for each draw float32 [2, texts, clips] of those seen, exact scores and plain ones, text i
        being clip i's own; and float32 [2, examples, texts].
    """
    places = [{number: place for place, (number, _) in enumerate(draw)} for draw in draws]
    tables = [np.full((2, len(draw), len(draw)), np.nan, np.float32) for draw in draws]
    read = [[caption for _, caption in draw] for draw in draws]
    seen = np.zeros(len(source.examples), bool)
    asked = np.full((2, len(source.examples), len(texts)), np.nan, np.float32)
    for numbers, pixels in source.batches(model.device, model.dtype):
        clips = model.embed_clips_with_features(pixels)
        seen[numbers] = True
        if texts:
            asked[:, numbers] = _compare(model, clips, texts)
        for place, table, captions in zip(places, tables, read, strict=True):
            ours = [row for row, number in enumerate(numbers) if number in place]
            if ours:
                scores = _compare(model, EmbeddedClips(clips.embeddings[ours], clips.features[ours]), captions)
                table[:, :, [place[numbers[row]] for row in ours]] = scores.transpose(0, 2, 1)
    kept = [[place for place, (number, _) in enumerate(draw) if seen[number]] for draw in draws]
    return seen, [table[:, of_draw][:, :, of_draw] for table, of_draw in zip(tables, kept, strict=True)], asked


def _load(checkpoint: Checkpoint, precision: Precision) -> RerankEmbedder:
    model = load_embedder(checkpoint, precision)
    if not isinstance(model, RerankEmbedder):
        raise ModelError(f"MODEL {checkpoint.name}: got an embedder without a score of its own, expected X-CLIP")
    return model


def _compare(model: RerankEmbedder, clips: EmbeddedClips, texts: Sequence[str]) -> NDArray[np.float32]:
    """float32 [2, clips, texts]: exact scores, and plain ones: cosines of separate embeddings, scaled alike."""
    exact = model.rerank_scores(texts, clips.embeddings, clips.features).T
    plain = model.logit_scale * clips.embeddings @ model.embed_texts(texts).T
    return np.stack([exact, plain]).astype(np.float32)


def _retrieval(name: str, tables: Sequence[NDArray[np.float32]]) -> Retrieval:
    one, five, ten = (float(np.mean([metrics.recall_at(table, k) for table in tables])) for k in (1, 5, 10))
    return Retrieval(name, one, five, ten, float(np.mean([metrics.median_rank(table) for table in tables])))


def _zero_shot(
    prompts: dict[str, dict[str, tuple[str, ...]]],
    pairs: Sequence[tuple[int, str, str]],
    facts: Sequence[frozenset[str]],
    asked: NDArray[np.float32],
) -> dict[str, Any]:
    """Each clip's facts named by the captions that speak of one alone: ``kinds`` and ``pairs`` of `EmbedderResults`.

    A value's score is the mean of its captions' scores; ``asked`` [2, clips, texts] has them in the order of ``prompts``.
    """
    kinds, rows, begin = [], [], 0
    for number, (kind, of_kind) in enumerate(prompts.items()):
        values, means = list(of_kind), []
        for texts in of_kind.values():
            means.append(asked[:, :, begin : begin + len(texts)].mean(axis=2))
            begin += len(texts)
        scores = np.stack(means, axis=2)
        true = np.array([[f"{kind}={value}" in of_clip for value in values] for of_clip in facts]).reshape(-1, len(values))
        ours = np.flatnonzero(true.any(axis=1))
        if len(ours):
            right = [float(true[ours, of_score[ours].argmax(axis=1)].mean()) for of_score in scores]
            kinds.append(KindRow(kind, len(values), len(ours), *right))
        for group, *pair in pairs:
            if group == number:
                one, other = map(values.index, pair)
                single = np.flatnonzero(true[:, one] != true[:, other])
                targets = np.where(true[single, one], one, other)
                told = [metrics.pair_accuracy(of_score[single], targets, one, other) for of_score in scores]
                rows.append(PairRow(pair[0], pair[1], len(single), *told))
    return {"kinds": tuple(kinds), "pairs": tuple(rows)}
