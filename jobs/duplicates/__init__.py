"""Looks for footage that several videos of a library share."""
