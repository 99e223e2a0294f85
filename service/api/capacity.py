"""A bound on the requests under way: one more is refused at once, where it would make the queue longer. Plain ASGI.

Who waits in a queue that grows gets a late answer, and everybody behind waits longer; a refusal costs a fraction of an
answer and tells the client, or the balancer before it, to go elsewhere.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.api.problems import problem_of
from service.errors import Overloaded

# Whoever looks after the service must see it most of all when it has too much to do.
ALWAYS_ANSWERED = frozenset({"/health/live", "/health/ready", "/metrics"})


class Capacity:
    """Lets at most ``limit`` requests into ``app`` at once."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app, self._limit, self._under_way = app, limit, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in or refuse it; what is no request passes through."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
        elif self._under_way >= self._limit:
            telemetry.overload_refusals.inc()
            refusal = Overloaded(f"requests: {self._under_way} under way, expected fewer than {self._limit}")
            await problem_of(refusal)(scope, receive, send)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1
