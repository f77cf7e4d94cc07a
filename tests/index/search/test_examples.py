from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from index.search.examples import clip_id_in, embed_example, still_clip
from pipeline.frames import decode_seen, probe_file
from pipeline.models.base import Embedder
from pipeline.models.pixels import make_pixels
from pipeline.models.registry import load_embedder
from schemas.errors import UsageError
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Span
from tests.helpers.processes import Ended, in_forks
from tests.helpers.videos import write_video

SAMPLING = Sampling(window_s=4.0, stride_s=4.0)


@pytest.fixture(scope="module")
def model(embedder_checkpoint: Checkpoint) -> Embedder:
    return load_embedder(embedder_checkpoint, "fp32")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds."""
    return write_video(tmp_path_factory.mktemp("example") / "a.mp4", 250)


def vectors(model: Embedder, path: Path, *spans: tuple[float, float]) -> NDArray[np.float32]:
    seen = decode_seen(str(path), probe_file(str(path)), [Span(*span) for span in spans], model.preprocessing.input)
    return model.embed_clips(make_pixels(np.stack(seen.frames), model.preprocessing, model.device, model.dtype))


def test_a_moment_of_a_file_is_one_clip_as_the_model_is_shown_it(model: Embedder, video: Path) -> None:
    found = embed_example(f"{video}@1.5-7", model, SAMPLING)
    assert found == pytest.approx(vectors(model, video, (1.5, 7.0))[0], abs=1e-6)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)


def test_a_file_without_times_is_the_mean_of_its_clips(model: Embedder, video: Path) -> None:
    mean = vectors(model, video, (0.0, 4.0), (4.0, 8.0), (8.0, 10.0)).mean(axis=0)
    assert embed_example(str(video), model, SAMPLING) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_a_file_whose_name_ends_like_times_is_meant_itself(model: Embedder, video: Path) -> None:
    odd = video.with_name("a.mp4@1-2")
    odd.write_bytes(video.read_bytes())
    assert embed_example(str(odd), model, SAMPLING) == pytest.approx(embed_example(str(video), model, SAMPLING))
    odd.unlink()


def test_a_picture_is_a_clip_in_which_nothing_moves(model: Embedder, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    frames = still_clip(str(tmp_path / "a.png"), model.preprocessing.input)
    expected = model.embed_clips(make_pixels(frames[None], model.preprocessing, model.device, model.dtype))[0]
    assert embed_example(str(tmp_path / "a.png"), model, SAMPLING) == pytest.approx(expected, abs=1e-6)


def test_a_picture_is_turned_scaled_and_cut_as_frames_are(tmp_path: Path) -> None:
    """Red on the left and blue on the right, stored lying on its side; the middle third is kept."""
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, :45, 0], pixels[:, 45:, 2] = 255, 255
    picture = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    picture.save(tmp_path / "a.png", exif=exif)
    frames = still_clip(str(tmp_path / "a.png"), ModelInput(2, Geometry(resize=30, crop=(30, 30))))
    assert frames.shape == (2, 30, 30, 3)
    assert (frames[0] == frames[1]).all()
    assert (frames[0] == pixels[:, 30:60]).all()


def test_digits_are_a_clip_whatever_files_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert clip_id_in("123") == 123
    assert [clip_id_in(text) for text in ("12.5", "-1", "a.mp4", "²")] == [None] * 4
    (tmp_path / "123").touch()
    assert (clip_id_in("123"), clip_id_in("./123")) == (123, None)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            "{folder}/no.mp4",
            "like: no such file: '{folder}/no.mp4'; give FILE, FILE@START-END in seconds, IMAGE or CLIP_ID",
        ),
        ("{folder}", "like: no such file: '{folder}'; give FILE, FILE@START-END in seconds, IMAGE or CLIP_ID"),
        (
            "{video}@8-12",
            "like: got 8-12 s of '{video}', expected any moment from 0 to 10.000 s, where it ends; "
            "give START before END within it",
        ),
        (
            "{video}@5-5",
            "like: got 5-5 s of '{video}', expected any moment from 0 to 10.000 s, where it ends; "
            "give START before END within it",
        ),
        ("{folder}/text.png", "like: '{folder}/text.png' cannot be read as a picture (cannot identify image file "),
        (
            "{folder}/text.mp4",
            "like: '{folder}/text.mp4' cannot be used (probe: no video container that FFmpeg can read: ",
        ),
        (
            "{folder}/long.mp4",
            "like: got 61 s of video, '{folder}/long.mp4', expected 60 s without times; name a moment, such as FILE@12.5-16",
        ),
    ],
)
def test_what_is_no_example_is_an_error(model: Embedder, video: Path, tmp_path: Path, like: str, message: str) -> None:
    for name in ("text.png", "text.mp4"):
        (tmp_path / name).write_text("neither a picture nor a video\n")
    if "long" in like:
        write_video(tmp_path / "long.mp4", 1525, size=(32, 32))
    names = {"folder": str(tmp_path), "video": str(video)}
    with pytest.raises(UsageError) as error:
        embed_example(like.format(**names), model, SAMPLING)
    assert str(error.value).startswith(message.format(**names))


def png(width: int, height: int, *, inserted: bytes = b"", whole: bool = True) -> bytes:
    """A PNG of black, of which a few kilobytes may be gigabytes; with a chunk of one's own behind its header."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(height if whole else 1)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR" + header, *([inserted] if inserted else []), b"IDAT" + data, b"IEND")
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "huge": (lambda: png(60_000, 60_000, whole=False), "decompression bomb"),
    "large": (lambda: png(9_000, 9_000, whole=False), "9000 x 9000 pixels, expected 50 million"),
    "wide": (lambda: png(100_000, 1), "100000 x 1 pixels, expected one edge up to 20 times as long as the other"),
    "high": (lambda: png(1, 200_000), "1 x 200000 pixels, expected one edge up to 20 times"),
    "text": (lambda: png(8, 8, inserted=b"zTXtComment\0\0" + zlib.compress(bytes(200_000_000), 9)), "too large"),
    "cut": (lambda: png(500, 500)[:-60], "(image file is truncated|unrecognized data stream|broken)"),
    "empty": (lambda: b"", "cannot identify image file"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "cannot identify image file"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "cannot identify image file"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Ended]]:
    """Each of `BOMBS` as a file, and what a process that reads it prints: the error, and how many MB it took."""
    folder = tmp_path_factory.mktemp("bombs")
    setup = (
        "import resource, sys; from index.search.examples import still_clip; from schemas.errors import UsageError\n"
        "from schemas.models import Geometry, ModelInput; import PIL.Image; PIL.Image.init()\n"
    )
    program = (
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    still_clip({path!r}, ModelInput(2, Geometry(resize=224, crop=(224, 224))))\n"
        "except UsageError as exc:\n"
        "    print(exc)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    paths = {name: folder / f"{name}.png" for name in BOMBS}
    for name, (make, _) in BOMBS.items():
        paths[name].write_bytes(make())
    ended = in_forks(folder, setup, {name: program.format(path=str(path)) for name, path in paths.items()})
    return {name: (paths[name], ended[name]) for name in BOMBS}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_picture_of_anything_is_refused_in_little_memory(
    refused: dict[str, tuple[Path, Ended]], name: str
) -> None:
    path, done = refused[name]
    assert (done.code, done.stderr) == (0, "")
    told, more_mb = done.stdout.splitlines()
    assert re.match(rf"like: '{path}' cannot be read as a picture \(.*{BOMBS[name][1]}.*; expected PNG and JPEG$", told)
    assert int(more_mb) < 100


def test_an_animation_is_its_first_picture_and_a_large_jpeg_is_read(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 64), (level, 0, 0)) for level in (200, 100, 0)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    Image.new("L", (9_000, 9_000), 77).save(tmp_path / "a.jpg")
    wanted = ModelInput(2, Geometry(resize=30, crop=(30, 30)))
    assert (still_clip(str(tmp_path / "a.png"), wanted) == (200, 0, 0)).all()
    assert (still_clip(str(tmp_path / "a.jpg"), wanted) == 77).all()
