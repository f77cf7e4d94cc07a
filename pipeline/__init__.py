"""The way of one video: find, probe, sample, decode, annotate, write. `pipeline.process` is the whole way."""
