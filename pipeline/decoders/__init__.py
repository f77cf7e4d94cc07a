"""Decoder backends, a file for each; `registry` lists and loads them."""
