"""Teaching models: from a dataset of videos to a checkpoint that ingest takes."""
