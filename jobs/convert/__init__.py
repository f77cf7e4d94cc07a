"""Published checkpoints of other layouts become folders that vidsift loads."""
