"""What happens to one video: find, probe, sample, decode, annotate, write. `pipeline.process` is the whole way."""
