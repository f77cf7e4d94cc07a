"""Cuts a moment out of a video into a file of its own."""
