"""The catalog: SQL over videos, clips, labels and tags, reading only."""
