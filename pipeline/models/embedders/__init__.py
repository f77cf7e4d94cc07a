"""Text-video embedders, a file for each family."""
