"""The writer's lease: an object that one writer holds at a time, and that a writer which has died loses.

A lease is taken and renewed by conditional puts, so that of two writers one is refused. How old it is goes by the store's
clock and this machine's: a machine whose clock is minutes ahead may take a lease that is still held. Nothing is lost then.
The holder's next renewal finds another's object, and so does everything that it puts on conditions.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from datetime import UTC, datetime

from index.object_store.store import ChangedError, Store, StoreUnavailableError
from schemas.errors import LibraryError, LockedError

NAME = "ingest.lease"
"""The object's name in a library."""

LEASE_S = 60.0
"""Seconds without a renewal after which another writer may take the lease."""

_RENEW_S = LEASE_S / 4


class Lease:
    """The lease of one library, held by at most one process of all machines."""

    def __init__(self, store: Store, url: str) -> None:
        """Nothing is asked of the store yet."""
        self._store, self._url = store, url
        self._etag: str | None = None
        self._lost: LibraryError | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

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
                age_s = (datetime.now(UTC) - found.modified_at).total_seconds()
                if (other := _holder(found.content)) and age_s < LEASE_S:
                    raise LockedError(
                        f"{self._url} is being written by another ingest ({other}; it said so {max(age_s, 0):.0f} s ago); "
                        f"wait for it to end, or stop it; if it has died, the library is free after {LEASE_S:.0f} s"
                    )
                self._etag = self._store.put_over(NAME, self._content(), found.etag)
        except ChangedError as exc:
            raise LockedError(
                f"{self._url} is being written by another ingest, which was faster; wait for it to end"
            ) from exc
        self._lost = None
        self._ended.clear()
        self._thread = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """See that the lease is still held.

        Raises:
            LibraryError: another writer has taken it.
        """
        if self._lost is not None:
            raise self._lost

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
                assert self._etag is not None, "taken"
                self._etag = self._store.put_over(NAME, self._content(), self._etag)
            except StoreUnavailableError:
                continue  # whoever takes the lease meanwhile changes its ETag
            except LibraryError as exc:
                taken = isinstance(exc, ChangedError)
                why = "another writer has taken it" if taken else exc.message
                self._lost = LibraryError(
                    f"the lease of {self._url} was lost ({why}), after this process could not renew it for a while; "
                    "what was committed before is kept: run the same command again to go on"
                )
                return

    def _check_conditions(self) -> None:
        """See that the store refuses to put an object that must be new where there is one.

        Raises:
            LibraryError: it does not refuse.
        """
        try:
            self._store.put_new(NAME, self._content())
        except ChangedError:
            return
        self._store.delete([NAME])
        raise LibraryError(
            f"the store of {self._url} does not honour conditions (If-None-Match), without which two writers could destroy "
            "each other's work; use a store that does, such as Amazon S3, Google Cloud Storage, Azure or a recent MinIO"
        )


def this_process() -> str:
    """This process, as other machines know it."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def _holder(text: bytes) -> str:
    """Who holds the lease with this content; empty where it was released."""
    try:
        content = json.loads(text)
        return str(content.get("holder", ""))
    except (ValueError, AttributeError):
        return "unknown"
