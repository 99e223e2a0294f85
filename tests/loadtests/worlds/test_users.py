"""Users written in bulk are records that the service reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from store_servers import connect

from loadtests.kit.processes import running_user_store
from loadtests.worlds.users import used_bytes, user_id, write_users
from model_store.bundle import Registry, open_bundle


@pytest.fixture(scope="module")
def redis():
    with running_user_store() as url:
        yield url


def test_users_in_bulk_are_read_by_the_service_with_a_state_of_the_live_bundle(redis: str, trained_store: Path) -> None:
    bundle = open_bundle(Registry(trained_store).live_folder())
    empty = used_bytes(redis)
    write_users(redis, bundle, 30, events=7)
    assert used_bytes(redis) > empty
    write_users(redis, bundle, 40, events=7, first=30, seed=1)
    records = asyncio.run(read(redis, [user_id(number) for number in (0, 29, 30, 39, 40)]))
    *written, absent = records
    assert absent.revision == 0
    for record in written:
        assert len(set(record.events.item_ids)) == 7
        assert all(item_id in bundle.catalogue for item_id in record.events.item_ids)
        assert record.state is not None
        assert record.state.bundle == bundle.version
        assert record.state.vector.shape == (bundle.manifest.shapes.state_dim,)


async def read(redis: str, user_ids: list[str]):
    store = connect(redis)
    try:
        return [await store.read(user_id) for user_id in user_ids]
    finally:
        await store.close()
