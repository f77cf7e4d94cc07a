"""Subtitles beside videos and inside them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import av
import pytest

from pipeline.speech.sidecar import MAX_BYTES, Sidecar, SidecarError, find_sidecars, read_sidecar, subtitle_state
from pipeline.speech.subtitles import SubtitleAnnotator, read_subtitles
from schemas.channels import Utterance
from schemas.errors import VideoError
from schemas.records import Problem, VideoFile, VideoInfo
from tests.helpers.videos import write_video

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine: apt install ffmpeg")


def srt(*cues: tuple[float, float, str]) -> str:
    return "".join(
        f"{n}\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}\n\n" for n, (start, end, text) in enumerate(cues)
    )


def info(path: Path, duration_s: float | None = 2.0) -> VideoInfo:
    return VideoInfo("v", VideoFile(str(path), 0, 0), duration_s=duration_s)


def said(path: Path) -> list[tuple[float, float, str, str | None, str]]:
    return [
        (round(row.start_s, 3), round(row.end_s, 3), row.text, row.language, row.source)
        for row in read_subtitles(info(path)).said
    ]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_video(tmp_path / "film.mp4", 50)


def test_sidecars_are_found_with_their_language(tmp_path: Path) -> None:
    names = {
        "film.srt": (None, False),
        "film.en.forced.srt": ("en", True),
        "film.pt-BR.vtt": ("pt-BR", False),
        "film.deu.SRT": ("de", False),
        "film.en.hi.ass": ("en", False),
        "film.directors cut.ssa": (None, False),
    }
    for name in (*names, "film.txt", "film2.srt", "other.srt", "film.part2.srt", "film.part2.en.srt", "film.en.txt"):
        (tmp_path / name).touch()
    for name in ("film.mp4", "film.part2.mkv"):
        (tmp_path / name).touch()
    found = find_sidecars(str(tmp_path / "film.mp4"))
    assert {os.path.basename(path): (language, forced) for path, language, forced in found} == names
    found = find_sidecars(str(tmp_path / "film.part2.mkv"))
    assert [os.path.basename(sidecar.path) for sidecar in found] == ["film.part2.en.srt", "film.part2.srt"]
    assert find_sidecars(str(tmp_path / "no folder" / "film.mp4")) == []
    assert find_sidecars("film\0.mp4") == []


def test_the_state_changes_with_the_files_and_with_nothing_else(film: Path) -> None:
    assert subtitle_state(str(film)) == ""
    sidecar = film.with_name("film.en.srt")
    sidecar.write_text(srt((0, 1, "a")))
    first = subtitle_state(str(film))
    film.with_name("other.srt").touch()
    assert len(first) == 16
    assert subtitle_state(str(film)) == first
    sidecar.write_text(srt((0, 1, "abc")))
    second = subtitle_state(str(film))
    os.utime(sidecar, ns=(1, 1))
    third = subtitle_state(str(film))
    sidecar.rename(film.with_name("film.de.srt"))
    assert len({first, second, third, subtitle_state(str(film))}) == 4
    film.with_name("film.de.srt").unlink()
    assert subtitle_state(str(film)) == ""


def test_all_languages_become_rows_by_time(film: Path) -> None:
    film.with_name("film.en.srt").write_text(srt((1, 2, "day"), (0.5, 1, "good")))
    film.with_name("film.de.vtt").write_text("WEBVTT\n\n00:00.750 --> 00:01.000\nTag\n")
    assert said(film) == [
        (0.5, 1.0, "good", "en", "sidecar"),
        (0.75, 1.0, "Tag", "de", "sidecar"),
        (1.0, 2.0, "day", "en", "sidecar"),
    ]
    assert list(SubtitleAnnotator().load().annotate(info(film))) == list(read_subtitles(info(film)).said)


def test_a_text_that_is_there_twice_is_kept_once(film: Path) -> None:
    film.with_name("film.en.srt").write_text(srt((0.5, 1, "a"), (1, 2, "b")))
    film.with_name("film.en.sdh.srt").write_text(srt((0.6, 1, "a"), (1.6, 2, "b"), (0, 0.5, "[noise]")))
    film.with_name("film.fr.srt").write_text(srt((0.5, 1, "a")))
    rows = {(start_s, text, language) for start_s, _, text, language, _ in said(film)}
    assert rows == {(0, "[noise]", "en"), (0.6, "a", "en"), (1, "b", "en"), (1.6, "b", "en"), (0.5, "a", "fr")}


def test_the_format_is_told_by_the_text(film: Path) -> None:
    film.with_name("film.srt").write_text(
        "\ufeffWEBVTT\n\n00:00.500 --> 00:01.000 align:start\n<v A>really WebVTT\n", "utf-16"
    )
    assert said(film) == [(0.5, 1.0, "really WebVTT", None, "sidecar")]


def test_what_lies_after_the_end_is_left_out(film: Path) -> None:
    film.with_name("film.srt").write_text(srt((1, 50, "a"), (20, 21, "late")))
    assert said(film) == [(1.0, 7.0, "a", None, "sidecar")]
    film.with_name("film.srt").write_text(srt((20, 21, "late")))
    assert read_subtitles(info(film)).problems == ("film.srt begins at 20 s, after the video's end (2 s)",)


@pytest.mark.parametrize("kind", ["folder", "pipe", "large", "binary", "link to nothing", "not readable"])
def test_what_is_no_subtitle_file_is_a_sentence(film: Path, kind: str) -> None:
    path = film.with_name("film.srt")
    expected = "film.srt is no regular file; put a file of that name in its place"
    if kind == "folder":
        path.mkdir()
        assert find_sidecars(str(film)) == []
        expected = "film.srt cannot be read: Is a directory"
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(100_000_000)
        expected = f"film.srt is 100 MB, expected {MAX_BYTES // 1_000_000} MB at most; is it a subtitle file?"
    elif kind == "binary":
        path.write_bytes(film.read_bytes())
        expected = "film.srt holds no subtitle: it is no SubRip, WebVTT or ASS, or damaged"
    elif kind == "link to nothing":
        path.symlink_to("nowhere")
        expected = "film.srt cannot be read: No such file or directory"
    else:
        path.symlink_to("film.srt")
        expected = "film.srt cannot be read: Too many levels of symbolic links"
    with pytest.raises(SidecarError, match=f"^{expected}".replace("?", r"\?")[:60]):
        read_sidecar(Sidecar(str(path), None, False))
    if kind != "folder":
        with pytest.raises(VideoError, match=r"film\.srt"):
            SubtitleAnnotator().load().annotate(info(film))
        film.with_name("film.en.srt").write_text(srt((0, 1, "a")))
        row, problem = SubtitleAnnotator().load().annotate(info(film))
        assert isinstance(row, Utterance)
        assert (row.text, problem) == ("a", Problem("annotate", expected))
        assert read_subtitles(info(film)).problems == (expected,)


def test_a_link_is_followed(film: Path) -> None:
    (film.parent / "texts").mkdir()
    (film.parent / "texts" / "a.srt").write_text(srt((0, 1, "a")))
    film.with_name("film.srt").symlink_to("texts/a.srt")
    assert said(film) == [(0.0, 1.0, "a", None, "sidecar")]


def test_an_empty_file_says_nothing(film: Path) -> None:
    film.with_name("film.srt").write_bytes(b"\xff\xfe")
    assert read_subtitles(info(film)) == ((), (), ())


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError):
        SubtitleAnnotator().load().annotate(info(tmp_path / "film.mp4"))


def mux(target: Path, *arguments: str | Path) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *map(str, arguments), str(target)], check=True)
    return target


@needs_ffmpeg
@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mkv", "subrip"), ("mkv", "ass"), ("mkv", "webvtt"), ("webm", "webvtt"), ("mp4", "mov_text"), ("mov", "mov_text")],
)
@pytest.mark.parametrize("late_s", [0, 7])
def test_tracks_are_read_with_their_language_and_from_the_start_time_on(
    tmp_path: Path, ending: str, codec: str, late_s: int
) -> None:
    inputs: list[str | Path] = ["-f", "lavfi", "-i", "testsrc=d=2:s=64x64:r=25"]
    for name, text in (("a", "<i>Hello</i> there\nfriend"), ("b", "Guten Tag, Freund")):
        path = tmp_path / f"{name}.srt"
        path.write_text(srt((0.5, 1.25, text), (1.5, 2, text + "!")))
        inputs += ["-i", path]
    options = f"-map 0 -map 1 -map 2 -c:s {codec} -metadata:s:s:0 language=eng -metadata:s:s:1 language=ger"
    film = mux(tmp_path / f"film.{ending}", *inputs, *options.split(), "-output_ts_offset", str(late_s))
    assert said(film) == [
        (0.5, 1.25, "Hello there\nfriend", "en", "embedded"),
        (0.5, 1.25, "Guten Tag, Freund", "de", "embedded"),
        (1.5, 2.0, "Hello there\nfriend!", "en", "embedded"),
        (1.5, 2.0, "Guten Tag, Freund!", "de", "embedded"),
    ]
    film.with_name("film.en.srt").write_text(srt((0.6, 1.2, "Corrected")))
    assert [row[2:] for row in said(film)] == [
        ("Guten Tag, Freund", "de", "embedded"),
        ("Corrected", "en", "sidecar"),
        ("Guten Tag, Freund!", "de", "embedded"),
    ]
    film.with_name("film.en.srt").rename(film.with_name("film.srt"))
    film.with_name("film.srt").write_text(srt((0.6, 1.2, "Hello there\nfriend")))
    assert sorted({row[3:] for row in said(film)}, key=str) == [("de", "embedded"), (None, "sidecar")]


def test_pictures_are_said_to_be_pictures(tmp_path: Path) -> None:
    film, pictures = write_video(tmp_path / "film.mp4", 25), tmp_path / "pictures.mkv"
    with av.open(str(film)) as source, av.open(str(pictures), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        target.add_stream("dvbsub").metadata["language"] = "fre"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    assert read_subtitles(info(pictures)) == ((), (), ("subtitle track 1 (fr) holds pictures (DVB), no text",))
    assert list(SubtitleAnnotator().load().annotate(info(pictures))) == []


def test_a_row_is_an_utterance_without_words(film: Path) -> None:
    film.with_name("film.en.srt").write_text(srt((0, 1, "a")))
    assert read_subtitles(info(film)).said == (Utterance(0.0, 1.0, "a", "en", "sidecar", None, ()),)
