"""What has been asked and how long answering took, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        """Begin to count."""
        self._registry, self._gauges = CollectorRegistry(), dict[str, Gauge]()
        self._requests = Counter(
            "vidsift_requests", "Answers by route and HTTP status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "vidsift_request_seconds",
            "Seconds from a request to the start of its answer.",
            ["route"],
            buckets=_BOUNDS_S,
            registry=self._registry,
        )

        self._stages = Histogram(
            "vidsift_stage_seconds",
            "Seconds of the stages of answers: decode (an example), wait (for other searches), search, sql, and picture, "
            "strip and moment with their waiting.",
            ["stage"],
            buckets=_BOUNDS_S,
            registry=self._registry,
        )

    def took(self, stage: str, seconds: float) -> None:
        """Count a stage of an answer."""
        self._stages.labels(stage).observe(seconds)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer of ``route`` with its HTTP status, after ``seconds``."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, name: str, meaning: str, value: Callable[[], float], **labels: str) -> None:
        """Report what ``value`` gives whenever the metrics are read; ``labels`` tell gauges of one name apart."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, meaning, list(labels), registry=self._registry)
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
