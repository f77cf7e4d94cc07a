"""Shows classifiers other numbers of frames than they were trained with, by interpolating what tells them the time."""

from __future__ import annotations

from typing import Any

import torch


def stretch(model: Any, num_frames: int) -> None:
    """Make a loaded transformers model take ``num_frames``; its times are interpolated linearly.

    TimeSformer has learnt a vector for each frame. VideoMAE adds a fixed one to each tubelet, made for its number in the row
    of all: those of the same place in the picture are interpolated. In both, frame j of n gets what was at the time
    (j + 0.5) / n of a clip.

    Args:
        model: a ``VideoMAEForVideoClassification`` or a ``TimesformerForVideoClassification``.
        num_frames: as `pipeline.models.registry.check_frames` accepts it.
    """
    config = model.config
    if config.model_type == "timesformer":
        embeddings = model.timesformer.embeddings
        if config.attention_type != "space_only":
            embeddings.time_embeddings = torch.nn.Parameter(_interpolated(embeddings.time_embeddings.detach(), num_frames))
    else:
        embeddings, old = model.videomae.embeddings, config.num_frames // config.tubelet_size
        table = embeddings.position_embeddings.detach()
        places = table.shape[1] // old
        by_time = table.reshape(1, old, -1)
        stretched = _interpolated(by_time, num_frames // config.tubelet_size).reshape(1, -1, table.shape[-1])
        embeddings.position_embeddings = stretched
        embeddings.num_patches = places * (num_frames // config.tubelet_size)
    config.num_frames = num_frames


def _interpolated(rows: torch.Tensor, count: int) -> torch.Tensor:
    """[1, rows, width] -> [1, count, width], linearly between the rows' middles."""
    by_width = rows.float().transpose(1, 2)
    return torch.nn.functional.interpolate(by_width, size=count, mode="linear").transpose(1, 2).to(rows.dtype).contiguous()
