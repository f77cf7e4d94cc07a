"""Training: from a dataset to a checkpoint that ingest takes."""
