"""A small synthetic world to try vidsift on: films it renders itself, and checkpoints with random weights."""
