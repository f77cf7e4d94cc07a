"""Video classifiers and text-video embedders: `base` has their protocols, `families` lists them, `registry` loads them."""

from pipeline.models.torchvision_ops import watch_imports

watch_imports()  # before anything here imports transformers
