"""The protocols that models follow, and what they return.

Both kinds take pixels that `pipeline.models.pixels` prepared, so that two models of the same preprocessing share one tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.models.preprocessing import Preprocessing
    from schemas.models import CutText, Label


class VideoModel(Protocol):
    """The attributes that every model has.

    Attributes:
        preprocessing: how its pixels are made, and how many frames it sees.
        device: where it computes.
        dtype: the floating-point type it computes in.
    """

    preprocessing: Preprocessing
    device: torch.device
    dtype: torch.dtype


class Classifier(VideoModel, Protocol):
    """Names the action in a clip.

    Attributes:
        labels: the names of its classes, in their order.
    """

    labels: tuple[str, ...]

    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """The ``top`` best labels of each clip with their softmax probabilities, best first.

        Args:
            pixels: [batch, num_frames, 3, height, width], as `preprocessing` makes them.
            top: number of labels; a model with fewer classes returns all.
        """


@runtime_checkable
class HearingClassifier(Classifier, Protocol):
    """A classifier that hears clips too. Without their sound it takes them for silent. Optional, as `RerankEmbedder` is.

    Attributes:
        num_samples: samples of sound of each clip, 16,000 a second.
    """

    num_samples: int

    def classify_with_sound(self, pixels: torch.Tensor, sound: NDArray[np.float32], top: int) -> list[tuple[Label, ...]]:
        """As `classify`; ``sound`` is float32 [batch, num_samples], from -1 to 1."""


class Embedder(VideoModel, Protocol):
    """Embeds clips and texts in one space, where a dot product compares them.

    Attributes:
        dim: the embeddings' dimension.
    """

    dim: int

    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """float32 [batch, dim], L2-normalised; ``pixels`` as for `Classifier.classify`."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [len(texts), dim], L2-normalised."""


@runtime_checkable
class LimitedEmbedder(Embedder, Protocol):
    """An embedder that reads a limited number of a text's tokens. Optional, as `RerankEmbedder` is."""

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Those of ``texts`` of which `embed_texts` reads only the beginning."""


class EmbeddedClips(NamedTuple):
    """A batch of clips as a rerank score needs them.

    Attributes:
        embeddings: float32 [batch, dim], L2-normalised, as `Embedder.embed_clips` returns them.
        features: float32 [batch, tokens, dim], the rerank features. X-CLIP: its projected patches, averaged over the frames.
    """

    embeddings: NDArray[np.float32]
    features: NDArray[np.float32]


@runtime_checkable
class RerankEmbedder(Embedder, Protocol):
    """An embedder with a rerank score, which is computed at search time from what `embed_clips_with_features` returned.

    Optional: an embedder without these two methods is searched by its embeddings alone. The `ModelFamily` of one that has
    them says ``rerank=True``.

    Attributes:
        logit_scale: the factor from cosines to the scale of rerank scores.
    """

    logit_scale: float

    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """Embeddings and features in one pass of the vision model; ``pixels`` as for `Classifier.classify`."""

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Rerank scores, float32 [texts, clips]; higher is better.

        Args:
            texts: the queries.
            embeddings: float32 [clips, dim], as `embed_clips_with_features` returned them.
            features: float32 [clips, tokens, dim], likewise.
        """
