"""Turns texts into the tokens that a text model reads, and finds the rest of texts that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pipeline.models.loading import first_line
from schemas.errors import ModelError
from schemas.models import CutText

_MAX_SHOWN = 40  # characters of the unread rest
_MAX_WORD = 20  # characters between two blanks that are still taken for one word


class TextTokenizer:
    """A checkpoint's own tokenizer, for texts that users write.

    The names of special tokens in a text are plain words here. Otherwise a text with ``<|endoftext|>`` in it would silently
    end there, since X-CLIP takes a text's embedding from its first end-of-text token.

    Attributes:
        max_tokens: the most tokens that the model reads, including those that the tokenizer adds at both ends.
    """

    def __init__(self, folder: Path, name: str, argument: str, max_tokens: int) -> None:
        """Read the tokenizer from a checkpoint's folder; ``name`` and ``argument`` are for messages.

        Raises:
            ModelError: it is missing or damaged.
        """
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as exc:
            raise ModelError(
                f"its tokenizer cannot be read ({first_line(exc)}); the folder needs tokenizer.json",
                argument=argument,
                value=name,
            ) from exc
        self.max_tokens = max_tokens

    def __call__(self, texts: Sequence[str]) -> Any:
        """``input_ids`` and ``attention_mask``, int64 [texts, tokens]; longer texts are cut before their end token."""
        return self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            split_special_tokens=True,
            return_tensors="pt",
        )

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        """Those of ``texts`` that have more tokens than the model reads."""
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts),
            split_special_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        cut = []
        for text, offsets, special in zip(texts, encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True):
            if len(offsets) > self.max_tokens:
                text_offsets = [offset for offset, added in zip(offsets, special, strict=True) if not added]
                unread = text_offsets[max(0, self.max_tokens - sum(special))][0]
                cut.append(CutText(text, len(offsets), self.max_tokens, _from_word(text, unread)))
        return cut


def _from_word(text: str, start: int) -> str:
    """The rest of ``text`` from the beginning of the word around the character at ``start``, shortened for a message."""
    begin = start
    while begin > 0 and not text[begin].isspace() and not text[begin - 1].isspace():
        begin -= 1
    if start - begin > _MAX_WORD:  # no words, as in a text without blanks
        begin = start
    rest = text[begin:].strip()
    return rest if len(rest) <= _MAX_SHOWN else f"{rest[:_MAX_SHOWN].rstrip()}…"
