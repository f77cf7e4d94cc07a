"""The network of TransNet V2 (Soucek and Lokoc 2020, arXiv:2008.04838, section 3), for inference.

A frame's probability of being in a transition comes from three things side by side: dilated convolutions over space and time
(six cells, each with temporal dilations of 1, 2, 4 and 8), cosines between learned features of the frames around it, and
cosines between their colour histograms. Activations lie in memory as [batch, time, height, width, channels] throughout: a
convolution over space sees all frames as pictures of a batch, and one over time sees all places as columns of one picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

LOOKUP = 101
"""A frame is compared with as many frames around it, itself in the middle."""

_FILTERS = (16, 32, 64)
_DILATIONS = (1, 2, 4, 8)
_SIMILARITY_DIM = 128
_HIDDEN_DIM = 1024
_BINS = 512  # of a colour histogram: 8 by 8 by 8
_BATCH_NORM_EPSILON = 1e-3  # that of TensorFlow, which the network was trained with


class DilatedCell(nn.Module):
    """Four branches of a convolution over space, then one over time, of different dilations; batch norm is folded in.

    [batch, time, height, width, channels] -> [batch, time, height, width, 4 * filters].
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, 2 * filters * len(_DILATIONS), 3, padding=1, bias=False)
        self.temporal = nn.ModuleList(
            nn.Conv2d(2 * filters, filters, (3, 1), padding=(dilation, 0), dilation=(dilation, 1)) for dilation in _DILATIONS
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output before its activation."""
        batch, time, height, width, channels = x.shape
        pictures = self.spatial(x.reshape(batch * time, height, width, channels).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        columns = pictures.reshape(batch, time, height * width, -1).permute(0, 3, 1, 2)
        parts = columns.chunk(len(_DILATIONS), dim=1)
        mixed = torch.cat([conv(part) for conv, part in zip(self.temporal, parts, strict=True)], dim=1)
        return mixed.permute(0, 2, 3, 1).reshape(batch, time, height, width, -1)

    @staticmethod
    def tensors(published: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
        """The cell's own tensors, from those of the published checkpoint under ``prefix``."""
        of = {name: published[f"{prefix}.bn.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
        scale = of["weight"] / (of["running_var"] + _BATCH_NORM_EPSILON).sqrt()
        shift = of["bias"] - of["running_mean"] * scale
        layers = [f"{prefix}.Conv3D_{dilation}.layers" for dilation in _DILATIONS]
        tensors = {"spatial.weight": torch.cat([published[f"{layer}.0.weight"].squeeze(2) for layer in layers])}
        parts = zip(layers, scale.chunk(len(layers)), shift.chunk(len(layers)), strict=True)
        for number, (layer, gain, offset) in enumerate(parts):
            tensors[f"temporal.{number}.weight"] = published[f"{layer}.1.weight"].squeeze(4) * gain[:, None, None, None]
            tensors[f"temporal.{number}.bias"] = offset
        return tensors


class DilatedStack(nn.Module):
    """Two cells, the second beside a shortcut, then a picture of half the width and height."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.first = DilatedCell(channels, filters)
        self.second = DilatedCell(filters * len(_DILATIONS), filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, time, height, width, channels] -> [batch, time, height // 2, width // 2, 4 * filters]."""
        batch, time = x.shape[:2]
        shortcut = functional.relu(self.first(x))
        x = (shortcut + functional.relu(self.second(shortcut))).flatten(0, 1)
        x = functional.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        return x.reshape(batch, time, *x.shape[1:])


class Network(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        channels = [3, *(len(_DILATIONS) * filters for filters in _FILTERS)]
        self.stacks = nn.ModuleList(
            DilatedStack(before, filters) for before, filters in zip(channels[:-1], _FILTERS, strict=True)
        )
        self.projection = nn.Linear(sum(channels[1:]), _SIMILARITY_DIM)
        self.by_similarity = nn.Linear(LOOKUP, _SIMILARITY_DIM)
        self.by_colours = nn.Linear(LOOKUP, _SIMILARITY_DIM)
        self.hidden = nn.Linear(2 * _SIMILARITY_DIM + 3 * 6 * channels[-1], _HIDDEN_DIM)
        self.single = nn.Linear(_HIDDEN_DIM, 1)
        self.all = nn.Linear(_HIDDEN_DIM, 1)

    @classmethod
    def of(cls, published: Mapping[str, torch.Tensor]) -> Network:
        """The network with the tensors of the published checkpoint, by their names there."""
        names = {
            "projection": "frame_sim_layer.projection",
            "by_similarity": "frame_sim_layer.fc",
            "by_colours": "color_hist_layer.fc",
            "hidden": "fc1",
            "single": "cls_layer1",
            "all": "cls_layer2",
        }
        tensors = {
            f"{ours}.{kind}": published[f"{theirs}.{kind}"] for ours, theirs in names.items() for kind in ("weight", "bias")
        }
        for stack in range(len(_FILTERS)):
            for cell, name_of_cell in enumerate(("first", "second")):
                of_cell = DilatedCell.tensors(published, f"SDDCNN.{stack}.DDCNN.{cell}")
                tensors |= {f"stacks.{stack}.{name_of_cell}.{name}": tensor for name, tensor in of_cell.items()}
        network = cls()
        network.load_state_dict(tensors)
        return network.eval()

    def forward(self, frames: torch.Tensor, kept: slice, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Probabilities of the two heads.

        Args:
            frames: uint8 [batch, time, 27, 48, 3], RGB.
            kept: the frames of each window that are asked for.
            dtype: what the convolutions compute in; the rest is fp32.

        Returns:
            float32 [batch, kept frames, 2]: that the frame is the middle of a transition; that it is any frame of one.
        """
        x = frames.float() / 255
        means = []
        with torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            for stack in self.stacks:
                x = stack(x)
                means.append(x.float().mean(dim=(2, 3)))
        x = x.float()
        learned = functional.normalize(self.projection(torch.cat(means, dim=2)), dim=2)
        features = torch.cat(
            [
                functional.relu(self.by_colours(_around(colour_histograms(frames))))[:, kept],
                functional.relu(self.by_similarity(_around(learned)))[:, kept],
                x[:, kept].flatten(2),
            ],
            dim=2,
        )
        hidden = functional.relu(self.hidden(features))
        return torch.cat([self.single(hidden), self.all(hidden)], dim=2).sigmoid()


def colour_histograms(frames: torch.Tensor) -> torch.Tensor:
    """float32 [batch, time, 512] of length 1: how often each of 8 by 8 by 8 colours occurs in a frame."""
    coarse = frames.long() >> 5
    bins = ((coarse[..., 0] << 6) + (coarse[..., 1] << 3) + coarse[..., 2]).flatten(2)
    counts = torch.zeros(*bins.shape[:2], _BINS, device=frames.device)
    counts.scatter_add_(2, bins, torch.ones(1, device=frames.device).expand(bins.shape))
    return functional.normalize(counts, dim=2)


def _around(x: torch.Tensor) -> torch.Tensor:
    """[batch, time, LOOKUP]: the dot products of each frame's vector with those around it; 0 beyond the window."""
    products = functional.pad(x @ x.transpose(1, 2), (LOOKUP // 2, LOOKUP // 2))
    time = x.shape[1]
    places = torch.arange(time, device=x.device)[:, None] + torch.arange(LOOKUP, device=x.device)
    return products.gather(2, places.expand(len(x), time, LOOKUP))
