"""Snapshots: the catalog, vector index and rerank features that an ingest publishes and readers open."""
