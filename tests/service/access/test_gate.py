"""The gate: one slow check per key, a limited cost of attacks, and a keys file that is followed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from service.access import gate
from service.access.gate import Gate
from service.access.keyring import Key, Keyring, Scope, write_keyring
from service.errors import KeyChecksBusy, KeyRefused, SettingInvalid

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Check:
    """The slow check, recorded; it can be blocked."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.may_continue = threading.Event()
        self.may_continue.set()

    def __call__(self, key: Key, secret: bytes) -> bool:
        self.checked.append(key.id)
        assert self.may_continue.wait(10)
        return key.is_opened_by(secret)


class Locked:
    """A gate with keys ``ann`` and ``bob``, a clock that is set by hand, and a recorded check."""

    def __init__(self, path: Path) -> None:
        self.path, self.check, self.now_s = path, Check(), 0.0
        self.keyring, self.ann = Keyring().with_new([Scope.READ], "ann", NOW)
        self.keyring, self.bob = self.keyring.with_new([Scope.ADMIN], "bob", NOW)
        write_keyring(path, self.keyring)
        self.gate = Gate(path, check=self.check, clock=lambda: self.now_s)

    def write(self, keyring: Keyring) -> None:
        """Change the file, and advance the clock until the gate reads it."""
        write_keyring(self.path, keyring)
        self.now_s += gate.RELOAD_EVERY_S

    async def admit(self, text: str) -> str:
        return (await self.gate.admit(text.encode())).name

    async def outcomes(self, texts: Iterable[str]) -> list[object]:
        return await asyncio.gather(*map(self.admit, texts), return_exceptions=True)


@pytest.fixture
def locked(tmp_path: Path) -> Locked:
    return Locked(tmp_path / "keys.json")


def wrong(text: str, number: int = 0) -> str:
    """The id of a key with a wrong secret."""
    return f"{text[:-4]}{number:04d}"


async def test_a_key_is_checked_slowly_once(locked: Locked) -> None:
    assert [await locked.admit(locked.ann) for _ in range(3)] == ["ann"] * 3
    assert len(locked.check.checked) == 1


async def test_all_first_requests_with_a_key_wait_for_one_check(locked: Locked) -> None:
    assert await locked.outcomes([locked.ann] * 50) == ["ann"] * 50
    assert len(locked.check.checked) == 1


async def test_a_cancelled_request_does_not_cancel_the_check_for_other_requests(locked: Locked) -> None:
    locked.check.may_continue.clear()
    first, second = (asyncio.create_task(locked.admit(locked.ann)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    locked.check.may_continue.set()
    assert await second == "ann"
    assert len(locked.check.checked) == 1


@pytest.mark.parametrize("text", ["", "kshot_", "kshot_000000000000_" + "x" * 43, "\x00\xff"])
async def test_a_text_that_is_not_a_key_is_refused_without_a_slow_check(locked: Locked, text: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        await locked.admit(text)
    assert (refused.value.error, locked.check.checked) == ("invalid_token", [])
    assert not text or text not in str(refused.value)


async def test_a_wrong_secret_is_refused_and_the_same_one_is_not_checked_again(locked: Locked) -> None:
    for _ in range(3):
        with pytest.raises(KeyRefused):
            await locked.admit(wrong(locked.ann))
    assert len(locked.check.checked) == 1


async def test_few_wrong_secrets_per_key_are_checked_at_a_time_and_other_keys_are_not_affected(locked: Locked) -> None:
    assert await locked.admit(locked.ann) == "ann"
    locked.check.may_continue.clear()
    attack = [asyncio.create_task(locked.admit(wrong(locked.ann, number))) for number in range(100)]
    await asyncio.sleep(0)
    assert await locked.admit(locked.ann) == "ann"
    bob = asyncio.create_task(locked.admit(locked.bob))
    locked.check.may_continue.set()
    assert await bob == "bob"
    outcomes = [type(outcome) for outcome in await asyncio.gather(*attack, return_exceptions=True)]
    assert outcomes.count(KeyRefused) == gate.MAX_CHECKS_PER_ID
    assert outcomes.count(KeyChecksBusy) == 100 - gate.MAX_CHECKS_PER_ID


async def test_a_wrong_secret_blocks_its_slot_for_a_while(locked: Locked) -> None:
    await locked.outcomes(wrong(locked.ann, number) for number in range(gate.MAX_CHECKS_PER_ID))
    with pytest.raises(KeyChecksBusy):
        await locked.admit(locked.ann)
    async with asyncio.timeout(10):
        while await locked.outcomes([locked.ann]) != ["ann"]:  # noqa: ASYNC110 - time has to pass
            await asyncio.sleep(0.01)


async def test_a_revoked_key_is_refused_and_valid_keys_are_not_checked_again(locked: Locked) -> None:
    assert await locked.outcomes([locked.ann, locked.bob]) == ["ann", "bob"]
    locked.write(locked.keyring.without(locked.keyring.keys[0].id))
    with pytest.raises(KeyRefused):
        await locked.admit(locked.ann)
    assert await locked.admit(locked.bob) == "bob"
    assert len(locked.check.checked) == 2


async def test_a_key_revoked_while_it_is_checked_is_refused(locked: Locked) -> None:
    locked.check.may_continue.clear()
    checking = asyncio.create_task(locked.admit(locked.ann))
    await asyncio.sleep(0)
    locked.write(locked.keyring.without(locked.keyring.keys[0].id))
    with pytest.raises(KeyRefused):
        await locked.admit("any text, to make the gate read its file")
    locked.check.may_continue.set()
    with pytest.raises(KeyRefused):
        await checking


async def test_a_new_key_is_admitted(locked: Locked) -> None:
    keyring, eve = locked.keyring.with_new([Scope.READ], "eve", NOW)
    locked.write(keyring)
    assert await locked.admit(eve) == "eve"


@pytest.mark.parametrize("damage", ["gone", "damaged"])
async def test_a_file_that_becomes_unreadable_changes_nothing_and_is_logged_once(locked: Locked, damage: str) -> None:
    if damage == "gone":
        locked.path.unlink()
    else:
        locked.path.write_text('{"version": 1, "keys": [')
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            locked.now_s += gate.RELOAD_EVERY_S
            assert await locked.admit(locked.ann) == "ann"
    assert [line["event"] for line in logged] == ["keys file refused"]


def test_a_file_without_keys_is_refused_at_the_start(tmp_path: Path) -> None:
    write_keyring(tmp_path / "keys.json", Keyring())
    with pytest.raises(SettingInvalid, match="holds no key, expected at least one; make it with: kshot keys new"):
        Gate(tmp_path / "keys.json")
