"""Serves libraries over HTTP: a page that finds and plays moments, and an API. It reads libraries through `index`."""
