"""Finds and loads the text encoder of a library."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from index.storage.config import LibraryConfig
from pipeline.models.base import Embedder
from pipeline.models.checkpoint import locate
from pipeline.models.registry import import_text_embedder, load_text_embedder
from schemas.errors import ModelError


def find_embedder(config: LibraryConfig, given: str | None = None) -> Embedder:
    """The embedder that a library was made with, loaded to embed texts; its vision model is loaded when it is needed.

    Its files are hashed, to check that they have not changed, while its code is imported: each takes long on a core.
    Python's garbage collection is off meanwhile, since there is no garbage in imported modules: this saves 0.7 s.

    Args:
        config: of the library.
        given: where its embedder is now, if not where it was at ingest.

    Raises:
        ModelError: it is not where it was, or is not what it was.
    """
    with _no_garbage_collection(), ThreadPoolExecutor(1) as pool:
        located = pool.submit(locate, config.embedder, "embedder", given)
        import_text_embedder(config.embedder.model_type)
        checkpoint = located.result()
    return load_text_embedder(checkpoint, "fp32")


def text_vectors_of(config: LibraryConfig) -> Callable[[Sequence[str]], NDArray[np.float32] | None]:
    """A function that gives the vectors float32 [texts, dim] of texts, or None where the embedder is not at hand."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32] | None:
        try:
            return find_embedder(config).embed_texts(texts)
        except ModelError:
            return None

    return embed


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turns Python's garbage collection off for a while; leaves it off where it was off before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
