"""Ingests without Ray: the steps of a `Job` one after the other in this process, with real videos and real models.

For what does not depend on how work is distributed: which files have changed, the accounts, tables, snapshots. It takes a
tenth of the time, since no process is started and PyTorch is imported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

import jobs.ingest.ingest
from pipeline.sampling import chains_of
from schemas.records import Clip, ClipRow, JobFailed, Outcome, SpanDone, SpanJob, VideoFailed, VideoFile
from tests.helpers.stand_in_run import StandInRun


class InlineRun(StandInRun):
    """Runs the job's steps itself.

    Attributes:
        read: the files that were read, in order.
    """

    is_here = True
    read: list[VideoFile]

    def outcomes(
        self,
        files: Sequence[VideoFile],
        taken: frozenset[str] = frozenset(),
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome | None]:
        """What becomes of each video, one after the other: its clips' rows are written before it is said to be done."""
        job = replace(self.make_job(), taken=taken)
        annotate = job.load_annotators()
        for file in files:
            if is_time_up():
                return
            self.read.append(file)
            planned = job.plan(file)
            yield from (item for item in planned if isinstance(item, VideoFailed))
            for chain in chains_of([item for item in planned if isinstance(item, SpanJob)]):
                items = list(job.decode_chain(chain) if len(chain) > 1 else job.decode(chain[0]))
                yield from (item for item in items if isinstance(item, SpanDone))
                rows = annotate([item for item in items if isinstance(item, Clip)])
                yield from (row for row in rows if isinstance(row, JobFailed))
                if made := [row for row in rows if isinstance(row, ClipRow)]:
                    yield job.write(made)


def run_inline(patch: pytest.MonkeyPatch) -> type[InlineRun]:
    """Let ingests run in this process from here on."""

    class Run(InlineRun):
        pass

    Run.read = []
    patch.setattr(jobs.ingest.ingest, "RaySession", Run)
    return Run
