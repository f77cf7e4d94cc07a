"""Turns texts into the tokens that a text model reads, and finds the rest of texts that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer

from pipeline.models.families import TextFormat
from pipeline.models.loading import first_line
from schemas.errors import ModelError
from schemas.models import CutText

_DEFAULT_FORMAT = TextFormat()
_MAX_SHOWN = 40  # characters of the unread rest
_MAX_WORD = 20  # characters between two blanks that are still taken for one word


class TextTokenizer:
    """A checkpoint's own tokenizer, for texts that users write.

    The names of special tokens in a text are plain words here. Otherwise a text with ``<|endoftext|>`` in it would silently
    end there, since X-CLIP takes a text's embedding from its first end-of-text token.

    Attributes:
        max_tokens: the most tokens that the model reads, including those that the tokenizer adds at both ends.
    """

    def __init__(
        self, folder: Path, name: str, argument: str, max_tokens: int, text_format: TextFormat = _DEFAULT_FORMAT
    ) -> None:
        """Read the tokenizer from a checkpoint's folder.

        Args:
            folder: the checkpoint's.
            name: the checkpoint's, for messages.
            argument: the argument that named it, for messages.
            max_tokens: the most tokens that the model reads.
            text_format: how it was trained to read texts.

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
        self._format = text_format
        self.max_tokens = max_tokens

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """What the text model takes: ``input_ids`` and, where it reads one, ``attention_mask``, int64 [texts, tokens].

        Longer texts are cut before their end token.
        """
        encoded = self._tokenizer(
            [self._format.prepared(text) for text in texts],
            padding="max_length" if self._format.pad_to_max else True,
            truncation=True,
            max_length=self.max_tokens,
            split_special_tokens=True,
            return_attention_mask=self._format.attention_mask,
            return_tensors="pt",
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded}

    def around(self, text: str, token: int) -> tuple[list[int], list[int]] | None:
        """The tokens before and after ``token`` where that ends ``text``; None where the tokenizer does not have it.

        They are the text's, and those that the tokenizer adds at both ends.
        """
        symbol = self._tokenizer.convert_ids_to_tokens(token) if token < len(self._tokenizer) else None
        ids: list[int] = self._tokenizer(f"{text}{symbol}")["input_ids"] if symbol else []
        if ids.count(token) != 1:
            return None
        place = ids.index(token)
        return ids[:place], ids[place + 1 :]

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        """Those of ``texts`` that have more tokens than the model reads."""
        if not texts:
            return []
        encoded = self._tokenizer(
            [self._format.prepared(text) for text in texts],
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
                unread -= len(self._format.prefix)
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
