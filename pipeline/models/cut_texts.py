"""Sentences about texts that have more tokens than an embedder reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.models.base import LimitedEmbedder

if TYPE_CHECKING:
    from pipeline.models.base import Embedder
    from schemas.models import CutText


def cut_note(embedder: Embedder, texts: Sequence[str], noun: str) -> str | None:
    """A sentence about those of ``texts`` that ``embedder`` does not read to the end; None where it reads all.

    Args:
        embedder: the model that is to embed them.
        texts: as `Embedder.embed_texts` will get them.
        noun: the word for one of them: ``query``, ``caption``.
    """
    cut = embedder.cut_texts(texts) if isinstance(embedder, LimitedEmbedder) else []
    return cut_sentence(cut, len(texts), noun)


def cut_sentence(cut: Sequence[CutText], count: int, noun: str) -> str | None:
    """A sentence about ``cut``, the texts of ``count`` that are not read to the end; None where there are none."""
    if not cut:
        return None
    first = cut[0]
    unread = f'the words from "{first.unread}" on are not used'
    if count == 1:
        return f"the {noun} has {first.num_tokens} tokens, of which this model reads {first.max_tokens}; {unread}"
    most_tokens = max(text.num_tokens for text in cut)
    plural, verb = "queries" if noun == "query" else f"{noun}s", "has" if len(cut) == 1 else "have"
    return (
        f"{len(cut)} of {count} {plural} {verb} more tokens (up to {most_tokens}) than the {first.max_tokens} that this "
        f"model reads; in the first such {unread}"
    )
