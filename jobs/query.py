"""Ask a library in words: the embedder that made it turns them into a vector, the snapshot finds what is near."""

from __future__ import annotations

from pathlib import Path

from index.library import Library, read_identity
from index.search import nearest_clips
from index.snapshot import Snapshot
from pipeline.models import load_embedder
from pipeline.models.checkpoint import locate
from schemas.errors import UsageError, check_utf8
from schemas.records import Hit


def search(folder: Path, text: str, *, k: int = 10, embedder: str | None = None) -> list[Hit]:
    """The ``k`` clips that ``text`` describes best, best first.

    Args:
        folder: the library's.
        text: what is looked for, in words.
        k: hits to give; a smaller library gives fewer.
        embedder: where the library's embedder is now, if not where it was at ingest.

    Raises:
        UsageError: the text is blank, or ``k`` is not positive.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    check_utf8("TEXT", text)
    if not text.strip():
        raise UsageError("TEXT: got nothing but blanks; say what to look for, such as 'people baking a cake'")
    if k < 1:
        raise UsageError(f"-k: got {k}, allowed is 1 or more")
    library = Library(folder)
    snapshot = Snapshot(library)
    identity = read_identity(library)
    assert identity is not None, "a library with a snapshot has its library.json"
    checkpoint = locate(identity.embedder, "--embedder", embedder)
    vector = load_embedder(checkpoint, "fp32").embed_texts([text])[0]
    return nearest_clips(snapshot, vector, k)
