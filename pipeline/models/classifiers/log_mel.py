"""Log-mel spectrograms: how loud each band of pitch is, a hundred times a second."""

from __future__ import annotations

import math

import torch
from torch import nn

RATE = 16_000
"""Samples a second."""

NUM_BANDS = 64
_WINDOW, _HOP = 400, 160  # samples: 25 ms, every 10 ms
_FFT = 512
_LOWEST_HZ, _HIGHEST_HZ = 125.0, 7_500.0
_FLOOR = 0.01  # of magnitudes, added before the logarithm


class LogMel(nn.Module):
    """From samples to the logarithm of mel magnitudes, with VGGish's settings (Hershey et al., 2017, arXiv 1609.09430).

    Magnitudes of a Fourier transform over Hann windows of 25 ms, every 10 ms; 64 triangles, evenly spaced from 125 to 7,500
    Hz on the mel scale of O'Shaughnessy (1987), ``2595 log10(1 + f / 700)``; then ``log(x + 0.01)``.
    """

    @torch.no_grad()
    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """[batch, 64, num_samples // 160 + 1], of float samples [batch, num_samples] from -1 to 1, 16,000 a second."""
        # Made anew, not kept as buffers: a model is made without values before its checkpoint is read, which has none of
        # these.
        window = torch.hann_window(_WINDOW, device=samples.device)
        spectrum = torch.stft(samples.float(), _FFT, _HOP, _WINDOW, window, center=True, return_complex=True)
        return torch.log(_triangles().to(samples.device) @ spectrum.abs() + _FLOOR)


class LogMelByConvolution(LogMel):
    """The same by convolutions with waves, for runtimes without a Fourier transform; as slow as 257 filters are."""

    @torch.no_grad()
    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """See `LogMel.forward`."""
        window = nn.functional.pad(torch.hann_window(_WINDOW), 2 * ((_FFT - _WINDOW) // 2,))
        angles = 2 * torch.pi / _FFT * torch.arange(_FFT // 2 + 1)[:, None] * torch.arange(_FFT)
        around = nn.functional.pad(samples.float()[:, None], 2 * (_FFT // 2,), mode="reflect")
        real, imaginary = (
            nn.functional.conv1d(around, (wave * window)[:, None].to(samples.device), stride=_HOP)
            for wave in (angles.cos(), angles.sin())
        )
        magnitudes = (real.square() + imaginary.square()).sqrt()
        return torch.log(_triangles().to(samples.device) @ magnitudes + _FLOOR)


def _triangles() -> torch.Tensor:
    """[64, 257]: the weight of each frequency in each band, 1 at its middle and 0 at its neighbours' middles."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = torch.linspace(low, high, NUM_BANDS + 2)
    bins = 2595 * torch.log10(1 + torch.linspace(0, RATE / 2, _FFT // 2 + 1) / 700)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0)
