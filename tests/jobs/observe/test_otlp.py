"""Metrics over OTLP, sent to a server on loopback that decodes them."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from index.storage.paths import Library
from jobs.observe.metrics import RunMetrics
from jobs.observe.otlp import otlp_endpoint, otlp_push
from jobs.run_events import Committed, FilesListed, NotificationSent

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


class Collector:
    """A server that keeps the requests that it is sent.

    Attributes:
        status: what it answers.
        paths: that were asked for.
        requests: decoded.
    """

    def __init__(self) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        collector = self
        self.status, self.paths = 200, list[str]()
        self.requests: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/x-protobuf"
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.paths.append(self.path)
                collector.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def metrics(self) -> dict[str, Any]:
        """The metrics of the last request, by name."""
        (resource,) = self.requests[-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def resource(self) -> dict[str, str]:
        (resource,) = self.requests[-1].resource_metrics
        return {each.key: each.value.string_value for each in resource.resource.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def metrics(tmp_path: Path) -> RunMetrics:
    made = RunMetrics("watch", Library(tmp_path))
    made.tell(FilesListed(found=9, unchanged=4, moved=0, removed=0, to_do=4, unsettled=0, seconds=0.5))
    return made


COMMITTED = Committed(
    indexed=2, partial=1, failed=0, clips=7, video_seconds=28.5, file_bytes=900, written_clips=8, seconds=0.25
)  # fmt: skip


def test_what_prometheus_is_told_is_sent_at_the_end(collector: Collector, metrics: RunMetrics) -> None:
    said: list[str] = []
    with otlp_push(metrics.registry, collector.url, said.append):
        metrics.tell(COMMITTED)
        metrics.tell(NotificationSent(alert="a", receiver="r", message_id="m"))
    assert collector.paths == ["/v1/metrics"]
    sent = collector.metrics()
    for family in metrics.registry.collect():
        values = {
            tuple(sorted(sample.labels.items())): sample.value for sample in family.samples if sample.value == sample.value
        }
        if not values:  # a time of which nothing is known yet
            assert family.name not in sent
            continue
        metric = sent[family.name]
        is_counter = metric.WhichOneof("data") == "sum"
        assert is_counter == (family.type == "counter"), family.name
        if is_counter:
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == 2, "cumulative"
        points = metric.sum.data_points if is_counter else metric.gauge.data_points
        got = {
            tuple(sorted((each.key, each.value.string_value) for each in point.attributes)): point.as_double
            for point in points
        }
        if family.name.startswith("vidsift_"):
            assert got == values, family.name
        assert metric.description == family.documentation
    assert (sent["vidsift_run_stage_seconds"].unit, sent["vidsift_run_file_bytes"].unit) == ("s", "By")
    assert sent["vidsift_run_files"].unit == ""
    assert said == []


def test_they_are_sent_at_the_interval_too(
    collector: Collector, metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    with otlp_push(metrics.registry, collector.url, lambda _: None):
        for _ in range(1200):
            if len(collector.requests) >= 2:
                break
            threading.Event().wait(0.05)
        assert len(collector.requests) >= 2
    assert [point.as_double for point in collector.metrics()["vidsift_run_found_files"].gauge.data_points] == [9.0]


def test_who_sends_is_named_and_may_be_named_otherwise(
    collector: Collector, metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    with otlp_push(metrics.registry, collector.url, lambda _: None):
        pass
    resource = collector.resource()
    assert resource["service.name"] == "vidsift"
    assert resource["service.version"]
    assert "/" in resource["service.instance.id"]
    monkeypatch.setenv("OTEL_SERVICE_NAME", "cameras")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one,place=hall")
    with otlp_push(metrics.registry, collector.url, lambda _: None):
        pass
    resource = collector.resource()
    assert [resource[name] for name in ("service.name", "service.instance.id", "place")] == ["cameras", "one", "hall"]


def test_an_endpoint_that_refuses_is_said_once_and_without_its_secrets(
    collector: Collector, metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.status = 403
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/in?key=secret")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    said: list[str] = []
    with otlp_push(metrics.registry, f"{collector.url}/in?key=secret", said.append):
        for _ in range(1200):
            if len(collector.requests) >= 3:
                break
            threading.Event().wait(0.05)
        collector.status = 200
    assert said == [
        "the OTLP endpoint on the host 127.0.0.1 does not take metrics; they are sent again and again",
        "the OTLP endpoint on the host 127.0.0.1 takes metrics again",
    ]
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_nothing_is_sent_and_it_is_said(metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.sdk")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    said: list[str] = []
    with otlp_push(metrics.registry, "http://127.0.0.1:1", said.append):
        pass
    assert said == [
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, and no metrics are sent, as OpenTelemetry is not installed; install it: "
        "pip install 'vidsift[otlp]'"
    ]


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, "http://a"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b"}, "http://b"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_METRICS_EXPORTER": "none"}, None),
    ],
)
def test_the_environment_says_where_they_go(environment: dict[str, str], endpoint: str | None) -> None:
    assert otlp_endpoint(environment) == endpoint
