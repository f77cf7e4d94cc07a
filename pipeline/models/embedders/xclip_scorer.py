"""X-CLIP's rerank score from stored embeddings and features: `XCLIPModel.forward` without the frames, rearranged to be fast.

The model adapts the text to each video: layers of cross-attention from the text to the video's patch features, one query
against 49 keys. Projecting all keys and values for that one query is most of the stock code's work. Here the key projection
moves to the query's side, q . (W_k x) = (W_k^T q) . x, and the value projection behind the attention, sum a (W_v x) =
W_v sum a x. Both are then done once per head for the query instead of once per patch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import layer_norm, linear, normalize

# Pairs of a text and a clip that are scored at a time: 2,048 of them take 16 MB in the widest layer.
_PAIRS_AT_A_TIME = 2_048


class PromptScorer:
    """The part of X-CLIP that scores texts against clips. It computes in fp32, whatever the model's dtype."""

    def __init__(self, model: Any) -> None:
        """Copy the weights it needs from a ``transformers.XCLIPModel``."""
        generator = model.prompts_generator
        self._norm = _Norm(generator.layernorm)
        self._layers = [_Layer(layer) for layer in generator.decoder]
        self._alpha = _fp32(generator.alpha)
        self._scale = _fp32(model.logit_scale).exp()

    @torch.inference_mode()
    def __call__(
        self, texts: torch.Tensor, embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Logits float32 [texts, clips]: ``logits_per_text`` of ``XCLIPModel.forward``.

        Args:
            texts: float32 [texts, dim], projected and not normalised.
            embeddings: float32 [clips, dim], L2-normalised.
            features: float32 [clips, tokens, dim], not normalised.
        """
        logits = np.empty((len(texts), len(features)), np.float32)
        step = max(1, _PAIRS_AT_A_TIME // max(1, len(texts)))
        for start in range(0, len(features), step):
            batch = slice(start, start + step)
            clips = torch.from_numpy(np.ascontiguousarray(embeddings[batch], np.float32)).to(texts.device)
            visual = torch.from_numpy(np.ascontiguousarray(features[batch], np.float32)).to(texts.device)
            adapted = normalize(self._adapt(texts, visual), dim=-1)
            clip_logits = self._scale * (adapted @ normalize(clips, dim=-1).unsqueeze(-1)).squeeze(-1)
            logits[:, batch] = clip_logits.T.cpu().numpy()
        return logits

    def _adapt(self, texts: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        """Texts [texts, dim] adapted to each of the clips [clips, tokens, dim]: [clips, texts, dim]."""
        visual = self._norm(visual)
        hidden = texts.unsqueeze(0)  # the same for all clips before the first layer
        for layer in self._layers:
            hidden = layer(hidden, visual)
        return texts + self._alpha * hidden


class _Layer:
    """A ``PromptGeneratorLayer``: cross-attention, then two linear layers, both with a residual connection."""

    def __init__(self, layer: Any) -> None:
        attention = layer.cross_attn
        heads, width = attention.num_heads, attention.head_dim
        self._heads = heads
        self._query = _fp32(attention.q_proj.weight) * attention.scale
        self._keys = _fp32(attention.k_proj.weight).view(heads, width, -1)
        self._values = _fp32(attention.v_proj.weight).view(heads, width, -1).transpose(1, 2).contiguous()
        self._out = _fp32(attention.proj.weight), _fp32(attention.proj.bias)
        self._norm1, self._norm3 = _Norm(layer.norm1), _Norm(layer.norm3)
        first, self._act, _, second = layer.mlp
        self._first = _fp32(first.weight), _fp32(first.bias)
        self._second = _fp32(second.weight), _fp32(second.bias)

    def __call__(self, hidden: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        """[clips, texts, dim] -> [clips, texts, dim]; ``hidden`` is [1, texts, dim] where it is the same for all clips."""
        hidden = hidden + self._attend(self._norm1(hidden), visual)
        return hidden + linear(self._act(linear(self._norm3(hidden), *self._first)), *self._second)

    def _attend(self, hidden: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
        (batch, texts, dim), heads = hidden.shape, self._heads
        queries = _by_head(linear(hidden, self._query).view(batch * texts, heads, -1), self._keys)  # [.., heads, dim]
        queries = queries.reshape(batch, texts * heads, dim)
        # [clips, tokens, texts * heads]; where all clips have the same queries, that is a single product.
        scores = visual @ queries[0].T if batch == 1 else visual @ queries.transpose(1, 2)
        attended = scores.softmax(1).transpose(1, 2) @ visual  # [clips, texts * heads, dim]
        values = _by_head(attended.view(-1, heads, dim), self._values)
        return linear(values.reshape(len(visual), texts, dim), *self._out)


class _Norm:
    """A ``LayerNorm`` in fp32."""

    def __init__(self, norm: Any) -> None:
        self._weight, self._bias, self._eps = _fp32(norm.weight), _fp32(norm.bias), norm.eps

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        return layer_norm(values, self._weight.shape, self._weight, self._bias, self._eps)


def _by_head(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Each head's values [n, heads, in] times its own weights [heads, in, out]: [n, heads, out]."""
    return (values.transpose(0, 1) @ weights).transpose(0, 1)


def _fp32(parameter: torch.Tensor) -> torch.Tensor:
    return parameter.detach().float().contiguous()
