from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.picture.resize import Scaler
from schemas.models import Geometry
from schemas.options import Scaling
from tests.helpers.videos import write_video

GEOMETRY = Geometry(112, (112, 112))


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """How far on average, and by how much one is brighter."""
    difference = one.astype(float) - other
    return float(np.abs(difference).mean()), float(difference.mean())


@pytest.mark.parametrize("name", ["bikes.mp4", "bigbuckbunny.mp4", "asl_book.mkv", "mm_test.mp4"])
def test_fast_scaling_is_within_a_level_of_exact_and_as_bright(shared_clips: Path, name: str) -> None:
    frame = first_frame(shared_clips / name)
    fast, exact = (Scaler(GEOMETRY, scaling=scaling)(frame) for scaling in ("fast", "exact"))
    distance, brighter = apart(fast, exact)
    assert fast.shape == exact.shape == (112, 112, 3)
    assert 0 < distance < 1.0
    assert abs(brighter) < 0.5


def test_pictures_that_are_converted_in_another_way_are_scaled_exactly(shared_clips: Path, tmp_path: Path) -> None:
    """10 bits a colour, and a picture that has its size already."""
    deep = first_frame(shared_clips / "h264_10bits.mp4")
    assert deep.format.name == "yuv420p10le"
    small = first_frame(write_video(tmp_path / "a.mp4", 5))
    for frame, geometry in ((deep, GEOMETRY), (small, Geometry(None, None))):
        fast, exact = (Scaler(geometry, scaling=scaling)(frame) for scaling in ("fast", "exact"))
        assert np.array_equal(fast, exact)


@pytest.mark.parametrize(
    ("size", "crop"), [((128, 171), (112, 112)), (256, (224, 224)), (40, (40, 40)), ((64, 65), (32, 32))]
)
@pytest.mark.parametrize("scaling", ["fast", "exact"])
def test_as_torchvision_scales(size: int | tuple[int, int], crop: tuple[int, int], scaling: Scaling) -> None:
    """Within a level of its transform of video: not antialiased, a crop begins where it does."""
    presets = pytest.importorskip("torchvision.transforms._presets", reason="torchvision is not installed")
    picture = np.random.default_rng(0).integers(0, 256, (120, 213, 3), np.uint8)
    transform = presets.VideoClassification(
        crop_size=crop, resize_size=size if isinstance(size, tuple) else (size,), mean=(0, 0, 0), std=(1, 1, 1)
    )
    expected = transform(torch.from_numpy(picture).permute(2, 0, 1)[None])[:, 0].permute(1, 2, 0) * 255
    scaler = Scaler(Geometry(size, crop, transform="torchvision"), scaling=scaling)
    made = scaler(av.VideoFrame.from_ndarray(picture, format="rgb24"))
    assert np.abs(made.astype(float) - expected.numpy()).max() <= 1.001
