"""Whisper: what becomes of the tokens that it writes, the guards, and the whole way with a small one of random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.models.checkpoint import find_checkpoint
from pipeline.speech.activity import FRAME_S
from pipeline.speech.annotator import LoadedSpeech, SpeechAnnotator, cut
from pipeline.speech.audio import RATE, Chunk
from pipeline.speech.whisper import Decoded, Whisper
from schemas.channels import Utterance, Word
from schemas.errors import ModelError
from schemas.records import Span, VideoFile, VideoInfo
from tests.helpers.small_whisper import write_whisper
from tests.helpers.videos import write_video, write_with_sound

NOISE = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def whisper(folder: Path) -> Whisper:
    return Whisper(find_checkpoint(str(folder), "speech"), precision="fp32")


def time_token(whisper: Whisper, time_s: float) -> int:
    return int(whisper._first_time) + round(time_s / 0.02)


def said(monkeypatch: pytest.MonkeyPatch, whisper: Whisper, *parts: float | str, chance: float = 0.5) -> None:
    """Let the decoder write texts and times; each byte of a text is a token, 0.1 s long."""
    tokens, times_s, now_s = [], [], 0.0
    for part in parts:
        if isinstance(part, str):
            for byte in part.encode():
                tokens += whisper._tokenizer.convert_tokens_to_ids(whisper._tokenizer.tokenize(chr(byte)))
                times_s.append(round(now_s, 2))
                now_s += 0.1
        else:
            tokens.append(time_token(whisper, part))
            times_s.append(part)
            now_s = part
    decoded = Decoded(tokens, [float(np.log(chance))] * len(tokens), times_s)
    monkeypatch.setattr(whisper, "_decode", lambda *inputs, **changes: decoded)


def test_segments_become_utterances_with_words(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, whisper, 0.0, " Hi you.", 1.0, 1.5, " Bye", 2.0)
    first, second = whisper.hear(NOISE, 100.0)
    words = (Word("Hi", 100.0, 100.3), Word("you.", 100.3, 101.0))
    assert first[:3] + first[4:5] + first[6:] == (100.0, 101.0, "Hi you.", "whisper", words)
    assert second[:3] + second[6:] == (101.5, 102.0, "Bye", (Word("Bye", 101.5, 102.0),))
    assert first.language in whisper._languages
    assert first.confidence == second.confidence == pytest.approx(0.5)


def test_an_unfinished_segment_lasts_to_the_end_of_the_window(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, whisper, 0.5, " Hi")
    ((start_s, end_s, text, *_),) = whisper.hear(NOISE, 0.0)
    assert (start_s, end_s, text) == (0.5, 5.0, "Hi")
    said(monkeypatch, whisper, 0.0, " Hi", 29.0)
    assert whisper.hear(NOISE, 0.0)[0].end_s == 5.0


def test_a_text_that_repeats_itself_is_left_out(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, whisper, 0.0, " thank you" * 20, 4.0)
    assert whisper.hear(NOISE, 0.0) == []


def test_a_window_that_seems_silent_is_left_out_unless_its_text_is_sure(
    whisper: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "_first_look", lambda window: (0.7, "en"))
    said(monkeypatch, whisper, 0.0, " Hi", 1.0, chance=0.3)
    assert whisper.hear(NOISE, 0.0) == []
    said(monkeypatch, whisper, 0.0, " Hi", 1.0, chance=0.4)
    assert [row.text for row in whisper.hear(NOISE, 0.0)] == ["Hi"]


@torch.inference_mode()
def test_the_decoder_gives_a_chance_and_a_time_for_each_token(whisper: Whisper) -> None:
    """And the same ones again; the times never go back."""
    whisper._settings.max_length = 20
    window = whisper.window(NOISE)
    decoded = whisper._decode(window, "en")
    assert len(decoded.tokens) == len(decoded.log_probabilities) == len(decoded.times_s or []) > 5
    assert decoded.tokens[0] >= whisper._first_time
    assert max(decoded.log_probabilities) < 0
    assert decoded.times_s == sorted(decoded.times_s or [])
    assert max(decoded.times_s or []) <= 5
    assert whisper._decode(window, "en") == decoded


@torch.inference_mode()
def test_the_language_is_that_of_most_windows_unless_one_is_sure(whisper: Whisper) -> None:
    names = list(whisper._languages)
    window = whisper.window(NOISE)
    _, found = whisper._first_look(window)
    assert found in names
    other = next(name for name in names if name != found)
    whisper._spoken.choose(np.eye(len(names))[names.index(other)] * 9)
    assert whisper._first_look(window)[1] == other
    whisper.begin()
    assert whisper._first_look(window)[1] == found


def test_a_given_language_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = find_checkpoint(str(folder), "speech")
    whisper = Whisper(checkpoint, "de-CH")
    said(monkeypatch, whisper, 0.0, " Ja", 1.0)
    assert whisper.hear(NOISE, 0.0)[0].language == "de"
    with pytest.raises(ModelError, match="language: got language 'ja', expected one of de, en, fr"):
        Whisper(checkpoint, "ja")


def test_a_model_of_english_alone_without_alignment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whisper = Whisper(
        find_checkpoint(str(write_whisper(tmp_path / "m", languages=False, alignment=False)), "speech"), precision="fp32"
    )
    said(monkeypatch, whisper, 0.0, " Hi", 1.0)
    assert [(row.text, row.language) for row in whisper.hear(NOISE, 0.0)] == [("Hi", "en")]
    monkeypatch.undo()
    with torch.inference_mode():
        decoded = whisper._decode(whisper.window(NOISE), "en")
    assert decoded.times_s is None
    assert len(decoded.tokens) > 5


def test_other_models_are_refused(folder: Path, tmp_path: Path, classifier_folder: Path) -> None:
    with pytest.raises(ModelError, match="expected 'whisper'"):
        Whisper(find_checkpoint(str(classifier_folder), "speech"))
    old = write_whisper(tmp_path / "old")
    settings = json.loads((old / "generation_config.json").read_text())
    del settings["no_timestamps_token_id"]
    (old / "generation_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="lacks no_timestamps_token_id"):
        Whisper(find_checkpoint(str(old), "speech"))


def test_windows_are_cut_out_of_chunks() -> None:
    sound = np.arange(10 * RATE, dtype=np.float32)

    def chunks() -> Iterator[Chunk]:
        for begin in range(0, len(sound), 3 * RATE):
            yield Chunk(begin / RATE, sound[begin : begin + 3 * RATE])

    windows = [Span(0.5, 1.0), Span(1.0, 1.5), Span(2.9, 6.1), Span(9.0, 10.5)]
    found = list(cut(chunks(), windows))
    assert [chunk.start_s for chunk in found] == [0.5, 1.0, 2.9, 9.0]
    for chunk, (start_s, end_s) in zip(found, windows, strict=True):
        np.testing.assert_array_equal(chunk.samples, sound[round(start_s * RATE) : round(end_s * RATE)])
    assert list(cut(chunks(), [])) == []


def utterances(loaded: LoadedSpeech, film: Path) -> list[Utterance]:
    found = loaded.annotate(VideoInfo("v", VideoFile(str(film), 0, 0)))
    return [item for item in found if isinstance(item, Utterance)]


class EverySecondSecond:
    """A detector that hears speech in [1, 2), [3, 4), ..."""

    def probabilities(self, sound: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
        count = round(sum(map(len, sound)) / RATE / FRAME_S)
        seconds = np.floor(np.arange(count) * FRAME_S)
        return np.where(seconds % 2 == 1, np.float32(1), np.float32(0))


def test_a_video_s_speech_is_in_its_windows(whisper: Whisper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said(monkeypatch, whisper, 0.5, " Hi", 1.0)
    loaded = LoadedSpeech(EverySecondSecond(), whisper)  # type: ignore[arg-type]
    film = write_with_sound(tmp_path / "film.mp4", 6)
    (row,) = utterances(loaded, film)
    assert [row.start_s, row.end_s] == pytest.approx([1.324, 1.824], abs=0.04)
    assert row.text == "Hi"
    silent = write_video(tmp_path / "silent.mp4", 25)
    assert list(loaded.annotate(VideoInfo("v", VideoFile(str(silent), 0, 0)))) == []


def test_the_version_says_what_made_the_rows(folder: Path) -> None:
    annotator = SpeechAnnotator(find_checkpoint(str(folder), "speech"), "de")
    assert annotator.version == f"1 {annotator.checkpoint.stamp} de"
    assert (annotator.name, annotator.table) == ("speech", "speech")


def test_the_whole_way_with_a_model(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    film = write_with_sound(tmp_path / "film.mp4", 3)
    loaded = SpeechAnnotator(find_checkpoint(str(folder), "speech")).load()
    assert list(loaded.annotate(VideoInfo("v", VideoFile(str(film), 0, 0)))) == []  # beeps are no speech


@pytest.mark.hub
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng on this machine: apt install espeak-ng")
def test_the_published_tiny_model_hears_a_spoken_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    pytest.importorskip("onnxruntime")
    sentence = "The quick brown fox jumps over the lazy dog."
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", tmp_path / "said.wav", sentence], check=True)
    film = tmp_path / "film.mkv"
    picture = write_video(tmp_path / "picture.mp4", 125)
    subprocess.run(["ffmpeg", "-v", "error", "-i", picture, "-i", tmp_path / "said.wav", film], check=True)
    loaded = SpeechAnnotator(find_checkpoint("openai/whisper-tiny", "speech")).load()
    rows = utterances(loaded, film)
    words = [word for row in rows for word in row.words]
    heard = [word.word.strip(".,").lower() for word in words]
    assert len(set(heard) & set(sentence.lower().strip(".").split())) >= 6
    assert {row.language for row in rows} == {"en"}
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    assert words[-1].end_s <= 5
