"""What a user may ask of what is held about them: to see it all, to have one event unlearned, to be erased."""

from __future__ import annotations

import asyncio
import secrets

import structlog

from service.core.history import event_key, forget
from service.core.ports import Model, UserStore
from service.core.values import VERSION_BITS, Held, UserRecord
from service.errors import NotHeld, UserBusy
from service.flows.feedback import adapted

log = structlog.get_logger()


class ForgetFlow:
    """Shows and forgets; what it has answered is as durable as feedback is."""

    def __init__(self, store: UserStore, *, deadline_s: float) -> None:
        """Take the user store, and how long unlearning may take to win against writers to the same user."""
        self._store, self._deadline_s = store, deadline_s

    async def show(self, user_id: str) -> Held:
        """All that is held about a user.

        Raises:
            NotHeld: nothing is.
            StoreUnavailable: the store did not answer.
            RecordDamaged: what is held cannot be read.
        """
        held = await self._store.held(user_id)
        if held.is_nothing:
            raise NotHeld("user_id: nothing is held about this user, expected one with feedback or a list of late")
        return held

    async def erase(self, user_id: str) -> tuple[str, ...]:
        """Erase a user; the names of what there was, none if nothing. Damaged data is erased as any.

        Raises:
            StoreUnavailable: the store did not confirm; send it again.
        """
        erased = await self._store.erase(user_id)
        log.info("user erased", erased=erased)
        return erased

    async def unlearn(self, user_id: str, event_id: str, model: Model) -> UserRecord:
        """Leave the user as if the event had never come, adapted anew; what is known of the user now.

        The last list served goes too, since it was made with the event.

        Raises:
            NotHeld: there is no such event, or it is beyond what is kept event by event.
            StoreUnavailable: the store did not confirm; send it again.
            RecordDamaged: what is held cannot be read, so nothing is written over it.
            UserBusy: writers to this user kept winning, or the store was slow, until the deadline.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                record = await self._unlearn(user_id, event_key(event_id), model)
        except TimeoutError as exc:
            raise UserBusy(
                f"event: not unlearned within {self._deadline_s:g} s, since others write to this user or the store is "
                "slow; send it again"
            ) from exc
        log.info("event unlearned")
        return record

    async def _unlearn(self, user_id: str, key: int, model: Model) -> UserRecord:
        """Read, replay without the event, adapt, and keep that unless somebody was faster; then once more."""
        while True:
            held = await self._store.held(user_id)
            revision = held.record.revision
            forgotten = forget(held.record, held.older, key, model.manifest.limits.max_support)
            if not revision:
                raise _not_held()
            if forgotten is None:
                # Written again before that is told: who unlearned it may still be waiting for the disk.
                if await self._store.replace(user_id, held.record, revision):
                    raise _not_held()
                continue
            record = (await adapted(forgotten.record, model)).begun(secrets.randbits(VERSION_BITS))
            if await self._store.rewrite(user_id, record, forgotten.older, expected_revision=revision):
                return record


def _not_held() -> NotHeld:
    return NotHeld("event_id: not held for this user, expected one of POST /feedback or GET /users/{user_id}")
