"""Exponents are slopes of the logarithms; users written in bulk are those that the service would have written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from store_servers import connect

from loadtests.kit.processes import running_store
from loadtests.serving.growth import exponents
from loadtests.worlds.users import used_bytes, user_id, write_users
from model_store.bundle import Registry, open_bundle


def test_exponents_are_those_of_the_power_laws_behind_the_rows() -> None:
    rows = [{"items": n, "flat": 7.0, "linear": 3e-4 * n, "root": n**0.5} for n in (1e4, 1e5, 1e6)]
    assert exponents(rows, "items") == {"flat": 0, "linear": 1, "root": 0.5}


def test_a_single_size_has_no_exponent() -> None:
    assert exponents([{"items": 10, "ms": 1.0}], "items") == {}


@pytest.fixture(scope="module")
def redis():
    with running_store() as url:
        yield url


def test_users_in_bulk_are_read_by_the_service_with_a_state_of_the_live_bundle(redis: str, trained_store: Path) -> None:
    bundle = open_bundle(Registry(trained_store).live_folder())
    empty = used_bytes(redis)
    write_users(redis, bundle, 30, events=7)
    assert used_bytes(redis) > empty
    write_users(redis, bundle, 40, events=7, first=30, seed=1)
    records = asyncio.run(read(redis, [user_id(number) for number in (0, 29, 30, 39, 40)]))
    *there, absent = records
    assert absent.revision == 0
    for record in there:
        assert len(set(record.events.item_ids)) == 7
        assert all(item_id in bundle.catalogue for item_id in record.events.item_ids)
        assert record.state is not None
        assert record.state.bundle == bundle.version
        assert record.state.vector.shape == (bundle.manifest.shapes.state_dim,)


async def read(redis: str, user_ids: list[str]):
    store = connect(redis)
    try:
        return [await store.read(user) for user in user_ids]
    finally:
        await store.close()
