"""The Grafana dashboard shows what there is: each metric that it names is exported, each one of a watch is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from index.storage.paths import Library
from jobs.observe.metrics import RunMetrics
from jobs.run_events import Annotated
from tests.server.conftest import make_client

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "vidsift.json"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "unattended.md"

# Metrics of a watch that the dashboard leaves out, and why.
LEFT_OUT = {
    "vidsift_run_info": "names what runs; the variable of instances is made of it",
    "process_": "what each process has; dashboards for these are everywhere",
}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return made


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def named(texts: list[str]) -> set[str]:
    return {name for text in texts for name in re.findall(r"\b(?:vidsift|process)_\w+", text)}


def of_a_watch(folder: Path) -> dict[str, set[str]]:
    """The names of labels by metric."""
    metrics = RunMetrics("watch", Library(folder))
    metrics.tell(Annotated(annotator="shots", done=1, partial=0, failed=0, rows=1, video_seconds=1.0, seconds=1.0))
    return {sample.name: set(sample.labels) for family in metrics.registry.collect() for sample in family.samples}


def of_a_server(library: Path, cache: Path) -> dict[str, set[str]]:
    """Likewise, once it has answered."""
    with make_client(library, cache) as client:
        assert client.get("/api/sql", params={"query": "select 1 as one"}).status_code == 200
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def test_every_metric_that_it_names_is_exported_with_its_labels(
    dashboard: dict[str, Any], tmp_path: Path, whole_library: Path
) -> None:
    exported = of_a_watch(tmp_path) | of_a_server(whole_library, tmp_path / "cache")
    variables = [json.dumps(variable) for variable in dashboard["templating"]["list"]]
    guide = GUIDE.read_text(encoding="utf-8").replace("`vidsift_run_`", "")
    assert named([*expressions(dashboard), *variables, guide]) <= set(exported)
    for expression in expressions(dashboard):
        (name,) = named([expression])
        labels = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        labels |= set(re.findall(r"(\w+)=~?\"", expression)) - {"instance"}
        assert labels <= exported[name], expression


def test_every_metric_of_a_watch_is_shown(dashboard: dict[str, Any], tmp_path: Path) -> None:
    exported = set(of_a_watch(tmp_path))
    hidden = {name for name in exported - named(expressions(dashboard)) if not name.startswith(tuple(LEFT_OUT))}
    assert hidden == set()
    assert [name for name in LEFT_OUT if not any(other.startswith(name) for other in exported)] == []


def test_counters_are_shown_as_rates_and_latencies_as_quantiles(dashboard: dict[str, Any]) -> None:
    for expression in expressions(dashboard):
        assert expression.count("(") == expression.count(")")
        (name,) = named([expression])
        over_time = "[$__rate_interval]" in expression
        assert over_time == name.endswith(("_total", "_bucket")), expression
        assert ("histogram_quantile" in expression) == name.endswith("_bucket")
        assert 'instance=~"$instance"' in expression


def test_panels_do_not_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert dashboard["uid"] == "vidsift"
