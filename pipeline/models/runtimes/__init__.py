"""Faster ways to run a model's forward pass: CUDA graphs, micro-batches, OpenVINO, ONNX Runtime."""
