"""CudaGraphed forward passes: what a graph may hold, and what is played back. The graphs themselves need a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoModel,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from pipeline.models.families import FAMILIES, ModelFamily
from pipeline.models.loading import move_unregistered_tensors
from pipeline.models.runtimes.cuda_graphs import CudaGraphed, Forward, Recording, round_up
from tests.helpers.small_embedders import write_small_embedder

RECORDABLE_EMBEDDERS = [family for family in FAMILIES if family.cuda_graphs and family.role == "embedder"]
SMALL = {"image_size": 32, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


class NothingFromTheHost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails where an operation takes a tensor from the host, or gives it one: a graph could not hold that."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, output)):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu" and leaf.ndim:
                raise AssertionError(f"{func} has a tensor on the host")
        return output


def video_mae() -> Any:
    return VideoMAEForVideoClassification(VideoMAEConfig(**SMALL, num_frames=4))


def times_former() -> Any:
    return TimesformerForVideoClassification(TimesformerConfig(**SMALL, num_frames=4))


def vivit() -> Any:
    return VivitForVideoClassification(VivitConfig(**SMALL, num_frames=4))


def v_jepa() -> Any:
    config = VJEPA2Config(
        crop_size=32, frames_per_clip=4, hidden_size=32, num_attention_heads=2, num_hidden_layers=2, num_pooler_layers=1
    )
    return VJEPA2ForVideoClassification(config)


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "videomae": video_mae, "timesformer": times_former, "vivit": vivit, "vjepa2": v_jepa,
}  # fmt: skip


@pytest.mark.parametrize("family", [f.model_type for f in FAMILIES if f.cuda_graphs and f.role == "classifier"])
def test_a_recordable_classifier_asks_the_host_for_nothing(family: str) -> None:
    model = CLASSIFIERS[family]().eval()
    move_unregistered_tensors(model, torch.device("meta"))
    model.to("meta")
    pixels = torch.empty(2, 4, 3, 32, 32, device="meta")
    with torch.inference_mode(), NothingFromTheHost():  # type: ignore[no-untyped-call]
        logits = model(**{model.main_input_name: pixels}).logits
    assert logits.device.type == "meta"
    assert len(logits) == 2


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.cuda_graphs and f.role == "embedder"], ids=lambda f: f.model_type
)
def test_a_recordable_embedders_clips_ask_the_host_for_nothing(family: ModelFamily, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_small_embedder(tmp_path, family.model_type)).eval()
    move_unregistered_tensors(model, torch.device("meta"))
    model.to("meta")
    size, frames = model.config.vision_config.image_size, family.num_frames or 8
    with torch.inference_mode(), NothingFromTheHost():  # type: ignore[no-untyped-call]
        outputs = resolve_name(family.loader).forward(model, torch.empty(2, frames, 3, size, size, device="meta"))
    assert len(outputs[0]) in (2, 2 * frames)


def test_videomae_would_ask_for_its_table_of_positions_if_that_were_not_moved() -> None:
    model = video_mae().eval().to("meta")
    pixels = torch.empty(2, 4, 3, 32, 32, device="meta")
    with torch.inference_mode(), NothingFromTheHost(), pytest.raises(AssertionError, match="on the host"):  # type: ignore[no-untyped-call]
        model(pixel_values=pixels)


def replayed(made: list[int]) -> Callable[[Forward, torch.Tensor], Recording]:
    """As a graph does it: the pass runs again over the recording's own memory, whatever the caller holds."""

    def record(forward: Forward, pixels: torch.Tensor) -> Recording:
        made.append(len(pixels))
        outputs = forward(pixels)

        def replay() -> None:
            for output, value in zip(outputs, forward(pixels), strict=True):
                output.copy_(value)

        return Recording(pixels, replay, outputs)

    return record


def sums(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One row a clip, and one a frame."""
    return pixels.sum((1, 2, 3, 4)), pixels.flatten(0, 1).sum((1, 2, 3))[:, None]


def test_every_batch_gets_its_own_answers_from_few_recordings() -> None:
    made: list[int] = []
    run = CudaGraphed(sums, replayed(made))
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(size, 4, 3, 2, 2, generator=generator) for size in (5, 3, 7, 1, 16, 9, 64, 5, 4, 2, 60)]
    outputs = [run(batch) for batch in batches]
    for batch, (clips, frames) in zip(batches, outputs, strict=True):  # none is overwritten by a later one
        expected = sums(batch)
        assert torch.equal(clips, expected[0])
        assert torch.equal(frames, expected[1])
    assert made == [8, 16, 4, 64], "at the second batch of a size; the only one of 2 and of 1 are not worth it"


def test_what_cannot_be_recorded_is_computed_as_it_is() -> None:
    tried: list[int] = []

    def fail(forward: Forward, pixels: torch.Tensor) -> Recording:
        tried.append(len(pixels))
        raise RuntimeError("operation not permitted when stream is capturing")

    run, pixels = CudaGraphed(sums, fail), torch.rand(5, 4, 3, 2, 2)
    for _ in range(3):
        assert all(torch.equal(output, expected) for output, expected in zip(run(pixels), sums(pixels), strict=True))
    assert tried == [8], "once"


def test_batches_are_filled_up_to_few_sizes() -> None:
    assert [round_up(batch) for batch in (1, 2, 3, 4, 5, 8, 9, 16, 17, 63, 64)] == [1, 2, 4, 4, 8, 8, 16, 16, 24, 64, 64]
