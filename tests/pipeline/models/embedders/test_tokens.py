"""A text that has more tokens than the model reads is told, and what fits is used as if it were all."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from pipeline.models.base import LimitedEmbedder
from pipeline.models.checkpoint import pocket_folder
from pipeline.models.cut_texts import cut_note
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.registry import load_embedder, load_text_embedder
from schemas.errors import ModelError
from schemas.models import Checkpoint, CutText
from tests.helpers.searchable import write_searchable

# The embedder's tokenizer has a token a byte, and reads 77 of them with one at each end: 75 bytes.
FITS = "somebody in a red shirt walks from the left to the right " + "and back again now"
LONG = f"{FITS} and the dog barks at everything that moves"


def test_what_fits_is_used_and_ends_as_a_text_does(embedder_checkpoint: Checkpoint) -> None:
    assert len(FITS) == 75
    model = load_embedder(embedder_checkpoint, "fp32")
    assert isinstance(model, LimitedEmbedder)
    fits, long, other = model.embed_texts([FITS, LONG, FITS[:-1]])
    assert (fits == long).all()
    assert not (fits == other).all()
    assert model.cut_texts([FITS, LONG]) == [CutText(LONG, len(LONG) + 2, 77, "and the dog barks at everything that mov…")]


def test_a_word_that_is_cut_through_is_told_from_its_beginning(embedder_checkpoint: Checkpoint) -> None:
    model = load_text_embedder(embedder_checkpoint, "fp32")
    assert isinstance(model, LimitedEmbedder)
    (cut,) = model.cut_texts(["a " * 36 + "kitchen"])
    assert (cut.num_tokens, cut.unread) == (81, "kitchen")
    (cut,) = model.cut_texts(["x" * 500])
    assert (cut.num_tokens, cut.unread) == (502, "x" * 40 + "…")
    (cut,) = model.cut_texts(["語" * 26])  # three tokens each
    assert (cut.num_tokens, cut.unread) == (80, "語")


def test_the_names_of_special_tokens_are_words_like_others(embedder_checkpoint: Checkpoint) -> None:
    tokenizer = TextTokenizer(Path(embedder_checkpoint.folder), "e", "--embedder", 77)
    ids = tokenizer(["a <eos> b"])["input_ids"][0].tolist()
    assert len(ids) == 2 + len("a <eos> b")
    assert [ids.index(max(ids)), len(ids) - 1] == [10, 10]  # where X-CLIP looks for a text's end
    model = load_embedder(embedder_checkpoint, "fp32")
    one, other = model.embed_texts(["a <eos> dog", "a <eos> cat"])
    assert not (one == other).all()


def test_the_pocket_tokenizer_counts_words() -> None:
    tokenizer = TextTokenizer(pocket_folder("embedder"), "pocket", "--embedder", 32)
    assert tokenizer.cut(["red " * 30]) == []
    (cut,) = tokenizer.cut(["red " * 30 + "blue box"])
    assert (cut.num_tokens, cut.max_tokens, cut.unread) == (34, 32, "blue box")


def test_the_sentence_about_it(embedder_checkpoint: Checkpoint) -> None:
    model = load_text_embedder(embedder_checkpoint, "fp32")
    assert cut_note(model, [FITS], "query") is None
    assert cut_note(model, [], "query") is None
    assert cut_note(model, [LONG], "query") == (
        f"the query has {len(LONG) + 2} tokens, of which this model reads 77; "
        'the words from "and the dog barks at everything that mov…" on are not used'
    )
    assert cut_note(model, [FITS, LONG, "x" * 100, LONG + "!"], "caption") == (
        f"3 of 4 captions have more tokens (up to {len(LONG) + 3}) than the 77 that this model reads; "
        'in the first such the words from "and the dog barks at everything that mov…" on are not used'
    )


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> Path:
    return write_searchable(tmp_path_factory.mktemp("tokens") / "library", classifier_checkpoint, embedder_checkpoint)


NOTE = 'vidsift: the query has 120 tokens, of which this model reads 77; the words from "and the dog barks'


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (["search", LONG], NOTE),
        (["search", LONG, "--json", "--all"], NOTE),
        (["search", "a dog", "--not", LONG], "vidsift: 1 of 2 queries has more tokens (up to 120) than the 77 that"),
        (["search", "a dog", "--then", LONG], "vidsift: 1 of 2 queries has more tokens (up to 120)"),
        (["sql", "from hits limit 1", "--search", LONG], NOTE),
        (["search", FITS], ""),
    ],
)
def test_every_command_that_takes_words_says_so_once(library: Path, arguments: list[str], note: str) -> None:
    done = CliRunner().invoke(main, [*arguments, "--library", str(library)])
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith(note)
    assert done.stderr.count(" are not used\n") == bool(note)


def test_captions_are_counted(library: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    rows = [f"/v/{n:02d}.mp4,0,4,{caption}" for n, caption in enumerate([LONG, "a dog", f"{LONG}!", "a cat"])]
    truth.write_text("\n".join(["path,start_s,end_s,caption", *rows]) + "\n")
    done = CliRunner().invoke(main, ["evaluate", str(truth), "--library", str(library)])
    assert done.exit_code == 0, done.output
    assert "2 of 4 captions have more tokens (up to 121) than the 77 that this model reads; " in done.stderr
    assert done.stderr.count(" are not used\n") == 1


def test_a_tokenizer_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^base x: its tokenizer cannot be read"):
        TextTokenizer(tmp_path, "x", "base", 77)
