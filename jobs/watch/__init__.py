"""Keeps a library up to date with folders in which videos arrive."""
