"""X-CLIP's own score of texts and clips, beside the dot product of separate embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.preprocessing import Preprocessing, read_preprocessing
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

if TYPE_CHECKING:
    import torch

_TEXTS = 256  # texts compared with a batch of clips at once


class XClipScorer:
    """An X-CLIP that compares clips with texts by its own score, and by the dot product of separate embeddings.

    Attributes:
        preprocessing: how its pixels are made.
        device: where it computes.
        dtype: the arithmetic it computes in.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "fp32") -> None:
        """Load the checkpoint.

        Raises:
            ModelError: its files do not fit together.
        """
        from transformers import AutoTokenizer, XCLIPModel

        from jobs.learn.align import Tokenize
        from pipeline.models.loading import first_line, load_pretrained

        self.preprocessing: Preprocessing = read_preprocessing(checkpoint, "--embedder")
        self._model, self.device, self.dtype = load_pretrained(XCLIPModel, checkpoint, precision, "--embedder")
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        except Exception as exc:
            raise ModelError(
                f"MODEL {checkpoint.name}: its tokenizer cannot be read ({first_line(exc)}); the folder needs tokenizer.json"
            ) from exc
        self._tokenize = Tokenize(tokenizer, int(self._model.config.text_config.max_position_embeddings))

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], not normalised."""
        import torch

        parts = []
        for start in range(0, len(texts), _TEXTS):
            tokens = {name: ids.to(self.device) for name, ids in self._tokenize(texts[start : start + _TEXTS]).items()}
            with torch.inference_mode():
                parts.append(self._model.get_text_features(**tokens).pooler_output)
        return torch.cat(parts)

    def clips(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [clips, dim], not normalised, and what texts are conditioned on, [clips, patches, dim]."""
        import torch

        with torch.inference_mode():
            return _clip_features(self._model, pixels)

    def compare(self, clips: tuple[torch.Tensor, torch.Tensor], texts: torch.Tensor) -> NDArray[np.float32]:
        """float32 [2, clips, texts]: exact scores, and plain ones: cosines of separate embeddings, scaled alike."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            exact = _conditioned(self._model, *clips, texts)
            plain = self._model.logit_scale.exp() * normalize(clips[0], dim=-1) @ normalize(texts, dim=-1).T
            both: NDArray[np.float32] = torch.stack([exact.float(), plain.float()]).cpu().numpy()
        return both


def exact_scores(
    model: Any, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """`XCLIPModel.forward`'s ``logits_per_video``, for more texts than fit beside a batch of clips in memory.

    Each text is conditioned on each clip (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video
    Recognition"), 256 texts at a time.

    Args:
        model: an `XCLIPModel` in evaluation mode.
        pixels: [clips, num_frames, 3, height, width].
        input_ids: int64 [texts, tokens].
        attention_mask: the same shape; None reads all tokens.

    Returns:
        [clips, texts].
    """
    import torch

    with torch.inference_mode():
        texts = model.get_text_features(input_ids, attention_mask).pooler_output
        return _conditioned(model, *_clip_features(model, pixels), texts)


def _clip_features(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    clips, frames = pixels.shape[:2]
    seen = model.vision_model(pixel_values=pixels.flatten(0, 1))
    embedding = model.mit(model.visual_projection(seen[1]).view(clips, frames, -1))[1]
    patches = model.prompts_visual_layernorm(seen[0][:, 1:]) @ model.prompts_visual_projection
    return embedding, patches.unflatten(0, (clips, frames)).mean(dim=1)


def _conditioned(model: Any, clips: torch.Tensor, patches: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn.functional import normalize

    parts = []
    for start in range(0, len(texts), _TEXTS):
        adapted = texts[start : start + _TEXTS].expand(len(clips), -1, -1)
        adapted = adapted + model.prompts_generator(adapted, patches)
        scaled = model.logit_scale.exp() * normalize(adapted, dim=-1)
        parts.append(torch.einsum("bd,bkd->bk", normalize(clips, dim=-1), scaled))
    return torch.cat(parts, dim=1)
