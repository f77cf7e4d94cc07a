"""A library against published benchmarks: layouts of their files, the run, its results, and files of predictions."""
