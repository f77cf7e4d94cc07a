"""Classifiers, a file for each way of loading them."""
