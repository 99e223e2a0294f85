"""Settings of the layers that admit requests: API keys, rate limits, origins of browser pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from service.access.gate import Gate
from service.api.middleware import authentication, rate_limits
from service.api.middleware.authentication import Authentication
from service.api.middleware.rate_limits import RateCounter, RateLimiting
from service.web import docs


@dataclass(frozen=True)
class AccessPolicy:
    """Admission of requests; the default admits all.

    Attributes:
        gate: checks API keys; None requires none.
        open_docs: whether the documentation needs no key.
        open_metrics: whether the metrics need no key from this machine.
        rates: counts requests; None sets no limits.
        cors_origins: origins whose pages may send requests from a browser.
    """

    gate: Gate | None = None
    open_docs: bool = False
    open_metrics: bool = False
    rates: RateCounter | None = None
    cors_origins: tuple[str, ...] = ()

    def layers(self) -> dict[type, dict[str, Any]]:
        """The middleware classes that this policy needs, with their arguments."""
        layers: dict[type, dict[str, Any]] = {}
        if self.cors_origins:
            layers[CORSMiddleware] = {
                "allow_origins": self.cors_origins,
                "allow_methods": ("GET", "HEAD", "POST", "DELETE"),
                "allow_headers": ("authorization", "content-type", "x-request-id"),
                "expose_headers": ("retry-after", "x-request-id"),
            }
        if self.gate is not None:
            on_loopback = authentication.METRICS if self.open_metrics else frozenset[str]()
            layers[Authentication] = {
                "gate": self.gate,
                "open_paths": self._open_paths,
                "open_on_loopback": on_loopback,
            }
        if self.rates is not None:
            layers[RateLimiting] = {"rates": self.rates}
        return layers

    def document(self, schema: dict[str, Any]) -> None:
        """Add keys and rate limits to an OpenAPI ``schema``."""
        if self.gate is not None:
            authentication.document(schema, self._open_paths)
        if self.rates is not None:
            rate_limits.document(schema)

    @property
    def _open_paths(self) -> frozenset[str]:
        """Paths that need no key, besides the probes."""
        return docs.PATHS if self.open_docs else frozenset()


ADMIT_ALL = AccessPolicy()
