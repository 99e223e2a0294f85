"""A faulty network: a TCP proxy on loopback between a client and its server."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 1 << 16


@dataclass
class Faults:
    """Faults of the traffic; tests may change them while connections are open.

    Attributes:
        latency_s: longest delay per chunk in either direction; drawn evenly from [latency_s / 2, latency_s].
        loss: probability per chunk that it and all later chunks of its connection are lost, as after a lost packet
            that is not sent again in time.
        refuses: whether new connections are aborted at once.
        swallows: whether all chunks are dropped while connections stay open.
    """

    latency_s: float = 0.0
    loss: float = 0.0
    refuses: bool = False
    swallows: bool = False


@dataclass
class FaultProxy:
    """Forwards connections to ``target``, a port on loopback or the path of a unix socket.

    Attributes:
        target: port or path; a change applies to new connections.
        faults: faults of the traffic.
        port: port of the proxy.
        connections: number of connections opened so far.
    """

    target: int | str
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    port: int = 0
    connections: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, started: threading.Event, stopping: asyncio.Event) -> None:
        self._random = random.Random(self.seed)
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopping.wait()
        server.close()
        self._cut()

    def cut(self) -> None:
        """Break every open connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.faults.refuses:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, up_writer}
        try:
            await asyncio.gather(self._forward(reader, up_writer), self._forward(up_reader, writer))
        finally:
            self._open -= {writer, up_writer}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward chunks until the reader ends; then abort the writer."""
        lost = False
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                lost = lost or self.faults.swallows or self._random.random() < self.faults.loss
                if lost:
                    continue
                if self.faults.latency_s:
                    await asyncio.sleep(self.faults.latency_s * self._random.uniform(0.5, 1))
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


@contextmanager
def fault_proxy(target: int | str, seed: int = 0) -> Iterator[FaultProxy]:
    """A proxy in a thread, without faults at first."""
    proxy, started, loop = FaultProxy(target, seed=seed), threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(proxy.serve(started, stopping))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
