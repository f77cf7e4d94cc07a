"""Captions as queries: for retrieval, and as prompts that name a fact."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from jobs.datasets.examples import Example

_MAX_PROMPTS = 3  # captions that stand for a fact


def draw_captions(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Draw examples and a caption of each, such that every caption fits its own example and no other drawn one.

    A caption fits every example that has it, and every example that has all the facts that it speaks of. Of an example's
    captions, the one that speaks of most facts is preferred.

    Args:
        examples: what to draw from.
        count: how many to draw; fewer are drawn where no more can be told apart.
        rng: the source of chance.

    Returns:
        Number in ``examples`` and caption, in the order in which they were drawn.
    """
    facts = [frozenset(example.facts) for example in examples]

    def fits(caption: str, stated: frozenset[str], number: int) -> bool:
        return caption in examples[number].captions or bool(stated and stated <= facts[number])

    drawn: list[tuple[int, str, frozenset[str]]] = []
    for number in rng.permutation(len(examples)).tolist():
        if len(drawn) == count:
            break
        if any(fits(caption, stated, number) for _, caption, stated in drawn):
            continue
        example = examples[number]
        caption_facts = example.caption_facts or ((),) * len(example.captions)
        choices = sorted(zip(example.captions, map(frozenset, caption_facts), strict=True), key=lambda pair: -len(pair[1]))
        for caption, stated in choices:
            if not any(fits(caption, stated, other) for other, _, _ in drawn):
                drawn.append((number, caption, stated))
                break
    return [(number, caption) for number, caption, _ in drawn]


def fact_prompts(examples: Sequence[Example]) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each kind of fact and each value, the captions that speak of nothing else: the three most frequent, or fewer.

    ``action=waving`` is the value waving of the kind action. Kinds and values are sorted; a value may have none.
    """
    captions_of: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for fact in example.facts:
            captions_of[fact]  # makes an empty entry: a value that no caption speaks of alone
        for caption, facts in zip(example.captions, example.caption_facts, strict=False):
            if len(facts) == 1:
                captions_of[facts[0]][caption] += 1
    prompts: dict[str, dict[str, tuple[str, ...]]] = {}
    for fact in sorted(captions_of):
        kind, equals, value = fact.partition("=")
        if equals:
            counts = captions_of[fact]
            by_frequency = sorted(counts, key=lambda caption: (-counts[caption], caption))
            prompts.setdefault(kind, {})[value] = tuple(by_frequency[:_MAX_PROMPTS])
    return dict(sorted(prompts.items()))
