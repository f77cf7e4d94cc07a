"""The same metrics over OTLP (HTTP, protobuf), as OpenTelemetry's own environment variables say.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ lists these: endpoint, headers, certificates, timeout; and
OTEL_METRIC_EXPORT_INTERVAL, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES. OpenTelemetry is an extra, imported here alone.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics.export import MetricExporter
    from prometheus_client import CollectorRegistry

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

# By the ending of a metric's name, the unit as OTLP spells it; receivers that make Prometheus' names of these add nothing.
_UNITS = {"_seconds": "s", "_bytes": "By"}


def otlp_endpoint(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where the environment says that metrics go; None where it says nothing, or turns them off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_METRICS_EXPORTER") == "none":
        return None
    return next((environment[name] for name in _ENDPOINTS if environment.get(name)), None)


@contextmanager
def otlp_push(registry: CollectorRegistry, endpoint: str, say: Callable[[str], None]) -> Iterator[None]:
    """Send a registry's metrics while the block runs, once a minute unless the environment says otherwise, and at its end.

    What cannot be sent is said once, and ends nothing.

    Args:
        registry: what holds the metrics: counters and gauges.
        endpoint: `otlp_endpoint`.
        say: told what a user should know.
    """
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        exporter = _exporter(_host_of(endpoint), say)
    except ImportError:
        say(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and no metrics are sent, as OpenTelemetry is not installed; install it: "
            "pip install 'vidsift[otlp]'"
        )
        yield
        return
    # What it logs may hold the endpoint, and so a secret; `_exporter` says what a user should know.
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], Resource.create(_resource()), shutdown_on_exit=False)
    meter = provider.get_meter("vidsift", version("vidsift"))
    for family in registry.collect():  # all that there are; labels may come later
        unit = next((unit for ending, unit in _UNITS.items() if family.name.endswith(ending)), "")
        make = meter.create_observable_counter if family.type == "counter" else meter.create_observable_gauge
        make(family.name, [_reader(registry, family.name)], unit, family.documentation)
    try:
        yield
    finally:
        provider.shutdown()


def _exporter(host: str, say: Callable[[str], None]) -> MetricExporter:
    """The exporter that the environment describes, which says once that its endpoint does not take what is sent."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult

    class Exporter(OTLPMetricExporter):
        fails = False

        def export(self, *given: Any, **named: Any) -> MetricExportResult:
            result = super().export(*given, **named)
            failed = result is not MetricExportResult.SUCCESS
            if failed != self.fails:
                self.fails = failed
                does = "does not take metrics; they are sent again and again" if failed else "takes metrics again"
                say(f"the OTLP endpoint on the host {host} {does}")
            return result

    return Exporter()


def _reader(registry: CollectorRegistry, name: str) -> Callable[[CallbackOptions], list[Observation]]:
    """What reads the values of one metric, in all its labels."""
    from opentelemetry.metrics import Observation

    one = registry.restricted_registry([name, f"{name}_total"])

    def read(options: CallbackOptions) -> list[Observation]:
        samples = [sample for family in one.collect() for sample in family.samples]
        return [Observation(sample.value, dict(sample.labels)) for sample in samples if not math.isnan(sample.value)]

    return read


def _resource() -> dict[str, str]:
    """What tells this process from others, unless the environment says it."""
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes = {"service.version": version("vidsift"), "service.instance.id": f"{os.uname().nodename}/{os.getpid()}"}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = "vidsift"
    return {name: value for name, value in attributes.items() if f"{name}=" not in given}


def _host_of(endpoint: str) -> str:
    try:
        return urlsplit(endpoint).hostname or "?"
    except ValueError:
        return "?"
