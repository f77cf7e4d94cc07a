"""One library on disk, and every way to read it."""
