"""The embedder's objective: clips and the captions that are true of them come together, others move apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from jobs.datasets.examples import Example
from jobs.train.objectives import Batch, Pixels
from pipeline.models.embedders.image_text import TEMPERATURE, logit_scale_of, query_weighted_cosines
from pipeline.models.preprocessing import Preprocessing

_NO_VALUE = -100  # a target that PyTorch's cross-entropy passes over


@dataclass
class Alignment:
    """Contrastive learning of clips and captions.

    Attributes:
        tokenize: makes tokens of captions.
        fact_values: for each kind of fact, the values that an auxiliary head tells apart.
    """

    module: nn.Module
    tokenize: Callable[[Sequence[str]], Batch]
    fact_values: dict[str, tuple[str, ...]]
    metric: str = "accuracy"
    lower_is_better: bool = False
    measures: tuple[str, ...] = ("accuracy", "plain_accuracy")
    watched: tuple[str, ...] = ()
    keeps_last: bool = False
    whole_batches: bool = False

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Draw one caption for each clip, and say which captions of the batch are true of which clips.

        A caption is true of the clip that it was drawn for, of clips that have the same caption, and of clips that have all
        the facts that it speaks of.
        """
        examples: list[Example] = [item["example"] for item in items]
        chosen = [int(item["rng"].integers(len(item["example"].captions))) for item in items]
        captions = [example.captions[i] for example, i in zip(examples, chosen, strict=True)]
        stated = [
            frozenset(example.caption_facts[i]) if example.caption_facts else frozenset()
            for example, i in zip(examples, chosen, strict=True)
        ]
        clip_facts = [frozenset(example.facts) for example in examples]
        true = [
            [clip is owner or caption in clip.captions or bool(facts and facts <= facts_of_clip)
             for owner, caption, facts in zip(examples, captions, stated, strict=True)]
            for clip, facts_of_clip in zip(examples, clip_facts, strict=True)
        ]  # fmt: skip
        facts = [
            [_value_index(of_clip, kind, values) for kind, values in self.fact_values.items()] for of_clip in clip_facts
        ]
        return {
            "frames": torch.stack([item["frames"] for item in items]),
            **self.tokenize(captions),
            "true": torch.tensor(true),
            "facts": torch.tensor(facts, dtype=torch.long).view(len(items), len(self.fact_values)),
        }


def _value_index(facts: frozenset[str], kind: str, values: tuple[str, ...]) -> int:
    """Which of ``values`` a clip has of a kind of fact; `_NO_VALUE` for none."""
    return next((i for i, value in enumerate(values) if f"{kind}={value}" in facts), _NO_VALUE)


class PairScores(NamedTuple):
    """Scores of all pairs of a batch's clips and captions.

    Attributes:
        rerank: float [clips, captions], rerank scores.
        plain: float [clips, captions], dot products on the same scale.
        clips: float [clips, dim], what auxiliary heads read of each clip.
    """

    rerank: torch.Tensor
    plain: torch.Tensor
    clips: torch.Tensor


def xclip_scores(model: Any, pixels: torch.Tensor, tokens: Batch) -> PairScores:
    """Scores by a ``transformers.XCLIPModel``, of pixels [batch, num_frames, 3, height, width]."""
    out = model(pixel_values=pixels, **tokens)
    text = model.text_projection(out.text_model_output.pooler_output)
    plain = model.logit_scale.exp() * out.video_embeds.float() @ normalize(text.float(), dim=-1).T
    return PairScores(out.logits_per_video.float(), plain, out.mit_output.pooler_output)


def image_text_scores(model: Any, pixels: torch.Tensor, tokens: Batch) -> PairScores:
    """Scores by an image-text model of transformers, of pixels [batch, num_frames, 3, height, width]."""
    images = model.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output
    frames = normalize(images.float(), dim=-1).view(*pixels.shape[:2], -1)
    texts = normalize(model.get_text_features(**tokens).pooler_output.float(), dim=-1)
    scale, mean = logit_scale_of(model), frames.mean(1)
    rerank = scale * query_weighted_cosines(texts, frames, TEMPERATURE / scale).T
    return PairScores(rerank, scale * normalize(mean, dim=-1) @ texts.T, mean)


class AlignmentModule(nn.Module):
    """An embedder with the losses that it learns from."""

    def __init__(
        self,
        model: Any,
        preprocessing: Preprocessing,
        scores: Callable[[Any, torch.Tensor, Batch], PairScores],
        *,
        dim: int,
        plain_weight: float,
        facts_weight: float,
        fact_values: dict[str, tuple[str, ...]],
    ) -> None:
        """See `jobs.train.align.align`."""
        super().__init__()
        self.model = model
        self.pixels = Pixels(preprocessing)
        self._scores = scores
        self._plain_weight = plain_weight
        self._facts_weight = facts_weight
        self.fact_heads = nn.ModuleList(nn.Linear(dim, len(values)) for values in fact_values.values())

    def forward(
        self,
        frames: torch.Tensor,
        true: torch.Tensor,
        facts: torch.Tensor,
        **tokens: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """``loss``, and float [batch] ``right`` and ``plain_right``: 1 where the best caption is true of the clip.

        ``right`` goes by the rerank score, ``plain_right`` by the dot product.

        Args:
            frames: uint8 [batch, num_frames, height, width, 3].
            true: bool [batch, batch], which captions (columns) are true of which clips (rows).
            facts: int64 [batch, kinds of fact], each clip's value.
            tokens: the captions as the text model takes them, int64 [batch, tokens].
        """
        exact, plain, clip = self._scores(self.model, self.pixels(frames), tokens)
        weight = self._plain_weight
        loss = (1 - weight) * contrastive_loss(exact, true) + weight * contrastive_loss(plain, true)
        if self._facts_weight and len(self.fact_heads):
            heads = [
                cross_entropy(head(clip).float(), facts[:, i], ignore_index=_NO_VALUE)
                for i, head in enumerate(self.fact_heads)
                if (facts[:, i] >= 0).any()
            ]
            loss = loss + self._facts_weight * torch.stack(heads).mean() if heads else loss
        rows = torch.arange(len(true), device=true.device)
        return {
            "loss": loss,
            "right": true[rows, exact.argmax(-1)].float(),
            "plain_right": true[rows, plain.argmax(-1)].float(),
        }


def contrastive_loss(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in both directions, where a clip may have several true captions and a caption several true clips.

    The mean over the true pairs of each row of -log softmax, L_out of Khosla et al. (2020, "Supervised Contrastive
    Learning"); with one true pair per row and column it is CLIP's loss.

    Args:
        logits: [clips, captions].
        true: bool [clips, captions]; at least one in every row and column.
    """
    targets = true.float()
    by_clip = -(log_softmax(logits, 1) * targets).sum(1) / targets.sum(1)
    by_caption = -(log_softmax(logits, 0) * targets).sum(0) / targets.sum(0)
    return (by_clip.mean() + by_caption.mean()) / 2
