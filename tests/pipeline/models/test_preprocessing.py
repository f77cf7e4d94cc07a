from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.models.preprocessing import Preprocessing, read_preprocessing
from schemas.errors import ModelError
from schemas.models import Checkpoint, Geometry, ModelInput


def read(
    folder: Path, config: dict[str, Any], settings: dict[str, Any] | None, file: str = "preprocessor_config.json"
) -> Preprocessing:
    (folder / "config.json").write_text(json.dumps(config))
    if settings is not None:
        (folder / file).write_text(json.dumps(settings))
    return read_preprocessing(Checkpoint("m", str(folder), None, config["model_type"], "0" * 64), "--classifier")


def normalised(preprocessing: Preprocessing, level: int) -> list[float]:
    return [level * gain + shift for gain, shift in zip(preprocessing.gain, preprocessing.shift, strict=True)]


def test_the_published_videomae_configuration(tmp_path: Path) -> None:
    """As MCG-NJU/videomae-base-finetuned-kinetics has it."""
    settings = {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "VideoMAEFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
    }
    preprocessing = read(tmp_path, {"model_type": "videomae", "image_size": 224, "num_frames": 16}, settings)
    assert preprocessing.input == ModelInput(16, Geometry(224, (224, 224), "bilinear"))
    assert normalised(preprocessing, 0) == pytest.approx([-2.1179, -2.0357, -1.8044], abs=1e-4)
    assert normalised(preprocessing, 255) == pytest.approx([2.2489, 2.4286, 2.6400], abs=1e-4)


@pytest.mark.parametrize(
    ("model_type", "settings", "geometry", "black_and_white"),
    [
        ("videomae", {"image_processor_type": "VideoMAEImageProcessor"}, Geometry(224, (224, 224)), (-1.0, 1.0)),
        (
            "timesformer",
            {"feature_extractor_type": "VideoMAEFeatureExtractor", "size": 224},
            Geometry(224, (224, 224)),
            (-1, 1),
        ),
        ("vivit", {"image_processor_type": "VivitImageProcessor"}, Geometry(256, (224, 224)), (-3.0, 1.0)),
        ("vivit", {"do_normalize": False}, Geometry(256, (224, 224)), (-1.0, 1.0)),
        ("xclip", {"image_processor_type": "CLIPImageProcessor"}, Geometry(224, (224, 224), "bicubic"), (-1.7923, 1.9303)),
        ("vjepa2", {"crop_size": 256, "size": {"shortest_edge": 9}}, Geometry(292, (256, 256)), (-2.1179, 2.2489)),
        ("videomae", {"size": {"height": 100, "width": 200}, "do_center_crop": False}, Geometry((100, 200), None), (-1, 1)),
        ("videomae", {"do_resize": False}, Geometry(None, (224, 224)), (-1.0, 1.0)),
    ],
)
def test_what_a_configuration_leaves_out_is_its_processors_default(
    tmp_path: Path, model_type: str, settings: dict[str, Any], geometry: Geometry, black_and_white: tuple[float, float]
) -> None:
    preprocessing = read(tmp_path, {"model_type": model_type, "num_frames": 8}, settings)
    assert preprocessing.input == ModelInput(8, geometry)
    assert (normalised(preprocessing, 0)[0], normalised(preprocessing, 255)[0]) == pytest.approx(black_and_white, abs=1e-4)


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        ({"model_type": "videomae", "num_frames": 32}, 32),
        ({"model_type": "videomae"}, 16),
        ({"model_type": "xclip", "vision_config": {"num_frames": 4}}, 4),
        ({"model_type": "vjepa2", "frames_per_clip": 64, "crop_size": 224}, 64),
    ],
)
def test_how_many_frames_a_model_sees(tmp_path: Path, config: dict[str, Any], frames: int) -> None:
    assert read(tmp_path, config, {"crop_size": 224}).input.num_frames == frames


def test_nested_and_video_configurations_are_read(tmp_path: Path) -> None:
    config = {"model_type": "xclip", "num_frames": 8}
    nested = {"image_processor": {"image_processor_type": "VideoMAEImageProcessor", "size": 100, "crop_size": 90}}
    assert read(tmp_path, config, nested, "processor_config.json").input.geometry == Geometry(100, (90, 90))
    assert (
        read(tmp_path, config, {"size": 64, "crop_size": 64}, "video_preprocessor_config.json").input.geometry.resize == 64
    )


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ({"model_type": "videomae"}, None, "holds no preprocessor_config.json or processor_config.json"),
        (
            {"model_type": "videomae", "image_size": 336},
            {"size": 336},
            "makes pictures of 224 x 224, the model takes 336 x 336; correct crop_size",
        ),
        ({"model_type": "videomae"}, {"do_center_crop": False}, "pictures of differing sizes, expected one size"),
        ({"model_type": "videomae"}, {"resample": 0}, "expected 2 (bilinear) or 3 (bicubic)"),
        ({"model_type": "videomae"}, {"image_std": [0.0, 0.0, 0.0]}, "cannot be used: ZeroDivisionError"),
        ({"model_type": "other"}, {}, "does not say 'image_mean'; add it as the model was trained"),
        ({"model_type": "other"}, {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}, "how many frames the model takes"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, config: dict[str, Any], settings: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path, config, settings)
    assert message in str(error.value)
