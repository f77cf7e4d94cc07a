"""Snapshots: what an ingest publishes and readers open."""
