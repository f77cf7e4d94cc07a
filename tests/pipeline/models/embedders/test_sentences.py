"""Sentence encoders: what the files say is how texts are read, and what vidsift does not know is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.sentences import SentenceEncoder
from pipeline.models.sentence_format import SentenceFormat, read_sentence_format
from schemas.errors import ModelError
from tests.helpers.small_sentences import write_json, write_sentences

TEXTS = ["The invoice was sent", "hello", "how to bake bread how to bake bread", ""]


def load(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(find_checkpoint(str(folder), "text_embedder"))


def format_of(folder: Path) -> SentenceFormat:
    return read_sentence_format(find_checkpoint(str(folder), "text_embedder"))


def hidden_states(folder: Path, text: str) -> torch.Tensor:
    """[tokens, dim] by transformers alone, of one text without padding."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        state: torch.Tensor = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    return state


@pytest.mark.parametrize(
    ("config", "pooled"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, lambda state: state.mean(0)),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, lambda state: state[0]),
        ({"pooling_mode": "lasttoken", "embedding_dimension": 32}, lambda state: state[-1]),
        (None, lambda state: state.mean(0)),
    ],
)
def test_vectors_are_pooled_as_the_files_say(
    tmp_path: Path, config: dict[str, object] | None, pooled: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    folder = write_sentences(tmp_path / "model", dim=32, layers=2)
    (folder / "1_Pooling" / "config.json").unlink()
    if config:
        write_json(folder / "1_Pooling" / "config.json", config)
    encoder = load(folder)
    vectors = encoder.embed_passages(TEXTS)
    expected = torch.nn.functional.normalize(torch.stack([pooled(hidden_states(folder, text)) for text in TEXTS]), dim=1)
    assert (encoder.dim, str(vectors.dtype)) == (32, "float32")
    assert vectors == pytest.approx(expected.numpy(), abs=2e-6)


def test_questions_and_passages_are_told_apart(tmp_path: Path) -> None:
    folder = write_sentences(tmp_path / "model")
    plain = load(folder).embed_queries(["hello money"])
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "hello ", "document": "night "}})
    encoder = load(folder)
    assert (encoder.embed_queries(["money"]) == plain).all()
    assert (encoder.embed_passages(["hello"]) == load(folder).embed_queries(["night"])).all()
    assert not (encoder.embed_passages(["money"]) == plain).all()


@pytest.mark.parametrize(
    ("name", "query", "passage"),
    [
        ("multilingual-e5-small", "query: ", "passage: "),
        ("e5-large-v2", "query: ", "passage: "),
        ("multilingual-e5-large-instruct", "", ""),
        ("all-MiniLM-L6-v2", "", ""),
    ],
)
def test_e5_is_told_what_its_paper_says(tmp_path: Path, name: str, query: str, passage: str) -> None:
    found = format_of(write_sentences(tmp_path / name))
    assert (found.query, found.passage, found.max_tokens) == (query, passage, 64)


def test_long_texts_are_read_as_far_as_the_files_say(tmp_path: Path) -> None:
    folder = write_sentences(tmp_path / "model")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 5, "do_lower_case": True})
    first, second = load(folder).embed_passages(["Good morning all money", "good morning all night and more"])
    assert (first == second).all()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "modules.json has a Dense, expected Normalize"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "asks for max_tokens, expected one of mean, cls"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "asks for mean and cls, expected one of",
        ),
        ("modules.json", {"0": "x"}, "modules.json holds a dict, expected a list"),
        ("config_sentence_transformers.json", "x", "holds a str, expected a dict"),
    ],
)
def test_what_vidsift_does_not_know_is_refused(tmp_path: Path, file: str, content: object, message: str) -> None:
    folder = write_sentences(tmp_path / "model")
    write_json(folder / file, content)
    with pytest.raises(ModelError, match=message):
        format_of(folder)


def test_a_file_that_is_no_json_is_said(tmp_path: Path) -> None:
    folder = write_sentences(tmp_path / "model")
    (folder / "modules.json").write_text("{")
    with pytest.raises(ModelError, match=r"modules\.json cannot be read"):
        format_of(folder)
