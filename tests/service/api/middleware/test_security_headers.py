"""Security headers of responses, and the limit on headers of requests."""

from __future__ import annotations

import pytest
from admitting_app import client_of

from service.api.access_policy import AccessPolicy
from service.api.middleware.security_headers import MAX_HEADERS

pytestmark = pytest.mark.anyio


async def test_every_response_has_the_security_headers() -> None:
    async with client_of(AccessPolicy()) as client:
        for response in (await client.get("/recommend"), await client.delete("/recommend")):
            for name, value in {
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
                "referrer-policy": "no-referrer",
                "cache-control": "no-store",
                "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
            }.items():
                assert response.headers.get_list(name) == [value], (response, name)


async def test_a_header_of_the_response_itself_takes_precedence() -> None:
    async with client_of(AccessPolicy()) as client:
        cached = await client.get("/cached")
    assert cached.headers.get_list("cache-control") == ["max-age=60"]
    assert (cached.headers["x-extra"], cached.headers["x-frame-options"]) == ("1", "DENY")


async def test_a_request_with_too_many_headers_is_refused() -> None:
    async with client_of(AccessPolicy()) as client:
        few = len(client.headers) + 1  # and Host
        many = {f"x-{number}": "1" for number in range(MAX_HEADERS - few)}
        assert (await client.get("/recommend", headers=many)).status_code == 200
        refused = await client.get("/recommend", headers=many | {"x-one-more": "1"})
        assert refused.status_code == 431
        assert refused.json()["detail"] == f"headers: {MAX_HEADERS + 1}, expected at most {MAX_HEADERS}"
