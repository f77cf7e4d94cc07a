"""Batch work over many videos."""
