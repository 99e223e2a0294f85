"""The application: all middleware, in one order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from admitting_app import RecordedRates
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.access.gate import Gate
from service.api.access_policy import ADMIT_ALL, AccessPolicy
from service.api.app import MIDDLEWARE, add_middleware, build_app
from service.api.backend import Backend
from service.api.middleware.authentication import Authentication
from service.api.middleware.rate_limits import RateLimiting

UNUSED = Backend(None, None, None, None)  # the routes are built, and never called


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def layers_of(policy: AccessPolicy) -> list[type]:
    app = build_app(UNUSED, lifespan, access_log=False, max_under_way=1, policy=policy)
    return [layer.cls for layer in app.user_middleware]


def test_a_full_policy_installs_all_middleware_in_order(admin: tuple[Gate, dict[str, str]]) -> None:
    policy = AccessPolicy(gate=admin[0], rates=RecordedRates(by_user=False), cors_origins=("https://shop.example",))
    assert layers_of(policy) == list(MIDDLEWARE)


def test_without_a_policy_the_layers_of_access_are_left_out() -> None:
    access = {CORSMiddleware, Authentication, RateLimiting}
    assert layers_of(ADMIT_ALL) == [layer for layer in MIDDLEWARE if layer not in access]


def test_middleware_without_a_position_in_the_order_is_refused() -> None:
    class Unordered:
        """Middleware that the order does not list."""

    with pytest.raises(ValueError, match="middleware Unordered: not in MIDDLEWARE"):
        add_middleware(FastAPI(), {Unordered: {}})
