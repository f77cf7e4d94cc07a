"""The writer's lease: an object that one writer holds at a time, and that a writer which has died loses.

A lease is taken and renewed by conditional puts, so that of two writers one is refused. How old it is goes by the store's
clock and this machine's: a machine whose clock is minutes ahead may take a lease that is still held. Nothing is lost then.
The holder's next renewal finds another's object, and so does everything that it puts on conditions.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from index.object_store.store import ChangedError, Read, Store, StoreUnavailableError
from schemas.errors import LibraryError, LockedError

NAME = "ingest.lease"
"""The object's name in a library."""

LEASE_S = 60.0
"""Seconds without a renewal after which another writer may take the lease."""

_RENEW_S = LEASE_S / 4

# Seconds by which clocks differ at any rate.
_CLOCK_S = 5.0


class Lease:
    """The lease of one library, held by at most one process of all machines."""

    def __init__(self, store: Store, url: str) -> None:
        """Nothing is asked of the store yet."""
        self._store, self._url = store, url
        self._etag: str | None = None
        self._lost: LibraryError | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._putting = threading.Lock()

    def take(self, holder: str) -> None:
        """Take the lease for ``holder``, a text that others are shown, and renew it until `release`.

        Raises:
            LockedError: another writer holds it.
            LibraryError: the store cannot be written, or does not honour conditions.
        """
        self._holder = holder
        found = self._store.read(NAME)
        try:
            if found is None:
                self._etag = self._store.put_new(NAME, self._content())
                self._check_conditions()
            else:
                self._refuse_if_held(found)
                self._etag = self._store.put_over(NAME, self._content(), found.etag)
        except ChangedError as exc:
            raise LockedError(
                f"{self._url} is being written by another ingest, which was faster; wait for it to end"
            ) from exc
        self._lost = None
        self._ended.clear()
        self._thread = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)
        self._thread.start()

    def _refuse_if_held(self, found: Read) -> None:
        """Raise where a writer holds the lease. Where this machine's clock is behind, that is found out by waiting.

        Raises:
            LockedError: one does.
        """
        other = _holder(found.content)
        age_s = (datetime.now(UTC) - found.modified_at).total_seconds()
        until = time.monotonic() + LEASE_S
        while other and age_s < -_CLOCK_S and time.monotonic() < until:
            time.sleep(min(_CLOCK_S, LEASE_S))
            if self._store.etag(NAME) != found.etag:
                age_s = 0.0
        if other and -_CLOCK_S <= age_s < LEASE_S:
            raise LockedError(
                f"{self._url} is being written by another ingest ({other}; it said so {max(age_s, 0):.0f} s ago); "
                f"wait for it to end, or stop it; if it has died, the library is free after {LEASE_S:.0f} s"
            )

    def check(self) -> None:
        """See that the lease is still held.

        Raises:
            LibraryError: another writer has taken it.
        """
        if self._lost is not None:
            raise self._lost

    def confirm(self) -> None:
        """See that the lease is still held by renewing it.

        Raises:
            LibraryError: another writer has taken it, or the store cannot be asked.
        """
        self.check()
        try:
            self._renew()
        except ChangedError as exc:
            self._lost = self._lost_to("another writer has taken it")
            raise self._lost from exc

    def _renew(self) -> None:
        with self._putting:
            assert self._etag is not None, "taken"
            self._etag = self._store.put_over(NAME, self._content(), self._etag)

    def _lost_to(self, why: str) -> LibraryError:
        return LibraryError(
            f"the lease of {self._url} was lost ({why}), after this process could not renew it for a while; "
            "what was committed before is kept: run the same command again to go on"
        )

    def release(self) -> None:
        """Let others in. A store that cannot be reached lets them in when the lease has run out."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._lost is None and self._etag is not None:
                self._store.put_over(NAME, b"{}\n", self._etag)
        except LibraryError:
            pass  # somebody else holds it, or it runs out
        self._etag = self._thread = None

    def _content(self) -> bytes:
        """A content that no other has, so that an answer that was lost can be told from somebody else's lease."""
        return (json.dumps({"holder": self._holder, "token": uuid.uuid4().hex}) + "\n").encode()

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(_RENEW_S):
            try:
                self._renew()
            except StoreUnavailableError:
                continue  # whoever takes the lease meanwhile changes its ETag
            except ChangedError:
                self._lost = self._lost_to("another writer has taken it")
                return
            except Exception as exc:  # noqa: BLE001 - a lease that nobody renews is lost, whatever the reason
                self._lost = self._lost_to((str(exc) or type(exc).__name__).splitlines()[0])
                return

    def _check_conditions(self) -> None:
        """See that the store refuses to put an object that must be new where there is one.

        Raises:
            LibraryError: it does not refuse.
        """
        assert self._etag is not None, "taken"
        first = self._etag
        self._etag = self._store.put_over(NAME, self._content(), first)
        if self._is_refused(partial(self._store.put_new, NAME)) and self._is_refused(
            lambda content: self._store.put_over(NAME, content, first)
        ):
            return
        self._store.delete([NAME])
        self._etag = None  # or the release would put it again, and the next writer would take the store for checked
        raise LibraryError(
            f"the store of {self._url} does not honour conditions (If-None-Match and If-Match), without which two "
            "writers could destroy each other's work; use one that does: Amazon S3, Google, Azure, a recent MinIO"
        )

    def _is_refused(self, put: Callable[[bytes], object]) -> bool:
        """Whether a put is refused, as it should be."""
        try:
            put(self._content())
        except ChangedError:
            return True
        return False


def this_process() -> str:
    """This process, as other machines know it."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def _holder(text: bytes) -> str:
    """Who holds the lease with this content; empty where it was released."""
    try:
        content = json.loads(text)
        return "".join(char for char in str(content.get("holder", "")) if char.isprintable())[:200]
    except (ValueError, AttributeError):
        return "unknown"
