from __future__ import annotations

import asyncio

import pytest
from store_servers import DEADLINE_S

from service.stores.redis.connection import StoreAddress
from service.stores.redis.pipeline import PipelinedConnections


@pytest.mark.anyio
async def test_connections_held_ready_leave_one_to_the_other_users_of_the_pool(embedded_url: str) -> None:
    pool = StoreAddress(embedded_url).pool(2)
    connections = PipelinedConnections(pool)
    batches = asyncio.gather(*(connections.send([("ECHO", str(number))]) for number in range(6)))
    assert await asyncio.wait_for(batches, DEADLINE_S) == [[str(number).encode()] for number in range(6)]
    await asyncio.wait_for(pool.get_connection(), DEADLINE_S)
    await pool.aclose()
