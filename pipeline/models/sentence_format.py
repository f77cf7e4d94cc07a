"""How a sentence encoder was trained to read texts, as its files say in the layout of sentence-transformers.

1_Pooling/config.json             how the tokens' vectors become one
modules.json                      whether anything else comes after that
sentence_bert_config.json         the most tokens that it reads
config_sentence_transformers.json what it is told before a query and before a passage
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.models.checkpoint import read_config
from pipeline.models.families import embedder_family
from schemas.errors import ModelError
from schemas.models import Checkpoint

Pooling = Literal["mean", "cls", "lasttoken"]

ARGUMENT = "text_embedder"
"""The argument that names a sentence encoder, for messages."""

# What E5 (arXiv 2212.03533) is told; its files do not say it. Its instruct variants are told other things.
_E5 = re.compile(r"e5-(small|base|large)(-v2)?")
_E5_QUERY, _E5_PASSAGE = "query: ", "passage: "

_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_MOST_TOKENS = 512  # of models that do not say it


@dataclass(frozen=True, slots=True)
class SentenceFormat:
    """How a sentence encoder reads texts.

    Attributes:
        pooling: what of the tokens' vectors is the text's: their mean, the first, or the last.
        query: what comes before a question.
        passage: what comes before a text that questions are asked of.
        max_tokens: the most tokens that it reads.
        lower_case: whether it only ever saw lower-case letters.
    """

    pooling: Pooling = "mean"
    query: str = ""
    passage: str = ""
    max_tokens: int = _MOST_TOKENS
    lower_case: bool = False

    @property
    def text(self) -> str:
        """It in a few words, for what vectors are stamped with."""
        return f"{self.pooling} {self.max_tokens} {self.query!r} {self.passage!r}{' lower case' * self.lower_case}"


def read_sentence_format(checkpoint: Checkpoint) -> SentenceFormat:
    """Read how a sentence encoder reads texts, and refuse other kinds of models.

    Raises:
        ModelError: it is no sentence encoder, or one of a kind that vidsift does not know.
    """
    folder = Path(checkpoint.folder)
    config = read_config(folder, checkpoint.name, ARGUMENT)
    if (
        embedder_family(checkpoint.model_type) is not None
        or config.get("is_encoder_decoder")
        or not all(isinstance(config.get(key), int) for key in ("hidden_size", "vocab_size"))
    ):
        raise ModelError(
            f"got a model of type {checkpoint.model_type!r}, expected one that embeds texts and nothing else; give one such "
            "as sentence-transformers/all-MiniLM-L6-v2 or intfloat/multilingual-e5-small",
            argument=ARGUMENT,
            value=checkpoint.name,
        )
    _check_modules(folder, checkpoint)
    bert = _read(folder / "sentence_bert_config.json", checkpoint)
    given = (bert.get("max_seq_length"), config.get("max_position_embeddings"))
    known = [value for value in given if isinstance(value, int) and value > 0]
    query, passage = _prompts(folder, checkpoint)
    return SentenceFormat(
        _pooling(folder, checkpoint),
        query,
        passage,
        min([*known, _MOST_TOKENS]),
        bool(bert.get("do_lower_case", False)),
    )


def _check_modules(folder: Path, checkpoint: Checkpoint) -> None:
    """Refuse an encoder that computes more than the mean of its tokens."""
    modules = _read(folder / "modules.json", checkpoint, kind=list)
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules if isinstance(module, dict)]
    if unknown := [kind for kind in kinds if kind not in _KNOWN_MODULES]:
        raise ModelError(
            f"its modules.json has a {unknown[0]}, expected {', '.join(sorted(_KNOWN_MODULES))} alone; take another model",
            argument=ARGUMENT,
            value=checkpoint.name,
        )


def _pooling(folder: Path, checkpoint: Checkpoint) -> Pooling:
    """As older files say it, in a flag for each way, or as newer ones, in a word; the mean where none says it."""
    config = _read(folder / "1_Pooling" / "config.json", checkpoint)
    flags = {key.removeprefix("pooling_mode_"): value for key, value in config.items() if key.startswith("pooling_mode_")}
    named = {"cls_token": "cls", "mean_tokens": "mean"}
    ways = [named.get(key, key) for key, value in flags.items() if value is True]
    ways = [str(config["pooling_mode"])] if "pooling_mode" in config else ways or ["mean"]
    known: tuple[Pooling, ...] = get_args(Pooling)
    for way in known:
        if ways == [way]:
            return way
    raise ModelError(
        f"its 1_Pooling/config.json asks for {' and '.join(ways)}, expected one of {', '.join(get_args(Pooling))}; "
        "take another model",
        argument=ARGUMENT,
        value=checkpoint.name,
    )


def _prompts(folder: Path, checkpoint: Checkpoint) -> tuple[str, str]:
    """What comes before a question and before a passage."""
    prompts = _read(folder / "config_sentence_transformers.json", checkpoint).get("prompts")
    if isinstance(prompts, Mapping) and prompts:
        texts = {name: text for name, text in prompts.items() if isinstance(text, str)}
        return texts.get("query", ""), next((texts[name] for name in ("document", "passage") if name in texts), "")
    if _E5.search(checkpoint.name.rstrip("/").rsplit("/", 1)[-1]) and "instruct" not in checkpoint.name:
        return _E5_QUERY, _E5_PASSAGE
    return "", ""


def _read(path: Path, checkpoint: Checkpoint, kind: type = dict) -> Any:
    """What a file of JSON holds; an empty ``kind`` where there is none.

    Raises:
        ModelError: it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return kind()
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelError(f"its {path.name} cannot be read: {exc}", argument=ARGUMENT, value=checkpoint.name) from exc
    if not isinstance(content, kind):
        message = f"its {path.name} holds a {type(content).__name__}, expected a {kind.__name__}"
        raise ModelError(message, argument=ARGUMENT, value=checkpoint.name)
    return content
