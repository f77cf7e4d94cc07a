"""From a decoded frame to the pixels that a model is shown: cropping, colours, size."""
