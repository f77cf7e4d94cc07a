"""A library's folder: what is where, which models made it, and which snapshot readers open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Library:
    """Paths within a library. Making one of these touches nothing."""

    folder: Path

    @property
    def _absolute(self) -> Path:
        """The folder by a path that Delta Lake and DuckDB take for nothing else: to them a ~ at its start is the home."""
        return self.folder.absolute()

    @property
    def config_file(self) -> Path:
        """library.json: what every clip in it has in common."""
        return self.folder / "library.json"

    @property
    def videos(self) -> Path:
        """The Delta table of videos."""
        return self._absolute / "videos"

    @property
    def clips(self) -> Path:
        """The Delta table of clips."""
        return self._absolute / "clips"

    @property
    def features(self) -> Path:
        """The Delta table of what exact scores need; not there in a library that keeps none."""
        return self._absolute / "features"

    def annotator_table(self, name: str) -> Path:
        """The Delta table that an annotator has for itself."""
        return self._absolute / name

    @property
    def tags(self) -> Path:
        """The Delta table of the library's own labels."""
        return self._absolute / "tags"

    @property
    def tags_file(self) -> Path:
        """tags.json: what the names in ``tags`` mean."""
        return self.folder / "tags.json"

    @property
    def snapshots(self) -> Path:
        """The folder of snapshots, one numbered folder each."""
        return self._absolute / "snapshots"

    @property
    def current_file(self) -> Path:
        """Names the snapshot that readers open."""
        return self.folder / "CURRENT"

    @property
    def lock_file(self) -> Path:
        """Held by the one ingest that may write."""
        return self.folder / "ingest.lock"
