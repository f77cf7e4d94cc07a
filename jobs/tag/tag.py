"""Own labels in words: each name becomes a vector, and every clip is scored by how far it stands out in that direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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

# A clip whose cosine lies this many standard deviations above the library's mean has the score 0.5; of a bell curve, one in
# 44 does. How steeply the score rises there: three deviations give 0.88, four 0.98.
_STANDS_OUT = 2.0
_STEEPNESS = 2.0

# Cosines that differ by less than this say nothing, however alike the library's clips are.
_MIN_SPREAD = 1e-3


def tag(
    folder: Path,
    names: Sequence[str],
    *,
    prompts: Sequence[str] = (),
    embedder: str | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> list[TagReport]:
    """Score every clip for each of ``names``, as ``tags`` shows at once; one that is there already is replaced.

    A name is put into each prompt, the texts' unit vectors are averaged, and the mean is normalised: v. With c = v . e for
    a clip's embedding e, with m the mean of c over the library and s its standard deviation there (at least 0.001), the
    clip's score is ``1 / (1 + exp(-2 ((c - m) / s - 2)))``: 0.02 for an ordinary clip, 0.5 for one that stands out by two
    deviations, 0.88 by three. m and s stay what they are when the library grows; tagging again measures them anew. What
    holds of a large part of the library stands out nowhere, and nothing does among fewer than six clips: such a thing is
    better taught by examples.

    Args:
        folder: the library's.
        names: such as ``"falling down"``.
        prompts: texts with ``{}`` where the name goes; none takes `schemas.tags.PROMPT_TEMPLATES`.
        embedder: where the library's embedder is now, if not where it was at ingest.
        say: told what a user should know besides, a sentence each.

    Returns:
        A report for each name, in order.

    Raises:
        UsageError: a name or a prompt that cannot be meant so, or a library without clips.
        LibraryError: no library, or another job is writing it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    names = [_checked_name(name) for name in dict.fromkeys(map(str.strip, names))]
    templates = _checked_prompts(prompts) or PROMPT_TEMPLATES
    with open_for_writing(folder) as (library, identity, tables):
        definitions = read_definitions(library)
        clip_ids = visible_clips(tables)["clip_id"].to_numpy()
        if not len(clip_ids):
            raise UsageError(f"--library: {str(folder)!r} holds no clips to tag; ingest videos first")
        texts = [tuple(template.replace("{}", name) for template in templates) for name in names]
        vectors = _text_vectors(identity, embedder, texts, say)
        cosines = [some.vectors @ vectors.T for some in embedded_clips(tables, identity.embedding_dim, clip_ids)]
        added = [
            _definition(name, prompts, vector, found, identity)
            for name, prompts, vector, found in zip(
                names, texts, vectors, np.concatenate(cosines).astype(np.float64).T, strict=True
            )
        ]
        change_tags(library, tables, identity, definitions.changed(add=tuple(added)), {"tagged": len(added)})
        return reports(library, names)


def untag(folder: Path, names: Sequence[str]) -> None:
    """Take ``names`` and their scores out of the library.

    Raises:
        UsageError: the library has no tag of such a name.
        LibraryError: no library, or another job is writing it.
    """
    names = tuple(dict.fromkeys(map(str.strip, names)))
    with open_for_writing(folder) as (library, identity, tables):
        definitions = read_definitions(library)
        if unknown := [name for name in names if name not in definitions.names]:
            known = ", ".join(map(repr, definitions.names)) or "none"
            raise UsageError(f"NAME: got {unknown[0]!r}, expected one of the library's tags ({known})")
        change_tags(library, tables, identity, definitions.changed(remove=names), {"untagged": len(names)})


def change_tags(
    library: Library, tables: Tables, identity: LibraryConfig, definitions: TagDefinitions, changes: dict[str, int]
) -> None:
    """Make ``definitions`` the library's. They are written first, so that whatever stops this, the next run completes it."""
    write_definitions(library, definitions)
    publish_tables(library, tables, identity, changes)


def reports(library: Library, names: Sequence[str]) -> list[TagReport]:
    """What each of ``names`` finds, from the current snapshot."""
    catalog = Snapshot(library).catalog
    found = catalog.sql(
        "select tag, count(*) as clips, count(*) filter (where score >= $likely) as likely, "
        "cast(max(score) as double) as best_score, unnest(min_by({'path': path, 'start_s': start_s, 'end_s': end_s}, "
        "(-score, path, start_s))), any_value(prompt) as prompt, any_value(model) as model from tags group by tag",
        {"likely": LIKELY},
    ).to_pylist()
    catalog.close()
    by_name = {row["tag"]: TagReport(**row) for row in found}
    return [by_name[name] for name in names]


def _checked_name(name: str) -> str:
    check_utf8("NAME", name)
    if not name or not name.isprintable():
        raise UsageError(f"NAME: got {name!r}, expected a text on one line; say what to look for, such as 'falling down'")
    return name


def _checked_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    for prompt in prompts:
        check_utf8("--prompt", prompt)
        if "{}" not in prompt or not prompt.isprintable():
            raise UsageError(
                f"--prompt: got {prompt!r}, expected a text on one line with {{}} where the name goes, "
                "such as 'a video of {}'"
            )
    return tuple(dict.fromkeys(prompts))


def _text_vectors(
    identity: LibraryConfig, where: str | None, texts: Sequence[Sequence[str]], say: Callable[[str], None]
) -> NDArray[np.float32]:
    """float32 [names, dim]: for each name the normalised mean of its texts' vectors."""
    model = load_embedder(locate(identity.embedder, "--embedder", where), "fp32")
    if note := cut_note(model, [text for of_name in texts for text in of_name], "prompt"):
        say(note)
    means = np.stack([model.embed_texts(list(of_name)).astype(np.float64).mean(axis=0) for of_name in texts])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    vectors: NDArray[np.float32] = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return vectors


def _definition(
    name: str, prompts: tuple[str, ...], vector: NDArray[np.float32], cosines: NDArray[np.float64], identity: LibraryConfig
) -> TagDefinition:
    """The formula of `tag` as weights and a bias."""
    mean, spread = float(cosines.mean()), max(float(cosines.std()), _MIN_SPREAD)
    return TagDefinition(
        name=name,
        weights=tuple((_STEEPNESS * vector.astype(np.float64) / spread).tolist()),
        bias=-_STEEPNESS * (mean / spread + _STANDS_OUT),
        embedder=identity.embedder.stamp,
        prompts=prompts,
    )
