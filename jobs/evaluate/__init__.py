"""Evaluation: of a model on a dataset, of a library against labeled moments or published benchmarks."""
