"""The access policy: paths open without a key, and origins of browser pages."""

from __future__ import annotations

from typing import Any

import pytest
from admitting_app import LOOPBACK, REMOTE, client_of

from service.access.gate import Gate
from service.api.access_policy import AccessPolicy
from service.web.docs import FOLDER

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("options", "address", "path", "status"),
    [
        ({}, LOOPBACK, "/metrics", 401),
        ({"open_metrics": True}, LOOPBACK, "/metrics", 200),
        ({"open_metrics": True}, "::1", "/metrics", 200),
        ({"open_metrics": True}, REMOTE, "/metrics", 401),
        ({"open_metrics": True}, "a name", "/metrics", 401),
        ({"open_metrics": True}, LOOPBACK, "/recommend", 401),
        ({}, REMOTE, "/docs", 401),
        ({"open_docs": True}, REMOTE, "/docs", 200),
        ({"open_docs": True}, REMOTE, "/openapi.json", 200),
        ({"open_docs": True}, REMOTE, "/", 200),
        ({"open_docs": True}, REMOTE, "/docs/", 200),
        ({"open_docs": True}, REMOTE, f"/{FOLDER}/swagger-ui.css", 200),
        ({}, REMOTE, f"/{FOLDER}/swagger-ui.css", 401),
        ({"open_docs": True}, REMOTE, "/docs/other", 401),
        ({}, REMOTE, "/health/live", 200),
        ({}, REMOTE, "/health/../users/ann", 401),
        ({}, REMOTE, "//health/live", 401),
        ({}, REMOTE, "/users/ann", 401),
        ({}, REMOTE, "/an/undocumented/route", 401),
    ],
)
async def test_paths_are_open_as_the_policy_says(
    admin: tuple[Gate, dict[str, str]], options: dict[str, Any], address: str, path: str, status: int
) -> None:
    async with client_of(AccessPolicy(gate=admin[0], **options), address) as client:
        assert (await client.get(path)).status_code == status
        assert (await client.get("/an/undocumented/route", headers=admin[1])).status_code == 200


async def test_only_pages_of_listed_origins_may_send_requests() -> None:
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    async with client_of(AccessPolicy()) as client:
        assert "access-control-allow-origin" not in (await client.options("/recommend", headers=preflight)).headers
    async with client_of(AccessPolicy(cors_origins=("https://shop.example",))) as client:
        allowed = (await client.options("/recommend", headers=preflight)).headers
        assert allowed["access-control-allow-origin"] == "https://shop.example"
        other = await client.get("/recommend", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_a_listed_origin_can_read_refusals(admin: tuple[Gate, dict[str, str]]) -> None:
    origin = {"Origin": "https://shop.example"}
    async with client_of(AccessPolicy(gate=admin[0], cors_origins=("https://shop.example",))) as client:
        refused = await client.get("/recommend", headers=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin["Origin"])
        preflight = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        assert (await client.options("/recommend", headers=preflight)).status_code == 200
