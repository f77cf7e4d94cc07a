"""What happens to one video: find, probe, sample, decode, annotate, write. `pipeline.run` is the whole way."""
