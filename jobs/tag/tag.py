"""Tags in words: a name becomes a vector, and each clip is scored by how far it stands out in that direction."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from index.object_store import library_folder
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tag_scores import embedded_clips, visible_clips
from index.storage.tags_file import read_definitions, write_definitions
from jobs.tag.report import TagReport
from pipeline.models.checkpoint import locate
from pipeline.models.cut_texts import cut_note
from pipeline.models.registry import load_embedder
from schemas.errors import UsageError, check_utf8
from schemas.tags import LIKELY, PROMPT_TEMPLATES, TagDefinition, TagDefinitions
from schemas.text import as_texts

# A clip whose cosine is this many standard deviations above the library's mean has the score 0.5. In a normal distribution
# one in 44 is.
_STANDS_OUT = 2.0
# How steeply the score rises there: three deviations give 0.88, four 0.98.
_STEEPNESS = 2.0

# The least standard deviation that is assumed: smaller differences of cosines mean nothing, however alike the clips are.
_MIN_SPREAD = 1e-3


def tag(
    folder: str | os.PathLike[str],
    names: str | Sequence[str],
    *,
    prompts: str | Sequence[str] = (),
    embedder: str | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> list[TagReport]:
    """Score every clip for each of ``names``. The table ``tags`` shows it at once; a tag of the same name is replaced.

    A name is put into each prompt, the texts' unit vectors are averaged, and the mean is normalised: v. With c = v . e for
    a clip's embedding e, with m the mean of c over the library and s its standard deviation there (at least 0.001), the
    clip's score is ``1 / (1 + exp(-2 ((c - m) / s - 2)))``: 0.02 for an ordinary clip, 0.5 for one that stands out by two
    deviations, 0.88 by three. m and s stay as they are when the library grows; tagging again measures them anew. A tag that
    fits most clips cannot stand out, and no tag does among fewer than six clips: train it with `jobs.tag.teach.teach`.

    Args:
        folder: the library's.
        names: one or several, such as ``"falling down"``.
        prompts: texts with ``{}`` where the name goes; none takes `schemas.tags.PROMPT_TEMPLATES`.
        embedder: where the library's embedder is now, if it has moved since the ingest.
        say: called with each sentence that a user should know besides the reports.

    Returns:
        A report for each name, in order.

    Raises:
        UsageError: a name or a prompt is not valid, or the library has no clips.
        LibraryError: no library, or another job is writing it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    names = [_checked_name(name) for name in dict.fromkeys(map(str.strip, as_texts(names)))]
    templates = _checked_prompts(as_texts(prompts)) or PROMPT_TEMPLATES
    with open_for_writing(library_folder(folder)) as (library, config, tables):
        definitions = read_definitions(library)
        clip_ids = visible_clips(tables)["clip_id"].to_numpy()
        if not len(clip_ids):
            raise UsageError(f"{library.shown!r} holds no clips to tag; ingest videos first", argument="library")
        texts = [tuple(template.replace("{}", name) for template in templates) for name in names]
        vectors = _text_vectors(config, embedder, texts, say)
        cosines = [batch.vectors @ vectors.T for batch in embedded_clips(tables, config.embedding_dim, clip_ids)]
        added = [
            _definition(name, prompts, vector, of_name, config)
            for name, prompts, vector, of_name in zip(
                names, texts, vectors, np.concatenate(cosines).astype(np.float64).T, strict=True
            )
        ]
        change_tags(library, tables, config, definitions.changed(add=tuple(added)), {"tagged": len(added)})
        return reports(library, names)


def untag(folder: str | os.PathLike[str], names: str | Sequence[str]) -> None:
    """Remove tags and their scores from a library.

    Args:
        folder: the library's.
        names: of the tags, one or several.

    Raises:
        UsageError: the library has no tag of such a name.
        LibraryError: no library, or another job is writing it.
    """
    names = tuple(dict.fromkeys(map(str.strip, as_texts(names))))
    with open_for_writing(library_folder(folder)) as (library, config, tables):
        definitions = read_definitions(library)
        if unknown := [name for name in names if name not in definitions.names]:
            known = ", ".join(map(repr, definitions.names)) or "none"
            raise UsageError(f"got {unknown[0]!r}, expected one of the library's tags ({known})", argument="names")
        change_tags(library, tables, config, definitions.changed(remove=names), {"untagged": len(names)})


def change_tags(
    library: Library, tables: Tables, config: LibraryConfig, definitions: TagDefinitions, changes: dict[str, int]
) -> None:
    """Replace a library's tags and publish them. They are written first: if this is stopped, the next run completes it."""
    write_definitions(library, definitions)
    publish_tables(library, tables, config, changes)


def reports(library: Library, names: Sequence[str]) -> list[TagReport]:
    """A report for each tag, from the current snapshot."""
    catalog = Snapshot(library).catalog
    rows = catalog.sql(
        "select tag, count(*) as clips, count(*) filter (where score >= $likely) as likely, "
        "cast(max(score) as double) as best_score, unnest(min_by({'path': path, 'start_s': start_s, 'end_s': end_s}, "
        "(-score, path, start_s))), any_value(prompt) as prompt, any_value(model) as model from tags group by tag",
        {"likely": LIKELY},
    ).to_pylist()
    catalog.close()
    by_name = {row["tag"]: TagReport(**row) for row in rows}
    return [by_name[name] for name in names]


def _checked_name(name: str) -> str:
    check_utf8("names", name)
    if not name or not name.isprintable():
        message = f"got {name!r}, expected a text on one line; say what to look for, such as 'falling down'"
        raise UsageError(message, argument="names")
    return name


def _checked_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    for prompt in prompts:
        check_utf8("prompts", prompt)
        if "{}" not in prompt or not prompt.isprintable():
            raise UsageError(
                f"got {prompt!r}, expected a text on one line with {{}} where the name goes, such as 'a video of {{}}'",
                argument="prompts",
            )
    return tuple(dict.fromkeys(prompts))


def _text_vectors(
    config: LibraryConfig, where: str | None, texts: Sequence[Sequence[str]], say: Callable[[str], None]
) -> NDArray[np.float32]:
    """float32 [names, dim]: for each name the normalised mean of its texts' vectors."""
    model = load_embedder(locate(config.embedder, "embedder", where), "fp32")
    if note := cut_note(model, [text for of_name in texts for text in of_name], "prompt"):
        say(note)
    means = np.stack([model.embed_texts(list(of_name)).astype(np.float64).mean(axis=0) for of_name in texts])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    vectors: NDArray[np.float32] = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return vectors


def _definition(
    name: str, prompts: tuple[str, ...], vector: NDArray[np.float32], cosines: NDArray[np.float64], config: LibraryConfig
) -> TagDefinition:
    """A tag as weights and a bias: the formula of `tag`."""
    mean, spread = float(cosines.mean()), max(float(cosines.std()), _MIN_SPREAD)
    return TagDefinition(
        name=name,
        weights=tuple((_STEEPNESS * vector.astype(np.float64) / spread).tolist()),
        bias=-_STEEPNESS * (mean / spread + _STANDS_OUT),
        embedder=config.embedder.stamp,
        prompts=prompts,
    )
