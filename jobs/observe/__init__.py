"""The metrics of a run: for Prometheus, which asks for them, and over OTLP, which sends them."""
