"""How often a run writes, commits and shows what it has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a run writes, commits and shows its work. The defaults suit every machine; tests take shorter ones.

    Attributes:
        rows_per_file: the fewest clips per Parquet file: few enough that finished videos are committed soon, enough that
            there are not too many files.
        max_rows_per_file: the most, which a cluster comes to.
        file_every_s: seconds between two files of fewer clips than that.
        write_after_s: seconds after which clips are written however few there are: what is not written is lost with the run.
        commit_every_s: seconds between two commits of finished videos.
        show_every_s: seconds between two calls of ``on_progress``.
        wait_s: seconds without a finished task after which the scheduler lets its caller commit what there is.
        summary_timeout_s: seconds that the workers of an interrupted run have to answer what they did.
    """

    rows_per_file: int = 128
    max_rows_per_file: int = 4096
    file_every_s: float = 1.0
    write_after_s: float = 20.0
    commit_every_s: float = 10.0
    show_every_s: float = 1.0
    wait_s: float = 5.0
    summary_timeout_s: float = 10.0
