"""Looks for what alerts want in what is new, and tells their receivers.

What is found is entered into alerts.sqlite together with how far was looked, so that nothing is looked for twice and nothing
is lost; then it is sent, and noted as delivered. A process that dies between these two sends it again, under the same id.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from index.search.searcher import Searcher
from index.search.text_encoder import find_embedder
from index.snapshot.snapshot import Snapshot
from index.storage.config import existing_library_config, read_library_config
from index.storage.paths import Library
from index.storage.working_copies import bring, put
from jobs.run_events import NotificationFailed, NotificationSent, OnEvent, sentences
from jobs.watch.alert_rules import AlertRule
from jobs.watch.alert_state import AlertState, Message
from pipeline.models.base import Embedder
from schemas.errors import VidsiftError
from schemas.search import SearchOptions
from schemas.text import json_text

# Seconds: to connect, for an answer; for a command.
_CONNECT_S, _ANSWER_S, _COMMAND_S = 5.0, 15.0, 60.0

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 15.0, 600.0

_FOUND = """
select f.clip_id, f.video_id, f.path, f.start_s, f.end_s, f.score, epoch_us(v.ingested_at) as indexed_us
from {table} f join videos v using (video_id)
where f.{column} = $wanted and f.score >= $above and epoch_us(v.ingested_at) > $since_us
order by f.path, f.start_s
"""
_NEW = """
select video_id, epoch_us(ingested_at) as indexed_us, clip_count from videos where epoch_us(ingested_at) > $since_us
"""


class Alerts:
    """The alerts of one library."""

    def __init__(
        self,
        rules: Sequence[AlertRule],
        folder: Path,
        say: Callable[[str], None],
        *,
        embedder: str | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            rules: what is looked for.
            folder: the library's; there may be nothing in it yet.
            say: told what a user should know.
            embedder: where the library's embedder is now, if not where it was at ingest.
            on_event: told of each message that was sent or could not be; None says the latter.
        """
        self._rules, self._library, self._say = rules, Library(folder), say
        self._on_event = on_event or sentences(say)
        self._state = AlertState(self._library.alerts_file)
        self._failures = 0

        @cache  # loaded at the first text, and kept
        def load() -> Embedder:
            return find_embedder(existing_library_config(self._library), embedder)

        self._load = load

    def begin(self) -> None:
        """Let rules that are new look from now on: what the library has already is no news.

        Raises:
            LibraryError: the state, or the library, cannot be read.
        """
        bring(self._library.alerts_file)
        if read_library_config(self._library) is None or not self._library.current_file.exists():
            return  # the first round will find everything to be new
        until_us = _newest_us(Snapshot(self._library))
        for rule in self._rules:
            if self._state.looked_until(rule.name) is None:
                self._state.enter(rule.name, until_us)
        put(self._library.alerts_file)

    def look_and_tell(self) -> float:
        """Look at what is new, and send what is found and what could not be sent before.

        Returns:
            Seconds until it should be called again, where something could not be sent; else infinity.
        """
        try:
            bring(self._library.alerts_file)
            if self._library.current_file.exists():
                self._look()
            put(self._library.alerts_file)  # before anything is sent: what is found there is told under the same id
            problems = [(rule, problem) for rule in self._rules if (problem := self._tell(rule)) is not None]
            put(self._library.alerts_file)
        except (VidsiftError, OSError) as exc:
            pause_s = self._next_pause_s()
            self._say(f"{exc}; it is tried again in {pause_s:.0f} s")
            return pause_s
        if not problems:
            self._failures = 0
            return math.inf
        pause_s = self._next_pause_s()
        for rule, problem in problems:
            self._on_event(NotificationFailed(alert=rule.name, receiver=rule.receiver, error=problem, again_seconds=pause_s))
        return pause_s

    def _next_pause_s(self) -> float:
        """Seconds until what could not be sent is tried again: longer after each time."""
        pause_s: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return pause_s

    def _look(self) -> None:
        """Enter what each rule finds in what was indexed since it looked last."""
        snapshot = Snapshot(self._library)
        until_us = _newest_us(snapshot)
        searcher: Searcher | None = None
        for rule in self._rules:
            since_us = self._state.looked_until(rule.name)
            since_us = -1 if since_us is None else since_us
            if since_us >= until_us:
                continue
            if rule.kind == "text":
                searcher = searcher or Searcher(self._library.folder, load=self._load, say=self._say)
                found = _found_by_text(searcher, rule, since_us)
            else:
                found = _found_by_name(snapshot, rule, since_us)
            told = self._state.told(rule.name, [clip["clip_id"] for clip in found])
            new = [clip for clip in found if clip["clip_id"] not in told]
            self._state.enter(rule.name, until_us, [self._message(rule, run) for run in _neighbours(new)])

    def _message(self, rule: AlertRule, clips: Sequence[dict[str, Any]]) -> Message:
        """The message that tells of clips that follow each other."""
        best = max(clips, key=lambda clip: clip["score"])
        message_id = blake2b(f"{rule.name}\0{clips[0]['clip_id']}".encode(), digest_size=8).hexdigest()
        body = {
            "id": message_id,
            "alert": rule.name,
            rule.kind: rule.wanted,
            "score": round(best["score"], 4),
            "path": best["path"],
            "video_id": best["video_id"],
            "clip_id": best["clip_id"],
            "start_s": clips[0]["start_s"],
            "end_s": max(clip["end_s"] for clip in clips),
            "indexed_at": datetime.fromtimestamp(best["indexed_us"] // 1_000_000, UTC).isoformat(),
            "library": self._library.address,
        }
        return Message(message_id, rule.name, tuple(clip["clip_id"] for clip in clips), json_text(body))

    def _tell(self, rule: AlertRule) -> str | None:
        """Send a rule's messages; why one could not be sent, at which this ends, or None."""
        for message_id, body in self._state.undelivered(rule.name):
            problem = _post(rule.url, body) if rule.url is not None else _run(rule.command, body)
            if problem is not None:
                return problem
            self._state.delivered(message_id)
            self._on_event(NotificationSent(alert=rule.name, receiver=rule.receiver, message_id=message_id))
        return None


def _newest_us(snapshot: Snapshot) -> int:
    """When the last of a snapshot's videos was indexed, in microseconds since 1970."""
    (row,) = snapshot.catalog.sql("select coalesce(max(epoch_us(ingested_at)), 0) as us from videos").to_pylist()
    return int(row["us"])


def _found_by_name(snapshot: Snapshot, rule: AlertRule, since_us: int) -> list[dict[str, Any]]:
    """New clips with a label or a tag."""
    table, column = ("labels", "label") if rule.kind == "label" else ("tags", "tag")
    values = {"wanted": rule.wanted, "above": rule.above, "since_us": since_us}
    found: list[dict[str, Any]] = snapshot.catalog.sql(_FOUND.format(table=table, column=column), values).to_pylist()
    return found


def _found_by_text(searcher: Searcher, rule: AlertRule, since_us: int) -> list[dict[str, Any]]:
    """New clips that a search in pictures is sure enough of."""
    videos = searcher.snapshot.catalog.sql(_NEW, {"since_us": since_us}).to_pylist()
    num_clips = sum(video["clip_count"] for video in videos)
    if not num_clips:
        return []
    where = f"epoch_us(ingested_at) > {since_us}"
    options = SearchOptions(texts=(rule.wanted,), where=where, by="clip", k=num_clips, show_all=True, channels=("pictures",))
    indexed_us = {video["video_id"]: video["indexed_us"] for video in videos}
    names = ("clip_id", "video_id", "path", "start_s", "end_s")
    found = [
        {**{name: getattr(clip, name) for name in names}, "score": clip.confidence, "indexed_us": indexed_us[clip.video_id]}
        for clip in searcher.search(options).moments
        if clip.confidence >= rule.above
    ]
    return sorted(found, key=lambda clip: (clip["path"], clip["start_s"]))


def _neighbours(clips: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Clips of one video that touch or overlap, together; ``clips`` come by path and start."""
    run: list[dict[str, Any]] = []
    for clip in clips:
        if run and (clip["video_id"] != run[-1]["video_id"] or clip["start_s"] > run[-1]["end_s"] + 1e-6):
            yield run
            run = []
        run.append(clip)
    if run:
        yield run


def _post(url: str, body: str) -> str | None:
    """Post a message; what is wrong, or None."""
    import requests

    try:
        answer = requests.post(
            url,
            data=body.encode(),
            headers={"Content-Type": "application/json", "User-Agent": "vidsift"},
            timeout=(_CONNECT_S, _ANSWER_S),
            allow_redirects=False,
            stream=True,  # its body is nobody's concern, however long it is
        )
        answer.close()
    except requests.RequestException as exc:
        return f"does not answer ({type(exc).__name__})"  # whose text has the URL
    return None if 200 <= answer.status_code < 300 else f"answers with status {answer.status_code}"


def _run(command: Sequence[str], body: str) -> str | None:
    """Give a message to a command; what is wrong, or None."""
    try:
        done = subprocess.run(
            command, input=f"{body}\n".encode(), stdout=subprocess.DEVNULL, timeout=_COMMAND_S, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"takes longer than {_COMMAND_S:.0f} s"
    except OSError as exc:
        return f"cannot be run ({exc.strerror})"
    return None if done.returncode == 0 else f"ends with the exit code {done.returncode}"
