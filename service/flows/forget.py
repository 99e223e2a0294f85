"""The rights of a user over their data: see it all, forget one event, erase everything."""

from __future__ import annotations

import asyncio
import secrets

import structlog

from service.catalogue.snapshot import Snapshot
from service.core.history import event_digest, forget
from service.core.ports import UserStore
from service.core.values import VERSION_BITS, StoredUser, UserRecord
from service.errors import NotStored, UserBusy
from service.flows.adapt import adapt_record

log = structlog.get_logger()


class ForgetFlow:
    """Shows, forgets and erases; an answered deletion is as durable as feedback."""

    def __init__(self, store: UserStore, *, deadline_s: float) -> None:
        """Take the user store, and the time limit of :meth:`unlearn` in seconds."""
        self._store, self._deadline_s = store, deadline_s

    async def show(self, user_id: str) -> StoredUser:
        """All data stored about a user.

        Raises:
            NotStored: nothing is stored.
            StoreUnavailable: the store did not answer.
            RecordDamaged: the data cannot be decoded.
        """
        user = await self._store.read_all(user_id)
        if user.is_empty:
            raise NotStored("user_id: no data of this user, expected a user with feedback or a recent list")
        return user

    async def erase(self, user_id: str) -> tuple[str, ...]:
        """Erase a user, damaged data included; return the names of the parts that existed.

        Raises:
            StoreUnavailable: the store did not confirm; resend the request.
        """
        erased = await self._store.erase(user_id)
        log.info("user erased", erased=erased)
        return erased

    async def unlearn(self, user_id: str, event_id: str, snapshot: Snapshot) -> UserRecord:
        """Rebuild the user's record as if the event had never arrived, adapt again, and return the new record.

        The last list served is deleted too, because it was made with the event.

        Raises:
            NotStored: no stored event has this id; events beyond the archive's limit are no longer stored one by one.
            StoreUnavailable: the store did not confirm; resend the request.
            RecordDamaged: the data cannot be decoded, and is left as it is.
            UserBusy: other writers to this user kept winning, or the store was slow, until the deadline.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                record = await self._unlearn(user_id, event_digest(event_id), snapshot)
        except TimeoutError as exc:
            raise UserBusy(
                f"event: not forgotten within {self._deadline_s:g} s, because other requests write to this user or the "
                "store is slow; resend the request"
            ) from exc
        log.info("event unlearned")
        return record

    async def _unlearn(self, user_id: str, digest: int, snapshot: Snapshot) -> UserRecord:
        """Read, replay without the event, adapt and store; start over if another writer was faster."""
        while True:
            user = await self._store.read_all(user_id)
            revision = user.record.revision
            forgotten = forget(user.record, user.archive, digest, snapshot.max_support)
            if not revision:
                raise _no_such_event()
            if forgotten is None:
                # Written again before the answer: the write that forgot the event may not be on disk yet.
                if await self._store.replace(user_id, user.record, revision):
                    raise _no_such_event()
                continue
            record = (await adapt_record(forgotten.record, snapshot)).with_lineage(secrets.randbits(VERSION_BITS))
            if await self._store.rewrite(user_id, record, forgotten.archive, expected_revision=revision):
                return record


def _no_such_event() -> NotStored:
    return NotStored("event_id: no such event of this user, expected an id from POST /feedback or GET /users/{user_id}")
