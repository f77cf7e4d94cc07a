"""Video classifiers and text-video embedders: `base` has their protocols, `families` lists them, `registry` loads them."""
