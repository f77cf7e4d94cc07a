"""Ingest: brings a library up to date with folders of video."""
