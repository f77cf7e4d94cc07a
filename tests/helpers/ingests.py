"""Ingests of one folder into one library, each checked for what holds of every ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.report import IngestReport
from tests.helpers.library_builder import sql


class Ingest:
    """Ingests of one folder into one library."""

    def __init__(self, folder: Path, library: Path, classifier: Path, embedder: Path) -> None:
        self.folder, self.library = folder, library
        self.models: dict[str, Any] = {"classifier": str(classifier), "embedder": str(embedder)}

    def __call__(self, **options: Any) -> IngestReport:
        report = ingest([self.folder], self.library, **self.models, **options)
        counts = report.as_json()
        parts = ("indexed", "partial", "failed", "unchanged", "moved")
        assert counts["found"] == sum(counts[name] for name in parts), "every file is counted once"  # type: ignore[misc]
        if options.get("features") != "none":
            clips = Snapshot(Library(self.library)).clips()
            assert clips.have_features(), "every clip has features"
            assert sorted(clips.ids().tolist()) == sorted(row["clip_id"] for row in self.sql("select clip_id from clips"))
        return report

    def sql(self, query: str) -> list[dict[str, Any]]:
        return sql(self.library, query)


def counts(report: IngestReport) -> dict[str, int]:
    """The counts that are not zero."""
    names = ("indexed", "partial", "failed", "unchanged", "moved", "removed", "clips")
    return {name: getattr(report, name) for name in names if getattr(report, name)}
