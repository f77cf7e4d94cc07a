"""The catalog: SQL over videos, clips, labels and tags, which may only read."""
