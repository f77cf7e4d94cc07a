"""From films to answers: shots, subtitles and text on screen found by an ingest, in its own processes and on Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs.annotate.annotate
from index.search.searcher import search
from jobs.annotate.annotate import annotate
from jobs.ingest.ingest import ingest
from jobs.ingest.report import ingest_text
from jobs.maintain.verify import verify
from schemas.errors import LibraryError, ModelError
from schemas.options import IngestOptions
from schemas.search import Answer, SearchOptions
from tests.helpers.library_builder import sql
from tests.helpers.made_annotators import inline
from tests.helpers.small_sentences import write_sentences
from tests.helpers.text_films import title, write_film

SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nGood morning.\n\n2\n00:00:04,000 --> 00:00:05,500\nThe budget is gone.\n"
WITH = ("shots", "subtitles", "text")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A film of 9 s: noise, a title from 3 s on, other noise from 6 s on; with a file of subtitles."""
    folder = tmp_path / "films"
    folder.mkdir()
    random = np.random.default_rng(1)
    noise = [np.kron(random.integers(0, 255, (12, 21, 3)), np.ones((30, 30, 1))).astype(np.uint8) for _ in range(2)]
    size = title("").shape
    shown = [noise[0][: size[0], : size[1]], title("Annual Report"), noise[1][: size[0], : size[1]]]
    frames = [np.roll(shown[number // 30], number * (number // 30 != 1), 1) for number in range(90)]
    write_film(folder / "film.mp4", frames, fps=10)
    (folder / "film.en.srt").write_text(SUBTITLES)
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    return folder


def texts(library: Path) -> dict[str, list[Any]]:
    queries = {
        "shots": "select round(start_s, 1), picture from shots order by start_s",
        "speech": "select start_s, text, language, source from speech order by start_s",
        "screen_text": "select text from screen_text",
        "annotations": "select annotator, status from annotations order by all",
    }
    return {name: [list(row.values()) for row in sql(library, query)] for name, query in queries.items()}


EXPECTED = {
    "shots": [[0.0, "moving"], [3.0, "still"], [6.0, "moving"]],
    "speech": [[1.0, "Good morning.", "en", "sidecar"], [4.0, "The budget is gone.", "en", "sidecar"]],
    "screen_text": [["Annual Report"]],
    "annotations": [["shots", "done"], ["subtitles", "done"], ["text", "done"]],
}


def ask(library: Path, text: str, **options: Any) -> Answer:
    return search(library, SearchOptions(texts=(text,), rerank=0, **options))


@pytest.mark.usefixtures("inline_run")
def test_an_ingest_finds_what_is_shot_said_and_written(
    films: Path, tmp_path: Path, classifier_folder: Path, embedder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.annotate.annotate, "on_ray", inline)
    library = tmp_path / "library"
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder), "window_s": 2.0}
    report = ingest([films], library, **models, shots="content", channels=WITH)  # type: ignore[arg-type]
    assert texts(library) == EXPECTED
    assert (report.indexed, report.failed) == (1, 1)
    assert [line.split()[:3] for line in ingest_text(report).splitlines()[-3:]] == [
        ["shots", "1", "0"], ["subtitles", "1", "0"], ["text", "1", "0"],
    ]  # fmt: skip
    assert report.as_json()["annotators"]["subtitles"]["rows"] == 2  # type: ignore[index]
    spans = [list(row.values()) for row in sql(library, "select start_s, end_s from clips order by start_s")]
    assert spans == [[0, 2], [2, 3], [3, 5], [5, 6], [6, 8], [8, 9]]
    found = ask(library, "the budget", channels=("speech",)).moments[0]
    assert (found.start_s, found.reasons[0].text) == (4.0, "The budget is gone.")
    assert ask(library, "annual report", channels=("text",)).moments[0].reasons[0].text == "Annual Report"
    both = ask(library, "morning", channels=("speech",), then_text="report", then_channels=("text",)).moments[0]
    assert [reason.channel for reason in both.reasons] == ["speech", "text"]
    assert [str(check) for check in verify(library) if check.breach] == []

    # The next ingest does what is new: a changed file of subtitles, a film that was added, and texts in other words.
    (films / "film.en.srt").write_text(SUBTITLES.replace("budget", "money"))
    write_film(films / "other.mp4", [title("Second Film")] * 40, fps=10)
    report = ingest([films], library, text_embedder=str(write_sentences(tmp_path / "sentences")))
    annotated = report.annotated
    assert annotated is not None
    counts = {name: (of.done, of.unchanged) for name, of in annotated.annotators.items()}
    vectors = {"subtitles vectors": (1, 0), "text vectors": (2, 0)}
    assert counts == {"shots": (1, 1), "subtitles": (2, 0), "text": (1, 1), **vectors}
    assert [row[1] for row in texts(library)["speech"]] == ["Good morning.", "The money is gone."]
    assert texts(library)["screen_text"] == [["Annual Report"], ["Second Film"]]
    meant = ask(library, "the budget is spent", channels=("speech",)).moments[0].reasons[0]
    assert (meant.text, meant.found_by) == ("Good morning. The money is gone.", ("meaning",))
    with pytest.raises(LibraryError, match="`clips` are windows here and cut at shots by content in the library"):
        ingest([films], library, shots="none")


def test_a_detector_that_cannot_be_loaded_is_said_before_any_video_is_read(
    films: Path, tmp_path: Path, classifier_folder: Path, embedder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ModelError("the weights are missing")

    monkeypatch.setattr("pipeline.shots.transnetv2.TransNetV2", missing)
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    with pytest.raises(ModelError, match="the weights are missing"):
        ingest([films], tmp_path / "library", **models, shots="transnetv2")  # type: ignore[arg-type]
    assert not (tmp_path / "library").exists()


@pytest.mark.slow
def test_annotators_run_on_ray(
    films: Path, tmp_path: Path, classifier_folder: Path, embedder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.helpers.inline_run import run_inline

    library = tmp_path / "library"
    with monkeypatch.context() as patch:
        run_inline(patch)
        ingest([films], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
    progress: list[str] = []
    report = annotate(library, WITH, options=IngestOptions(num_cpus=2), on_progress=lambda of: progress.append(str(of)))
    assert texts(library) == EXPECTED
    assert json.loads(json.dumps(report.as_json()))["annotators"]["text"]["done"] == 1
    assert progress[-1].startswith("3/3 videos annotated")
