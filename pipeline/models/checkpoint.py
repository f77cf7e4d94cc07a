"""Finds a checkpoint on disk or on the hub, and checks that it is safe to load before anything loads it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.models.families import embedder_family
from schemas.errors import ModelError
from schemas.models import Checkpoint

# The only files that are fetched: no Python files, no pickles.
_HUB_FILES = ["*.json", "*.safetensors", "vocab.txt", "merges.txt", "*.model"]
# Names the checkpoints that are installed with vidsift; write ./pocket for a folder of that name.
POCKET = "pocket"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")

# Keys of config.json that can change while the model stays the same.
_UNHASHED_KEYS = frozenset({"transformers_version", "_name_or_path", "torch_dtype", "dtype"})
PREPROCESSING_FILES = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")


def find_checkpoint(name: str, argument: str, kind: str | None = None) -> Checkpoint:
    """Find the model that ``name`` means: a folder in the hub's layout, or a hub id (``org/model[@revision]``).

    Args:
        name: as the user gave it.
        argument: the argument that named it, for messages.
        kind: ``classifier`` or ``embedder``: which of the two checkpoints called ``pocket`` is meant; None means the
            embedder for the argument ``embedder``, else the classifier.

    Raises:
        ModelError: there is no such model, the hub cannot be reached, or it is not stored as safetensors.
    """
    if name == POCKET:
        folder, revision = pocket_folder(kind or ("embedder" if argument.endswith("embedder") else "classifier")), None
    elif os.path.isdir(name):
        folder, revision = Path(name).resolve(), None
        name = str(folder)
    elif _HUB_ID.fullmatch(name) and not name.startswith((".", "/")):
        folder, revision = _from_hub(name, argument)
    else:
        raise ModelError(
            f"no such folder, and no hub id: {name!r}; give a folder with config.json and model.safetensors, "
            "or an id such as MCG-NJU/videomae-base-finetuned-kinetics",
            argument=argument,
        )
    config = read_config(folder, name, argument)
    model_type = str(config.get("model_type", ""))
    family = embedder_family(model_type)
    return Checkpoint(
        name=name,
        folder=str(folder),
        revision=revision,
        model_type=model_type,
        sha256=_hash(folder, config, name, argument),
        architectures=tuple(map(str, config.get("architectures") or ())),
        embedding_dim=family.embedding_dim(config) if family else None,
    )


def pocket_folder(kind: str) -> Path:
    """The folder of the installed pocket checkpoint of this kind, ``classifier`` or ``embedder``.

    Raises:
        ModelError: it is not installed.
    """
    spec = find_spec("demo")
    folder = Path((spec.submodule_search_locations or ["."])[0]) / "pocket" / kind if spec else None
    if folder is None or not (folder / "config.json").exists():
        raise ModelError(
            f"{POCKET}: this installation lacks the {kind} of that name; install vidsift again, or: make pocket"
        )
    return folder


def locate(known: Checkpoint, argument: str, given: str | None = None) -> Checkpoint:
    """Find a checkpoint that a library was made with, wherever it is now.

    Args:
        known: the checkpoint as the library recorded it.
        argument: the argument that names another place, for messages.
        given: the hub id or folder that the user gave for it; None looks where it was.

    Returns:
        ``known`` with the folder where its files are now.

    Raises:
        ModelError: it is not there any more, or the files there are others.
    """
    hub_id = f"{known.name}@{known.revision}" if known.revision else known.name
    current = find_checkpoint(given or (known.folder if os.path.isdir(known.folder) else hub_id), argument)
    if current.sha256 != known.sha256:
        raise ModelError(
            f"got {current.sha256[:8]}, the library was made with {known.stamp}, and only the same files give vectors that "
            f"can be compared; say where they are now (`{argument}`), or ingest into a new folder",
            argument=argument,
            value=current.name,
        )
    return replace(known, folder=current.folder)


def read_config(folder: Path, name: str, argument: str) -> dict[str, Any]:
    """The checkpoint's config.json.

    Raises:
        ModelError: it is missing or no JSON object, or it asks to run code that came with the checkpoint.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ModelError(
            "the folder holds no config.json; give a folder in the hub's layout "
            "(config.json, model.safetensors, preprocessor_config.json)",
            argument=argument,
            value=name,
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"config.json is not valid JSON: {exc}", argument=argument, value=name) from exc
    if not isinstance(config, dict):
        message = f"config.json holds a {type(config).__name__}, expected an object"
        raise ModelError(message, argument=argument, value=name)
    if "auto_map" in config:
        message = "this checkpoint brings its own code to run, which vidsift never does; take another"
        raise ModelError(message, argument=argument, value=name)
    return config


def _from_hub(name: str, argument: str) -> tuple[Path, str]:
    """Folder and commit of a hub model, which is fetched unless the hub's cache holds it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=_HUB_FILES))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as exc:
        raise ModelError(
            "the model hub has no such model or cannot be reached, and the hub's cache does not hold it "
            f"({type(exc).__name__}). Three ways on: give a local folder in the hub's layout (`{argument}` DIR); fill the "
            f"hub's cache on a machine with network (hf download {repository}) and copy ~/.cache/huggingface here; or try "
            "vidsift with the small models that it brings along (`classifier` pocket `embedder` pocket), which know the "
            "films of vidsift demo and nothing else",
            argument=argument,
            value=name,
        ) from exc
    return folder, folder.name


def _hash(folder: Path, config: dict[str, Any], name: str, argument: str) -> str:
    """SHA-256 over everything that the model's answers depend on: weights, configuration, preprocessing, tokenizer."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        suffixes = {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"}
        others = sorted(path.name for path in folder.iterdir() if path.suffix in suffixes)
        raise ModelError(
            f"got {', '.join(others) or 'no weights'}, expected model.safetensors only, since other "
            "formats can run code when loaded; convert it (vidsift convert, or transformers' save_pretrained), "
            "or take another revision (ID@REVISION)",
            argument=argument,
            value=name,
        )
    hashed_config = {key: value for key, value in config.items() if key not in _UNHASHED_KEYS}
    settings = [path for file in (*PREPROCESSING_FILES, *TOKENIZER_FILES) if (path := folder / file).exists()]
    stats = [(path, path.stat()) for path in (*weights, *settings)]
    return _digest(
        json.dumps(hashed_config, sort_keys=True), tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    )


@lru_cache(maxsize=16)
def _digest(config: str, files: tuple[tuple[Path, int, int], ...]) -> str:
    """SHA-256 of a config and of files, which are given with their sizes and times of modification.

    It is kept, since an ingest asks for it twice, and a gigabyte takes a second.
    """
    digest = sha256(config.encode())
    for path, size_bytes, _ in files:
        digest.update(f"\0{path.name}\0{size_bytes}\0".encode())
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
