"""Training: from a dataset to a checkpoint that ingest takes."""

import pipeline.models  # noqa: F401  # before transformers, see `pipeline.models.torchvision_ops`
