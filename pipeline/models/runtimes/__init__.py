"""Ways to run a model's layers faster: CUDA graphs, micro-batches, OpenVINO."""
