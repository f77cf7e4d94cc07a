"""Real reading of single frames."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.text import reader as module
from pipeline.text.reader import TextReader
from schemas.errors import ModelError
from tests.helpers.text_films import Shown, plain, title, written

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


@pytest.mark.parametrize("text", ["Hello World 2026", "THE LONG WAY HOME", "What time is it?", "Room 101"])
def test_a_large_clear_title_is_read_exactly(reader: TextReader, text: str) -> None:
    (reading,) = reader.read(title(text))
    assert reading.text == text
    assert reading.confidence > 0.95
    assert 0.4 < reading.box.top + reading.box.height / 2 < 0.6
    assert abs(reading.box.left + reading.box.width / 2 - 0.5) < 0.02


def test_the_box_is_where_the_line_is(reader: TextReader) -> None:
    """Of a frame that is shrunk to find lines, and of one that is enlarged."""
    for scale in (0.5, 1, 3):
        width, height = round(640 * scale), round(360 * scale)
        line = Shown(0, 1, "Lower third", round(40 * scale), round(280 * scale), round(32 * scale))
        (reading,) = reader.read(written(plain(width, height), line))
        assert reading.text == "Lower third"
        assert reading.box.left == pytest.approx(40 / 640, abs=0.015)
        assert reading.box.top == pytest.approx(284 / 360, abs=0.03)
        assert 0.06 < reading.box.height < 0.16


def test_lines_come_from_top_to_bottom(reader: TextReader) -> None:
    lines = [Shown(0, 1, text, 60, top) for text, top in (("First line", 40), ("Second line", 120), ("Third line", 200))]
    assert [reading.text for reading in reader.read(written(plain(), *lines))] == ["First line", "Second line", "Third line"]


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_text_is_read(reader: TextReader, quarter_turns: int) -> None:
    (reading,) = reader.read(np.ascontiguousarray(np.rot90(title("Turned around"), quarter_turns)))
    assert reading.text == "Turned around"


def test_nothing_is_read_where_nothing_is_written(reader: TextReader) -> None:
    assert reader.read(plain()) == []


@pytest.mark.parametrize("shape", [(1, 1), (7, 1000), (1000, 9), (9, 3000), (33, 33), (4320, 7680)])
def test_noise_of_any_shape_gives_little_in_bounded_time(reader: TextReader, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    began = time.process_time()
    assert len(reader.read(noise)) <= 2
    assert time.process_time() - began < 20


def test_of_too_many_lines_the_tallest_are_read(reader: TextReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_LINES", 2)
    sizes = (("Small words", 40, 20), ("Large words", 100, 44), ("Middle words", 200, 32), ("Tiny words", 300, 16))
    lines = [Shown(0, 1, text, 60, top, size) for text, top, size in sizes]
    assert [reading.text for reading in reader.read(written(plain(), *lines))] == ["Large words", "Middle words"]


def test_a_line_longer_than_the_recogniser_takes_is_read(reader: TextReader) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    readings = reader.read(written(plain(1280, 200), Shown(0, 1, text, 20, 80, 24)))
    assert " ".join(reading.text for reading in readings) == text


def test_text_that_fills_the_frame_and_text_on_strips_is_read(reader: TextReader) -> None:
    assert [reading.text for reading in reader.read(title("BIG", size=300))] == ["BIG"]
    (reading,) = reader.read(written(plain(1600, 40), Shown(0, 1, "News ticker at the bottom", 600, 6, 24)))
    assert reading.text == "News ticker at the bottom"


def test_onnx_runtime_reads_the_same() -> None:
    pytest.importorskip("onnxruntime")
    (reading,) = TextReader(engine="onnxruntime").read(title("Hello World 2026"))
    assert reading.text == "Hello World 2026"


def test_it_is_quiet_needs_no_network_and_one_thread() -> None:
    program = (
        "import socket, time\n"
        "def refuse(*args, **kwargs): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from pipeline.text.reader import TextReader\n"
        "from tests.helpers.text_films import plain, title\n"
        "reader = TextReader(num_threads=1)\n"
        "assert [reading.text for reading in reader.read(title('Quiet'))] == ['Quiet']\n"
        "assert reader.read(plain()) == []\n"
        "wall, cpu = time.perf_counter(), time.process_time()\n"
        "for _ in range(5): reader.read(title('Quiet'))\n"
        "wall, cpu = time.perf_counter() - wall, time.process_time() - cpu\n"
        "assert cpu < 1.2 * wall, (cpu, wall)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def hiding(*packages: str) -> Callable[[str], bool]:
    return lambda name: name not in packages


@pytest.mark.parametrize("hidden", [("rapidocr",), ("openvino", "onnxruntime")])
def test_what_is_missing_is_said_with_what_to_install(hidden: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", hiding(*hidden))
    with pytest.raises(ModelError, match=r"not installed|neither is installed") as caught:
        TextReader()
    assert "pip install 'vidsift[ocr]'" in str(caught.value)


def test_onnx_runtime_is_taken_where_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", hiding("openvino"))
    assert module.available_engine() == "onnxruntime"
    monkeypatch.setattr(module, "find_spec", hiding())
    assert module.available_engine() == "openvino"
