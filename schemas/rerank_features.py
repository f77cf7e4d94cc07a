"""The features of a clip that rerank scores are computed from, as tables and snapshots store them.

A record is a fixed number of bytes, little-endian, in this order:

    embedding   float32 [dim]                      as in the clips table; not what an index may have compressed
    features    int8 or float16 [tokens, dim]
    scales      float32 [tokens, groups]           for int8 alone: what each group of its values is multiplied by

X-CLIP base: 49 tokens of 512. As int8 that is 2,048 + 25,088 + 784 = 27,920 bytes a clip, 25 MB for an hour of 4 s clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.options import FeatureKind

# Values that share a scale. CLIP's spaces have a few dimensions of far greater values than the others, which would leave
# the others few steps if a whole token shared one.
_GROUP = 128

_F4, _F2 = np.dtype("<f4"), np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class FeatureLayout:
    """The layout of records; the same for all clips of a library.

    Attributes:
        kind: ``int8`` or ``fp16``.
        tokens: tokens per clip, such as X-CLIP's 7 x 7 patches.
        dim: dimension of the embedding, and of each token.
    """

    kind: FeatureKind
    tokens: int
    dim: int

    @property
    def groups(self) -> int:
        """Scales per token; 0 for fp16."""
        if self.kind == "fp16":
            return 0
        return self.dim // _GROUP if self.dim % _GROUP == 0 else 1

    @property
    def record_bytes(self) -> int:
        """Bytes of one clip."""
        return 4 * self.dim + self.tokens * (self.dim * (2 if self.kind == "fp16" else 1) + 4 * self.groups)

    def encode(self, embeddings: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Records uint8 [n, record_bytes] of embeddings float32 [n, dim] and features float32 [n, tokens, dim]."""
        n = len(features)
        parts = [embeddings.astype(_F4)]
        if self.kind == "fp16":
            parts.append(features.astype(_F2))
        else:
            grouped = features.reshape(n, self.tokens, self.groups, -1)
            scales = np.abs(grouped).max(-1, keepdims=True).astype(_F4) / 127
            steps = np.divide(grouped, scales, out=np.zeros_like(grouped), where=scales > 0)
            parts += [np.rint(steps).astype(np.int8), scales]
        return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(n, -1) for part in parts], axis=1)

    def decode_embeddings(self, records: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings float32 [n, dim] of records uint8 [n, record_bytes]."""
        return np.ascontiguousarray(records[:, : 4 * self.dim]).view(_F4)

    def decode_features(self, records: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features float32 [n, tokens, dim] of records uint8 [n, record_bytes]."""
        n, start, count = len(records), 4 * self.dim, self.tokens * self.dim
        if self.kind == "fp16":
            halves = np.ascontiguousarray(records[:, start:]).view(_F2)
            return halves.astype(np.float32).reshape(n, self.tokens, self.dim)
        values = records[:, start : start + count].view(np.int8).reshape(n, self.tokens, self.groups, -1)
        scales = np.ascontiguousarray(records[:, start + count :]).view(_F4).reshape(n, self.tokens, self.groups, 1)
        return np.multiply(values, scales, dtype=np.float32).reshape(n, self.tokens, self.dim)


class ClipFeatures(NamedTuple):
    """One clip's record, and how to read it."""

    layout: FeatureLayout
    record: bytes


def digests_of(records: Sequence[bytes]) -> NDArray[np.int64]:
    """int64 [n], naming each record by its content: the same digest, the same record."""
    digests = [int.from_bytes(blake2b(record, digest_size=8).digest(), "little", signed=True) for record in records]
    return np.array(digests, np.int64)
