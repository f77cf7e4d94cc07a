"""A decoded frame's way to the pixels that a model is shown: cropping, colours, size."""
