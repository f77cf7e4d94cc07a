"""Captions that look for their clips."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from jobs.datasets.examples import Example

_PROMPTS = 3  # captions that stand for a fact, at most


def draw_captions(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Draw examples and a caption of each such that every caption fits its own example and no other drawn one.

    A caption fits an example that has it, and one whose facts are all those that it speaks of. Of an example's captions,
    that which speaks of most facts is preferred.

    Args:
        examples: what to draw from.
        count: how many, at most; fewer where no more can be told apart.
        rng: where chance comes from.

    Returns:
        Number in ``examples`` and caption, in the order in which they were drawn.
    """
    facts = [frozenset(example.facts) for example in examples]
    drawn: list[tuple[int, str, frozenset[str]]] = []
    for number in rng.permutation(len(examples)).tolist():
        if len(drawn) == count:
            break
        one = examples[number]
        if any(caption in one.captions or (said and said <= facts[number]) for _, caption, said in drawn):
            continue
        spoken = one.caption_facts or ((),) * len(one.captions)
        choices = sorted(zip(one.captions, map(frozenset, spoken), strict=True), key=lambda pair: -len(pair[1]))
        for caption, said in choices:
            if not any(caption in examples[other].captions or (said and said <= facts[other]) for other, _, _ in drawn):
                drawn.append((number, caption, said))
                break
    return [(number, caption) for number, caption, _ in drawn]


def fact_prompts(examples: Sequence[Example]) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each kind of fact and each value the captions that speak of nothing else: the three most frequent, or fewer.

    ``action=waving`` is the value waving of the kind action. Kinds and values are sorted; a value may have none.
    """
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for fact in example.facts:
            said[fact]  # a value that no caption speaks of alone is known all the same
        for caption, facts in zip(example.captions, example.caption_facts, strict=False):
            if len(facts) == 1:
                said[facts[0]][caption] += 1
    prompts: dict[str, dict[str, tuple[str, ...]]] = {}
    for fact in sorted(said):
        kind, equals, value = fact.partition("=")
        if equals:
            best = sorted(said[fact], key=lambda caption: (-said[fact][caption], caption))
            prompts.setdefault(kind, {})[value] = tuple(best[:_PROMPTS])
    return dict(sorted(prompts.items()))
