"""The functions that `vidsift` exports take folders and files as text, as a notebook gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.helpers.made_library as made
from schemas.models import Label
from tests.helpers.library_builder import sql
from tests.helpers.made_library import WordEmbedder
from tests.helpers.tagged_library import MadeUpEmbedder, make_library, unit
from vidsift import evaluate, tag, teach, untag

embedder = made.embedder


def test_tags_are_added_taught_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.tag.tag.load_embedder", MadeUpEmbedder)
    monkeypatch.setattr("jobs.tag.tag.locate", lambda known, *_: known)
    vectors = [unit(1, 0, 0, 0.1 * number) for number in range(3)] + [unit(0, 1, 0, 0.1 * number) for number in range(3)]
    library = str(make_library(tmp_path / "library", {str(tmp_path / "a.mp4"): vectors}))
    assert [report.tag for report in tag(library, ["first"])] == ["first"]
    examples = tmp_path / "examples.csv"
    examples.write_text("path,start_s,end_s\na.mp4,0,2\na.mp4,2,4\n")
    assert [taught.tag for taught in teach(library, str(examples), "wave").taught] == ["wave"]
    assert sql(tmp_path / "library", "select distinct tag from tags order by tag") == [{"tag": "first"}, {"tag": "wave"}]
    untag(library, ["first"])
    assert sql(tmp_path / "library", "select distinct tag from tags") == [{"tag": "wave"}]


def test_a_library_is_evaluated(tmp_path: Path, embedder: WordEmbedder) -> None:
    clips = [
        made.Made(1, "a", 0.0, 4.0, {"jumping": 0.9}, (Label("jumping", 0.9),)),
        made.Made(2, "a", 4.0, 8.0, {"red": 0.9}, (Label("running", 0.9),)),
        *made.background(6),
    ]
    library = made.make_library(tmp_path / "library", clips)
    truth = tmp_path / "truth.csv"
    truth.write_text("path,start_s,end_s,action\n/v/a.mp4,0,4,jumping\n")
    found = evaluate(str(truth), str(library), rerank=0)
    assert (found.library, found.truth, found.judged) == (str(library), str(truth), 1)
    assert found.recognition is not None
    assert found.recognition.top1 == 1.0
