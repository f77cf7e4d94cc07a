"""C3D: eight 3D convolutions and three linear layers (Tran et al., 2015, arXiv 1412.0767, figure 3)."""

from __future__ import annotations

import torch
from torch import nn

_POOLS = ("conv1", "conv2", "conv3b", "conv4b", "conv5b")  # the layers before a pooling


class C3D(nn.Module):
    """The network with the names that its weights have in PyTorch's ports: conv1, conv2, conv3a, ..., conv5b, fc6, fc7, fc8.

    All convolutions are 3 x 3 x 3. The first pooling leaves time alone. The last one pads both sides of the picture, 7 x 7
    to 4 x 4, as the ports do; Caffe's original pads the far side alone. The original saw pictures that OpenCV had read, in
    the order blue, green, red, and so does the first layer here.
    """

    def __init__(self, num_classes: int, *, width: int = 64, hidden: int = 4096, side: int = 112) -> None:
        """Make it.

        Args:
            num_classes: 487 for Sports-1M.
            width: channels of the first layer; the last ones have eight times as many.
            hidden: width of the first two linear layers.
            side: height and width of the pictures.
        """
        super().__init__()
        channels = 3
        for name, times in zip(("1", "2", "3a", "3b", "4a", "4b", "5a", "5b"), (1, 2, 4, 4, 8, 8, 8, 8), strict=True):
            setattr(self, f"conv{name}", nn.Conv3d(channels, width * times, 3, padding=1))
            channels = width * times
        last = (side // 16 + 2 - 2) // 2 + 1
        self.fc6 = nn.Linear(channels * last**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of clips [batch, 3, 16, side, side] in the order red, green, blue."""
        shown = clips.flip(1)
        for name, layer in self.named_children():
            if not name.startswith("conv"):
                break
            shown = layer(shown).relu()
            if name in _POOLS:
                size = (1, 2, 2) if name == "conv1" else 2
                shown = nn.functional.max_pool3d(shown, size, padding=(0, 1, 1) if name == "conv5b" else 0)
        hidden = self.fc7(self.fc6(shown.flatten(1)).relu()).relu()
        logits: torch.Tensor = self.fc8(hidden)
        return logits


def c3d(num_classes: int) -> C3D:
    """The published network."""
    return C3D(num_classes)
