"""What is run over many videos: ingest and publish; and search, which needs a model and an index."""
