"""A small synthetic world to try vidsift on: films it renders itself, and checkpoints with random weights."""

import pipeline.models  # noqa: F401  # before transformers, see `pipeline.models.torchvision_ops`
