"""A library's tags: names with a score for each clip, computed from its embedding."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b

PROMPT_TEMPLATES = ("{}", "a video of {}", "a person {}", "someone {}")
"""The texts that a name is put into where the user gives no prompts; their vectors are averaged."""

LIKELY = 0.5
"""The score from which a clip counts as showing the tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDefinition:
    """A name and how clips are scored for it: ``score = 1 / (1 + exp(-(weights . embedding + bias)))``.

    Attributes:
        name: what SQL calls it.
        weights: as many as an embedding has dimensions. Of a name given in words, the text's vector, scaled by the
            spread that its cosines have in the library; of a taught one, what its examples taught.
        bias: the constant that is added.
        embedder: stamp of the model behind the embeddings that this is for.
        prompts: the texts that the name was put into; empty for a taught one.
        moments: how many marked moments taught it; 0 for one given in words.
    """

    name: str
    weights: tuple[float, ...]
    bias: float
    embedder: str
    prompts: tuple[str, ...] = ()
    moments: int = 0

    @property
    def prompt(self) -> str | None:
        """``tags.prompt``: the texts, separated by bars; None for a taught one."""
        return " | ".join(self.prompts) or None

    @property
    def model(self) -> str:
        """``tags.model``: the embedder's stamp, and whether examples taught the name."""
        return f"{self.embedder} + probe" if self.moments else self.embedder

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything about it."""
        return blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class TagDefinitions:
    """All of a library's names.

    Attributes:
        revision: how often they have been changed.
        tags: by name.
    """

    revision: int = 0
    tags: tuple[TagDefinition, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(tag.name for tag in self.tags)

    def changed(self, *, add: tuple[TagDefinition, ...] = (), remove: tuple[str, ...] = ()) -> TagDefinitions:
        """These without ``remove`` and with ``add``, which replace those of the same name: the next revision."""
        kept = {tag.name: tag for tag in self.tags if tag.name not in remove} | {tag.name: tag for tag in add}
        return TagDefinitions(self.revision + 1, tuple(kept[name] for name in sorted(kept)))
