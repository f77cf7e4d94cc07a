"""What `vidsift annotate` prints, and what it hands on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from schemas.text import clock
from tests.helpers.made_annotators import made, said, use_annotators
from tests.helpers.made_library import Made, make_library
from tests.helpers.small_sentences import write_sentences

ENTRIES = (("/v/a.mp4", (said(1, 2, "good morning"),)), ("/v/b.mp4", ("refuse",)))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_annotators(
        monkeypatch,
        subtitles=made("subtitles", "speech", entries=ENTRIES),
        speech=made("speech", "speech"),
        shots=made("shots", "shots"),
    )
    return make_library(tmp_path / "library", [Made(1, "a", 0, 30), Made(2, "b", 0, 10)])


def run(*arguments: str, library: Path) -> Result:
    return CliRunner().invoke(main, [*arguments, "--library", str(library)])


def test_what_it_prints(library: Path) -> None:
    assert run("annotate", "subtitles", library=library).output.splitlines() == [
        "annotator  read  partial  failed  unchanged  rows  of video  video s per s and process",
        "---------  ----  -------  ------  ---------  ----  --------  -------------------------",
        f"subtitles  1     0        1       0          1     {clock(40)}      40.0",
        "  /v/b.mp4: subtitles: its sound is of another world",
    ]
    again = json.loads(run("annotate", "--json", library=library).output)
    assert again["annotators"] == {
        "subtitles": {
            "done": 0, "partial": 0, "failed": 0, "unchanged": 2, "rows": 0, "video_seconds": 0.0, "busy_seconds": 0.0,
        }
    }  # fmt: skip
    status = run("status", library=library).output.splitlines()
    assert "subtitles   1 videos read, 1 not or in part, 1 rows" in status
    assert status[-1] == "  not read (subtitles): /v/b.mp4: its sound is of another world"
    assert run("annotate", "subtitles", "--remove", library=library).output == "subtitles: out of 2 videos\n"


def test_settings_go_to_their_annotator(library: Path) -> None:
    for option, name in (
        ("--detector", "shots"),
        ("--speech-model", "speech"),
        ("--speech-engine", "speech"),
        ("--language", "speech"),
    ):
        done = run("annotate", name, option, "x", library=library)
        assert (done.exit_code, done.output) == (2, f"vidsift: ANNOTATOR {name}: got a setting that it does not have\n")


def test_a_text_embedder_is_a_line_of_its_own(library: Path, tmp_path: Path) -> None:
    encoder = str(write_sentences(tmp_path / "encoder"))
    lines = run("annotate", "subtitles", "--text-embedder", encoder, library=library).output.splitlines()
    assert lines[3].split() == ["subtitles", "vectors", "1", "0", "0", "0", "1", clock(0)]
    found = run("search", "morning night good", "--in", "speech", library=library).output.splitlines()
    assert 'says in other words "good morning"' in found[2]
    (moment,) = run("search", "good morning", "--in", "speech", "--json", library=library).output.splitlines()
    assert json.loads(moment)["reasons"][0]["found_by"] == ["words", "meaning"]
    refused = run("annotate", "--text-embedder", "/nowhere", library=library)
    assert (refused.exit_code, refused.output.split(";")[0]) == (
        1,
        "vidsift: --text-embedder: no such folder, and no hub id: '/nowhere'",
    )
    run("annotate", "--text-embedder", "none", library=library)
    assert "text_embedder" not in json.loads((library / "library.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["annotate", "smell"], "vidsift: ANNOTATOR smell: expected subtitles, speech, shots\n"),
        (["annotate"], "vidsift: ANNOTATOR: this library has none yet; name some, such as: shots subtitles\n"),
        (["annotate", "--remove"], "vidsift: ANNOTATOR: got none; name what to take out, such as: text\n"),
        (["annotate", "shots", "--remove"], "vidsift: ANNOTATOR shots: the library has no such annotator; it has none\n"),
        (["search", "a dog", "--in", "speech"], "vidsift: --in: the library has no speech; find it with vidsift annotate"),
    ],
)
def test_what_is_refused(library: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, library=library)
    assert done.exit_code == 2
    assert done.output.startswith(message)
