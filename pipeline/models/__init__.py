"""Models behind two small protocols. To add a family: a file here with a class, and a line in `CLASSIFIERS` or `EMBEDDERS`.

Both take pixels that `pipeline.models.pixels` prepared, so that two models of the same preprocessing share one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from pipeline.models.checkpoint import check_embedder
from schemas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pipeline.models.preprocessing import Preprocessing
    from schemas.models import Checkpoint, CutText, Label
    from schemas.options import Engine, Precision


class VideoModel(Protocol):
    """What every model tells about itself.

    Attributes:
        preprocessing: how its pixels are made, and how many frames it sees.
        device: where it computes.
        dtype: the arithmetic it computes in.
    """

    preprocessing: Preprocessing
    device: torch.device
    dtype: torch.dtype


class Classifier(VideoModel, Protocol):
    """Names the action in a clip."""

    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """The ``top`` best labels per clip with their softmax probabilities, best first.

        Args:
            pixels: [batch, num_frames, 3, height, width], as `preprocessing` makes them.
            top: how many labels to give; models with fewer classes give all.
        """


class Embedder(VideoModel, Protocol):
    """Places clips and texts in one space, where a dot product compares them.

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
    """An embedder that reads no more than so many tokens of a text. It is optional, as `RerankEmbedder` is."""

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """Those of ``texts`` of which `embed_texts` reads the beginning only."""


class Described(NamedTuple):
    """All that is kept of clips for exact scores.

    Attributes:
        embeddings: float32 [batch, dim], L2-normalised: what `Embedder.embed_clips` gives.
        features: float32 [batch, tokens, dim], what the score needs besides. X-CLIP: its projected patches, averaged over
            the frames.
    """

    embeddings: NDArray[np.float32]
    features: NDArray[np.float32]


@runtime_checkable
class RerankEmbedder(Embedder, Protocol):
    """An embedder with a rerank score: more than a dot product, computed later from what `embed_clips_with_features` gave.

    It is optional: an embedder without these two methods is searched by its embeddings alone. One that has them is named
    in `RERANK_EMBEDDERS` too.

    Attributes:
        logit_scale: what cosines are multiplied by to give its scores.
    """

    logit_scale: float

    def embed_clips_with_features(self, pixels: torch.Tensor) -> Described:
        """Embeddings and features in one pass of the vision model; ``pixels`` as for `Classifier.classify`."""

    def exact_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The model's own scores, float32 [texts, clips].

        Args:
            texts: what is looked for.
            embeddings: float32 [clips, dim], as `embed_clips_with_features` gave them.
            features: float32 [clips, tokens, dim], likewise.
        """


def _hugging_face(checkpoint: Checkpoint, precision: Precision) -> Classifier:
    from pipeline.models.classifiers.huggingface import HuggingFaceClassifier

    return HuggingFaceClassifier(checkpoint, precision)


def _xclip(checkpoint: Checkpoint, precision: Precision) -> Embedder:
    from pipeline.models.embedders.xclip import XClipEmbedder

    return XClipEmbedder(checkpoint, precision)


def _xclip_texts_first(checkpoint: Checkpoint, precision: Precision) -> Embedder:
    from pipeline.models.embedders.xclip_text import XClipTextsFirst

    return XClipTextsFirst(checkpoint, precision)


# By the checkpoint's config.model_type. A classifier of a type not named here is left to transformers' own
# AutoModelForVideoClassification, which covers videomae, timesformer, vivit, vjepa2 and what it learns later.
CLASSIFIERS: dict[str, Callable[[Checkpoint, Precision], Classifier]] = {"videomae": _hugging_face}
EMBEDDERS: dict[str, Callable[[Checkpoint, Precision], Embedder]] = {"xclip": _xclip}
TEXT_EMBEDDERS = {"xclip": _xclip_texts_first}  # where there is a way to begin with what texts need
RERANK_EMBEDDERS = frozenset({"xclip"})  # of these, the ones that are an `RerankEmbedder`


def check_engine(engine: Engine, embedder: Checkpoint) -> None:
    """See that models can be run by ``engine``.

    Raises:
        UsageError: its package is not installed, or it cannot run such an embedder.
    """
    if engine != "openvino":
        return
    if find_spec("openvino") is None:
        raise UsageError("--engine openvino: its package is not installed; pip install 'vidsift[openvino]', or take torch")
    if embedder.model_type != "xclip":
        raise UsageError(f"--engine openvino: got an embedder of type {embedder.model_type!r}, expected xclip; take torch")


def load_classifier(checkpoint: Checkpoint, precision: Precision = "auto", engine: Engine = "torch") -> Classifier:
    """Load a classifier onto the best device at hand; with ``openvino``, onto the CPU.

    Raises:
        ModelError: transformers knows no video classifier of this type, or the files do not fit together.
    """
    if engine == "openvino":
        from pipeline.models.runtimes.openvino import OpenVinoClassifier

        return OpenVinoClassifier(checkpoint, precision)
    return CLASSIFIERS.get(checkpoint.model_type, _hugging_face)(checkpoint, precision)


def load_embedder(checkpoint: Checkpoint, precision: Precision = "auto", engine: Engine = "torch") -> Embedder:
    """Load an embedder onto the best device at hand; with ``openvino``, onto the CPU.

    Raises:
        ModelError: no embedder of this type is known, or the files do not fit together.
    """
    check_embedder(checkpoint)
    if engine == "openvino":
        from pipeline.models.runtimes.openvino import OpenVinoXClip

        return OpenVinoXClip(checkpoint, precision)
    return EMBEDDERS[checkpoint.model_type](checkpoint, precision)


def load_text_embedder(checkpoint: Checkpoint, precision: Precision = "auto") -> Embedder:
    """Load an embedder for one who asks in words: what only clips need is loaded when the first clip comes.

    Raises:
        ModelError: as `load_embedder` does.
    """
    check_embedder(checkpoint)
    return TEXT_EMBEDDERS.get(checkpoint.model_type, EMBEDDERS[checkpoint.model_type])(checkpoint, precision)


def cut_note(embedder: Embedder, texts: Sequence[str], what: str) -> str | None:
    """A sentence about what ``embedder`` does not read of ``texts``; None where it reads all.

    Args:
        embedder: what is to embed them.
        texts: as `Embedder.embed_texts` will get them.
        what: what one of them is: ``query``, ``caption``.
    """
    cut = embedder.cut_texts(texts) if isinstance(embedder, LimitedEmbedder) else []
    return cut_sentence(cut, len(texts), what)


def cut_sentence(cut: Sequence[CutText], count: int, what: str) -> str | None:
    """A sentence about those of ``count`` texts that are cut; None where none is."""
    if not cut:
        return None
    first = cut[0]
    begins = f'the words from "{first.unread}" on are not used'
    if count == 1:
        return f"the {what} has {first.num_tokens} tokens, of which this model reads {first.max_tokens}; {begins}"
    most = max(one.num_tokens for one in cut)
    some = f"{len(cut)} of {count} {'queries' if what == 'query' else f'{what}s'} {'has' if len(cut) == 1 else 'have'}"
    return f"{some} more tokens (up to {most}) than the {first.max_tokens} that this model reads; in the first such {begins}"


def import_text_embedder(model_type: str) -> None:
    """Import what `load_text_embedder` will need, which takes seconds: for those who have something to do meanwhile."""
    if model_type in TEXT_EMBEDDERS:
        import pipeline.models.embedders.xclip_text  # noqa: F401
