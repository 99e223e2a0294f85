"""API keys on requests: every path requires a key of a certain scope, except those listed as open."""

from __future__ import annotations

import ipaddress
from collections.abc import Set as AbstractSet
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.access.gate import Gate
from service.access.keyring import Key
from service.access.keyring import Scope as KeyScope
from service.api.problems import CONTENT, problem, status_of
from service.errors import KeyChecksBusy, KeyRefused, ScopeMissing

# A key needs one of the path's scopes. Paths not listed require ADMIN, so that a new route is closed by default.
SCOPES: dict[str, tuple[KeyScope, ...]] = {
    "/recommend": (KeyScope.READ,),
    "/feedback": (KeyScope.FEEDBACK,),
    "/metrics": (KeyScope.METRICS, KeyScope.ADMIN),
}
DEFAULT_SCOPES = (KeyScope.ADMIN,)
PROBES = frozenset({"/health/live", "/health/ready"})
METRICS = frozenset({"/metrics"})

KEY_ID = "kshot.key_id"
SCHEME = b"bearer "
CHALLENGE = 'Bearer realm="kshot"'

Refusal = KeyRefused | ScopeMissing | KeyChecksBusy


class Authentication:
    """Refuses requests without the API key that their path requires."""

    def __init__(
        self, app: ASGIApp, *, gate: Gate, open_paths: AbstractSet[str], open_on_loopback: AbstractSet[str]
    ) -> None:
        """Take the paths that need no key: ``open_paths`` from any client, ``open_on_loopback`` from this machine.

        The probes never need one.
        """
        self._app, self._gate = app, gate
        self._open_paths, self._open_on_loopback = PROBES | open_paths, open_on_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the key's id in its scope, or refuse it."""
        if scope["type"] == "http" and not self._is_open(scope):
            try:
                scope[KEY_ID] = (await self._admit(scope)).id
            except (KeyRefused, ScopeMissing, KeyChecksBusy) as exc:
                telemetry.key_refusals.labels(_reason(exc)).inc()
                await problem(status_of(exc), str(exc), headers=_headers(exc))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in self._open_paths or (path in self._open_on_loopback and _is_local(scope))

    async def _admit(self, scope: Scope) -> Key:
        key = await self._gate.admit(_bearer(scope))
        required = SCOPES.get(scope["path"], DEFAULT_SCOPES)
        if not any(key_scope in key.scopes for key_scope in required):
            raise ScopeMissing(
                f"API key {key.id}: scopes {', '.join(key.scopes)}, expected {' or '.join(required)}", required
            )
        return key


def document(schema: dict[str, Any], open_paths: AbstractSet[str]) -> None:
    """Add the key and its scope to the operations in an OpenAPI ``schema``, with the refusals."""
    schema["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, made by: kshot keys new"}
    }
    for path, operations in schema["paths"].items():
        if path in PROBES | open_paths:
            continue
        for operation in operations.values():
            operation["security"] = [{"key": []}]
            scopes = " or ".join(SCOPES.get(path, DEFAULT_SCOPES))
            operation["responses"] |= {
                "401": {"description": "The API key is absent or invalid", "content": CONTENT},
                "403": {"description": f"The API key lacks the scope {scopes}", "content": CONTENT},
            }
            operation["responses"].setdefault(
                "503", {"description": "The API key cannot be checked now", "content": CONTENT}
            )


def _bearer(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(SCHEME)].lower() == SCHEME:
            text: bytes = value[len(SCHEME) :].strip()
            return text
    raise KeyRefused("authorization: absent, expected Bearer and an API key", None)


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _headers(exc: Refusal) -> dict[str, str]:
    match exc:
        case KeyRefused(error=str(error)):
            return {"WWW-Authenticate": f'{CHALLENGE}, error="{error}"'}
        case ScopeMissing(required=required):
            return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{" ".join(required)}"'}
        case KeyChecksBusy():
            return {"Retry-After": "1"}
        case _:
            return {"WWW-Authenticate": CHALLENGE}


def _reason(exc: Refusal) -> str:
    match exc:
        case KeyRefused(error=None):
            return "absent"
        case KeyRefused():
            return "invalid"
        case ScopeMissing():
            return "scope"
        case _:
            return "busy"
