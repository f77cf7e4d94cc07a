"""What is said and can be read, found in other words: what is embedded, when again, and what takes the vectors out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import jobs.annotate.embed
from index.search.channels import channels_of
from index.search.meaning import MeaningSearch
from index.search.searcher import Searcher
from index.snapshot.snapshot import Snapshot
from index.storage.config import existing_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.annotate.annotate import annotate, take_out
from jobs.count_progress import CountProgress
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from schemas.channels import Entry
from schemas.errors import ModelError
from schemas.search import Reason, SearchOptions
from tests.helpers.library_builder import sql
from tests.helpers.made_annotators import made, said, use_annotators, written
from tests.helpers.made_library import Made, make_library
from tests.helpers.small_sentences import DIM, write_sentences

CLIPS = [Made(number, "ab"[number // 5], 4.0 * (number % 5), 4.0 * (number % 5) + 4) for number in range(10)]
SAID: Sequence[tuple[str, tuple[Entry, ...]]] = (
    ("/v/a.mp4", (said(1, 2, "The budget"), said(2.5, 4, "is gone."), said(12, 14, "Good morning!"))),
    ("/v/b.mp4", (said(5, 6, "Hello, hello"),)),
)
READ = (("/v/b.mp4", (written(0, 3, "EXIT"),)),)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    speak(monkeypatch)
    return make_library(tmp_path / "library", CLIPS)


def speak(patch: pytest.MonkeyPatch, entries: Sequence[tuple[str, tuple[Entry, ...]]] = SAID) -> None:
    use_annotators(
        patch,
        subtitles=made("subtitles", "speech", entries=tuple(entries)),
        text=made("text", "screen_text", entries=READ),
    )


def found(library: Path, text: str, *channels: str, **options: object) -> list[Reason]:
    notes: list[str] = []
    searcher = Searcher(library, say=notes.append)
    asked = SearchOptions(texts=(text,), channels=channels or has_text(searcher), **options)  # type: ignore[arg-type]
    answer = searcher.search(asked)
    assert notes == []
    return [reason for moment in answer.moments for reason in moment.reasons]


def has_text(searcher: Searcher) -> tuple[str, ...]:
    return tuple(channel for channel in channels_of(searcher.snapshot) if channel != "pictures")


def stored(library: Path) -> pa.Table:
    """The visible rows of the Delta table of passages."""
    tables = Tables(Library(library), read_only=True)
    return tables.channels.rows_of("passages", tables.channels.read_annotations()["annotation_id"].combine_chunks())


def passages(library: Path) -> list[tuple[str, str]]:
    """The channel and the text of every passage in the Delta table, and that its vector is one of fp16 and length 1."""
    rows = stored(library)
    for vector in rows["vector"].to_pylist():
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
        assert (np.float16(vector) == np.float32(vector)).all()
    return sorted(zip(rows["channel"].to_pylist(), rows["text"].to_pylist(), strict=True))


def breaches(library: Path) -> list[str]:
    return [str(check) for check in verify(library) if check.breach]


def test_what_is_said_is_found_in_other_words(library: Path, encoder: Path) -> None:
    report = annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    assert {name: (of.done, of.unchanged, of.rows) for name, of in report.annotators.items()} == {
        "subtitles": (2, 0, 4),
        "text": (2, 0, 1),
        "subtitles vectors": (2, 0, 3),
        "text vectors": (1, 0, 1),
    }
    assert found(library, "the money is spent") == [Reason("speech", "The budget is gone.", 1.0, 4.0, ("meaning",))]
    assert found(library, "leave") == [Reason("text", "EXIT", 0.0, 3.0, ("meaning",))]
    assert found(library, "budget is gone") == [Reason("speech", "The budget is gone.", 1.0, 4.0, ("words", "meaning"))]
    assert found(library, "hello") == [Reason("speech", "Hello, hello", 5.0, 6.0, ("words", "meaning"))]
    assert found(library, "puppy yelps") == []
    assert passages(library) == [
        ("screen_text", "EXIT"),
        ("speech", "Good morning!"),
        ("speech", "Hello, hello"),
        ("speech", "The budget is gone."),
    ]
    assert breaches(library) == []


def test_who_quotes_a_word_wants_that_word(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles"], text_embedder=str(encoder))
    assert found(library, '"money spent"', "speech") == []
    assert found(library, "mone*", "speech") == []
    assert found(library, '"the budget" is spent', "speech")[0].found_by == ("meaning",)


def test_answers_in_other_words_meet_conditions_too(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    assert found(library, "the money is spent", where="path like '%b.mp4'") == []
    assert found(library, "the money is spent", where="start_s >= 8") == []
    assert found(library, "the money is spent", without=("budget",)) == []
    assert found(library, "hello", without=("money",)) != []
    assert {reason.text for reason in found(library, "puppy", "speech", show_all=True)} == {
        "The budget is gone.", "Good morning!", "Hello, hello",
    }  # fmt: skip


def test_only_new_texts_are_embedded(library: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotate(library, ["subtitles"], text_embedder=str(encoder))
    snapshot = (library / "CURRENT").read_text()
    monkeypatch.setattr(jobs.annotate.embed, "_loaded", lambda checkpoint: pytest.fail("nothing is to be embedded"))
    report = annotate(library, [], text_embedder=str(encoder))
    assert (report.annotators["subtitles vectors"].done, report.annotators["subtitles vectors"].unchanged) == (0, 2)
    assert (library / "CURRENT").read_text() == snapshot
    monkeypatch.undo()
    speak(monkeypatch)
    annotate(library, ["text"])
    assert len(passages(library)) == 4
    assert found(library, "leave")[0].text == "EXIT"


def test_what_was_embedded_before_an_interruption_is_kept(
    library: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: CountProgress) -> None:
        if progress.unit == "texts of videos embedded":
            raise KeyboardInterrupt

    monkeypatch.setattr(jobs.annotate.embed, "_COMMITTED_TOGETHER", 1)
    report = annotate(library, ["subtitles"], text_embedder=str(encoder), on_progress=interrupt)
    assert (report.interrupted, report.annotators["subtitles vectors"].done) == (True, 1)
    assert breaches(library) == []
    report = annotate(library, [])
    counts = report.annotators["subtitles vectors"]
    assert (report.interrupted, counts.done, counts.unchanged) == (False, 1, 1)
    assert len(passages(library)) == 3


def test_a_library_from_before_gets_vectors_beside_what_it_has(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles"])
    (part,) = Library(library).channel_parts.iterdir()
    assert {"dim", "passages"}.isdisjoint(json.loads((part / "part.json").read_text()))
    assert "text_embedder" not in json.loads((library / "library.json").read_text())
    assert found(library, "the money is spent") == []
    annotate(library, [], text_embedder=str(encoder))
    assert found(library, "the money is spent")[0].start_s == 1.0
    assert existing_library_config(Library(library)).text_embedder is not None


def test_other_words_for_a_video_take_the_place_of_its_vectors(
    library: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    speak(monkeypatch, (("/v/a.mp4", (said(9, 10, "A dog barks."),)),))
    annotate(library, [], settings={"subtitles": {"version": "2"}})
    assert found(library, "the money is spent") == []
    assert found(library, "puppy yelps")[0].start_s == 9.0
    assert passages(library) == [("screen_text", "EXIT"), ("speech", "A dog barks.")]
    assert breaches(library) == []


def test_taking_a_channel_out_takes_its_vectors_out(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    take_out(library, ["subtitles"])
    assert passages(library) == [("screen_text", "EXIT")]
    assert [reason.text for reason in found(library, "leave", "text")] == ["EXIT"]
    assert sql(library, "select distinct annotator from annotations order by all") == [
        {"annotator": "text"},
        {"annotator": "text vectors"},
    ]
    assert breaches(library) == []


def test_the_vectors_are_taken_out_alone(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    annotate(library, [], text_embedder="none")
    assert passages(library) == []
    assert (found(library, "the money is spent"), len(found(library, "budget"))) == ([], 1)
    assert "text_embedder" not in json.loads((library / "library.json").read_text())
    assert breaches(library) == []


def test_another_encoder_embeds_all_anew(library: Path, encoder: Path, tmp_path: Path) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    before = int((library / "CURRENT").read_text())
    report = annotate(library, [], text_embedder=str(write_sentences(tmp_path / "other", seed=1, dim=128)))
    assert report.annotators["subtitles vectors"].done == 2
    assert found(library, "the money is spent")[0].start_s == 1.0
    assert pc.unique(pc.list_value_length(stored(library)["vector"])).to_pylist() == [128]
    rollback(library, before)
    assert found(library, "the money is spent") == []  # the vectors of that time are of a model that the library has no more
    annotate(library, [])
    assert found(library, "the money is spent")[0].start_s == 1.0
    assert breaches(library) == []


def test_parts_are_merged_with_their_vectors(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles"], text_embedder=str(encoder))
    annotate(library, ["text"])
    compact(library)
    folders = list(Library(library).channel_parts.iterdir())
    assert max(json.loads((folder / "part.json").read_text()).get("dim", 0) for folder in folders) == DIM
    assert found(library, "the money is spent", "speech")[0].text == "The budget is gone."
    assert found(library, "leave", "text")[0].text == "EXIT"
    assert breaches(library) == []


@pytest.mark.parametrize("name", ["passages.faiss", "rows.duckdb"])
def test_lost_vectors_are_written_again(library: Path, encoder: Path, name: str) -> None:
    annotate(library, ["subtitles"], text_embedder=str(encoder))
    for folder in Library(library).channel_parts.iterdir():
        (folder / name).unlink(missing_ok=True)
    assert breaches(library)
    annotate(library, [])
    assert found(library, "the money is spent")[0].start_s == 1.0
    assert breaches(library) == []


def test_without_the_encoder_words_are_still_found(library: Path, tmp_path: Path) -> None:
    encoder = write_sentences(tmp_path / "gone")
    annotate(library, ["subtitles"], text_embedder=str(encoder))
    encoder.rename(tmp_path / "moved")
    notes: list[str] = []
    searcher = Searcher(library, say=notes.append)
    asked = SearchOptions(texts=("budget",), channels=("speech",))
    assert searcher.search(asked).moments[0].reasons[0].found_by == ("words",)
    assert searcher.search(asked).moments[0].start_s == 1.0
    (note,) = notes
    assert note.startswith("speech and text are searched by their words alone: ")
    annotate(library, [], text_embedder=str(tmp_path / "moved"))
    assert found(library, "the money is spent", "speech")[0].start_s == 1.0


def test_what_is_no_sentence_encoder_changes_nothing(library: Path, tmp_path: Path) -> None:
    annotate(library, ["subtitles"])
    before = (library / "library.json").read_text()
    with pytest.raises(ModelError, match="no such folder, and no hub id"):
        annotate(library, [], text_embedder=str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="expected one that embeds texts and nothing else"):
        annotate(library, [], text_embedder="pocket")
    assert (library / "library.json").read_text() == before


def test_what_is_nearest_elsewhere_hides_nothing(library: Path, encoder: Path) -> None:
    annotate(library, ["subtitles", "text"], text_embedder=str(encoder))
    embedder = existing_library_config(Library(library)).text_embedder
    assert embedder is not None
    meaning = MeaningSearch(Snapshot(Library(library)), embedder, pytest.fail)
    assert [passage.text for passage in meaning.find(["exit"], "screen_text", 1)] == ["EXIT"]
    assert meaning.find(["exit"], "speech", 1) == []
    assert [passage.text for passage in meaning.find(["exit is"], "speech", 1, also_weak=True)] == ["The budget is gone."]
    assert len(meaning.find(["exit"], "speech", 9, also_weak=True)) == 3
