"""What stands between the network and the routes, put around an application in its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.access.gate import Gate
from service.api.middleware import authentication as keys
from service.api.middleware.authentication import Keys
from service.api.middleware.rate_limits import RateGuard, Rates
from service.api.middleware.rate_limits import declare as declare_rates
from service.api.middleware.security_headers import SecurityHeaders
from service.web import docs as pages


@dataclass(frozen=True)
class Edge:
    """Who is let in.

    Attributes:
        gate: lets keys in; None lets everybody in.
        open_docs: the documentation needs no key.
        open_metrics: the metrics need no key on this machine.
        rates: counts requests; None does not.
        cors_origins: origins whose pages may ask from a browser.
    """

    gate: Gate | None = None
    open_docs: bool = False
    open_metrics: bool = False
    rates: Rates | None = None
    cors_origins: tuple[str, ...] = ()

    @property
    def unlocked(self) -> frozenset[str]:
        """Paths that need no key, beside the probes."""
        return pages.PATHS if self.open_docs else frozenset()

    def install_rates(self, app: FastAPI) -> None:
        """Count the requests that reach what ``app`` has so far."""
        if self.rates is not None:
            app.add_middleware(RateGuard, rates=self.rates)

    def install(self, app: FastAPI) -> None:
        """Put the rest around what ``app`` has so far, innermost first."""
        if self.gate is not None:
            on_loopback = keys.METRICS if self.open_metrics else frozenset()
            app.add_middleware(Keys, gate=self.gate, unlocked=self.unlocked, unlocked_on_loopback=on_loopback)
        if self.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=self.cors_origins,
                allow_methods=("GET", "HEAD", "POST", "DELETE"),
                allow_headers=("authorization", "content-type", "x-request-id"),
                expose_headers=("retry-after", "x-request-id"),
            )
        app.add_middleware(SecurityHeaders)

    def document(self, schema: dict[str, Any]) -> None:
        """Say in an OpenAPI ``schema`` what a client needs."""
        if self.gate is not None:
            keys.declare(schema, self.unlocked)
        if self.rates is not None:
            declare_rates(schema)


EVERYBODY = Edge()
