"""The driver of an ingest on a cluster, as a process: made-up models, everything else is real.

    python -m tests.helpers.cluster_driver ADDRESS FOLDER LIBRARY CLASSIFIER EMBEDDER [SECONDS]

Decoding each job takes SECONDS longer, and `BURNT_S` of the CPU; it begins with a line in LIBRARY.jobs that names the
machine, and waits while there is a LIBRARY.hold. Prints a line for each progress, and the report at the end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jobs.cluster  # before Ray, for which it sets what Ray reads at import
import jobs.ingest.make_job
from jobs.ingest.ingest import ingest
from jobs.ingest.pace import Pace
from schemas.errors import VidsiftError
from schemas.options import IngestOptions
from schemas.records import Clip, SpanDone, SpanJob
from tests.helpers.made_up_models import MadeUpModelsJob

BURNT_S = 0.03


class SlowJob(MadeUpModelsJob):
    """Decodes slowly."""

    slower_s = 0.0

    def decode(self, job: SpanJob) -> Iterator[Clip | SpanDone]:
        import ray

        with Path(f"{self.folder}.jobs").open("a", encoding="utf-8") as file:
            file.write(f"{ray.get_runtime_context().get_node_id()}\n")
        while Path(f"{self.folder}.hold").exists():
            time.sleep(0.05)
        until = time.thread_time() + BURNT_S
        while time.thread_time() < until:
            pass
        time.sleep(self.slower_s)
        return super().decode(job)


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(address: str, folder: str, library: str, classifier: str, embedder: str, slower_s: str = "0") -> None:
    """Ingest; an error of vidsift's is printed, and the exit code is 1."""
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder
    SlowJob.slower_s = float(slower_s)
    vars(jobs.ingest.make_job)["Job"] = SlowJob
    pace = Pace(rows_per_file=1, file_every_s=0.0, commit_every_s=0.2, wait_s=0.5, summary_timeout_s=2.0)
    try:
        report = ingest(
            folder,
            library,
            classifier=classifier,
            embedder=embedder,
            options=IngestOptions(address=address, batch_size=2),
            pace=pace,
            on_progress=lambda progress: _say(done=getattr(progress, "done_videos", 0)),
        )
    except VidsiftError as exc:
        _say(error=str(exc), kind=type(exc).__name__)
        raise SystemExit(1) from None
    _say(**report.as_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
