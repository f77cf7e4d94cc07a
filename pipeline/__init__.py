"""What happens to one video: find, probe, sample, decode, annotate, write. `pipeline.run.annotate_video` is the whole way."""
