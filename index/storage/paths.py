"""The paths of the files and folders in a library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from index.storage.working_copies import copy_of

KEPT_SNAPSHOTS = 3
"""Snapshots whose files are kept, so that readers of an older one can finish."""


@dataclass(frozen=True, slots=True)
class Library:
    """The paths in a library. Making one reads and writes nothing."""

    folder: Path

    @property
    def shown(self) -> str:
        """The library as its users call it: its folder, or its address in an object store."""
        copy = copy_of(self.folder)
        return str(self.folder) if copy is None else copy.url

    @property
    def address(self) -> str:
        """The same, as it is called from any folder."""
        copy = copy_of(self.folder)
        return str(self.folder.absolute()) if copy is None else copy.url

    @property
    def _absolute(self) -> Path:
        """The folder's absolute path: Delta Lake and DuckDB read a ~ at the start of a path as the home folder."""
        return self.folder.absolute()

    @property
    def config_file(self) -> Path:
        """library.json: the models and the sampling that all clips have in common."""
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
        """The Delta table of rerank features; does not exist in a library that keeps none."""
        return self._absolute / "features"

    def annotator_table(self, name: str) -> Path:
        """The Delta table that an annotator has for itself."""
        return self._absolute / name

    @property
    def annotations(self) -> Path:
        """The Delta table of which annotator has read which video; does not exist in a library without channels."""
        return self._absolute / "annotations"

    def channel(self, table: str) -> Path:
        """The Delta table of a channel (`schemas.channels.CHANNELS`)."""
        return self.table(table)

    def table(self, name: str) -> Path:
        """The Delta table of this name."""
        return self._absolute / name

    @property
    def duplicates(self) -> Path:
        """The Delta table of footage that several videos share; does not exist before it was looked for."""
        return self._absolute / "duplicates"

    @property
    def tags(self) -> Path:
        """The Delta table of the clips' scores for the library's tags."""
        return self._absolute / "tags"

    @property
    def tags_file(self) -> Path:
        """tags.json: the definitions of the library's tags."""
        return self.folder / "tags.json"

    @property
    def snapshots(self) -> Path:
        """The folder of snapshots, one numbered folder each."""
        return self._absolute / "snapshots"

    @property
    def segments(self) -> Path:
        """The folder of segments, which snapshots are made of."""
        return self._absolute / "segments"

    @property
    def records(self) -> Path:
        """The folder of the files of records for rerank scores, which segments refer to."""
        return self._absolute / "records"

    @property
    def channel_parts(self) -> Path:
        """The folder of parts of channels, which snapshots are made of beside segments."""
        return self._absolute / "channel_parts"

    @property
    def current_file(self) -> Path:
        """CURRENT: the number of the snapshot that readers open."""
        return self.folder / "CURRENT"

    @property
    def progress_file(self) -> Path:
        """ingest.progress.json: how far a running ingest is."""
        return self.folder / "ingest.progress.json"

    @property
    def alerts_file(self) -> Path:
        """alerts.sqlite: what alerts have found, and what of it has been told."""
        return self.folder / "alerts.sqlite"

    @property
    def lock_file(self) -> Path:
        """ingest.lock: locked by the process that writes, or shared by those that keep writers away."""
        return self.folder / "ingest.lock"
