"""The common part of embedders that have a text model and a vision model of transformers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel

from pipeline.models.embedders.recent_texts import RecentTexts
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.embedders.vectors import unit_vectors
from pipeline.models.families import embedder_family
from pipeline.models.loading import cannot_load, load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import Forward
from schemas.models import Checkpoint, CutText
from schemas.options import Precision


class TwoTowers(ABC):
    """A text model and a vision model that end in one space. Subclasses say how the vision model sees a clip.

    Attributes:
        preprocessing: as for `pipeline.models.base.VideoModel`.
        device: likewise.
        dtype: likewise.
        dim: as for `pipeline.models.base.Embedder`.
    """

    model_class: ClassVar[Any] = AutoModel

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision = "auto",
        *,
        texts_first: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_embedder`.

        Args:
            checkpoint: its files.
            precision: the floating-point type to compute in.
            texts_first: load the vision model's layers with the first clip. A text query needs about a third of the weights,
                so a search can start sooner.
            device: where to compute; None takes `pipeline.models.pixels.best_device`.
        """
        family = embedder_family(checkpoint.model_type)
        assert family is not None, "the registry has checked this"
        assert checkpoint.embedding_dim is not None, "the registry has checked this"
        self._checkpoint, self._precision, self._asked_device = checkpoint, precision, device
        self.preprocessing = read_preprocessing(checkpoint, "embedder")
        self.dim = checkpoint.embedding_dim
        self._has_vision = not texts_first
        self._model, self.device, self.dtype = self._load(vision=self._has_vision)
        self._run: Forward = choose_runtime(
            self._forward,
            self.device,
            self.vision_config(self._model.config),
            cuda_graphs=family.cuda_graphs,
        )
        max_tokens = family.texts.max_tokens or int(self._model.config.text_config.max_position_embeddings)
        self._tokenizer = TextTokenizer(Path(checkpoint.folder), checkpoint.name, "embedder", max_tokens, family.texts)
        self._projected = RecentTexts(self._project)

    @property
    def model(self) -> Any:
        """The transformers model, as it was loaded."""
        return self._model

    @property
    def max_tokens(self) -> int:
        """The most tokens of a text that it reads."""
        return self._tokenizer.max_tokens

    def _load(self, *, vision: bool) -> tuple[Any, torch.device, torch.dtype]:
        try:
            config = self.whole_config(self._checkpoint) if vision else self.config_without_vision(self._checkpoint)
        except Exception as exc:
            raise cannot_load(self._checkpoint, "embedder", exc) from exc
        return load_pretrained(
            self.model_class, self._checkpoint, self._precision, "embedder", config=config, device=self._asked_device
        )

    @classmethod
    def made_of(cls, config: Any, dtype: torch.dtype) -> Any:
        """A new model by a checkpoint's configuration, without what is not read of its weights."""
        return AutoModel.from_config(config, dtype=dtype)

    @classmethod
    def whole_config(cls, checkpoint: Checkpoint) -> Any:
        """The configuration to load `model_class` with; None for the checkpoint's own."""
        return None

    @classmethod
    def config_without_vision(cls, checkpoint: Checkpoint) -> Any:
        """The same with a vision model of no layers."""
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        for name, value in config.vision_config.to_dict().items():
            if name.endswith("_layers") and isinstance(value, int):
                setattr(config.vision_config, name, 0)
        return config

    @staticmethod
    def vision_config(config: Any) -> Any:
        """The vision model's part of the model's configuration."""
        return config.vision_config

    @staticmethod
    @abstractmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What ``model`` says of clips, from pixels [batch, num_frames, 3, height, width] on its device.

        The first of what it returns are the clips' vectors [batch, dim], not normalised, for this class's `embed_clips`.
        """

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.forward(self._model, pixels)

    def _see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`forward` on the model's device, by its runtime, once the vision model is loaded."""
        if not self._has_vision:
            self._model, self.device, self.dtype = self._load(vision=True)
            self._has_vision = True
        return self._run(pixels.to(self.device))

    @torch.inference_mode()
    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        return unit_vectors(self._see(pixels)[0][:, : self.dim])

    def _project(self, texts: Sequence[str]) -> torch.Tensor:
        """[len(texts), dim], projected and not normalised."""
        return self.text_vectors(self._model, {name: ids.to(self.device) for name, ids in self._tokenizer(texts).items()})

    @staticmethod
    def text_vectors(model: Any, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What ``model`` says of texts, [texts, dim], not normalised, from their tokens on its device."""
        return cast("torch.Tensor", model.get_text_features(**tokens).pooler_output)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_texts`. Of longer texts it reads the first tokens (CLIP: 77)."""
        return unit_vectors(self._projected(texts)[:, : self.dim]) if texts else np.empty((0, self.dim), np.float32)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `pipeline.models.base.LimitedEmbedder.cut_texts`."""
        return self._tokenizer.cut(texts)
