from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from pipeline.models.attention import attention_for, plain_attention
from pipeline.models.loading import use_faster_fp32

LAYER = torch.nn.Module().eval()


def parts(batch: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    query, key, value = (torch.randn(batch, 3, tokens, 16, generator=generator) for _ in range(3))
    return query, key, value


@pytest.mark.parametrize("tokens", [7, 511, 512, 700])
@pytest.mark.parametrize("masks", [0, 1, 2])
def test_plain_attention_is_attention(tokens: int, masks: int) -> None:
    """Whether all heads are computed at once or one by one; without a mask, with one for all and with one each."""
    query, key, value = parts(2, tokens)
    mask = None
    if masks:
        mask = torch.zeros(masks, 1, tokens, tokens)
        mask[..., tokens // 2 :] = float("-inf")
    with torch.inference_mode():
        attended, weights = plain_attention(LAYER, query, key, value, mask)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
    assert weights is None
    assert attended.shape == (2, tokens, 3, 16)
    assert torch.allclose(attended, expected, atol=1e-5)
    scaled, _ = plain_attention(LAYER, query, key, value, mask, scaling=0.1)
    assert torch.allclose(
        scaled, scaled_dot_product_attention(query, key, value, mask, scale=0.1).transpose(1, 2), atol=1e-5
    )


def test_plain_attention_can_be_trained_through() -> None:
    query, key, value = (part.requires_grad_() for part in parts(1, 600))
    attended, _ = plain_attention(LAYER, query, key, value, None)
    torch.autograd.backward(attended.sum())
    assert query.grad is not None
    assert torch.isfinite(query.grad).all()


@pytest.mark.parametrize(("amx", "expected"), [(False, "vidsift_plain"), (True, None)])
def test_attention_is_chosen_by_device_and_arithmetic(
    monkeypatch: pytest.MonkeyPatch, amx: bool, expected: str | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", "amx_bf16": amx})
    assert attention_for(torch.device("cpu"), torch.bfloat16) == expected
    assert attention_for(torch.device("cpu"), torch.float32) is None
    assert attention_for(torch.device("cuda"), torch.bfloat16) is None


def test_faster_fp32_is_fp32() -> None:
    """bf16 would be off by 0.05 here."""
    use_faster_fp32()
    generator = torch.Generator().manual_seed(0)
    values, weights = torch.randn(9, 512, generator=generator), torch.randn(2048, 512, generator=generator)
    assert (linear(values, weights) - linear(values.double(), weights.double())).abs().max() < 1e-3
